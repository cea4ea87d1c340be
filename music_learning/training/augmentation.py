"""Random changes to training spectrograms under which a song's mood stays the same."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AugmentationConfig:
    """How strong each change is at the most, or by its standard deviation where it says so."""

    gain_db: float = 3.0  # standard deviation; loudness carries energy, but a song played more softly is the same song
    soften_db: float = 20.0  # each second clip becomes softer by up to so much: a recording's level is not its mood
    tilt_db: float = 1.0  # standard deviation, at the highest band, against the lowest: another mastering
    shift_bands: int = 2  # up or down: another key
    mask_bands: int = 12  # SpecAugment
    mask_frames: int = 40  # SpecAugment


def augment(
    spectrograms: Tensor, fill_db: Tensor, floor_db: float, config: AugmentationConfig, generator: torch.Generator
) -> Tensor:
    """Change each spectrogram of a batch on its own.

    Gain, spectral tilt and a shift in pitch; then one mask over bands and one over time (SpecAugment: Park et al.,
    2019, https://arxiv.org/abs/1904.08779). What the gain lowers below the floor is at the floor, as in a recording
    that is softer.

    Args:
        spectrograms: (B, n_mels, frames) in dB; left as it is.
        fill_db: (n_mels, 1), what masked cells become.
        floor_db: the lowest level that a spectrogram has.
        generator: of random numbers, on the CPU.

    Returns:
        (B, n_mels, frames) in dB.
    """
    n, n_mels, frames = spectrograms.shape
    device = spectrograms.device

    def normal(std: float) -> Tensor:
        return std * torch.randn(n, 1, 1, generator=generator)

    slope = torch.linspace(-1, 1, n_mels)[:, None]
    softened = torch.rand(n, 1, 1, generator=generator) < 0.5
    gain_db = normal(config.gain_db) - softened * config.soften_db * torch.rand(n, 1, 1, generator=generator)
    x = (spectrograms + (gain_db + normal(config.tilt_db) * slope).to(device)).clamp(min=floor_db)
    shift = torch.randint(-config.shift_bands, config.shift_bands + 1, (n, 1), generator=generator)
    source = (torch.arange(n_mels) - shift).clamp(0, n_mels - 1)
    x = x.gather(1, source[:, :, None].expand(-1, -1, frames).to(device))
    masked = (
        _stretches(n, n_mels, config.mask_bands, generator)[:, :, None]
        | _stretches(n, frames, config.mask_frames, generator)[:, None, :]
    )
    return torch.where(masked.to(device), fill_db, x)


def _stretches(n: int, length: int, longest: int, generator: torch.Generator) -> Tensor:
    """n rows (n, length), each True in one stretch of 0 to `longest` places."""
    size = torch.randint(0, min(longest, length) + 1, (n, 1), generator=generator)
    start = (torch.rand(n, 1, generator=generator) * (length - size + 1)).long()
    place = torch.arange(length)
    return (place >= start) & (place < start + size)
