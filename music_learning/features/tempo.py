"""The tempo of a recording in beats per minute, and its time signature, from the autocorrelation of its onsets.

Which of the tempi that fit, twice or half as fast, people call the tempo is learned: each candidate is scored by the
autocorrelation one, two and more of its beats later, and by how usual the tempo is (a conditional logit over
candidates; the weights are the same for all of them). Whether three or four beats are a bar is then learned from the
autocorrelation at the tempo's multiples (a logistic regression). The weights are made by `training.audio_features`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.config import FeatureConfig
from music_learning.features.rhythm import autocorrelation, interpolated

TEMPO_RANGE_BPM = (60.0, 245.0)  # of the candidates
STEP = 0.01  # from one candidate to the next, as a natural logarithm: 1 %
# How far the autocorrelation is looked up, in beats of a candidate.
BEATS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4)
N_PRIORS = 12  # bumps over the range of tempi, of which the prior is made
PRIOR_WIDTH = 0.12  # of a bump, as a natural logarithm
N_CUES = len(BEATS) + N_PRIORS
MAX_LAG_S = 12.2  # twelve beats at 60 bpm
LEAST_OVERLAP = 0.2  # of all frames; a lag with fewer pairs says less than it seems to
BAR_BEATS = (1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4, 5, 6, 8, 9, 12)  # at which bars of three and of four differ
N_SERIES = 2  # of onsets: in all bands, and in the bass drum's
N_BAR_CUES = N_SERIES * len(BAR_BEATS) + 1
POOLED = 7  # candidates around one that are taken for the same tempo: within 3 % of it


def onset_correlation(levels: Tensor, config: FeatureConfig) -> Tensor:
    """What the autocorrelation of the onsets is made from, as a sum over windows.

    Args:
        levels: (n_mels, frames) in dB.

    Returns:
        (N_SERIES + 1, lags): the sums of the products of two frames' rises so far apart, in all bands and in the lowest
        ones, and the number of such pairs.
    """
    n_lags = config.frames(MAX_LAG_S) + 2
    rises = levels.diff(dim=1).clamp(min=0)
    rises = torch.stack([rises.mean(dim=0), rises[: config.range_edges[1]].mean(dim=0)])
    products = autocorrelation(rises - rises.mean(dim=1, keepdim=True))[:, :n_lags]
    pairs = (rises.shape[1] - torch.arange(n_lags, device=levels.device)).clamp(min=0)
    return torch.cat([F.pad(products, (0, n_lags - products.shape[1])), pairs[None].float()])


def candidates_bpm() -> Tensor:
    """The tempi to choose from, (candidates,), 1 % apart."""
    low, high = (math.log(bpm) for bpm in TEMPO_RANGE_BPM)
    return torch.arange(low, high, STEP).exp()


def tempo_cues(sums: Tensor, config: FeatureConfig) -> Tensor:
    """What speaks for each candidate.

    Args:
        sums: as `onset_correlation` gives them, or their sum over windows.

    Returns:
        (candidates, N_CUES): the autocorrelation at BEATS beats, then the bumps of the prior.
    """
    bpm = candidates_bpm()
    at_beats = interpolated(_correlation(sums)[0], 60 / config.frame_s / bpm[:, None] * torch.tensor(BEATS))
    low, high = (math.log(bpm) for bpm in TEMPO_RANGE_BPM)
    middles = torch.linspace(low, high, N_PRIORS)
    return torch.cat([at_beats, torch.exp(-0.5 * ((bpm.log()[:, None] - middles) / PRIOR_WIDTH) ** 2)], dim=1)


def bar_cues(sums: Tensor, tempo: float, config: FeatureConfig) -> Tensor:
    """What speaks for bars of three beats: (N_BAR_CUES,)

    The autocorrelation in both series at BAR_BEATS beats, of one beat and more at its best within a frame since the
    tempo is a little off, then the tempo's logarithm.
    """
    correlation = _correlation(sums)
    around = F.max_pool1d(correlation[None], 3, 1, 1)[0]
    beats = torch.tensor(BAR_BEATS)
    lags = 60 / config.frame_s / tempo * beats
    at_beats = torch.where(beats < 1, *(interpolated(x, lags) for x in (correlation, around)))
    return torch.cat([at_beats.flatten(), torch.tensor([math.log(tempo)])])


def _correlation(sums: Tensor) -> Tensor:
    """The autocorrelation of each series, 1 at lag 0 and 0 where it has no onset: (N_SERIES, lags)"""
    products, pairs = sums[:-1], sums[-1]
    correlation = products / torch.maximum(pairs, LEAST_OVERLAP * pairs[0])
    return correlation / correlation[:, :1].clamp(min=1e-9)


def tempo_bpm(sums: Tensor, weights: Tensor, config: FeatureConfig) -> float | None:
    """The likeliest tempo, or None of what has no onset.

    Args:
        sums: as `onset_correlation` gives them, or their sum over windows.
        weights: (N_CUES,)
    """
    if sums[0, 0] <= 0:
        return None
    scores = tempo_cues(sums, config) @ weights
    likely = F.avg_pool1d(scores.softmax(dim=0)[None], POOLED, 1, POOLED // 2)[0].argmax()
    # Between candidates: the peak of a parabola through the best one nearby and its neighbours.
    first = max(int(likely) - POOLED // 2, 1)
    best = min(first + int(scores[first : first + POOLED].argmax()), len(scores) - 2)
    before, here, after = scores[best - 1 : best + 2].tolist()
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(candidates_bpm()[best]) * math.exp(STEP * min(max(shift, -1.0), 1.0))


def time_signature(sums: Tensor, tempo: float, weights: Tensor, config: FeatureConfig) -> int:
    """3 or 4, the beats of a bar; others are so rare that none is told apart.

    Args:
        sums: as `onset_correlation` gives them, or their sum over windows.
        tempo: in beats per minute.
        weights: (N_BAR_CUES + 1,), the last of which is added.
    """
    return 3 if float(bar_cues(sums, tempo, config) @ weights[:-1] + weights[-1]) > 0 else 4
