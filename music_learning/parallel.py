"""Work on many files at once, in order, in memory that does not grow with their number."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from tqdm import tqdm

IN_FLIGHT_PER_WORKER = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def cpu_count() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, description: str, unit: str
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, with a progress bar on stderr.

    Threads suffice: decoding and torch work outside Python's lock. Each uses one core. An exception is raised at the
    place of its item, and what was not begun by then is dropped.
    """
    remaining = iter(items)
    with (
        ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        tqdm(total=len(items), desc=description, unit=unit, disable=None) as bar,
    ):
        pending = deque(pool.submit(function, item) for item in islice(remaining, IN_FLIGHT_PER_WORKER * workers))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
                bar.update()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
