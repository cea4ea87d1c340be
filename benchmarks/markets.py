"""How well a song's sound tells the country where it charts, by the charts without the songs of its artists.

    python benchmarks/markets.py

Reads the chart songs of the package and models/predictions/. Of songs that chart in one or two countries: at which
percentile of the list their own country stands (50 by chance), and how often it is among the first ten; with Spotify's
features, and with features that are off by as much as the models are, ten times drawn. Also with other features, other
widths of the kernel, densities as they are, and two controls. The brackets are 95 % intervals from a bootstrap over
groups of artists.
"""

from pathlib import Path

import numpy as np

from music_learning.errors import run
from music_learning.paths import ModelPaths
from music_learning.predict.fit_markets import as_predicted, local_songs, places_of, read_errors
from music_learning.predict.markets import CHART_FEATURES, FEATURES, N_MARKETS, WIDTH, Charts, ChartSongs

ROOT = Path(__file__).parents[1]
N_DRAWS = 10
N_RESAMPLES = 2000
SETS = {
    "energy, danceability, valence": FEATURES[:3],
    "and acousticness": FEATURES[:4],
    "and speechiness, instrumentalness": FEATURES[:6],
    "and loudness (used)": FEATURES,
    "and tempo": CHART_FEATURES,
}
WIDTHS = (0.5, 0.7, 1.3, 1.6)


def own_places(songs: ChartSongs, likeness: np.ndarray) -> np.ndarray:
    """The places of the countries where each local song charts, (cases,), always in the same order."""
    local = local_songs(songs)
    return places_of(likeness)[local][songs.charted[local]]


def skill(places: list[np.ndarray], n_countries: int) -> str:
    """The mean percentile and the share of the first ten."""
    drawn = np.concatenate(places)
    percentile = 100 * (1 - drawn.mean() / (n_countries - 1))
    return f"percentile {percentile:4.1f}, among the first {N_MARKETS} {(drawn < N_MARKETS).mean():.1%}"


def interval(places: list[np.ndarray], artists: np.ndarray) -> str:
    """The 95 % interval of the share of the first ten, from a bootstrap over the groups of artists of the cases."""
    hits = np.mean([one < N_MARKETS for one in places], axis=0)
    names, members = np.unique(artists, return_inverse=True)
    right, n = np.bincount(members, weights=hits), np.bincount(members)
    drawn = np.random.default_rng(0).integers(len(names), size=(N_RESAMPLES, len(names)))
    low, high = np.percentile(right[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return f"[{low:.1%}, {high:.1%}]"


def compare(songs: ChartSongs, draws: dict[str, list[np.ndarray]]) -> None:
    """Print the skill with other features and other widths, and with densities as they are."""
    n_countries = len(songs.countries)
    settings = [(title, {"names": names}) for title, names in SETS.items()]
    settings += [(f"used, but width {width}", {"width": width}) for width in WIDTHS]
    for title, options in settings:
        for kind, points in draws.items():
            densities = [songs.densities(one, songs.artists, **options) for one in points]
            usual = np.mean(densities, axis=(0, 1))
            print(f"  {title:35} {kind:9} {skill([own_places(songs, one / usual) for one in densities], n_countries)}")
    for kind, points in draws.items():
        densities = [songs.densities(one, songs.artists) for one in points]
        print(f"  {'used, but densities as they are':35} {kind:9}", end=" ")
        print(skill([own_places(songs, one) for one in densities], n_countries), end="; ")
        for name, divisor in (("as they are", 1.0), ("used", np.mean(densities, axis=(0, 1)))):
            listed = [(places_of(one / divisor) < N_MARKETS).mean(axis=0) for one in densities]
            often = np.mean(listed, axis=0)
            country = songs.names[int(often.argmax())]
            print(f"{name}: {country} is among the first {N_MARKETS} of {often.max():.0%} of songs", end="; ")
        print()


def controls(songs: ChartSongs, points: list[np.ndarray]) -> None:
    """Print what songs' sounds without their songs would tell, and which countries have most songs of their own."""
    n_countries, generator = len(songs.countries), np.random.default_rng(0)
    densities = [songs.densities(generator.permutation(one), songs.artists) for one in points]
    usual = np.mean(densities, axis=(0, 1))
    print(
        f"  {'each with another song´s features':45} {skill([own_places(songs, one / usual) for one in densities], n_countries)}"
    )
    own = (songs.charted & local_songs(songs)[:, None]).astype(float)
    frequent = (songs.artists[:, None] != songs.artists) @ own
    print(f"  {'always the countries with most local songs':45} {skill([own_places(songs, frequent)], n_countries)}")


def main() -> None:
    charts, errors = Charts.open(), read_errors(ModelPaths(ROOT / "models"))
    songs = charts.songs
    local = local_songs(songs)
    artists = np.broadcast_to(songs.artists[:, None], songs.charted.shape)[local][songs.charted[local]]
    draws = {
        "Spotify's": [songs.features],
        "predicted": [as_predicted(songs, *errors, seed=1000 + seed) for seed in range(N_DRAWS)],
    }
    print(
        f"{charts.n_songs:,} songs, {charts.n_countries} countries, {len(np.unique(songs.artists))} groups of artists"
    )
    print(f"{local.sum():,} songs chart in one or two countries; errors of {len(errors[0])} songs; width {WIDTH}")
    for kind, points in draws.items():
        densities = [songs.densities(one, songs.artists) for one in points]
        places = [own_places(songs, one / np.mean(densities, axis=(0, 1))) for one in densities]
        print(f"  {kind:9} {skill(places, charts.n_countries)} {interval(places, artists)}", end=" ")
        print(f"(by chance {charts.guess():.1%})")
        by_place = np.mean(
            [[(one == place).sum() / local.sum() for place in range(N_MARKETS)] for one in places], axis=0
        )
        print(f"  {'':9} chance at each place, in %: {', '.join(f'{100 * chance:.1f}' for chance in by_place)}")
    print(
        f"  as stated: chance, in %: {', '.join(f'{100 * chance:.1f}' for chance in charts.chances[:N_MARKETS])}; ",
        end="",
    )
    print(f"by chance {100 * charts.chances.mean():.1f}; among the first {N_MARKETS} {charts.share():.1%}")
    print("what else was tried")
    compare(songs, draws)
    print("controls")
    controls(songs, draws["predicted"])


if __name__ == "__main__":
    run(main)
