"""The model of one target: CNNs and a kernel model, mixed; how a trained one is saved and loaded.

A saved model is two files: weights as safetensors, which can hold no code, and a JSON that describes them.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from music_learning.errors import UserError
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.files import atomic, copy_atomically, read_json, read_pipeline_config, write_json
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.model.kernel import KERNEL_POWERS, SupportVectorRegression
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig


@dataclass(frozen=True)
class EnsembleConfig:
    """What an `Ensemble` is made of, besides its weights."""

    features: FeatureConfig
    network: NetworkConfig
    n_members: int  # CNNs
    n_support: int  # songs that the kernel model keeps
    kernel: str  # one of KERNEL_POWERS
    networks_share: float  # of a value; the rest is the kernel model's

    def to_dict(self) -> dict:
        """As JSON has it, beside the pipeline's settings."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "features": self.features.to_dict(),
            "network": self.network.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict, pipeline: PipelineConfig) -> Self:
        """Rebuild a config from a model's description. Raises KeyError, TypeError or ValueError where it is damaged."""
        if missing := [name for name in (f.name for f in fields(cls)) if name not in values]:
            raise KeyError(f"it has no {', '.join(missing)}")
        config = cls(
            FeatureConfig.from_dict(values["features"], pipeline),
            NetworkConfig.from_dict(values["network"]),
            *(values[name] for name in ("n_members", "n_support", "kernel", "networks_share")),
        )
        if config.kernel not in KERNEL_POWERS:
            raise ValueError(f"there is no kernel called {config.kernel!r}")
        if not 0 <= config.networks_share <= 1:
            raise ValueError(f"networks_share is {config.networks_share!r}, not from 0 to 1")
        return config


@dataclass(frozen=True)
class Prediction:
    """What an `Ensemble` predicts of B clips that were cut into segments of 4 s."""

    timeline: Tensor  # (B, segments) in [0, 1]
    embedding: Tensor  # (B, members * hidden), the mean over the segments of the CNNs' last hidden layers

    @property
    def values(self) -> Tensor:
        """(B,) in [0, 1]"""
        return self.timeline.mean(dim=1)


class Ensemble(nn.Module):
    """A weighted mean of what some CNNs with one output predict on average, and of what a kernel model does."""

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(MoodNetwork(config.network) for _ in range(config.n_members))
        self.svr = SupportVectorRegression(config.features, config.n_support, config.kernel)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B,) in [0, 1]"""
        return self.predict(spectrograms, clip_features(spectrograms, self.config.features)).values

    def predict(self, spectrograms: Tensor, features: Tensor) -> Prediction:
        """Predict each clip, and its timeline.

        The CNNs see a clip in segments of 4 s, since they are trained on short ones, too; the kernel model's value of
        the whole clip counts for each segment. So a clip's value is the mean of its timeline.

        Args:
            spectrograms: (B, n_rows, frames) as the pipeline makes them, at least 16 frames.
            features: (B, features), their `clip_features`; the models of all targets share them.
        """
        n_clips = len(spectrograms)
        segments = cut(spectrograms, self.config.network.segment_frames)
        hidden = [member.last_hidden(segments) for member in self.members]
        by_networks = torch.stack(
            [member.output(x).sigmoid().view(n_clips, -1) for member, x in zip(self.members, hidden, strict=True)]
        )
        embedding = torch.cat(hidden, dim=1).unflatten(0, (n_clips, -1)).mean(dim=1)
        return Prediction(self.mix(by_networks.mean(dim=0), features), embedding)

    def mix(self, by_networks: Tensor, features: Tensor) -> Tensor:
        """The timeline from what the CNNs predict of each segment (B, segments), and the clips' features (B, features).

        Returns:
            (B, segments) in [0, 1]
        """
        share = self.config.networks_share
        return share * by_networks + (1 - share) * self.svr(features)[:, None]


def segment_starts(frames: int, segment_frames: int) -> list[int]:
    """The first frames of evenly spaced segments that cover all frames."""
    if frames <= segment_frames:
        return [0]
    return torch.linspace(0, frames - segment_frames, -(-frames // segment_frames)).round().long().tolist()


def cut(spectrograms: Tensor, segment_frames: int) -> Tensor:
    """Cut (B, n_rows, frames) into evenly spaced segments that cover all frames: (B * segments, n_rows, segment_frames)

    What is shorter than a segment stays whole.
    """
    starts = segment_starts(spectrograms.shape[2], segment_frames)
    segments = [spectrograms[:, :, start : start + segment_frames] for start in starts]
    return torch.stack(segments, dim=1).flatten(0, 1)


def save_model(paths: ModelPaths, target: str, model: Ensemble, description: dict) -> None:
    """Write a target's weights and their description; a model that is there already moves to `previous/`.

    Args:
        description: what is known of the model besides its config, its pipeline and its weights' hash.
    """
    weights = to_safetensors({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()})
    description = {
        "target": target,
        "pipeline": model.config.features.pipeline.to_dict(),
        **model.config.to_dict(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **description,
    }
    pair = paths.weights(target), paths.description(target)
    if all(path.exists() for path in pair):  # after a kill in here one is missing, and the copies are made already
        for path in pair:
            copy_atomically(path, paths.previous / path.name)
        paths.description(target).unlink()
    with atomic(paths.weights(target)) as temporary:
        temporary.write_bytes(weights)
    write_json(paths.description(target), description)


def load_model(paths: ModelPaths, target: str) -> tuple[Ensemble, dict]:
    """Read a saved model, ready to predict, and its description.

    Raises:
        UserError: a file is missing or damaged, or the two don't belong together.
    """
    described, weights_path = paths.description(target), paths.weights(target)
    description = read_json(described, "model_train.py")
    pipeline = read_pipeline_config(description.get("pipeline"), described, "model_train.py")
    try:
        weights = weights_path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{weights_path} is missing; run model_train.py first") from None
    except OSError as error:
        raise UserError(f"{weights_path} can't be read: {error.strerror}") from None
    if hashlib.sha256(weights).hexdigest() != description.get("weights_sha256"):
        raise UserError(
            f"{weights_path} is damaged, or is not the file that {described} describes; "
            "restore both (git checkout models), or train again with model_train.py"
        )
    try:
        model = Ensemble(EnsembleConfig.from_dict(description, pipeline))
        model.load_state_dict(parse_safetensors(weights))
        if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
            raise ValueError("its weights hold NaN or infinite numbers")
        if (outputs := list(model.config.network.outputs)) != [target] or description.get("target") != target:
            raise ValueError(f"it is a model of {description.get('target')} with the outputs {outputs}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = str(error.args[0] if error.args else error).splitlines()[0]
        raise UserError(f"{described} doesn't describe a model of this version: {reason}") from None
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{described} and {weights_path} don't fit this version's network: {reason}") from None
    return model.eval(), description
