"""Which device trains, and what it can do."""

import torch

from music_learning.errors import UserError


def select_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first there is of cuda, mps and cpu. Raises UserError without it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"there is no {name} device here; use --device auto")
    return torch.device(name)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device calculates in bfloat16 by itself, which makes training half as fast again."""
    if device.type == "cpu":
        # Not public, and there is no other way to know; without it, float32 is right and slower.
        return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
