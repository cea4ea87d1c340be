"""What the features share: decibels, means over bands, spreads over time."""

import math
from itertools import pairwise

import torch
from torch import Tensor

DB = 10 / math.log(10)  # decibels of a natural logarithm of power
# What a group of features is: the features' names, and their values (B, features).
Features = tuple[list[str], Tensor]


def power_mean(levels: Tensor, dim: int) -> Tensor:
    """The level of the mean power over a dimension, in dB as the levels are."""
    return ((levels / DB).logsumexp(dim=dim) - math.log(levels.shape[dim])) * DB


def grouped(x: Tensor, n_groups: int) -> Tensor:
    """The mean over groups of neighbouring bands: (B, n_mels, frames) -> (B, n_groups, frames)"""
    return x.unflatten(1, (n_groups, -1)).mean(dim=2)


def in_ranges(x: Tensor, edges: tuple[int, ...]) -> Tensor:
    """The mean over ranges of bands between the edges, and over all: (B, n_mels, frames) -> (B, ranges + 1, frames)"""
    return torch.stack([*(x[:, low:high].mean(dim=1) for low, high in pairwise(edges)), x.mean(dim=1)], dim=1)


def std_over_time(x: Tensor) -> Tensor:
    """The standard deviation over the last dimension; what hardly varies is kept off 0, where its slope has no end."""
    return (x.var(dim=-1) + 1e-4).sqrt()


def numbered(name: str, n: int) -> list[str]:
    """`band 1` to `band 32`, say."""
    return [f"{name} {k}" for k in range(1, n + 1)]
