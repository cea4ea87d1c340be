"""The models of acousticness, speechiness and instrumentalness: one Gaussian process each, on the same songs.

Most songs have hardly any of the three, and a few have nearly all of it. So what is predicted is a song's rank among
the training songs, from 0 to 1, which is as easily told at either end; the value is what the song of that rank has.
"""

from typing import Self

import torch
from torch import Tensor, nn

from music_learning.columns import PREDICTED
from music_learning.features.config import FeatureConfig
from music_learning.features.rhythm import interpolated
from music_learning.model.kernel import GaussianProcess
from music_learning.model.tensors import Expected

N_QUANTILES = 201


class PredictedFeatures(nn.Module):
    """Features of a whole clip -> its ranks in PREDICTED among the training songs.

    Input: (B, features) of `clip_features`.
    Output: (B, 3) in [0, 1].
    """

    def __init__(self, features: FeatureConfig, n_songs: int) -> None:
        super().__init__()
        self.processes = nn.ModuleDict({name: GaussianProcess(features, n_songs) for name in PREDICTED})
        self.register_buffer("quantiles", torch.zeros(len(PREDICTED), N_QUANTILES))  # values at ranks from 0 to 1

    def forward(self, features: Tensor) -> Tensor:
        return torch.stack([process(features) for process in self.processes.values()], dim=1)

    def values_of(self, name: str, ranks: Tensor) -> Tensor:
        """What songs of these ranks have of one of PREDICTED: (n,) in [0, 1] -> (n,), interpolated linearly"""
        return interpolated(self.quantiles[PREDICTED.index(name)], ranks.clamp(0, 1) * (N_QUANTILES - 1))

    def tensors(self) -> dict[str, Tensor]:
        """The weights as they are kept: what the three processes share is there once."""
        first = PREDICTED[0]
        return {
            name: tensor.contiguous()
            for name, tensor in self.state_dict().items()
            if not _is_shared(name) or name.startswith(f"processes.{first}.")
        }

    @classmethod
    def expected(cls, features: FeatureConfig, n_songs: int) -> Expected:
        """The tensors of a file of such models, as `read_tensors` takes them."""
        return {name: (tensor.dtype, tensor.shape) for name, tensor in cls(features, n_songs).tensors().items()}

    @classmethod
    def of(cls, tensors: dict[str, Tensor], features: FeatureConfig, n_songs: int) -> Self:
        """The models with such tensors, ready to predict."""
        model = cls(features, n_songs)
        shared = {name: f"processes.{PREDICTED[0]}.{name}" for name in GaussianProcess.SHARED}
        weights = {
            name: tensors[shared[name.rpartition(".")[2]] if _is_shared(name) else name] for name in model.state_dict()
        }
        model.load_state_dict(weights, assign=True)  # so that the songs are in memory once
        return model.eval()


def _is_shared(name: str) -> bool:
    return name.rpartition(".")[2] in GaussianProcess.SHARED
