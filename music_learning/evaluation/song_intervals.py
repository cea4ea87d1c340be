"""Intervals around values of whole songs, which are surer than those of single clips: the same ones, but narrower.

Intervals are learned from clips, of which there are many. How much narrower they are for recordings of several windows
is one factor for all targets, learned from whole songs that the models never heard: for a factor of each target there
would have to be more of them.
"""

from collections.abc import Sequence

import numpy as np

from music_learning.evaluation.conformal import COVERAGE, MAX_SCALE, scaled


def songs_scale(truth: np.ndarray, predicted: np.ndarray, ends: np.ndarray, *, coverage: float = COVERAGE) -> float:
    """The least scale with which intervals hold the truth for a share `coverage` of songs like these.

    Of each truth it is known what scale it takes to reach it; the answer is their conformal quantile (Vovk et al.,
    2005), which allows for how few they are. The scale is `MAX_SCALE` at the most.

    Args:
        truth, predicted: (songs, targets) in [0, 1]; by models that never heard the songs' artists.
        ends: (2, songs, targets), the intervals of clips with such values.
    """
    room = np.where(truth > predicted, ends[1] - predicted, predicted - ends[0])
    needed = np.abs(truth - predicted) / np.maximum(room, 1e-9)
    level = min(np.ceil((needed.size + 1) * coverage) / needed.size, 1)
    return float(min(np.quantile(needed, level, method="higher"), MAX_SCALE))


def measure_songs_scale(
    truth: np.ndarray, predicted: np.ndarray, ends: np.ndarray, groups: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """How often scaled intervals hold the truth, and how wide they are: each group's scale is learned from the others.

    Args:
        truth, predicted, ends: as for `songs_scale`.
        groups: (songs,) the name of each song's group of artists; at least two.

    Returns:
        The share that holds, and the mean width, both (targets,).
    """
    narrowed, groups = np.empty_like(ends), np.asarray(groups)
    for group in np.unique(groups):
        out = groups == group
        scale = songs_scale(truth[~out], predicted[~out], ends[:, ~out])
        narrowed[:, out] = scaled(predicted[out], ends[:, out], scale)
    inside = (narrowed[0] <= truth) & (truth <= narrowed[1])
    return inside.mean(axis=0), (narrowed[1] - narrowed[0]).mean(axis=0)
