"""The convolutional network and its config."""

import copy
from dataclasses import asdict, dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from music_learning.columns import TARGETS
from music_learning.pipeline_config import is_number, is_whole, shown

MIN_STD_DB = 1.0
MIN_FRAMES = 16  # what is shorter is halved to nothing
MAX_SIZE, MAX_BLOCKS = 10_000, 12  # what is more comes from a damaged file, and would fill the memory


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of one `MoodNetwork`."""

    outputs: tuple[str, ...] = TARGETS
    n_mels: int = 96
    stem_channels: tuple[int, int] = (16, 16)
    channels: int = 64
    n_blocks: int = 3
    hidden: int = 128
    dropout: float = 0.4
    segment_frames: int = 128  # 4 s: what a prediction is made from, segment by segment

    def __post_init__(self) -> None:
        sizes = {"n_mels": self.n_mels, "channels": self.channels, "n_blocks": self.n_blocks, "hidden": self.hidden}
        sizes |= dict(zip(("first stem_channels", "second stem_channels"), self.stem_channels, strict=True))
        for name, size in sizes.items():
            if not is_whole(size, 1, MAX_BLOCKS if name == "n_blocks" else MAX_SIZE):
                raise ValueError(f"{name} is {shown(size)}, no whole number from 1 that a network can have")
        if not self.outputs or not all(isinstance(output, str) for output in self.outputs):
            raise ValueError("a network has at least one output, each with a name")
        if not is_whole(self.segment_frames, MIN_FRAMES, MAX_SIZE):
            raise ValueError(f"segment_frames is {shown(self.segment_frames)}; at least {MIN_FRAMES} are needed")
        if not is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {shown(self.dropout)}, not from 0 to below 1")

    @property
    def min_weights(self) -> int:
        """How many numbers the largest layers of a network hold, of which it has some more."""
        first, second = self.stem_channels
        stem = 9 * first * second + second * self.channels * (self.n_mels // 8)
        blocks = 4 * self.channels**2 * self.n_blocks
        return stem + blocks + 2 * (self.n_mels + self.channels * (1 + self.n_blocks)) * self.hidden

    @classmethod
    def from_dict(cls, values: object) -> "NetworkConfig":
        """Rebuild a config from JSON. Raises TypeError or ValueError where it is damaged."""
        names = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            raise TypeError(f"the settings of a network are {', '.join(sorted(names))}")
        if not all(isinstance(values[name], list) for name in ("outputs", "stem_channels")):
            raise TypeError("outputs and stem_channels are lists")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    def to_dict(self) -> dict:
        return asdict(self)


def statistics_over_time(features: Tensor) -> Tensor:
    """Mean and standard deviation over time: (B, channels, 1, frames) -> (B, 2 * channels)."""
    features = features.flatten(2).float()  # a variance needs all digits, also where training is in bfloat16
    mean = features.mean(dim=2)
    variance = (features * features).mean(dim=2) - mean * mean
    return torch.cat([mean, (variance.clamp(min=0) + 1e-4).sqrt()], dim=1)


class HalvingPool(nn.Module):
    """Of each two neighbours along a dimension the larger value; of an odd number the last one is left out.

    What `nn.MaxPool2d` does, ten times as fast on a CPU; its gradient takes longer, so that training has the other.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        pairs = x.narrow(self.dim, 0, x.shape[self.dim] // 2 * 2).unflatten(self.dim, (-1, 2))
        return torch.maximum(*pairs.unbind(self.dim + 1))


class Convolution(nn.Module):
    """A convolution with batch normalisation; of two neighbouring bands the larger value, if they are halved.

    Behind the pooling the normalisation is cheaper. It has no scale there (the next layer has one), so that it keeps
    the order of values and can still be folded into the convolution before the pooling.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int | tuple[int, int], *, halve_bands: bool = False, **options: int | tuple
    ) -> None:
        super().__init__()
        self.filters = nn.Conv2d(n_in, n_out, kernel, bias=False, **options)
        self.pool = nn.MaxPool2d((2, 1)) if halve_bands else nn.Identity()
        self.norm = nn.BatchNorm2d(n_out)
        self.norm.weight.requires_grad_(not halve_bands)  # stays 1

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pool(self.filters(x)))

    def fold(self) -> None:
        """Let the convolution do the batch normalisation, from its running mean and variance."""
        self.filters, self.norm = fuse_conv_bn_eval(self.filters, self.norm), nn.Identity()
        if isinstance(self.pool, nn.MaxPool2d):
            self.pool = HalvingPool(dim=2)


class ResidualBlock(nn.Module):
    """A convolution over time and one over channels, around which the input is carried: (B, channels, 1, frames)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Convolution(channels, channels, (1, 3), padding=(0, 1)),
            nn.ReLU(inplace=True),
            Convolution(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class MoodNetwork(nn.Module):
    """A log-mel spectrogram of any length -> a value in [0, 1] for each of the config's outputs.

    Two 2-D convolutions find short patterns in time and pitch; a third joins all bands of a frame; residual blocks
    follow what comes of it over longer and longer stretches of time. The mean and the standard deviation over time of
    every level, the input's included, go to a small perceptron.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.stem_channels
        self.register_buffer("band_mean_db", torch.zeros(config.n_mels, 1))
        self.register_buffer("band_std_db", torch.ones(config.n_mels, 1))
        self.stem = nn.Sequential(
            Convolution(1, first, 5, stride=2, padding=2, halve_bands=True),
            nn.ReLU(inplace=True),
            Convolution(first, second, 3, stride=(1, 2), padding=1, halve_bands=True),
            nn.ReLU(inplace=True),
            Convolution(second, config.channels, (config.n_mels // 8, 1)),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.ModuleList(ResidualBlock(config.channels) for _ in range(config.n_blocks))
        self.halve_time = nn.MaxPool2d((1, 2))
        n_pooled = 2 * (config.n_mels + config.channels * (1 + config.n_blocks))
        self.head = nn.Sequential(
            nn.BatchNorm1d(n_pooled),
            nn.Dropout(config.dropout),
            nn.Linear(n_pooled, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.output = nn.Linear(config.hidden, len(config.outputs))
        self.to(memory_format=torch.channels_last)  # about twice as fast on a CPU

    def set_input_statistics(self, mean_db: Tensor, std_db: Tensor) -> None:
        """Set what each mel band is standardised with, both (n_mels,): the training songs' mean and std in dB."""
        self.band_mean_db.copy_(mean_db[:, None])
        self.band_std_db.copy_(std_db[:, None].clamp(min=MIN_STD_DB))

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

    def folded(self) -> Self:
        """A copy that only predicts, the same in less than half the time: convolutions do the batch normalisation."""
        network = copy.deepcopy(self).eval().requires_grad_(False)
        for layer in list(network.modules()):
            if isinstance(layer, Convolution):
                layer.fold()
        network.halve_time = HalvingPool(dim=3)
        return network.to(memory_format=torch.channels_last)

    @property
    def shared_id(self) -> int:
        """Alike for networks that have the same layers but for the last, and so the same `last_hidden`."""
        return id(self.stem)

    def share(self, other: "MoodNetwork") -> bool:
        """Take another network's layers in place of its own, but for the last, where they are equal; whether they are.

        So they are in memory once, and `shared_id` tells that they need to be run only once.
        """
        mine, others = self.state_dict(), other.state_dict()
        names = [name for name in mine if not name.startswith("output.")]
        if not all(name in others and torch.equal(mine[name], others[name]) for name in names):
            return False
        self.stem, self.blocks, self.head = other.stem, other.blocks, other.head
        return True

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B, outputs) in [0, 1]"""
        return self.output(self.last_hidden(spectrograms)).sigmoid()

    def last_hidden(self, spectrograms: Tensor) -> Tensor:
        """(B, n_rows, frames), at least 16 frames -> (B, hidden), what the outputs are a weighted sum of"""
        levels_db = spectrograms[:, : self.config.n_mels]  # it finds for itself which tones there are
        x = ((levels_db - self.band_mean_db) / self.band_std_db)[:, None]
        levels = [statistics_over_time(x.transpose(1, 2))]
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        levels.append(statistics_over_time(x))
        for i, block in enumerate(self.blocks):
            x = block(self.halve_time(x) if i else x)
            levels.append(statistics_over_time(x))
        return self.head(torch.cat(levels, dim=1))
