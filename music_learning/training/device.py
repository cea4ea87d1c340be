"""Which device trains, and what it can do."""

import torch

from music_learning.errors import UserError
from music_learning.training.distributed import local_rank, n_processes


def select_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first there is of cuda, mps and cpu. Raises UserError without it.

    Of several processes on a machine each takes a GPU of its own; mps has no way for them to talk.
    """
    alone = n_processes() == 1
    available = {"cuda": torch.cuda.is_available(), "mps": alone and torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"there is no {name} device here; use --device auto")
    if name != "cuda" or alone:
        return torch.device(name)
    if local_rank() >= (count := torch.cuda.device_count()):
        raise UserError(f"each process needs a GPU of its own; --nproc-per-node may be at most {count} here")
    torch.cuda.set_device(local_rank())
    return torch.device(name, local_rank())


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device calculates in bfloat16 by itself, which makes training half as fast again."""
    if device.type == "cpu":
        # Not public, and there is no other way to know; without it, float32 is right and slower.
        return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
