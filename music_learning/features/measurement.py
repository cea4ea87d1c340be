"""What loudness, tempo and key are measured from: the same few numbers for a window and, as their sum, a recording."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from music_learning.features.config import FeatureConfig
from music_learning.features.key import pitch_class_sums
from music_learning.features.loudness import loudness_histogram
from music_learning.features.tempo import onset_correlation


@dataclass(frozen=True)
class Measurement:
    """Sums over what was heard. That of two stretches is the sum of theirs, so that a day's takes no more memory."""

    loudness: Tensor  # (bins,) as `loudness_histogram`
    onsets: Tensor  # (series + 1, lags) as `onset_correlation`
    pitches: Tensor  # (kinds, 12) as `pitch_class_sums`

    @classmethod
    @torch.no_grad()
    def of(cls, spectrogram: Tensor, config: FeatureConfig) -> Self:
        """Of one window, (n_rows, frames) as the pipeline makes it."""
        levels, pitches, _ = spectrogram.split([config.pipeline.n_mels, config.pipeline.n_pitches, 1])
        levels = levels[:, :: config.stride]
        pitch_starts = list(config.pipeline.pitch_starts(spectrogram.shape[1]))
        return cls(
            loudness_histogram(levels, config),
            onset_correlation(levels, config),
            pitch_class_sums(pitches[:, pitch_starts], config),
        )

    def __add__(self, other: "Measurement") -> "Measurement":
        return Measurement(self.loudness + other.loudness, self.onsets + other.onsets, self.pitches + other.pitches)
