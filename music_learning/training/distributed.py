"""Several processes that train each network together, as `torchrun` starts them; without it there is one.

The first does all that one process alone would do. The others train the networks with it, and leave the rest to it.
"""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, DistributedSampler

from music_learning.errors import UserError

LONGEST_WAIT = timedelta(days=1)  # of the others for the first, while it fits kernel models and measures
TELLING_S = 10.0  # torchrun ends all processes soon after one has ended: time for the one that says why


def n_processes() -> int:
    return _said_by_torchrun("WORLD_SIZE", 1)


def rank() -> int:
    """This process's number among all, from 0."""
    return _said_by_torchrun("RANK", 0)


def local_rank() -> int:
    """This process's number among those of its machine, from 0."""
    return _said_by_torchrun("LOCAL_RANK", 0)


def _said_by_torchrun(name: str, otherwise: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes for the time of the block. An error in one ends all, and one says which.

    Raises:
        SystemExit: in place of an error, where another process has one to tell.
        UserError: another process was killed.
    """
    if n_processes() == 1:
        yield
        return
    store, _, _ = next(rendezvous("env://"))
    dist.init_process_group(store=store, rank=rank(), world_size=n_processes(), timeout=LONGEST_WAIT)  # nccl, gloo
    try:
        yield
    except BaseException as error:
        try:
            others_failed = store.add("failed", 1) > 1
        except RuntimeError:  # torchrun, which holds the store, is gone
            others_failed = False
        if others_failed:
            time.sleep(TELLING_S)
            raise SystemExit(1) from None
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "by peer" in str(error)):
            raise UserError("another process was killed; the same command goes on with what was done") from None
        raise
    dist.destroy_process_group()


@contextmanager
def only_first_prints() -> Iterator[None]:
    """A block in which the other processes print nothing."""
    if rank() == 0:
        yield
        return
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def from_first(value: object) -> object:
    """The first process's value, in all of them; the others' is of no account. It is made of what JSON has.

    PyTorch's own way to send an object unpickles it, which would run whatever another program sends.
    """
    if n_processes() == 1:
        return value
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    length = torch.tensor(len(text))
    dist.broadcast(length, 0)
    if rank() > 0:
        text = torch.zeros(int(length), dtype=torch.uint8)
    dist.broadcast(text, 0)
    return json.loads(bytes(text.tolist()))


def jobs() -> Iterator[tuple[str, str, str]]:
    """For all but the first process: what that one gives to `from_first`, until that is None."""
    return iter(lambda: from_first(("", "", "")), None)


def mean_of_all(values: Tensor) -> Tensor:
    """The mean of the processes' tensors, which have one shape."""
    if n_processes() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / n_processes()


def in_step(network: nn.Module, device: torch.device) -> nn.Module:
    """What to call in a network's training: a backward pass gives all processes the mean of their gradients.

    The network itself is changed: it normalises by the songs of all processes, and can only be trained from now on.
    """
    if n_processes() == 1:
        return network
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.forward = partial(normalised, layer)
    # The running means and variances are alike, too, so that there are no buffers to broadcast.
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


def normalised(layer: _BatchNorm, x: Tensor) -> Tensor:
    """What a layer of batch normalisation does in training, by mean and variance of all processes' songs.

    PyTorch's SyncBatchNorm has no version for the CPU; this one is the same on both. Without it each process would
    normalise by fewer songs than one process does that takes as many as all together.

    Args:
        layer: its running mean and variance move.
        x: (B, channels, ...), of about the same size in all processes.
    """
    others = [dim for dim in range(x.dim()) if dim != 1]
    values = x.float()  # a variance needs all digits, also where training is in bfloat16
    moments = torch.stack([values.mean(others), values.square().mean(others)])
    mean, square = all_reduce(moments) / n_processes()  # with a gradient, unlike that of torch.distributed
    var = (square - mean.square()).clamp(min=0)
    count = n_processes() * x.numel() / x.shape[1]
    with torch.no_grad():
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(var * count / (count - 1), layer.momentum)
        layer.num_batches_tracked.add_(1)
    scale = layer.weight * (var + layer.eps).rsqrt()
    shift = layer.bias - mean * scale
    shape = [-1 if dim == 1 else 1 for dim in range(x.dim())]
    return (values * scale.view(shape) + shift.view(shape)).to(x.dtype)


def own_seed(seed: int) -> int:
    """A seed of this process's own; that of one process alone is the one given."""
    return seed * n_processes() + rank()


def own_share(songs: Dataset, seed: int) -> DistributedSampler | None:
    """Which songs this process trains on in an epoch, in their order; None if it is alone.

    All processes' k-th batches are together what one process would take, with a batch as large as theirs together: all
    have equally many songs, none has another's, and the few that remain are left out of this epoch.
    """
    if n_processes() == 1:
        return None
    return DistributedSampler(songs, n_processes(), rank(), shuffle=True, seed=seed, drop_last=True)
