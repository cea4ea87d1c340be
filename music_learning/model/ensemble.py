"""The model of one target: CNNs and a kernel model, mixed; how a trained one is saved and loaded.

A saved model is two files: weights as safetensors, which can hold no code, and a JSON that describes them.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Self

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from music_learning.errors import UserError
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.files import (
    atomic,
    copy_atomically,
    damaged,
    read_json,
    read_pipeline_config,
    remedy,
    require_file,
    sha256_of,
    write_json,
)
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.model.kernel import GaussianProcess
from music_learning.model.tensors import read_tensors
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig, is_number, is_whole, shown

MADE_BY = "model_train.py"
MAX_MEMBERS, MAX_SONGS = 100, 1_000_000  # what is more comes from a damaged file
# Weights that others are divided by, or the like.
POSITIVE = ("running_var", "input_std", "band_std_db", "relevance", "signal_var", "noise_var")


@dataclass(frozen=True)
class EnsembleConfig:
    """What an `Ensemble` is made of, besides its weights."""

    features: FeatureConfig
    network: NetworkConfig
    n_members: int  # CNNs
    n_songs: int  # songs that the kernel model keeps
    networks_share: float  # of a value; the rest is the kernel model's

    def to_dict(self) -> dict:
        """As JSON has it, beside the pipeline's settings."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "features": self.features.to_dict(),
            "network": self.network.to_dict(),
        }

    @property
    def embedding_size(self) -> int:
        """How many numbers the CNNs' last hidden layers describe a clip in."""
        return self.n_members * self.network.hidden

    @property
    def min_bytes(self) -> int:
        """What the weights take at least, without making any."""
        return 4 * self.n_members * self.network.min_weights + 2 * self.n_songs * len(feature_names(self.features))

    @classmethod
    def from_dict(cls, values: dict, pipeline: PipelineConfig) -> Self:
        """Rebuild a config from a model's description. Raises KeyError, TypeError or ValueError where it is damaged."""
        if missing := [name for name in (f.name for f in fields(cls)) if name not in values]:
            raise KeyError(f"it has no {', '.join(missing)}")
        n_members, n_songs, share = (values[name] for name in ("n_members", "n_songs", "networks_share"))
        for name, number, most in (("n_members", n_members, MAX_MEMBERS), ("n_songs", n_songs, MAX_SONGS)):
            if not is_whole(number, 1, most):
                raise ValueError(f"{name} is {shown(number)}, no whole number from 1 to {most:,}")
        if not is_number(share) or not 0 <= share <= 1:
            raise ValueError(f"networks_share is {shown(share)}, not from 0 to 1")
        features, network = FeatureConfig.from_dict(values["features"], pipeline), values["network"]
        return cls(features, NetworkConfig.from_dict(network), n_members, n_songs, share)


@dataclass(frozen=True)
class Prediction:
    """What an `Ensemble` predicts of B clips that were cut into segments of 4 s."""

    timeline: Tensor  # (B, segments) in [0, 1]
    embedding: Tensor  # (B, members * hidden), the mean over the segments of the CNNs' last hidden layers
    std: Tensor  # (B,), how far off the kernel model expects a value to be: more for what is unlike the training songs

    @property
    def values(self) -> Tensor:
        """(B,) in [0, 1]"""
        return self.timeline.mean(dim=1)


class Ensemble(nn.Module):
    """A weighted mean of what some CNNs with one output predict on average, and of what a kernel model does.

    The CNNs are `folded`: they predict what those in training do, and sooner.
    """

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(MoodNetwork(config.network).folded() for _ in range(config.n_members))
        self.kernel = GaussianProcess(config.features, config.n_songs)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B,) in [0, 1]"""
        return self.predict(spectrograms, clip_features(spectrograms, self.config.features)).values

    def parts(self, spectrograms: Tensor) -> Tensor:
        """What there is to mix: the networks' prediction, the kernel model's, and its std.

        (B, n_rows, frames) -> (B, 3)
        """
        by_kernel, std = self.kernel.predict(clip_features(spectrograms, self.config.features))
        segments = cut(spectrograms, self.config.network.segment_frames)
        by_networks = self.by_networks(segments, {})
        return torch.stack([by_networks.view(len(by_kernel), -1).mean(dim=1), by_kernel.clamp(0, 1), std], dim=1)

    def hidden(self, segments: Tensor, known: dict[int, Tensor]) -> list[Tensor]:
        """The members' last hidden layers: (B, n_rows, frames) -> for each member (B, hidden)

        Args:
            segments: what the members see.
            known: what networks made of these segments before, by their `shared_id`; what is made anew joins it.
        """
        for member in self.members:
            if member.shared_id not in known:
                known[member.shared_id] = member.last_hidden(segments)
        return [known[member.shared_id] for member in self.members]

    def by_networks(self, segments: Tensor, known: dict[int, Tensor]) -> Tensor:
        """What the members predict of segments on average: (B, n_rows, frames), and `known` as for `hidden` -> (B,)"""
        outputs = zip(self.members, self.hidden(segments, known), strict=True)
        return torch.stack([member.output(x).sigmoid()[:, 0] for member, x in outputs]).mean(dim=0)

    def predict(self, spectrograms: Tensor, features: Tensor, known: dict[int, Tensor] | None = None) -> Prediction:
        """Predict each clip, and its timeline.

        The CNNs see a clip in segments of 4 s, since they are trained on short ones, too; the kernel model's value of
        the whole clip counts for each segment. So a clip's value is the mean of its timeline.

        Args:
            spectrograms: (B, n_rows, frames) as the pipeline makes them, at least 16 frames.
            features: (B, features), their `clip_features`; the models of all targets share them.
            known: as for `hidden`, where other targets' models predict the same clips.
        """
        n_clips = len(spectrograms)
        segments = cut(spectrograms, self.config.network.segment_frames)
        known = {} if known is None else known
        hidden, by_networks = self.hidden(segments, known), self.by_networks(segments, known).view(n_clips, -1)
        embedding = torch.cat(hidden, dim=1).unflatten(0, (n_clips, -1)).mean(dim=1)
        by_kernel, std = self.kernel.predict(features)
        return Prediction(self.mix(by_networks, by_kernel), embedding, std)

    def mix(self, by_networks: Tensor, by_kernel: Tensor) -> Tensor:
        """The timeline, (B, segments) in [0, 1].

        Args:
            by_networks: (B, segments), what the CNNs predict of each segment.
            by_kernel: (B,), what the kernel model predicts of each clip.
        """
        share = self.config.networks_share
        return share * by_networks + (1 - share) * by_kernel.clamp(0, 1)[:, None]


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
    if all(path.is_file() for path in pair):  # after a kill in here one is missing, and the copies are made already
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
    description = read_json(described, MADE_BY)
    pipeline = read_pipeline_config(description.get("pipeline"), described, MADE_BY)
    require_file(weights_path, MADE_BY)
    try:
        config = EnsembleConfig.from_dict(description, pipeline)
        if (outputs := list(config.network.outputs)) != [target] or description.get("target") != target:
            raise ValueError(f"it is a model of {shown(description.get('target'))} with the outputs {shown(outputs)}")
        check_metrics(description)
        if config.min_bytes > weights_path.stat().st_size:
            raise damaged(weights_path, f"it has fewer bytes than the model that {described} describes", MADE_BY)
        model = Ensemble(config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{described} doesn't describe a model of this version: {error.args[0]}; "
            f"{remedy(described, f'delete it and make it again with {MADE_BY}')}"
        ) from None
    expected = {name: (tensor.dtype, tensor.shape) for name, tensor in model.state_dict().items()}
    tensors = read_tensors(weights_path, expected, MADE_BY)
    if sha256_of(weights_path) != description.get("weights_sha256"):
        raise damaged(weights_path, f"or not the file that {described} describes", MADE_BY)
    if bad := [name for name, tensor in tensors.items() if name.endswith(POSITIVE) and not (tensor > 0).all()]:
        raise damaged(weights_path, f"{bad[0]} is not above 0", MADE_BY)
    model.load_state_dict(tensors)
    return model.eval(), description


def check_metrics(description: dict) -> None:
    """Raise ValueError unless a description's error in the test, if it says one, is a number."""
    measured = description
    for name in ("metrics", "test", "mae"):
        measured = measured.get(name, {}) if isinstance(measured, dict) else None
    if measured != {} and not is_number(measured):
        raise ValueError("metrics has no test with a number as its mae")
