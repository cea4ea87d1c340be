"""Tensors on disk: weights, an index of songs, a detector of what is no music. Checked before they are read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from music_learning.errors import UserError
from music_learning.files import damaged, remedy, require_file

# For each tensor its type and its shape, in which a word stands for any size from 1 up, and the same one everywhere.
Expected = Mapping[str, tuple[torch.dtype, Sequence[int | str]]]

MAX_HEADER_BYTES = 2_000_000
DTYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "BOOL": torch.bool}  # those of our files


def read_tensors(path: Path, expected: Expected, made_by: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file. None is read before the file's header says what is expected.

    Raises:
        UserError: the file is missing or damaged, has other tensors than expected, or a number in them is NaN or
            infinite; the message names `made_by`, the command to run.
    """
    with _opened(path, made_by) as file:
        names = set(file.keys())
        if wrong := names ^ expected.keys():
            raise ValueError(f"tensor {min(wrong)[:60]} is {'unknown' if min(wrong) in names else 'missing'}")
        slices = {name: file.get_slice(name) for name in names}
        _check({name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}, expected)
        # Copies: a file that is mapped and then written over ends the process.
        tensors = {name: file.get_tensor(name).clone() for name in expected}
        if bad := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
            raise ValueError(f"{bad[0]} holds NaN or infinite numbers")
    return tensors


def read_metadata(path: Path, made_by: str) -> dict[str, str]:
    """The metadata of a safetensors file. Raises UserError where the file is missing or damaged."""
    with _opened(path, made_by) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path, made_by: str) -> Iterator[safe_open]:
    """An open safetensors file. What goes wrong with it in the block is an error of the file."""
    require_file(path, made_by)
    try:
        with open(path, "rb") as file:
            if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged(path, error, made_by) from None


def _check(found: Mapping[str, tuple[str, tuple[int, ...]]], expected: Expected) -> None:
    """Raise ValueError unless the tensors have their types and shapes."""
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in expected.items():
        said, found_shape = found[name]
        if DTYPES.get(said) != dtype:
            raise ValueError(f"{name} holds numbers of type {said}, not {dtype}")
        for size, size_found in zip(shape, found_shape, strict=False):
            if isinstance(size, str) and size_found > 0:
                sizes.setdefault(size, size_found)
        wanted = tuple(sizes.get(size, size) for size in shape)
        if found_shape != wanted:
            raise ValueError(f"{name} has the shape {found_shape}, not ({', '.join(map(str, wanted))})")


def check_weights(path: Path, metadata: dict[str, str], weights: dict[str, str], made_by: str) -> None:
    """Raise UserError unless the metadata has the hash of each target's weights, as `weights` has it."""
    if {target: metadata.get(target) for target in weights} != weights:
        raise UserError(
            f"{path} was made with other models than these; {remedy(path, f'make it again with {made_by}')}"
        )
