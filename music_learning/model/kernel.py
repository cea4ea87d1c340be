"""The kernel model: features of a whole clip -> one value."""

import torch
from torch import Tensor, nn

from music_learning.features.clip import feature_weights
from music_learning.features.config import FeatureConfig

# How alike two clips are that lie a distance r apart is exp(-(gamma r^2)^(p / 2)): the power p of each kernel.
KERNEL_POWERS = {"gaussian": 2.0, "exponential": 1.0}


class SupportVectorRegression(nn.Module):
    """Features of a whole clip -> one value in [0, 1], from the labels of the training songs that are most like it.

    Support vector regression (Drucker et al., 1997) with a Gaussian kernel, or an exponential one for what changes less
    smoothly (Rasmussen & Williams, 2006, section 4.2.1). It errs otherwise than a CNN, which finds its own features in
    short segments; together they err less.
    """

    def __init__(self, features: FeatureConfig, n_support: int, kernel: str = "gaussian") -> None:
        """
        Args:
            features: what the model is fed with.
            n_support: how many training songs it keeps.
            kernel: one of `KERNEL_POWERS`.
        """
        super().__init__()
        self.features, self.kernel = features, kernel
        weights = feature_weights(features)
        self.register_buffer("input_mean", torch.zeros(len(weights)))
        self.register_buffer("input_std", torch.ones(len(weights)))
        self.register_buffer("input_scale", weights.sqrt())
        self.register_buffer("support_vectors", torch.zeros(n_support, len(weights), dtype=torch.float16))
        self.register_buffer("dual_coef", torch.zeros(n_support))
        self.register_buffer("intercept", torch.zeros(()))
        self.register_buffer("gamma", torch.ones(()))
        self.register_buffer("power", torch.tensor(KERNEL_POWERS[kernel] / 2), persistent=False)

    def scaled(self, features: Tensor) -> Tensor:
        """(B, features) -> standard deviations from the training songs' mean, times what each counts, in float16

        Those beyond `max_deviation` count as that.
        """
        deviations = (features - self.input_mean) / self.input_std
        limit = self.features.max_deviation
        return (deviations.clamp(-limit, limit) * self.input_scale).half()

    def kernel_matrix(self, inputs: Tensor, others: Tensor) -> Tensor:
        """(B, features) and (N, features) as `scaled` gives them -> (B, N) in (0, 1]"""
        distance = torch.cdist(inputs.float(), others.float())
        return torch.exp(-((self.gamma * distance.square()) ** self.power))

    def forward(self, features: Tensor) -> Tensor:
        """(B, features) of `clip_features` -> (B,) in [0, 1]"""
        kernel_matrix = self.kernel_matrix(self.scaled(features), self.support_vectors)
        return (kernel_matrix @ self.dual_coef + self.intercept).clamp(0, 1)
