"""The mood of a recording: in which quarter of the plane of valence and energy it lies, and how likely each is.

The quarters are those of the circumplex model of affect (J. A. Russell, "A circumplex model of affect", Journal of
Personality and Social Psychology 39(6), 1980), with energy for arousal, named with words from its figures.

Where Spotify's own values lie follows from the intervals. A target's prediction is taken for the median, and the true
value for normally distributed on either side of it, so wide that a twentieth lies below the interval and a twentieth
above it. Both targets' deviations, in standard deviations, are jointly normal (a Gaussian copula).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from music_learning.evaluation.conformal import COVERAGE, Interval

AXES = ("valence", "energy")
MIDDLE = 0.5  # of Spotify's scales
MOODS = {  # by whether valence and energy lie in the upper half
    (True, True): "happy and excited",
    (False, True): "tense and angry",
    (True, False): "calm and content",
    (False, False): "sad and gloomy",
}
LIKELY = 0.55  # where it was less, the likeliest of the four was right for half of the songs (benchmarks/moods.py)
ADVERBS = ((0.95, "almost surely"), (0.65, "probably"), (LIKELY, "perhaps"))
NORMAL = NormalDist()
INTERVAL_STDS = NORMAL.inv_cdf((1 + COVERAGE) / 2)  # from the median to an interval's end
MAX_STDS = 8.0  # beyond which nothing is left of a normal distribution
MAX_CORRELATION = 0.95  # more is due to there being few songs
N_POINTS = 120  # of an outline
N_NODES = 16  # of a quadrature; 1e-7 off with a correlation of 0.8


@dataclass(frozen=True)
class Mood:
    """What is known of a recording's mood; printed, it is a phrase such as `probably happy and excited, 7 in 10`."""

    values: dict[str, float]  # in [0, 1], of both axes at least
    intervals: dict[str, tuple[float, float]]  # holds Spotify's value for 9 of 10 songs
    correlation: float = 0.0  # of the deviations of valence and energy

    @property
    def has_intervals(self) -> bool:
        """Whether both values have one, without which it can't be said how likely a mood is."""
        return all(axis in self.intervals for axis in AXES)

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """How likely each mood is, the likeliest first; their sum is 1. Empty without intervals."""
        if not self.has_intervals:
            return {}
        valence, energy = (float(deviations(MIDDLE, self.values[axis], *self.intervals[axis])) for axis in AXES)
        found = {}
        for (is_positive, is_high), word in MOODS.items():
            # Above a place is below it when the variable is turned; turning one of both turns their correlation.
            places = -valence if is_positive else valence, -energy if is_high else energy
            correlation = self.correlation if is_positive == is_high else -self.correlation
            found[word] = both_below(*places, correlation=correlation)
        total = sum(found.values())
        return {word: found[word] / total for word in sorted(found, key=found.__getitem__, reverse=True)}

    @property
    def probability(self) -> float | None:
        """How likely the likeliest mood is; None without intervals."""
        return next(iter(self.probabilities.values()), None)

    @property
    def word(self) -> str | None:
        """The likeliest mood; None where none is likely. Without intervals it is that of the predicted point."""
        if self.probability is None:
            valence, energy = (self.values[axis] >= MIDDLE for axis in AXES)
            return MOODS[valence, energy]
        return next(iter(self.probabilities)) if self.probability >= LIKELY else None

    def __str__(self) -> str:
        if self.probability is None:
            return f"{self.word} (how likely is not known)"
        if self.word is None:
            return f"no mood stands out: {', '.join(f'{word} {chance}' for word, chance in self.chances(at_least=2))}"
        adverb = next(adverb for least, adverb in ADVERBS if self.probability >= least)
        return f"{adverb} {self.word}, {in_ten(self.probability)}"

    def chances(self, *, at_least: int = 1) -> list[tuple[str, str]]:
        """Moods and how likely they are in words, the likeliest first, of those with so many chances in ten."""
        return [(word, in_ten(p)) for word, p in self.probabilities.items() if tenths(p) >= at_least]

    def outline(self, share: float) -> np.ndarray:
        """The region that holds Spotify's own values with a probability of `share`: (points, 2) of valence and energy.

        The deviations of that share of a bivariate normal lie within an ellipse (their squared Mahalanobis distance
        is chi-squared with two degrees of freedom); on the plane its quarters are as wide as the intervals' halves.

        Raises:
            ValueError: there are no intervals.
        """
        if not self.has_intervals:
            raise ValueError("without intervals there is no outline")
        angles = np.linspace(0, 2 * np.pi, N_POINTS, endpoint=False)
        radius = np.sqrt(-2 * np.log(1 - share))
        first = radius * np.cos(angles)
        second = self.correlation * first + np.sqrt(1 - self.correlation**2) * radius * np.sin(angles)
        return np.stack(
            [
                values_at(stds, self.values[axis], *self.intervals[axis])
                for axis, stds in zip(AXES, (first, second), strict=True)
            ],
            axis=1,
        )


def deviations(values: ArrayLike, predicted: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """How far values lie from the predicted ones, in standard deviations of that side, as far as MAX_STDS."""
    differences = np.subtract(values, predicted)
    halves = np.where(differences < 0, np.subtract(predicted, low), np.subtract(high, predicted))
    return (INTERVAL_STDS * differences / halves.clip(1e-9)).clip(-MAX_STDS, MAX_STDS)


def values_at(stds: np.ndarray, predicted: float, low: float, high: float) -> np.ndarray:
    """The values in [0, 1] that deviate so far: `deviations` backwards."""
    halves = np.where(stds < 0, predicted - low, high - predicted)
    return (predicted + stds * halves / INTERVAL_STDS).clip(0, 1)


def both_below(first: float, second: float, *, correlation: float) -> float:
    """The probability that two standard normal variables of this correlation both lie below these places.

    Its derivative by the correlation is the variables' density there (R. L. Plackett, "A reduction formula for normal
    multivariate integrals", Biometrika 41(3/4), 1954), so it is the product of both probabilities and an integral.
    scipy has it, too, but takes half as long to import as the models do to predict.
    """
    nodes, weights = _quadrature()
    r = correlation * (nodes + 1) / 2
    exponents = -(first**2 - 2 * r * first * second + second**2) / (2 * (1 - r**2))
    density = np.exp(exponents) / (2 * np.pi * np.sqrt(1 - r**2))
    return max(NORMAL.cdf(first) * NORMAL.cdf(second) + correlation / 2 * float(weights @ density), 0.0)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes (N_NODES,) and weights (N_NODES,) of a quadrature over [-1, 1]: a millisecond a song, if found anew."""
    return np.polynomial.legendre.leggauss(N_NODES)


def error_correlation(
    intervals: dict[str, Interval], truth: Mapping[str, ArrayLike], predicted: Mapping[str, Mapping[str, ArrayLike]]
) -> float:
    """The correlation of the deviations of valence and energy, for `Mood`.

    Args:
        intervals: of both axes.
        truth: of both axes (songs,) in [0, 1].
        predicted: of both axes `predicted` and `std`, (songs,); by models that never heard the song's artists.
    """
    valence, energy = (
        deviations(truth[axis], values, *intervals[axis].around(values, predicted[axis]["std"]))
        for axis, values in ((axis, predicted[axis]["predicted"]) for axis in AXES)
    )
    with np.errstate(invalid="ignore"):  # where all are alike
        correlation = np.nan_to_num(np.corrcoef(valence, energy)[0, 1])
    return float(correlation.clip(-MAX_CORRELATION, MAX_CORRELATION))


def tenths(probability: float) -> int:
    return int(10 * probability + 0.5)


def in_ten(probability: float) -> str:
    """A probability as people say it: `7 in 10`, never all or none."""
    n = tenths(probability)
    return {0: "less than 1 in 10", 10: "more than 9 in 10"}.get(n, f"{n} in 10")
