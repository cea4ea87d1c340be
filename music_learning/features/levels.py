"""What the features share: decibels, means over bands, spreads over time."""

import math

import torch
from torch import Tensor

DB = 10 / math.log(10)  # decibels of a natural logarithm of power
# What a group of features is: the features' names, and their values (B, features).
Features = tuple[list[str], Tensor]


def stacked(features: dict[str, Tensor]) -> Features:
    """Features by their names, each (B,), as a group."""
    return [*features], torch.stack([*features.values()], dim=1)


def grouped(x: Tensor, n_groups: int) -> Tensor:
    """The mean over groups of neighbouring bands: (B, n_mels, frames) -> (B, n_groups, frames)"""
    return x.unflatten(1, (n_groups, -1)).mean(dim=2)


def std_over_time(x: Tensor) -> Tensor:
    """The standard deviation over the last dimension; what hardly varies is kept off 0, where its slope has no end."""
    return (x.var(dim=-1) + 1e-4).sqrt()


def numbered(name: str, n: int) -> list[str]:
    """`band 1` to `band 32`, say."""
    return [f"{name} {k}" for k in range(1, n + 1)]
