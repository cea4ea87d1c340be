"""What similar songs among a great many cost: exact search, as the index does it, and usearch's approximate one.

    pip install usearch==2.26.6
    python benchmarks/library_index.py
    python benchmarks/library_index.py --songs 1000000

Random songs, whose neighbours an approximate search finds less often than real ones'. Tells the time of the search
for a window and for a recording of ten; how many of the ten nearest songs usearch finds; how long an index of as many
songs takes to be saved and opened; and what each takes of the memory. Times are the processor's, on which the other
programs of the machine have little effect.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from synthetic_library import N_COMPONENTS, random_songs
from usearch.index import Index

from music_learning.columns import TARGETS
from music_learning.errors import run
from music_learning.predict.predictor import N_SEARCHED
from music_learning.predict.similarity import OWN_COLUMNS, SongIndex, Songs

SIZES = (1000, 100_000, 1_000_000)
WEIGHTS = dict.fromkeys(TARGETS, "0" * 64)
MAX_APPROXIMATE = 100_000  # songs: an index of a million would take one core a quarter of an hour or more
N_QUERIES, N_WINDOWS, N_RECALLED = 100, 10, 10


def names(n: int) -> Songs:
    numbers = [f"{number:07}" for number in range(n)]
    columns = (
        numbers,
        [f"A song by the number {number}" for number in numbers],
        [f"The Synthetic Artist {number[:5]}" for number in numbers],
        [
            f"/srv/music/The Synthetic Artist {number[:5]}/An album/A song by the number {number}.mp3"
            for number in numbers
        ],
        [str(1950 + n % 75) for n in range(len(numbers))],
    )
    return Songs(dict(zip(OWN_COLUMNS, columns, strict=True)))


def memory_mb() -> float:
    """What this process holds at the moment."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def median_ms(function: Callable[[], object], times: int) -> float:
    function()
    taken = []
    for _ in range(times):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return 1000 * float(np.median(taken))


def measure(n: int) -> None:
    print(f"{n:,} songs, {torch.get_num_threads()} threads")
    with TemporaryDirectory() as folder:
        made = SongIndex(
            names(n), torch.from_numpy(random_songs(n)[0]), torch.zeros(N_COMPONENTS), torch.eye(N_COMPONENTS)
        )
        start = time.process_time()
        made.save(Path(folder), WEIGHTS)
        saved_s = time.process_time() - start
        del made
        before_mb, start = memory_mb(), time.process_time()
        index = SongIndex.open(Path(folder), WEIGHTS)
        opened_s, held_mb = time.process_time() - start, memory_mb() - before_mb
    print(f"  index: saved in {saved_s:.1f} s, opened in {opened_s:.1f} s, {held_mb:,.0f} MB")
    queries = torch.from_numpy(np.random.default_rng(1).standard_normal((N_QUERIES, N_COMPONENTS), dtype=np.float32))
    windows = [(query, 900.0) for query in queries[:N_WINDOWS]]
    one = median_ms(lambda: index.nearest_to_windows(windows[:1], N_SEARCHED), 10)
    ten = median_ms(lambda: index.nearest_to_windows(windows, N_SEARCHED), 5)
    print(f"  exact: {one:.1f} ms for a window, {ten:.1f} ms for ten")
    if n <= MAX_APPROXIMATE:
        measure_approximate(index, queries)


def measure_approximate(index: SongIndex, queries: torch.Tensor) -> None:
    before_mb, start = memory_mb(), time.process_time()
    approximate = Index(ndim=N_COMPONENTS, metric="l2sq", dtype="f32")
    approximate.add(np.arange(len(index.songs)), index.components.numpy(), threads=torch.get_num_threads())
    built_s, held_mb = time.process_time() - start, memory_mb() - before_mb
    one = median_ms(lambda: approximate.search(queries[0].numpy(), N_SEARCHED), 10)
    ten = median_ms(lambda: [approximate.search(query.numpy(), N_SEARCHED) for query in queries[:N_WINDOWS]], 5)
    recall = np.mean([share_found(index, approximate, query) for query in queries])
    print(
        f"  usearch: built in {built_s:.1f} s, {held_mb:,.0f} MB; {one:.1f} ms for a window, {ten:.1f} ms for ten, ",
        end="",
    )
    print(f"finds {recall:.0%} of the {N_RECALLED} nearest")


def share_found(index: SongIndex, approximate: Index, query: torch.Tensor) -> float:
    nearest = {int(song.song_id) for song in index.nearest(query, N_RECALLED)}
    found = approximate.search(query.numpy(), N_SEARCHED).keys.tolist()[:N_RECALLED]
    return len(nearest & set(found)) / N_RECALLED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, nargs="+", default=SIZES, help="how many (default: each of three sizes)")
    for n in parser.parse_args().songs:
        measure(n)
    return 0


if __name__ == "__main__":
    run(main)
