"""Tensors on disk that belong to the weights of certain models: an index of songs, a novelty detector."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from music_learning.errors import UserError


def read_tensors(path: Path, names: Iterable[str], made_by: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The named tensors of a safetensors file, and its metadata.

    Raises:
        UserError: it is missing or damaged, or lacks a tensor; the message names `made_by`, the command to run.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run {made_by} first") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}); make it again with {made_by}") from None


def check_weights(path: Path, metadata: dict[str, str], weights: dict[str, str], made_by: str) -> None:
    """Raise UserError unless the metadata has the hash of each target's weights, as `weights` has it."""
    if {target: metadata.get(target) for target in weights} != weights:
        raise UserError(f"{path} was made with other models than these; make it again with {made_by}")
