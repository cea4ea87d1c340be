"""How well a song's sound tells the country where it charts, by the charts without the songs of its artists.

    python benchmarks/markets.py

Reads the chart songs of the package and models/predictions/. Of songs that chart in one or two countries: at which
percentile of the list the country where they chart stands (50 by chance), and how often it is among the first ten; with
Spotify's features, and with features that are off by as much as the models are, ten times drawn. Also with other
features, other widths of the kernel, densities as they are, songs that are softer, and two controls. The brackets are
95 % intervals from a bootstrap over groups of artists.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from music_learning.errors import run
from music_learning.paths import ModelPaths
from music_learning.predict.fit_markets import as_predicted, fit_rates, places_of, read_errors
from music_learning.predict.markets import CHART_FEATURES, EXTRA, FEATURES, N_MARKETS, WIDTH, Charts, ChartSongs

ROOT = Path(__file__).parents[1]
N_DRAWS = 10
N_RESAMPLES = 2000
N_HALVES = 5
EXTRAS = (1, 10, 50, 100, 300, 1000)
SETS = {
    "energy, danceability, valence": FEATURES[:3],
    "and acousticness": FEATURES[:4],
    "and speechiness, instrumentalness (used)": FEATURES,
    "and loudness": (*FEATURES, "loudness"),
    "and tempo": (*FEATURES, "tempo"),
    "and both": CHART_FEATURES,
}
WIDTHS = (0.5, 0.7, 1.3, 1.6)


def own_places(songs: ChartSongs, likeness: np.ndarray) -> np.ndarray:
    """The places of the countries where each local song charts, (cases,), always in the same order."""
    return places_of(likeness)[songs.is_local][songs.charted[songs.is_local]]


def share_of_first(songs: ChartSongs, likeness: list[np.ndarray], top: int = N_MARKETS) -> float:
    return float(np.mean([own_places(songs, one) < top for one in likeness]))


def skill(songs: ChartSongs, likeness: list[np.ndarray]) -> str:
    """The mean percentile of the country where a song charts, and how often it is among the first ten."""
    place = np.mean([own_places(songs, one) for one in likeness])
    percentile = 100 * (1 - place / (len(songs.countries) - 1))
    return f"percentile {percentile:4.1f}, among the first {N_MARKETS} {share_of_first(songs, likeness):.1%}"


def interval(songs: ChartSongs, likeness: list[np.ndarray]) -> str:
    """The 95 % interval of the share of the first ten, from a bootstrap over the groups of artists."""
    artists = np.broadcast_to(songs.artists[:, None], songs.charted.shape)[songs.is_local][
        songs.charted[songs.is_local]
    ]
    hits = np.mean([own_places(songs, one) < N_MARKETS for one in likeness], axis=0)
    names, members = np.unique(artists, return_inverse=True)
    right, n = np.bincount(members, weights=hits), np.bincount(members)
    drawn = np.random.default_rng(0).integers(len(names), size=(N_RESAMPLES, len(names)))
    low, high = np.percentile(right[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return f"[{low:.1%}, {high:.1%}]"


def compare(songs: ChartSongs, draws: dict[str, list[np.ndarray]]) -> None:
    """Print the skill with other features and other widths, and with densities as they are."""
    settings = [(title, {"names": names}) for title, names in SETS.items()]
    settings += [(f"used, but width {width}", {"width": width}) for width in WIDTHS]
    for title, options in settings:
        for kind, points in draws.items():
            densities = [songs.densities(one, songs.artists, **options) for one in points]
            likeness = [one / mean_of(densities) for one in densities]
            print(f"  {title:42} {kind:9} {skill(songs, likeness)}")
    densities = [songs.densities(one, songs.artists) for one in draws["predicted"]]
    for title, divisor in (
        ("densities as they are", 1.0),
        ("densities over the usual ones (used)", mean_of(densities)),
    ):
        likeness = [one / divisor for one in densities]
        often = np.mean([places_of(one) < N_MARKETS for one in likeness], axis=(0, 1))
        country = songs.names[int(often.argmax())]
        print(f"  {title:42} predicted {skill(songs, likeness)}; ", end="")
        print(f"{country} is among them for {often.max():.0%} of all songs")


def mean_of(densities: list[np.ndarray]) -> np.ndarray:
    """The usual density of each country: of draws (songs, countries) -> (countries,)"""
    return np.mean(densities, axis=(0, 1))


def calibration(songs: ChartSongs, likeness: list[np.ndarray]) -> None:
    """Print whether the countries that are named chart as often as it is said, by how many local songs they have.

    The rates are fitted on half of the groups of artists and judged on the other, N_HALVES times and both ways round.
    """
    places = [places_of(one) for one in likeness]
    generator = np.random.default_rng(0)
    halves = [generator.random(songs.artists.max() + 1) < 0.5 for _ in range(N_HALVES)]
    for extra in EXTRAS:
        losses, chances, right, n_local = [], [], [], []
        for half in halves:
            for fitted in (half[songs.artists], ~half[songs.artists]):
                _, rates = fit_rates(songs, places, measured=songs.is_local & fitted, extra=extra)
                judged = songs.is_local & ~fitted
                others, charted = songs.n_local_of_others[judged], songs.charted[judged]
                for one in places:
                    said = (rates[one[judged]] * (others + extra)).clip(1e-6, 1 - 1e-6)
                    losses.append(-np.log(np.where(charted, said, 1 - said)).sum(axis=1).mean())
                    named = one[judged] < N_MARKETS
                    for columns, values in ((chances, said), (right, charted), (n_local, others)):
                        columns.append(values[named])
        print(f"  {extra:4} songs more in each country: log loss of a song {np.mean(losses):.3f}")
        if extra == EXTRA:
            thirds(*map(np.concatenate, (chances, right, n_local)))


def thirds(chances: np.ndarray, right: np.ndarray, n_local: np.ndarray) -> None:
    """Print what was said and what was right, of countries with few, some and many local songs."""
    edges = [0, *(int(edge) for edge in np.quantile(n_local, [1 / 3, 2 / 3])), int(n_local.max()) + 1]
    for low, high in pairwise(edges):
        here = (n_local >= low) & (n_local < high)
        print(f"    {low:2} to {high - 1:2}: said {chances[here].mean():.1%}, right {right[here].mean():.1%}")


def softer(songs: ChartSongs, points: list[np.ndarray]) -> None:
    """Print the skill for songs that are softer than their charts', with the loudness among the features."""
    loudness, names = np.array(CHART_FEATURES) == "loudness", (*FEATURES, "loudness")
    usual = mean_of([songs.densities(one, songs.artists, names=names) for one in points])
    for gain_db in (-3, -6, -10, -20):
        likeness = [songs.densities(one + gain_db * loudness, songs.artists, names=names) / usual for one in points]
        print(f"  {f'and loudness, songs at {gain_db} dB':42} {skill(songs, likeness)}")


def controls(songs: ChartSongs, points: list[np.ndarray]) -> None:
    """Print the skill without the song's own sound."""
    generator = np.random.default_rng(0)
    densities = [songs.densities(generator.permutation(one), songs.artists) for one in points]
    likeness = [one / mean_of(densities) for one in densities]
    print(f"  {'by the features of another song':52} {skill(songs, likeness)}")
    own = (songs.charted & songs.is_local[:, None]).astype(float)
    frequent = (songs.artists[:, None] != songs.artists) @ own
    print(f"  {'always the countries with the most local songs':52} {skill(songs, [frequent])}")


def main() -> None:
    charts, errors = Charts.open(), read_errors(ModelPaths(ROOT / "models"))
    songs = charts.songs
    draws = {
        "Spotify's": [songs.features],
        "predicted": [as_predicted(songs, *errors, seed=1000 + seed) for seed in range(N_DRAWS)],
    }
    n_groups, n_local = len(np.unique(songs.artists)), songs.is_local.sum()
    print(f"{charts.n_songs:,} songs by {n_groups} groups of artists, {charts.n_countries} countries")
    print(f"{n_local:,} songs chart in one or two countries; errors of {len(errors[0])} songs; width {WIDTH}")
    for kind, points in draws.items():
        densities = [songs.densities(one, songs.artists) for one in points]
        likeness = [one / mean_of(densities) for one in densities]
        print(f"  {kind:9} {skill(songs, likeness)} {interval(songs, likeness)}")
        first = [f"{top}: {share_of_first(songs, likeness, top):.1%}" for top in (1, 3, 5, 10)]
        print(f"  {'':9} among the first {', '.join(first)}")
    first = [f"{top}: {charts.share(top):.1%} ({charts.guess(top):.1%})" for top in (1, 3, 5, 10)]
    print(f"  as stated among the first {', '.join(first)} (by chance)")
    print("how often the ten countries that are named chart, by their local songs")
    calibration(songs, likeness)
    print("what else was tried")
    compare(songs, draws)
    softer(songs, draws["predicted"])
    print("controls")
    controls(songs, draws["predicted"])


if __name__ == "__main__":
    run(main)
