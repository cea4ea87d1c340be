"""Features of a clip's timbre: its spectral envelope, MFCCs, flux and contrast."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.config import FeatureConfig
from music_learning.features.levels import Features, grouped, numbered, std_over_time


def timbre(levels: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """(B, n_mels, frames) in dB -> groups of features"""
    return {**_bands(levels, config), **_mfcc(levels, config), "spectral contrast": _contrast(levels, config)}


def _bands(levels: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """What each group of bands does: its mean level against that of all, how much it varies, changes and rises.

    The mean rise is the spectral flux as onset detectors use it: falls don't count (Bello et al., 2005).
    """
    bands = grouped(levels, config.n_coarse_bands)
    change = config.change_per_32_ms * bands.diff(dim=-1)
    means = bands.mean(dim=-1)
    names = numbered("band", config.n_coarse_bands)
    return {
        "spectral envelope": (names, means - means.mean(dim=1, keepdim=True)),
        "band std": (names, std_over_time(bands)),
        "band delta": (names, std_over_time(change)),
        "spectral flux": (names, change.clamp(min=0).mean(dim=-1)),
    }


def _mfcc(levels: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """Mel-frequency cepstral coefficients: an orthonormal DCT over the bands (Davis & Mermelstein, 1980).

    Their means but the first one's, which is the level of all bands; how much they vary; how much they change from
    frame to frame; and which of them change together, as correlations.
    """
    n_mels = levels.shape[1]
    band = torch.arange(n_mels, device=levels.device) + 0.5
    order = torch.arange(config.n_mfcc, device=levels.device)[:, None]
    basis = torch.cos(math.pi * band * order / n_mels) * math.sqrt(2 / n_mels)
    mfcc = basis @ levels
    change = config.change_per_32_ms * mfcc.diff(dim=-1)
    moving = change[:, : config.n_correlated_mfcc] - change[:, : config.n_correlated_mfcc].mean(dim=-1, keepdim=True)
    moving = F.normalize(moving, dim=-1, eps=1e-3)
    first, second = torch.triu_indices(config.n_correlated_mfcc, config.n_correlated_mfcc, offset=1)
    correlations = (moving @ moving.transpose(1, 2))[:, first, second]
    names = [f"mfcc {k}" for k in range(config.n_mfcc)]
    pairs = [f"mfcc {a} and {b}" for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return {
        "mfcc mean": (names[1:], mfcc[:, 1:].mean(dim=-1)),
        "mfcc std": (names, std_over_time(mfcc)),
        "delta-mfcc std": (names, std_over_time(change)),
        "delta-mfcc correlation": (pairs, correlations),
    }


def _contrast(levels: Tensor, config: FeatureConfig) -> Features:
    """How far bands stand out from those two above and below them, in each frame and in what is sustained."""
    padded = F.pad(levels, (0, 0, 2, 2), mode="replicate")
    above = (levels - (padded[:, :-4] + padded[:, 4:]) / 2).clamp(min=0).mean(dim=-1)
    sustained = F.avg_pool1d(levels, config.frames(config.sustain_s))
    contrast = (sustained[:, 2:-2] - (sustained[:, :-4] + sustained[:, 4:]) / 2).abs().mean(dim=-1)
    contrast = F.avg_pool1d(contrast, config.sustain_bands, config.sustain_step_bands)
    names = [*numbered("band", config.n_contrast_bands), *numbered("sustained band", contrast.shape[1])]
    return names, torch.cat([above.unflatten(1, (config.n_contrast_bands, -1)).mean(dim=2), contrast], dim=1)
