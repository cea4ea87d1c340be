"""Whether a clip is no music at all but speech, noise or tones: of such, the numbers mean nothing.

Music of a kind that the models never heard is not meant: of that, they are about as right as elsewhere. So a clip is
not only held against the training songs but also against sounds that are no music, and a logistic regression on its
features tells which of them it is more like (`fit_no_music.py` fits it).
"""

import json
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from music_learning.errors import UserError
from music_learning.features.clip import feature_names
from music_learning.features.config import FeatureConfig
from music_learning.files import atomic, damaged, remedy
from music_learning.model.tensors import Expected, read_metadata, read_tensors
from music_learning.pipeline_config import PipelineConfig

CLASSES = ("music", "speech", "noise", "tones")
LIMIT = 0.1  # the log odds of no music from which a clip is warned of: 1 to 2 % of songs by unheard artists have more
MADE_BY = "model_train.py"
TENSORS = ("mean", "std", "coef", "intercept")


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
        """How much likelier than music each other class is, as a logarithm.

        Args:
            features: (B, features) of `clip_features`; NaN is unknown.

        Returns:
            (B, classes - 1)
        """
        logits = self.standardised(features) @ self.coef.T + self.intercept
        return logits[:, 1:] - logits[:, :1]

    def standardised(self, features: Tensor) -> Tensor:
        """(B, features) -> the same in standard deviations from the mean, at most `max_deviation`; NaN becomes 0."""
        limit = self.features.max_deviation
        return ((features - self.mean) / self.std).clamp(-limit, limit).nan_to_num()

    def kind(self, features: Tensor) -> str | None:
        """What a clip is, if it is no music: one of `CLASSES`, from (1, features) of `clip_features`."""
        log_odds = self.log_odds(features)[0]
        return CLASSES[1 + int(log_odds.argmax())] if log_odds.logsumexp(dim=0) > LIMIT else None

    def save(self, path: Path) -> None:
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        with atomic(path) as temporary:
            temporary.write_bytes(to_safetensors(tensors, settings_of(self.features)))

    @classmethod
    def open(cls, path: Path, features: FeatureConfig) -> Self:
        """Read a detector for features of these settings.

        Raises:
            UserError: the file is missing, damaged, of another version, or for other features.
        """
        metadata = read_metadata(path, MADE_BY)
        try:
            pipeline = PipelineConfig.from_dict(json.loads(metadata["pipeline"]))
            saved = FeatureConfig.from_dict(json.loads(metadata["features"]), pipeline)
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise damaged(path, error, MADE_BY) from None
        if difference := saved.differences(features):
            raise UserError(
                f"{path} and the models have different feature settings: {difference}; "
                f"{remedy(path, f'make it again with {MADE_BY}')}"
            )
        tensors = read_tensors(path, expected_tensors(features), MADE_BY)
        if not (tensors["std"] > 0).all():
            raise damaged(path, "std is not above 0", MADE_BY)
        return cls(features, **tensors)


def settings_of(features: FeatureConfig) -> dict[str, str]:
    """All that a detector belongs to, as its file keeps it."""
    return {"pipeline": json.dumps(features.pipeline.to_dict()), "features": json.dumps(features.to_dict())}


def expected_tensors(features: FeatureConfig) -> Expected:
    """The type and the shape of each tensor that a detector's file holds."""
    n_features, n_classes = len(feature_names(features)), len(CLASSES)
    shapes = {"mean": (n_features,), "std": (n_features,), "coef": (n_classes, n_features), "intercept": (n_classes,)}
    return {name: (torch.float32, shape) for name, shape in shapes.items()}
