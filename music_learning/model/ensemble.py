"""The model of one target: CNNs and a kernel model, mixed; how a trained one is saved and loaded."""

import hashlib
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from music_learning.errors import UserError
from music_learning.features.clip import clip_statistics
from music_learning.files import atomic, copy_atomically, read_json, read_pipeline_config, write_json
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.model.kernel import KernelRegression
from music_learning.paths import ModelPaths

NETWORKS_SHARE = 0.3  # of what an ensemble says; the kernel regression errs less, the more so for energy


@dataclass(frozen=True)
class Heard:
    """What an `Ensemble` makes of B clips that were cut into pieces of 4 s."""

    timeline: Tensor  # (B, pieces) in [0, 1]
    embedding: Tensor  # (B, members * hidden), the mean over the pieces of the networks' last hidden layers

    @property
    def values(self) -> Tensor:
        """(B,) in [0, 1]"""
        return self.timeline.mean(dim=1)


class Ensemble(nn.Module):
    """Two opinions, weighed: what some `MoodNetwork`s with one output say on average, and a `KernelRegression`."""

    def __init__(self, config: NetworkConfig, n_members: int, n_support: int) -> None:
        """`n_members` counts the `MoodNetwork`s, `n_support` the songs in the `KernelRegression`."""
        super().__init__()
        self.members = nn.ModuleList(MoodNetwork(config) for _ in range(n_members))
        self.kernel_regression = KernelRegression(config.n_mels, n_support)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B,) in [0, 1]"""
        return self.hear(spectrograms, clip_statistics(spectrograms)).values

    def hear(self, spectrograms: Tensor, statistics: Tensor) -> Heard:
        """Predict each clip, and what is heard in the course of it.

        The `MoodNetwork`s hear a clip in pieces of 4 s, since they are trained on short pieces, too; the
        `KernelRegression` has one opinion of the whole clip, which counts for each piece. So a clip's value is the mean
        of its timeline.

        Args:
            spectrograms: (B, n_rows, frames) as the pipeline makes them, at least 16 frames.
            statistics: (B, statistics), their `clip_statistics`; the models of all targets share them.
        """
        n_clips = len(spectrograms)
        pieces = cut(spectrograms, self.members[0].config.piece_frames)
        hidden = [member.last_hidden(pieces) for member in self.members]
        by_networks = torch.stack(
            [member.output(x).sigmoid().view(n_clips, -1) for member, x in zip(self.members, hidden, strict=True)]
        )
        embedding = torch.cat(hidden, dim=1).unflatten(0, (n_clips, -1)).mean(dim=1)
        return Heard(self.timeline(by_networks.mean(dim=0), statistics), embedding)

    def timeline(self, by_networks: Tensor, statistics: Tensor) -> Tensor:
        """Join what the networks say of each piece (B, pieces) with what the clips' statistics (B, statistics) say."""
        by_statistics = self.kernel_regression(statistics)[:, None]
        return NETWORKS_SHARE * by_networks + (1 - NETWORKS_SHARE) * by_statistics


def piece_starts(frames: int, piece_frames: int) -> list[int]:
    """The first frames of evenly spaced pieces that cover all frames."""
    if frames <= piece_frames:
        return [0]
    return torch.linspace(0, frames - piece_frames, -(-frames // piece_frames)).round().long().tolist()


def cut(spectrograms: Tensor, piece_frames: int) -> Tensor:
    """Cut (B, n_rows, frames) into evenly spaced pieces that cover all frames: (B * pieces, n_rows, piece_frames).

    What is shorter than a piece stays whole.
    """
    starts = piece_starts(spectrograms.shape[2], piece_frames)
    pieces = [spectrograms[:, :, start : start + piece_frames] for start in starts]
    return torch.stack(pieces, dim=1).flatten(0, 1)


def save_model(paths: ModelPaths, target: str, model: Ensemble, description: dict) -> None:
    """Write a target's weights and their description; a model that is there already moves to `previous/`.

    Args:
        description: what is known of the model besides its network; `pipeline` is needed to use it.
    """
    weights = to_safetensors({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()})
    description = {
        "target": target,
        "network": model.members[0].config.to_dict(),
        "n_members": len(model.members),
        "n_support": len(model.kernel_regression.support),
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
    read_pipeline_config(description.get("pipeline"), described, "model_train.py")
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
        model = Ensemble(
            NetworkConfig.from_dict(description["network"]), description["n_members"], description["n_support"]
        )
        model.load_state_dict(parse_safetensors(weights))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{described} and {weights_path} don't fit this version's network: {reason}") from None
    return model.eval(), description
