"""The convolutional network, its config, and how a trained one is saved and loaded.

A saved model is two files: weights as safetensors, which can hold no code, and a JSON that describes them.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from music_learning.errors import UserError
from music_learning.features.clip import clip_statistics, statistic_weights
from music_learning.files import (
    TARGETS,
    ModelPaths,
    atomic,
    copy_atomically,
    read_json,
    read_pipeline_config,
    write_json,
)

MIN_DEVIATION_DB = 1.0
NETWORKS_SHARE = 0.3  # of what an ensemble says; the kernel regression errs less, the more so for energy


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one `MoodNetwork`."""

    outputs: tuple[str, ...] = TARGETS
    n_mels: int = 96
    stem_channels: tuple[int, int] = (16, 32)
    channels: int = 96
    n_blocks: int = 3
    hidden: int = 128
    dropout: float = 0.4
    piece_frames: int = 128  # 4 s: what a prediction is made from, piece by piece

    @classmethod
    def from_dict(cls, values: dict) -> "NetworkConfig":
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    def to_dict(self) -> dict:
        return asdict(self)


def statistics_over_time(features: Tensor) -> Tensor:
    """Mean and standard deviation over time: (B, channels, 1, frames) -> (B, 2 * channels)."""
    features = features.flatten(2).float()  # a variance needs all digits, also where training is in bfloat16
    mean = features.mean(dim=2)
    variance = (features * features).mean(dim=2) - mean * mean
    return torch.cat([mean, (variance.clamp(min=0) + 1e-4).sqrt()], dim=1)


def convolution(
    n_in: int, n_out: int, kernel: int | tuple[int, int], *, halve_bands: bool = False, **options: int | tuple[int, int]
) -> nn.Sequential:
    """A convolution with batch normalisation and ReLU; of two neighbouring bands the larger value, if halved."""
    layers = [nn.Conv2d(n_in, n_out, kernel, bias=False, **options), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    if halve_bands:
        layers.insert(1, nn.MaxPool2d((2, 1)))  # cheaper here than behind the others
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """A convolution over time and one over channels, around which the input is carried: (B, channels, 1, frames)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(channels, channels, (1, 3), padding=(0, 1)),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class MoodNetwork(nn.Module):
    """A log-mel spectrogram of any length -> a value in [0, 1] for each of the config's outputs.

    Two 2-D convolutions find short patterns in time and pitch; a third joins all bands of a frame; residual blocks
    follow what comes of it over longer and longer stretches of time. The mean and the deviation over time of every
    level, the input's included, go to a small perceptron.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.stem_channels
        self.register_buffer("band_mean_db", torch.zeros(config.n_mels, 1))
        self.register_buffer("band_deviation_db", torch.ones(config.n_mels, 1))
        self.stem = nn.Sequential(
            convolution(1, first, 5, stride=2, padding=2, halve_bands=True),
            convolution(first, second, 3, padding=1, halve_bands=True),
            convolution(second, config.channels, (config.n_mels // 8, 1)),
        )
        self.blocks = nn.ModuleList(ResidualBlock(config.channels) for _ in range(config.n_blocks))
        self.halve_time = nn.MaxPool2d((1, 2))
        n_statistics = 2 * (config.n_mels + config.channels * (1 + config.n_blocks))
        self.head = nn.Sequential(
            nn.BatchNorm1d(n_statistics),
            nn.Dropout(config.dropout),
            nn.Linear(n_statistics, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.output = nn.Linear(config.hidden, len(config.outputs))
        self.to(memory_format=torch.channels_last)  # about twice as fast on a CPU

    def set_input_statistics(self, mean_db: Tensor, deviation_db: Tensor) -> None:
        """Set what each mel band is standardised with, both (n_mels,): the training set's mean and deviation in dB."""
        self.band_mean_db.copy_(mean_db[:, None])
        self.band_deviation_db.copy_(deviation_db[:, None].clamp(min=MIN_DEVIATION_DB))

    def set_output_means(self, means: Tensor) -> None:
        """Let the untrained network predict about these values (outputs,) in (0, 1): the means of the labels."""
        with torch.no_grad():
            self.output.bias.copy_(means.clamp(0.01, 0.99).logit())

    def only(self, output: str) -> Self:
        """A copy of this network with one of its outputs."""
        row = self.config.outputs.index(output)
        network = MoodNetwork(replace(self.config, outputs=(output,)))
        state = self.state_dict()
        state |= {name: state[name][row : row + 1] for name in ("output.weight", "output.bias")}
        network.load_state_dict(state)
        return network.to(self.output.weight.device).train(self.training)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B, outputs) in [0, 1]"""
        return self.output(self.last_hidden(spectrograms)).sigmoid()

    def last_hidden(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B, hidden), what the outputs are a weighted sum of"""
        levels_db = spectrograms[:, : self.config.n_mels]  # it hears for itself which tones there are
        x = ((levels_db - self.band_mean_db) / self.band_deviation_db)[:, None]
        levels = [statistics_over_time(x.transpose(1, 2))]
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        levels.append(statistics_over_time(x))
        for i, block in enumerate(self.blocks):
            x = block(self.halve_time(x) if i else x)
            levels.append(statistics_over_time(x))
        return self.head(torch.cat(levels, dim=1))


class KernelRegression(nn.Module):
    """Statistics of a whole clip -> one value in [0, 1], from the labels of the training songs that are most like it.

    Support vector regression (Drucker et al., 1997). Two clips at a distance r are alike by exp(-(gamma r^2)^(p / 2)):
    a Gaussian kernel for an exponent p of 2, an exponential one, for what changes less smoothly, for 1 (Rasmussen &
    Williams, 2006, section 4.2.1). It errs otherwise than the `MoodNetwork`, which finds its own features in short
    pieces; together they err less.
    """

    def __init__(self, n_mels: int, n_support: int) -> None:
        super().__init__()
        weights = statistic_weights(n_mels)
        self.register_buffer("input_mean", torch.zeros(len(weights)))
        self.register_buffer("input_deviation", torch.ones(len(weights)))
        self.register_buffer("input_scale", weights.sqrt())
        self.register_buffer("support", torch.zeros(n_support, len(weights), dtype=torch.float16))
        self.register_buffer("weights", torch.zeros(n_support))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("gamma", torch.ones(()))
        self.register_buffer("exponent", torch.tensor(2.0))

    def scaled(self, statistics: Tensor) -> Tensor:
        """(B, statistics) -> deviations from the training set's mean, 4 at the most, times what each counts, float16"""
        deviations = (statistics - self.input_mean) / self.input_deviation
        return (deviations.clamp(-4, 4) * self.input_scale).half()

    def likeness(self, inputs: Tensor, others: Tensor) -> Tensor:
        """(B, statistics) and (N, statistics) as `scaled` gives them -> (B, N) in (0, 1]"""
        distance = torch.cdist(inputs.float(), others.float())
        return torch.exp(-((self.gamma * distance.square()) ** (self.exponent / 2)))

    def forward(self, statistics: Tensor) -> Tensor:
        """(B, statistics) of `clip_statistics` -> (B,) in [0, 1]"""
        return (self.likeness(self.scaled(statistics), self.support) @ self.weights + self.offset).clamp(0, 1)


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
