"""Work on many items at once, in order, in memory that does not grow with their number."""

import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

IN_FLIGHT_PER_WORKER = 4
MACHINE, CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")  # where Linux tells of their memory

Item = TypeVar("Item")
Result = TypeVar("Result")
Submitted = TypeVar("Submitted")  # a future, say


def cpu_count() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes() -> float:
    """The memory that is left to this machine, or to its container (cgroup 2).

    What the system keeps of files that were read counts as free. Where nobody tells, as outside Linux, it is infinite.
    """
    free = [math.inf]
    with suppress(OSError):
        said = re.search(r"^MemAvailable: +(\d+) kB$", MACHINE.read_text(), re.MULTILINE)
        free += [1024 * int(said[1])] if said else []
    with suppress(OSError, ValueError):  # ValueError: no number but `max`, since there is no limit
        limit, used = (int((CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        files = re.search(r"^inactive_file (\d+)$", (CONTAINER / "memory.stat").read_text(), re.MULTILINE)
        free.append(limit - used + (int(files[1]) if files else 0))
    return min(free)


def ahead(
    submit: Callable[[Item], Submitted], items: Iterable[Item], *, depth: Callable[[], float]
) -> Iterator[tuple[Item, Submitted]]:
    """Yield each item with what `submit` returned, in order, up to `depth()` of them having been submitted.

    Ends with the items, or where none is under way and a depth of 0 allows no more.
    """
    items, window = iter(items), deque()
    while True:
        while len(window) < depth():
            try:
                item = next(items)
            except StopIteration:
                break
            window.append((item, submit(item)))
        if not window:
            return
        yield window.popleft()


def ordered_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    description: str,
    unit: str,
    bar: bool = True,
) -> Iterator[Result]:
    """`in_order`, with a progress bar on stderr where that is a terminal."""
    results = in_order(function, items, workers=workers)
    try:
        with tqdm(total=len(items), desc=description, unit=unit, disable=None if bar else True) as progress:
            for result in results:
                yield result
                progress.update()
    finally:
        results.close()


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order; items are taken a few ahead of what is yielded.

    In threads, of which each uses one core: most of decoding and of torch's work is done outside Python's lock. What
    FFmpeg decodes is done inside it for the most part, so that many files of that kind are better heard by processes
    (`library.processes`).

    An exception is raised at the place of its item, and what was not begun by then is dropped; what was goes on, and
    nobody waits for it.
    """
    pool = ThreadPoolExecutor(workers, initializer=_use_one_core)
    try:
        for _, future in ahead(partial(pool.submit, function), items, depth=lambda: IN_FLIGHT_PER_WORKER * workers):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _use_one_core() -> None:
    import torch  # half a gigabyte of memory, which collecting songs, that looks ahead too, has no use for

    torch.set_num_threads(1)
