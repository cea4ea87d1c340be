"""The kernel model: features of a whole clip -> one value."""

import torch
from torch import Tensor, nn

from music_learning.features.clip import statistic_weights


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
