"""The kernel model: features of a whole clip -> one value, and how sure it is."""

from typing import Self

import torch
from torch import Tensor, nn

from music_learning.features.clip import group_names
from music_learning.features.config import FeatureConfig

SMALLEST = 1e-6  # squared distance: so that the root of one has a gradient for songs that equal each other


class GaussianProcess(nn.Module):
    """Features of a whole clip -> one value in [0, 1], from the labels of the training songs that are most like it.

    Gaussian process regression (Rasmussen & Williams, 2006, chapter 2) with an exponential kernel, in which each group
    of features has a length scale of its own (section 5.1: automatic relevance determination). It errs otherwise than a
    CNN, which finds its own features in short segments; together they err less.

    Input: (B, features) of `clip_features`; NaN is what a clip doesn't tell, and counts as the training songs' mean.
    Output: (B,) in [0, 1].
    """

    SHARED = ("input_mean", "input_std", "songs")  # alike for all models of the same songs

    def __init__(self, features: FeatureConfig, n_songs: int) -> None:
        """
        Args:
            features: what the model is fed with.
            n_songs: how many training songs it keeps.
        """
        super().__init__()
        self.max_deviation = features.max_deviation
        sizes = torch.tensor([len(names) for names in group_names(features).values()])
        n_features = int(sizes.sum())
        self.register_buffer("group", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)
        self.register_buffer("group_size", sizes[self.group].float(), persistent=False)
        self.register_buffer("input_mean", torch.zeros(n_features))
        self.register_buffer("input_std", torch.ones(n_features))
        self.register_buffer("songs", torch.zeros(n_songs, n_features, dtype=torch.float16))  # as `standardised`
        self.register_buffer("relevance", torch.full((len(sizes),), 1 / len(sizes)))  # of a group: 1 / (length scale)^2
        self.register_buffer("signal_var", torch.ones(()))
        self.register_buffer("noise_var", torch.ones(()))
        self.register_buffer("prior_mean", torch.zeros(()))
        self.register_buffer("alpha", torch.zeros(n_songs))  # (K + noise_var I)^-1 (labels - prior_mean)
        self._scaled_songs: tuple[Tensor, Tensor] | None = None  # and their squared lengths
        self._cholesky: Tensor | None = None

    def standardised(self, features: Tensor) -> Tensor:
        """(B, features) -> standard deviations from the training songs' mean, in float16

        Those beyond `max_deviation` count as that, unknown ones as 0.
        """
        deviations = ((features - self.input_mean) / self.input_std).nan_to_num(0.0, torch.inf, -torch.inf)
        return deviations.clamp(-self.max_deviation, self.max_deviation).half()

    def scaled(self, standardised: Tensor) -> Tensor:
        """(B, features) as `standardised` gives them -> the same divided by the length scales."""
        return standardised.float() * (self.relevance[self.group] / self.group_size).sqrt()

    def forward(self, features: Tensor) -> Tensor:
        """(B, features) of `clip_features` -> (B,) in [0, 1]"""
        return self._mean(self._covariance(features)).clamp(0, 1)

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What a label is expected to be, and how far off: both (B,).

        Args:
            features: (B, features) of `clip_features`.

        Returns:
            The mean, which may lie outside [0, 1], and the standard deviation of a new label, its noise included.
        """
        covariance = self._covariance(features)
        # L^-1 k has the length sqrt(k^T K^-1 k): as a sum of squares it loses less to rounding than with K^-1
        explained = torch.linalg.solve_triangular(self._factor(), covariance.T, upper=False).square().sum(dim=0)
        variance = (self.signal_var - explained).clamp_min(0) + self.noise_var
        return self._mean(covariance), variance.sqrt()

    def _mean(self, covariance: Tensor) -> Tensor:
        return covariance @ self.alpha + self.prior_mean

    def _covariance(self, features: Tensor) -> Tensor:
        """(B, features) -> (B, songs)"""
        if self._scaled_songs is None:
            scaled = self.scaled(self.songs)
            self._scaled_songs = scaled, scaled.square().sum(dim=1)
        return self.signal_var * kernel_matrix(self.scaled(self.standardised(features)), *self._scaled_songs)

    def _factor(self) -> Tensor:
        """The Cholesky factor of the songs' covariances, (songs, songs).

        It is made when it is first needed: a file of it would be larger than the songs.
        """
        if self._cholesky is None:
            self._cholesky = cholesky(self.scaled(self.songs), self.signal_var, self.noise_var)
        return self._cholesky

    def _forget(self) -> None:
        self._scaled_songs = self._cholesky = None

    def _load_from_state_dict(self, *arguments: object) -> None:
        self._forget()
        super()._load_from_state_dict(*arguments)

    def _apply(self, *arguments: object, **options: object) -> Self:
        self._forget()
        return super()._apply(*arguments, **options)


def kernel_matrix(inputs: Tensor, others: Tensor, squares: Tensor | None = None) -> Tensor:
    """How alike clips are: (B, features) and (N, features), divided by the length scales -> (B, N) in (0, 1]

    exp(-r) at the distance r (Rasmussen & Williams, equation 4.18). `squares` are the others' squared lengths (N,), if
    they are known.
    """
    squares = others.square().sum(dim=1) if squares is None else squares
    squared = torch.addmm(squares, inputs, others.T, alpha=-2) + inputs.square().sum(dim=1, keepdim=True)
    return torch.exp(-(squared.clamp_min(0) + SMALLEST).sqrt())


def cholesky(scaled: Tensor, signal_var: Tensor, noise_var: Tensor) -> Tensor:
    """The lower Cholesky factor of the covariances of songs' labels: (songs, features) -> (songs, songs)"""
    covariance = signal_var * kernel_matrix(scaled, scaled)
    covariance.diagonal().copy_(signal_var + noise_var)
    return torch.linalg.cholesky(covariance)
