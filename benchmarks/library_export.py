"""What exports of a large library and playlists from it cost: seconds and memory, of 1,000 and of 1,000,000 songs.

    python benchmarks/library_export.py
    python benchmarks/library_export.py --rows 100000 --folder somewhere

Makes a library of random songs, 1 GB of a million, in a temporary folder or the one named, and runs the commands as
a user would, each in a process of its own. In brackets: seconds of one core, which say more where others share the
machine. What a command takes with 1,000 songs is its start. The file is in the system's cache, as it was just written.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from music_learning.library.database import Library
from music_learning.library.schema import COLUMNS

N_FEW, N_MANY = 1_000, 1_000_000
ROWS_AT_ONCE = 10_000
N_COMPONENTS = 64
N_ARTISTS = 20_000
MOODS = ("happy and excited", "calm and content", "tense and angry", "sad and gloomy")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
COMMANDS = {
    "Parquet": ("export", "--to", "songs.parquet"),
    "CSV": ("export", "--to", "songs.csv"),
    "JSON Lines": ("export", "--to", "songs.jsonl"),
    "Parquet, of a tenth": ("export", "--to", "tenth.parquet", "--where", "energy > .9"),
    "playlist by a condition": (
        "playlist",
        "--to",
        "some.m3u8",
        "--where",
        "energy > .7 and tempo between 120 and 125",
    ),
    "playlist of all": ("playlist", "--to", "all.m3u8"),
    "playlist by likeness": ("playlist", "--to", "like.m3u8", "--like", "/music/artist7/song7.mp3"),
    "playlist by likeness to a title": ("playlist", "--to", "title.m3u8", "--like", "song number 77 of"),
    "playlist as an arc": ("playlist", "--to", "arc.m3u8", "--arc", "energy"),
}


def make_library(path: Path, n_songs: int) -> None:
    """Write a library whose rows are as long as real ones, all different, with random values and embeddings."""
    generator = np.random.default_rng(0)
    names = ("path", *COLUMNS, "embedding")
    statement = f"INSERT INTO songs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    with Library.write(path, create=True) as library:
        for start in range(0, n_songs, ROWS_AT_ONCE):
            numbers = range(start, min(start + ROWS_AT_ONCE, n_songs))
            values = generator.random((len(numbers), len(COLUMNS))).round(4).tolist()
            embeddings = generator.standard_normal((len(numbers), N_COMPONENTS)).astype("<f4")
            rows = map(make_row, numbers, values, embeddings)
            library.change(statement, *(tuple(row[name] for name in names) for row in rows))


def make_row(number: int, values: list[float], embedding: np.ndarray) -> dict:
    """A row of a library, made up of random numbers (columns,) in [0, 1)."""
    row = dict(zip(COLUMNS, values, strict=True))
    row |= {name: int(12 * row[name]) for name, kind in COLUMNS.items() if kind is int}
    row |= {name: None for name, kind in COLUMNS.items() if kind is str}
    artist = number % N_ARTISTS
    file = f"/music/artist{artist}/song{number}.mp3"
    return row | {
        "path": file.encode(),
        "file": file,
        "title": f"A song number {number} of many",
        "artist": f"Artist {artist}",
        "album": f"Album {artist // 10}",
        "duration_s": 60 + 240 * row["duration_s"],
        "tempo": 60 + 120 * row["tempo"],
        "mood": MOODS[number % 4],
        "moods": json.dumps(dict.fromkeys(MOODS, row["energy"])),
        "warnings": "",
        "modified": "2026-01-01T00:00:00.000000000Z",
        "heard": "2026-01-01T00:00:00Z",
        "sha256": f"{number * 0x9E3779B97F4A7C15 % 2**64:064x}",
        "model": "0123456789ab",
        "embedding": embedding.tobytes(),
    }


def measure(arguments: tuple[str, ...], folder: Path) -> tuple[float, float, float]:
    """Run a command of music-learning in a folder; its seconds, those of one core, and its largest memory in MB."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "music_learning", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=N_MANY, help=f"songs of the large library (default: {N_MANY:,})")
    parser.add_argument(
        "--folder", type=Path, help="where to make the libraries, which stay (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folders = {n: folder / str(n) for n in (N_FEW, arguments.rows)}
        for n, place in folders.items():
            library = place / "moods.sqlite"
            if not library.exists():
                place.mkdir(parents=True, exist_ok=True)
                with ProcessPoolExecutor(1) as apart:  # a command's peak of memory is no less than ours when it starts
                    apart.submit(make_library, library, n).result()
            print(f"{n:,} songs: {library.stat().st_size / 1e6:,.0f} MB", flush=True)
        print(f"{'':32}" + "".join(f"{f'{n:,} songs':>28}" for n in folders))
        for name, command in COMMANDS.items():
            print(f"{name:32}", end="", flush=True)
            for place in folders.values():
                seconds, core_s, memory_mb = measure(command, place)
                print(f"{f'{seconds:.1f} s ({core_s:.1f}), {memory_mb:,.0f} MB':>28}", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
