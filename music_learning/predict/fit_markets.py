"""How well the charts tell a song's country, measured with features that are off by as much as the models are.

Each chart song is looked for in the charts without the songs of its artists (leave-one-artist-out); the local ones
count. `markets` says what is measured.
"""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.paths import ModelPaths
from music_learning.predict.markets import CHART_FEATURES, EXTRA, FEATURES, WIDTH, ChartSongs
from music_learning.songs.table import read_frame

N_NEAREST = 10  # songs whose errors one may have
N_DRAWS = 20
LEAST_DENSITY = 1e-9  # so that nothing is divided by 0, of a handful of songs
PREDICTIONS = "5-fold"
_UNBOUNDED = [name in ("loudness", "tempo") for name in CHART_FEATURES]
LOWEST, HIGHEST = np.where(_UNBOUNDED, -np.inf, 0.0), np.where(_UNBOUNDED, np.inf, 1.0)


def read_errors(paths: ModelPaths) -> tuple[np.ndarray, np.ndarray]:
    """Spotify's features of the songs of the cross-validation, and those by models that never heard their artists.

    Both are (songs, CHART_FEATURES), of the songs that have all.

    Raises:
        UserError: a file of predictions is missing or damaged, or they are of other songs.
    """
    others = [name for name in CHART_FEATURES if name not in TARGETS]
    dtypes = {"song_id": "string", **{f"{name}{end}": "float64" for name in others for end in ("_true", "")}}
    path = paths.predictions("audio_features", PREDICTIONS)
    table = read_frame(path, dtypes, "tools/fit_audio_features.py")
    for target in TARGETS:
        columns = {"song_id": "string", "true": "float64", "predicted": "float64"}
        known = read_frame(paths.predictions(target, PREDICTIONS), columns, "model_train.py --folds 5")
        table[[f"{target}_true", target]] = known[["true", "predicted"]].reindex(table.index)
    table = table.dropna()
    if len(table) < N_NEAREST:
        raise UserError(
            f"{path} and the predictions of {', '.join(TARGETS)} have {len(table)} songs in common, {N_NEAREST} are "
            "needed; run model_train.py --folds 5 and tools/fit_audio_features.py with the same data"
        )
    truth, predicted = (table[[f"{name}{end}" for name in CHART_FEATURES]].to_numpy(float) for end in ("_true", ""))
    return truth, predicted


def as_predicted(songs: ChartSongs, truth: np.ndarray, predicted: np.ndarray, *, seed: int) -> np.ndarray:
    """The chart songs' features as the models might hear them: (songs, CHART_FEATURES).

    To each song's features are added all the errors of one song, drawn from the N_NEAREST ones by Spotify's features:
    errors go together, and what is extreme is predicted less so.

    Args:
        truth, predicted: as `read_errors` gives them.
    """
    scale = songs.features.std(axis=0).clip(1e-9)
    of_charts, of_others = songs.features / scale, truth / scale
    squares = (of_charts**2).sum(axis=1)[:, None] + (of_others**2).sum(axis=1) - 2 * of_charts @ of_others.T
    nearest = squares.argsort(axis=1)[:, :N_NEAREST]
    drawn = np.random.default_rng(seed).integers(nearest.shape[1], size=len(nearest))
    errors = (predicted - truth)[nearest[np.arange(len(nearest)), drawn]]
    return (songs.features + errors).clip(LOWEST, HIGHEST)


def places_of(likeness: np.ndarray) -> np.ndarray:
    """The place of each country in the list of each song, 0 for the first: (songs, countries) -> the same"""
    return (-likeness).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")


def fit_rates(
    songs: ChartSongs, places: list[np.ndarray], *, measured: np.ndarray, extra: float = EXTRA
) -> tuple[np.ndarray, np.ndarray]:
    """s_p and r_p as `markets` has them, (countries,) each.

    Both fall from place to place in truth, and are made to by isotonic regression.

    Args:
        places: as `places_of` gives them, (songs, countries), of one draw of errors or more.
        measured: (songs,) of bool, the local songs to measure with.
        extra: in place of EXTRA.
    """
    charted, n_local = songs.charted[measured], songs.n_local_of_others[measured] + extra
    hits, listed = np.zeros(len(songs.countries)), np.zeros(len(songs.countries))
    for one in places:
        hits += np.bincount(one[measured][charted], minlength=len(hits))
        listed += np.bincount(one[measured].ravel(), n_local.ravel(), minlength=len(hits))
    return _falling(hits / measured.sum() / len(places)), _falling(hits / listed)


def fit_markets(songs: ChartSongs, errors: tuple[np.ndarray, np.ndarray]) -> dict:
    """What markets.json has, for the features and the width in use, from N_DRAWS draws of errors."""
    draws = (as_predicted(songs, *errors, seed=seed) for seed in range(N_DRAWS))
    densities = [songs.densities(points, songs.artists) for points in draws]
    usual = np.mean(densities, axis=(0, 1)).clip(LEAST_DENSITY)
    shares, rates = fit_rates(songs, [places_of(one / usual) for one in densities], measured=songs.is_local)
    return {
        "songs_sha256": songs.sha256,
        "features": [*FEATURES],
        "width": WIDTH,
        "extra": EXTRA,
        "local_songs": int(songs.is_local.sum()),
        "songs_with_errors": len(errors[0]),
        "usual": _shortened(usual),
        "shares": _shortened(shares),
        "rates": _shortened(rates),
    }


def _falling(numbers: np.ndarray) -> np.ndarray:
    return IsotonicRegression(increasing=False).fit_transform(np.arange(len(numbers)), numbers)


def _shortened(numbers: np.ndarray) -> list[float]:
    return [float(f"{number:.5g}") for number in numbers]
