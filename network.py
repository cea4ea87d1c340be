"""The convolutional network, its config, and how a trained one is saved and loaded.

A saved model is two files: weights as safetensors, which can hold no code, and a JSON that describes them.
"""

import hashlib
import math
from dataclasses import asdict, dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from artifacts import ModelPaths, atomic, read_json, read_pipeline_config, write_json
from errors import UserError

MIN_DEVIATION_DB = 1.0


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one `MoodNetwork`."""

    n_mels: int = 96
    stem_channels: tuple[int, int] = (16, 32)
    channels: int = 64
    n_blocks: int = 3
    hidden: int = 128
    dropout: float = 0.3

    @classmethod
    def from_dict(cls, values: dict) -> "NetworkConfig":
        return cls(**{**values, "stem_channels": tuple(values["stem_channels"])})

    def to_dict(self) -> dict:
        return asdict(self)


def statistics_over_time(features: Tensor) -> Tensor:
    """Mean and standard deviation over the last axis: (B, channels, frames) -> (B, 2 * channels)."""
    deviation, mean = torch.var_mean(features, dim=-1, correction=0)
    return torch.cat([mean, (deviation + 1e-4).sqrt()], dim=1)


class ResidualBlock(nn.Module):
    """A convolution over time and one over channels, around which the input is carried: (B, channels, frames)."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 1, bias=False),
            nn.BatchNorm1d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class MoodNetwork(nn.Module):
    """A log-mel spectrogram of any length -> one value in [0, 1].

    Two 2-D convolutions find short patterns in time and pitch; a third joins all bands of a frame; residual blocks of
    1-D convolutions follow them over time. The mean and the deviation over time of each level, the input's included,
    go to a small perceptron.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.stem_channels
        self.register_buffer("band_mean_db", torch.zeros(config.n_mels, 1))
        self.register_buffer("band_deviation_db", torch.ones(config.n_mels, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
        )
        self.join_bands = nn.Sequential(
            nn.Conv1d(second * (config.n_mels // 8), config.channels, 1, bias=False),
            nn.BatchNorm1d(config.channels),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(ResidualBlock(config.channels) for _ in range(config.n_blocks))
        n_statistics = 2 * (config.n_mels + config.channels * (1 + config.n_blocks))
        self.head = nn.Sequential(
            nn.BatchNorm1d(n_statistics),
            nn.Dropout(config.dropout),
            nn.Linear(n_statistics, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 1),
        )

    def set_input_statistics(self, mean_db: Tensor, deviation_db: Tensor) -> None:
        """Set what each mel band is standardised with, both (n_mels,): the training set's mean and deviation in dB."""
        self.band_mean_db.copy_(mean_db[:, None])
        self.band_deviation_db.copy_(deviation_db[:, None].clamp(min=MIN_DEVIATION_DB))

    def set_output_mean(self, mean: float) -> None:
        """Let the untrained network predict about this value, in (0, 1): the mean of the training labels."""
        nn.init.constant_(self.head[-1].bias, math.log(mean / (1 - mean)))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_mels, frames) in dB -> (B,) in [0, 1]"""
        x = (spectrograms - self.band_mean_db) / self.band_deviation_db
        levels = [statistics_over_time(x)]
        x = self.stem(x[:, None].contiguous(memory_format=torch.channels_last))
        x = self.join_bands(x.flatten(1, 2))
        levels.append(statistics_over_time(x))
        for block in self.blocks:
            x = block(x)
            levels.append(statistics_over_time(x))
        return self.head(torch.cat(levels, dim=1))[:, 0].sigmoid()


class Ensemble(nn.Module):
    """Networks of one target, trained from different seeds; their mean is the prediction."""

    def __init__(self, config: NetworkConfig, n_members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(MoodNetwork(config) for _ in range(n_members))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_mels, frames) in dB -> (B,) in [0, 1]"""
        return torch.stack([member(spectrograms) for member in self.members]).mean(dim=0)


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
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **description,
    }
    for path in (paths.weights(target), paths.description(target)):
        if path.exists():
            paths.previous.mkdir(exist_ok=True)
            path.replace(paths.previous / path.name)
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
        model = Ensemble(NetworkConfig.from_dict(description["network"]), description["n_members"])
        model.load_state_dict(parse_safetensors(weights))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{described} and {weights_path} don't fit this version's network: {reason}") from None
    return model.eval(), description
