"""Pooling: how the values of a recording follow from its windows.

Models learn from previews, which are cut from the loud part of a song, with the label of the whole song. So what they
predict of a window is the label of a song whose loud part it would be. What follows for each target was chosen on 58
whole songs by artists that the models never heard (benchmarks/whole_songs.py measures it again):

- Energy and danceability: what makes them, such as tempo and timbre, goes through a whole song. So the kernel model
  compares the mean of the windows' features with the songs that it knows; the noise of single windows only made all
  songs less alike, and all values closer to the mean. For valence this fitted worse.
- Energy: a soft intro says little of it, so that windows count by their power, and less within a minute of both ends.
  The loudest windows, which are as loud as previews are, tell it best, but one alone is noisy. So the value is moved
  towards their level: within a song the predicted energy rises by 0.035 for each dB from window to window, and a third
  of that fits the songs.
- Danceability and valence: they hardly depend on the level, and the more is heard, the better: windows count by their
  length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.model.ensemble import Ensemble


@dataclass(frozen=True)
class PoolingRule:
    """How one target's value follows from the windows."""

    power_exponent: float = 0.0  # a window counts by its length, and by its power to this
    edge_s: float = 0.0  # and by how far its middle is from the nearer end of the recording, up to this
    per_db: float = 0.0  # what each dB adds by which the loudest window is louder than the windows as they count
    mean_features: bool = False  # whether the kernel model is asked about the windows' mean features, or about each


RULES = {
    "energy": PoolingRule(power_exponent=1.0, edge_s=60.0, per_db=0.01, mean_features=True),
    "danceability": PoolingRule(mean_features=True),
    "valence": PoolingRule(),
}


@dataclass(frozen=True)
class Pooled:
    """The values of a recording, and how much each window counts in them."""

    values: Tensor  # (targets,) in [0, 1]
    weights: Tensor  # (targets, windows) of sum 1 for each target

    def mean(self, numbers: Tensor) -> Tensor:
        """The mean of numbers of the windows, each as it counts: (targets, windows) -> (targets,)"""
        return (self.weights * numbers).sum(dim=1)


def level_db(mel_levels: Tensor) -> float:
    """The level of the mean power of a window: (n_mels, frames) in dB -> dB"""
    return float(10 * (10 ** (mel_levels / 10)).mean().log10())


def window_weights(
    levels_db: Sequence[float], lengths_s: Sequence[float], rules: Mapping[str, PoolingRule] = RULES
) -> Tensor:
    """How much each window counts in each target's value.

    Args:
        levels_db: of each window in turn, as `level_db` gives it: only differences between them matter.
        lengths_s: of each window.
        rules: of each target.

    Returns:
        (targets, windows) of sum 1 for each target.
    """
    levels, length_s = torch.tensor(levels_db, dtype=torch.float64), torch.tensor(lengths_s, dtype=torch.float64)
    power = 10 ** ((levels - levels.max()) / 10)
    middle_s = length_s.cumsum(dim=0) - length_s / 2
    to_end_s = torch.minimum(middle_s, length_s.sum() - middle_s)
    weights = []
    for rule in (rules[target] for target in TARGETS):
        inside = (to_end_s / rule.edge_s).clamp(max=1) if rule.edge_s else torch.ones_like(to_end_s)
        weights.append(length_s * power**rule.power_exponent * inside)
    return torch.stack([counts / counts.sum() for counts in weights])


def pool(
    models: dict[str, Ensemble],
    values: Tensor,
    features: Tensor,
    *,
    levels_db: Sequence[float],
    lengths_s: Sequence[float],
    rules: Mapping[str, PoolingRule] = RULES,
) -> Pooled:
    """The values of a recording. Those of a single window are its own.

    Args:
        models: a model per target, in the order of TARGETS.
        values: (targets, windows) in [0, 1], what the models predict of each window.
        features: (windows, features), the `clip_features` of each.
        levels_db, lengths_s, rules: as for `window_weights`.
    """
    weights = window_weights(levels_db, lengths_s, rules)
    pooled = (weights * values).sum(dim=1)
    for row, target in enumerate(TARGETS):
        rule, counts = rules[target], weights[row]
        pooled[row] += rule.per_db * (max(levels_db) - float(counts @ torch.tensor(levels_db, dtype=torch.float64)))
        if rule.mean_features and len(levels_db) > 1:
            pooled[row] += kernel_shift(models[target], features, counts)
    return Pooled(pooled.clamp(0, 1).float(), weights.float())


def kernel_shift(model: Ensemble, features: Tensor, weights: Tensor) -> float:
    """What a value changes by if the kernel model is asked about the mean features instead of about each window.

    Args:
        model: of the target.
        features: (windows, features); NaN is unknown, and the mean of a feature is over the windows that tell it.
        weights: (windows,) of sum 1.
    """
    known = weights[:, None] * ~features.isnan()
    mean = ((known * features.nan_to_num()).sum(dim=0, keepdim=True) / known.sum(dim=0)).to(features.dtype)
    of_mean, mean_of_each = float(model.kernel(mean)), float(weights @ model.kernel(features).double())
    return (1 - model.config.networks_share) * (of_mean - mean_of_each)
