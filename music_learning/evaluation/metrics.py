"""How good predictions are: R2, mean absolute error and Spearman's rho, each with a bootstrap interval."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

N_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metrics:
    """Metrics of n predictions, with the ends of their 95 % intervals.

    r2 is 1 - (squared error / variance of the truth), at most 1, and 0 for the mean of these songs; mae is on the
    scale of the labels; rho is in [-1, 1], and 0 where all predictions are equal.
    """

    n: int
    r2: float
    r2_low: float
    r2_high: float
    mae: float
    mae_low: float
    mae_high: float
    rho: float
    rho_low: float
    rho_high: float

    def to_dict(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"R2 {self.r2:.3f} [{self.r2_low:.3f}, {self.r2_high:.3f}]  MAE {self.mae:.3f}  "
            f"rho {self.rho:.3f}  (n = {self.n})"
        )


def evaluate(truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str], *, seed: int = 0) -> Metrics:
    """Measure predictions against the truth.

    The intervals come from a bootstrap over artists instead of songs (percentile method, 2,000 resamples): songs of one
    artist resemble each other, and an interval that takes them for independent is too narrow.

    Args:
        truth: (songs,) true values.
        predicted: (songs,) predicted values.
        groups: for each song the name of its group of artists.
        seed: of the resamples.
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    groups = np.asarray(groups)
    members = [np.flatnonzero(groups == group) for group in sorted(set(groups))]
    generator = np.random.default_rng(seed)
    samples = []
    for _ in range(N_RESAMPLES):
        drawn = np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        samples.append(_point_metrics(truth[drawn], predicted[drawn]))
    tail = 50 * (1 - CONFIDENCE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # R2 of equal truths
        low, high = np.nanpercentile(samples, [tail, 100 - tail], axis=0)
    points = _point_metrics(truth, predicted)
    values = {}
    for name, point, low_end, high_end in zip(("r2", "mae", "rho"), points, low, high, strict=True):
        values[name], values[f"{name}_low"], values[f"{name}_high"] = float(point), float(low_end), float(high_end)
    return Metrics(n=len(truth), **values)


def _point_metrics(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    variance = np.var(truth)
    r2 = 1 - np.mean((truth - predicted) ** 2) / variance if variance > 0 else np.nan
    ranks = rankdata(truth), rankdata(predicted)
    spread = np.std(ranks[0]) * np.std(ranks[1])
    rho = np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread if spread > 0 else 0.0
    return r2, np.mean(np.abs(truth - predicted)), rho
