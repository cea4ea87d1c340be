"""90 % intervals around predictions: conformalized quantile regression on the residuals of a cross-validation.

Residuals are counted in the standard deviations that the kernel model expects of them: so an interval is the wider, the
less a clip is like the training songs.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from music_learning.columns import TARGETS
from music_learning.files import damaged, read_json, write_json
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import is_number, shown

COVERAGE = 0.9
SPAN = (0.025, 0.975)  # quantiles of the predictions between which the ends are learned
MAX_SCALE = 10.0  # of songs' intervals
MAX_COEFFICIENT = 1e6  # of a parabola between 0 and 1
CORRELATION = "correlation"  # of the errors of valence and energy, beside the targets
MADE_BY = "model_train.py --folds 5"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Interval:
    """How far the ends of a prediction's interval lie above it, in standard deviations: parabolas over the prediction.

    Each end has (offset, slope, curvature); `margin` widens the interval on both sides, or narrows it where negative.
    A prediction outside `span`, where hardly any were to learn from, has the ends of the nearest inside.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    margin: float
    coverage: float = COVERAGE
    span: tuple[float, float] = (0.0, 1.0)  # of predictions
    songs_scale: float = 1.0  # of the ends' distance from the value of a whole song; see song_intervals

    @classmethod
    def from_dict(cls, values: object) -> "Interval":
        """Raises ValueError where the values aren't those of an interval."""
        values = values if isinstance(values, dict) else {}
        for end in ("low", "high"):
            numbers = values.get(end)
            if not isinstance(numbers, list | tuple) or len(numbers) != 3 or not all(map(_is_coefficient, numbers)):
                raise ValueError(f"{end} is {shown(numbers)}, not three numbers")
        margin, coverage = values.get("margin"), values.get("coverage")
        if not _is_coefficient(margin):
            raise ValueError(f"margin is {shown(margin)}, no number")
        if not is_number(coverage) or not 0 < coverage < 1:
            raise ValueError(f"coverage is {shown(coverage)}, not between 0 and 1")
        span = values.get("span")
        if not isinstance(span, list | tuple) or len(span) != 2 or not all(map(is_number, span)):
            raise ValueError(f"span is {shown(span)}, not two numbers")
        if not 0 <= span[0] <= span[1] <= 1:
            raise ValueError(f"span is {shown(span)}, not from 0 to 1")
        if not is_number(scale := values.get("songs_scale", 1.0)) or not 0 < scale <= MAX_SCALE:
            raise ValueError(f"songs_scale is {shown(scale)}, not above 0 and up to {MAX_SCALE:g}")
        low, high = tuple(values["low"]), tuple(values["high"])
        places = _powers(np.linspace(0, 1, 11))
        if (places @ np.array(low) - margin > places @ np.array(high) + margin).all():
            raise ValueError("its low end lies above its high end")
        return cls(low, high, margin, coverage, tuple(span), scale)

    def to_dict(self) -> dict:
        return asdict(self)

    def around_song(self, predicted: ArrayLike, std: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """As `around`, for recordings of several windows, whose values are surer."""
        predicted = np.asarray(predicted, np.float64)
        low, high = scaled(predicted, np.stack(self.around(predicted, std)), self.songs_scale)
        return low, high

    def around(self, predicted: ArrayLike, std: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The ends (n,) and (n,), in [0, 1], with the prediction between them.

        Args:
            predicted: (n,) in [0, 1].
            std: (n,) above 0, the kernel model's.
        """
        predicted, std = np.asarray(predicted, np.float64), np.asarray(std, np.float64)
        powers = _powers(predicted.clip(*self.span))
        low, high = (powers @ np.array(end) for end in (self.low, self.high))
        low, high = ((predicted + std * end).clip(0, 1) for end in (low - self.margin, high + self.margin))
        return np.minimum(low, predicted), np.maximum(high, predicted)


def scaled(predicted: np.ndarray, ends: np.ndarray, scale: float) -> np.ndarray:
    """Intervals with both ends nearer to the prediction, or farther off.

    Args:
        predicted: (...,) in [0, 1].
        ends: (2, ...), the low and the high ends, with the predictions between them.
        scale: of the distance of both from the prediction.

    Returns:
        (2, ...) in [0, 1].
    """
    return (predicted + scale * (ends - predicted)).clip(0, 1)


def write_intervals(
    paths: ModelPaths,
    intervals: dict[str, Interval],
    measured: dict[str, dict],
    weights: dict[str, str],
    *,
    correlation: float | None = None,
) -> None:
    """Write targets' intervals in place of those that they had; one without weights replaces none that has.

    Args:
        measured: for each of these targets what `measure_interval` says.
        weights: the hash of the weights that each target's interval belongs to; without one it is of no use.
        correlation: of the errors of valence and energy, where it is known anew.
    """
    known = _known(paths)
    for target, interval in intervals.items():
        if target not in weights and known.get(target, {}).get("weights_sha256") is not None:
            continue
        belongs_to = {"weights_sha256": weights.get(target)}
        known[target] = {**interval.to_dict(), **belongs_to, "measured": measured[target]}
    if correlation is not None and (weights or CORRELATION not in known):
        known[CORRELATION] = correlation
    write_json(paths.intervals, known)


def write_songs_scale(paths: ModelPaths, scale: float, measured: dict[str, dict]) -> None:
    """Write the scale of the intervals around whole songs' values beside the intervals of clips that there are.

    Args:
        measured: for each target what is known of such intervals, to be read by people; each has one of clips.
    """
    known = _known(paths)
    for target in measured:
        known[target] |= {"songs_scale": scale, "measured_songs": measured[target]}
    write_json(paths.intervals, known)


def read_intervals(paths: ModelPaths, weights: dict[str, str]) -> dict[str, Interval]:
    """target -> its interval, for those that have one.

    An interval of other weights is left out, which is logged: a model that was trained again errs in its own way.

    Args:
        weights: the hash of each target's weights.

    Raises:
        UserError: the file is damaged.
    """
    known = _known(paths)
    intervals = {target: known[target] for target in TARGETS if target in known}
    others = [target for target, values in intervals.items() if values.get("weights_sha256") != weights[target]]
    if others:
        logger.warning(
            "%s belongs to other weights of %s than these, whose predictions come without intervals; "
            "make it again with %s",
            *(paths.intervals, ", ".join(others), MADE_BY),
        )
    return {target: Interval.from_dict(values) for target, values in intervals.items() if target not in others}


def read_correlation(paths: ModelPaths) -> float:
    """The correlation of the errors of valence and energy, in (-1, 1); 0 where it is not known.

    Raises UserError where the file is damaged.
    """
    return _known(paths).get(CORRELATION, 0.0)


def without_interval(paths: ModelPaths, weights: dict[str, str]) -> list[str]:
    """The targets for whose weights there is no interval."""
    known = _known(paths)
    return [target for target in weights if known.get(target, {}).get("weights_sha256") != weights[target]]


def _known(paths: ModelPaths) -> dict[str, Any]:
    """What the file of the intervals says of each target, and the correlation. Raises UserError where it is damaged."""
    if not paths.intervals.exists():
        return {}
    known = read_json(paths.intervals, MADE_BY)
    try:
        for target, values in known.items():
            if target == CORRELATION:
                if not is_number(values) or not -1 < values < 1:
                    raise ValueError(f"{CORRELATION} is {shown(values)}, not between -1 and 1")
                continue
            if target not in TARGETS:
                raise ValueError(f"{target[:60]} is no target")
            Interval.from_dict(values)
            if not isinstance(belongs_to := values.get("weights_sha256"), str | None):
                raise ValueError(f"{target} belongs to the weights {shown(belongs_to)}")
    except ValueError as error:
        raise damaged(paths.intervals, error, MADE_BY) from None
    return known


def _is_coefficient(value: object) -> bool:
    return is_number(value) and abs(value) < MAX_COEFFICIENT


def fit_interval(
    truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, folds: np.ndarray, *, coverage: float = COVERAGE
) -> Interval:
    """Fit the ends of the interval to predictions whose truth is known (Romano et al., 2019, arXiv:1905.03222).

    The ends are regressed as quantiles of the residuals in standard deviations, in one fold after the other left out
    (as in cross-conformal prediction: Vovk, 2015); the margin is what it takes to cover those left out. Both tails get
    the same share, since a symmetric interval would miss the extreme songs too often: predictions lean towards the
    mean.

    Args:
        truth, predicted: (songs,) in [0, 1]; by models that never heard the song's artists.
        std: (songs,), the kernel model's.
        folds: (songs,) which fold each song is in; no artist is in two. At least two folds.
    """
    tail, residuals = (1 - coverage) / 2, (truth - predicted) / std
    misses = np.empty(len(truth))
    for fold in np.unique(folds):
        out = folds == fold
        low, high = (_quantile(residuals[~out], predicted[~out], level) for level in (tail, 1 - tail))
        ends = [_powers(predicted[out]) @ end for end in (low, high)]
        misses[out] = np.maximum(ends[0] - residuals[out], residuals[out] - ends[1])
    level = min(np.ceil((len(truth) + 1) * coverage) / len(truth), 1)
    margin = float(np.quantile(misses, level, method="higher"))
    low, high = (tuple(_quantile(residuals, predicted, level).tolist()) for level in (tail, 1 - tail))
    return Interval(low, high, margin, coverage, tuple(np.quantile(predicted, SPAN).tolist()))


def measure_interval(truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, folds: np.ndarray) -> dict:
    """How often intervals hold the truth, and how wide they are: those of each fold fitted to the other folds only.

    Returns:
        `coverage` and `width` over all songs, and `tercile_coverage`, `tercile_width` for the lowest, middle and
        highest third of the true values.
    """
    low, high = np.empty(len(truth)), np.empty(len(truth))
    for fold in np.unique(folds):
        out = folds == fold
        interval = fit_interval(truth[~out], predicted[~out], std[~out], folds[~out])
        low[out], high[out] = interval.around(predicted[out], std[out])
    inside, width = (low <= truth) & (truth <= high), high - low
    terciles = np.array_split(np.argsort(truth, kind="stable"), 3)
    return {
        "n": len(truth),
        "coverage": float(inside.mean()),
        "width": float(width.mean()),
        "tercile_coverage": [float(inside[tercile].mean()) for tercile in terciles],
        "tercile_width": [float(width[tercile].mean()) for tercile in terciles],
    }


def _powers(predicted: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(predicted), predicted, predicted**2], axis=-1)


def _quantile(residuals: np.ndarray, predicted: np.ndarray, level: float) -> np.ndarray:
    """The coefficients (3,) of the parabola over the predictions below which a share `level` of the residuals lies."""
    from sklearn.linear_model import QuantileRegressor  # takes a second that predicting need not wait for

    regressor = QuantileRegressor(quantile=level, alpha=0, fit_intercept=False, solver="highs")
    return regressor.fit(_powers(predicted), residuals).coef_
