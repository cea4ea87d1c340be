"""What writing tags does to files: is the sound the same, do other programs find the tags, does an undo bring all back?

    python benchmarks/tagging.py                            10 synthetic clips of 30 s in each of seven formats
    python benchmarks/tagging.py --audio data/previews      copies of real ones, in the formats that they have
    python benchmarks/tagging.py --clips 100

First it times how long reading the tags of each file takes. Then it writes all fields, compares packets and decoded
samples, reads the tags by TagLib, takes all back, and compares the bytes, and what TagLib reads. Then it kills runs
that write and undo by `kill -9` at 10 random moments. Exits with 1 where anything was lost.
"""

import argparse
import hashlib
import io
import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import soundfile
import taglib
from synthetic import RATE_HZ, encoded, make_clip
from tqdm import tqdm

from music_learning.commands.tag import main as tag
from music_learning.library.database import Library
from music_learning.library.files import find_files
from music_learning.library.rows import AudioFile, identified
from music_learning.library.schema import COLUMNS
from music_learning.library.tagging import packets_of
from music_learning.library.tags import read_tags
from music_learning.library.written_tags import FIELDS

SUFFIXES = (".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff")
BY_FFMPEG = {".opus": ("ogg", "libopus", 48_000), ".m4a": ("ipod", "aac", RATE_HZ)}
N_CLIPS = 10
N_KILLS = 10
KILL_FILES = 20
SEED = 0
WIDTHS = (7, 12, 12, 11, 12, 10, 10, 10)
MOOD = "calm and content"


@dataclass(frozen=True)
class Known:
    """What is compared of a file."""

    data: str  # hashes
    packets: str
    samples: str
    tags: dict[str, list[str]]  # by TagLib

    @classmethod
    def of(cls, path: Path) -> "Known":
        samples = hashlib.sha256()
        with av.open(str(path), metadata_errors="replace") as container:
            for frame in container.decode(audio=0):
                samples.update(np.ascontiguousarray(frame.to_ndarray()))
        with taglib.File(path) as file:
            tags = dict(file.tags)
        data = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(data, packets_of(path).sha256, samples.hexdigest(), tags)


def make_files(folder: Path, n: int) -> None:
    """Clips with a title and a picture's worth of other tags, in all formats."""
    for seed in tqdm(range(n), desc="clips", disable=None):
        for suffix in SUFFIXES:
            path = folder / f"clip{seed:04}{suffix}"
            if suffix in BY_FFMPEG:
                container, codec, rate_hz = BY_FFMPEG[suffix]
                make_clip(folder / "whole.wav", seed=seed)
                samples = soundfile.read(folder / "whole.wav", dtype="float32")[0]
                path.write_bytes(encoded(samples, container, codec, rate_hz=rate_hz))
            else:
                make_clip(path, seed=seed)
            with taglib.File(path, save_on_exit=True) as file:
                file.tags.update({"TITLE": [f"Tïtle {seed}"], "ARTIST": ["日本", "B"], "MOOD": ["own"]})
    (folder / "whole.wav").unlink(missing_ok=True)


def make_library(path: Path, files: list[Path]) -> dict[Path, dict]:
    """A library with made-up values. Returns the row of each file."""
    generator, rows = random.Random(SEED), {}
    with Library.write(path, create=True) as library:
        for file in files:
            n_bytes, modified = AudioFile.at(file).state()
            row = dict.fromkeys(COLUMNS) | {"path": os.fsencode(file), "file": str(file), "embedding": bytes(256)}
            row |= {"bytes": n_bytes, "modified": modified} | identified(file)
            row |= {name: generator.random() for name in ("energy", "danceability", "valence")}
            row |= {"mood": MOOD, "tempo": generator.uniform(60, 180), "key": generator.randrange(12), "mode": 1}
            library.add(row)
            rows[file] = row
    return rows


def run(*arguments: object) -> int:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return tag([str(argument) for argument in arguments])


def timed(*arguments: object) -> tuple[float, float]:
    """Run, and return the seconds that passed, and those of CPU."""
    start, cpu_start = time.perf_counter(), time.process_time()
    run(*arguments)
    return time.perf_counter() - start, time.process_time() - cpu_start


def is_told(tags: dict[str, list[str]], row: dict) -> bool:
    """Whether TagLib finds all fields, by its names for them."""
    expected = {name.upper(): [f"{row[name]:.3f}"] for name in ("energy", "danceability", "valence")}
    bpm = tags.get("BPM", [""])[0]
    return (
        expected.items() <= {name: tags.get(name) for name in expected}.items()
        and tags.get("MOOD") == [MOOD]
        and bool(bpm)
        and abs(float(bpm) - row["tempo"]) <= 0.5
        and "INITIALKEY" in tags
    )


def measure_reading(files: list[Path]) -> None:
    times = defaultdict(list)
    for file in files:
        start = time.process_time()
        read_tags(file)
        times[file.suffix].append(time.process_time() - start)
    for suffix, all_s in sorted(times.items()):
        print(f"reading {suffix:6} {len(all_s):6,} files, {1000 * statistics.mean(all_s):.2f} ms of CPU each")


def measure_writing(folder: Path, files: list[Path]) -> int:
    """Write and take back. Returns how many files are not as they should be."""
    faults = 0
    heads = zip(
        ("files", "sound same", "tags found", "tags back", "bytes back", "write", "of CPU", "undo"), WIDTHS, strict=True
    )
    print(f"{'':7}" + "".join(f"{head:>{width}}" for head, width in heads))
    for suffix in sorted({file.suffix for file in files}):
        chosen = [file for file in files if file.suffix == suffix]
        library = folder / f"moods{suffix}.sqlite"
        rows, before = make_library(library, chosen), {file: Known.of(file) for file in chosen}
        write_s, cpu_s = timed("--library", library, "--write", *FIELDS, "--yes")
        tagged = {file: Known.of(file) for file in chosen}
        undo_s, _ = timed("--library", library, "--undo", "--yes")
        after = {file: Known.of(file) for file in chosen}
        found = sum(is_told(tagged[file].tags, rows[file]) for file in chosen)
        same = sum(
            tagged[file].packets == after[file].packets == before[file].packets
            and tagged[file].samples == after[file].samples == before[file].samples
            for file in chosen
        )
        tags = sum(after[file].tags == before[file].tags for file in chosen)
        data = sum(after[file].data == before[file].data for file in chosen)
        n = len(chosen)
        times = (f"{1000 * seconds / n:.1f} ms" for seconds in (write_s, cpu_s, undo_s))
        cells = (f"{n:,}", same, found, tags, data, *times)
        print(
            f"{suffix:7}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)), flush=True
        )
        faults += 3 * n - same - found - tags
    return faults


def kill_runs(folder: Path, files: list[Path]) -> int:
    """Kill runs at random moments. Returns how many times something was lost."""
    generator, faults = random.Random(SEED), 0
    library = folder / "killed.sqlite"
    rows, before = make_library(library, files), {file: Known.of(file) for file in files}
    write = ("--library", library, "--write", *FIELDS, "--yes")
    took_s, _ = timed(*write)
    run("--library", library, "--undo", "--yes")
    kinds = dict.fromkeys(("old", "new"), 0)
    for n in range(N_KILLS):
        arguments = ("--library", library, "--undo", "--yes") if n % 2 else write
        if not (child := os.fork()):
            run(*arguments)
            os._exit(0)
        time.sleep(generator.uniform(0, took_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for file in files:
            now = Known.of(file)
            is_old, is_new = now.tags == before[file].tags, is_told(now.tags, rows[file])
            kinds["old"] += is_old
            kinds["new"] += is_new
            faults += not (is_old or is_new) or (now.packets, now.samples) != (
                before[file].packets,
                before[file].samples,
            )
    faults += run(*write) + sum(not is_told(Known.of(file).tags, rows[file]) for file in files)
    faults += run("--library", library, "--undo", "--yes")
    faults += sum(Known.of(file).tags != before[file].tags for file in files)
    left = [path for path in files[0].parent.iterdir() if path.name.startswith(".")]
    print(
        f"{N_KILLS} kills, {len(files)} files after each: {kinds['old']} with the old tags, {kinds['new']} with the new"
    )
    print(f"after the next run and an undo: {len(left)} copies left, {faults} faults in all")
    return faults + len(left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose clips to copy (default: synthetic clips)")
    parser.add_argument("--clips", type=int, default=N_CLIPS, help="of each format")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "music").mkdir()
        if arguments.audio is None:
            make_files(folder / "music", arguments.clips)
        else:
            found = find_files([arguments.audio])
            measure_reading(found)
            for suffix in {file.suffix for file in found}:
                for file in [file for file in found if file.suffix == suffix][: arguments.clips]:
                    shutil.copyfile(file, folder / "music" / file.name)
        files = find_files([folder / "music"])
        if arguments.audio is None:
            measure_reading(files)
        faults = measure_writing(folder, files)
        faults += kill_runs(folder, random.Random(SEED).sample(files, min(KILL_FILES, len(files))))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
