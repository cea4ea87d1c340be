"""Features of a clip's loudness: how densely it was mastered, and how its level moves."""

import math

import torch
from torch import Tensor

from music_learning.features.config import FeatureConfig
from music_learning.features.levels import DB, Features, stacked, std_over_time


def dynamics(levels: Tensor, peaks: Tensor, config: FeatureConfig) -> Features:
    """How far the level stays below the peaks, and how much it varies, over frames, half seconds and seconds.

    How densely a song was mastered tells more of its energy than its level does, and a change of gain leaves it.

    Args:
        levels: (B, n_mels, frames) in dB.
        peaks: (B, frames) in dB, the waveform's largest samples.
    """
    peak = peaks.quantile(config.peak_quantile, dim=1)
    level = _power_mean(levels, dim=1)
    whole = _power_mean(level, dim=1)
    quantiles = level.quantile(torch.tensor(config.level_quantiles, device=levels.device), dim=1).T - whole[:, None]
    halves, seconds = (
        _power_mean(level.unfold(1, frames, frames), dim=2)
        for frames in (config.frames(config.short_level_s), config.frames(config.long_level_s))
    )
    features = {
        "level below peak": whole - peak,
        "mean of bands below peak": levels.mean(dim=(1, 2)) - peak,
        "std of frames": std_over_time(level),
        "std of seconds": std_over_time(seconds),
        "loudest less softest second": seconds.amax(dim=1) - seconds.amin(dim=1),
        "change of half seconds": halves.diff(dim=1).abs().mean(dim=1),
        "change of frames": config.change_per_32_ms * level.diff(dim=1).abs().mean(dim=1),
    }
    names, values = stacked(features)
    names += [f"level quantile {quantile:g}" for quantile in config.level_quantiles]
    return names, torch.cat([values, quantiles], dim=1)


def _power_mean(levels: Tensor, dim: int) -> Tensor:
    """The level of the mean power over a dimension, in dB as the levels are."""
    return ((levels / DB).logsumexp(dim=dim) - math.log(levels.shape[dim])) * DB
