"""Whether a clip is no music at all but speech, noise or tones: of such, the numbers mean nothing.

Music of a kind that the models never heard is not meant: they are about as right there as elsewhere. So what a clip is
compared with is not only the training songs but also sounds that are no music, synthesised by the thousand; a logistic
regression on the features tells which of them it is more like.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from music_learning.audio import AudioPipeline
from music_learning.errors import UserError
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.files import atomic, damaged, remedy
from music_learning.model.tensors import Expected, read_metadata, read_tensors
from music_learning.parallel import cpu_count, ordered_map
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.synthetic_sounds import KINDS, RATE_HZ, at_some_level
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets

CLASSES = ("music", *KINDS)
LIMIT = 0.0  # how much likelier than music, as a logarithm, a clip must be no music
N_SOUNDS = 18  # of each kind, times its weight
LENGTHS_S = (3.0, 30.0)  # of what is learned from
SOFTER_DB, LOWEST_HZ = 40.0, 1500.0  # how far a song is softened, and below which it keeps its treble
C = 1e-3  # the regression's inverse strength of regularisation
MIN_STD = 1e-3
MADE_BY = "model_train.py"


class NoMusicDetector:
    """Tells by a clip's features whether it is music, speech, noise or tones."""

    def __init__(self, features: FeatureConfig, mean: Tensor, std: Tensor, coef: Tensor, intercept: Tensor) -> None:
        """
        Args:
            features: of which settings the features are.
            mean, std: (features,), what they are standardised with.
            coef, intercept: (classes, features) and (classes,), for the logarithm of each class's probability.
        """
        self.features = features
        self.mean, self.std, self.coef, self.intercept = mean, std, coef, intercept

    def log_odds(self, features: Tensor) -> Tensor:
        """(B, features) of `clip_features` -> (B, classes - 1): how much likelier than music, as a logarithm."""
        logits = self.standardised(features) @ self.coef.T + self.intercept
        return logits[:, 1:] - logits[:, :1]

    def standardised(self, features: Tensor) -> Tensor:
        """(B, features) -> the same in standard deviations from the mean, `max_deviation` at most; NaN becomes 0."""
        limit = self.features.max_deviation
        return ((features - self.mean) / self.std).clamp(-limit, limit).nan_to_num()

    def kind(self, features: Tensor) -> str | None:
        """What a clip is, if it is no music: one of `KINDS`. (1, features) of `clip_features`."""
        log_odds = self.log_odds(features)[0]
        return CLASSES[1 + int(log_odds.argmax())] if log_odds.logsumexp(dim=0) > LIMIT else None
