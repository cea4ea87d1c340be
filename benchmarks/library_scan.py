"""What scanning a music collection into a library costs: time against the clips' own, memory, and a second scan.

    python benchmarks/library_scan.py                       100,000 files; then 1,000 synthetic clips of 30 s
    python benchmarks/library_scan.py --audio data/previews
    python benchmarks/library_scan.py --clips 200 --files 10000

For memory and the second scan, files are a few bytes, and what is heard in them is made up.

Then each clip is heard by itself, on one core, and the CPU time of all is summed up; then they are scanned, on all
cores, as a user's scan does it, and by threads alone. The scan should take no longer than that sum divided by the
cores, and must keep the same values. Exits with 1 where a value differs.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from synthetic import make_clip, make_clips
from tqdm import tqdm

from music_learning.columns import TARGETS
from music_learning.errors import AudioError
from music_learning.library.database import Library
from music_learning.library.files import find_files
from music_learning.library.processes import Processes
from music_learning.library.scan import LocalFiles, scan
from music_learning.parallel import cpu_count
from music_learning.predict.predictor import Predictor

MODELS = Path(__file__).parents[1] / "models"
N_DIFFERENT = 100
N_WARMUP = 10
PER_FOLDER = 1000
COMPARED = (*TARGETS, "tempo", "acousticness")


def gather(audio: Path | None, folder: Path, n: int) -> None:
    """Lay n clips into a folder, each different in content."""
    if audio is None:
        (folder / "made").mkdir()
        make_clips(folder / "made", min(n, N_DIFFERENT))
    clips = find_files([audio or folder / "made"])
    (folder / "clips").mkdir()
    for number in range(n):
        clip = clips[number % len(clips)]
        copy = folder / "clips" / f"{number:06}{clip.suffix}"
        shutil.copy(clip, copy)
        with open(copy, "ab") as file:  # bytes behind the music, so that no clip is known as a copy of another
            file.write(b"\0" * (number // len(clips)))


def measure_time(folder: Path) -> int:
    """Hear clips one by one, then scan them. Returns how many values differ."""
    torch.set_num_threads(1)
    predictor = Predictor.load(MODELS)
    clips = find_files([folder / "clips"])
    for clip in clips[:N_WARMUP]:
        predictor.predict(clip)
    start, expected = time.process_time(), {}
    for clip in tqdm(clips, desc="one by one", disable=None):
        with suppress(AudioError):
            expected[str(clip)] = predictor.predict(clip).to_dict()
    cpu_s = time.process_time() - start
    n, differing = cpu_count(), 0
    print(f"{len(clips):,} clips one by one: {cpu_s:.1f} s of CPU, {1000 * cpu_s / len(clips):.1f} ms each")
    for way, hearing in (("processes", Processes(predictor, MODELS)), ("threads alone", nullcontext(predictor))):
        with Library.write(folder / f"{way}.sqlite", create=True) as library:
            start, cpu_start = time.perf_counter(), cpu_of_all()
            with hearing as listener:
                scan(LocalFiles([folder / "clips"]), library, listener)
            took_s, scan_cpu_s = time.perf_counter() - start, cpu_of_all() - cpu_start
            rows = {file: values for file, *values in library.select(("file", *COMPARED))}
        print(
            f"scan on {n} cores, {way}: {took_s:.1f} s, {took_s / (cpu_s / n):.3f} of a {n}th of that; "
            f"{scan_cpu_s:.1f} s of CPU"
        )
        differing += sum(rows[file] != [values[name] for name in COMPARED] for file, values in expected.items())
    print(f"songs whose values differ: {differing}")
    return differing


def cpu_of_all() -> float:
    """CPU time in seconds of this process and those that it started and that have ended."""
    return sum(os.times()[:4])


class MadeUp:
    """A predictor that hears something else in each file, without listening."""

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        make_clip(folder / "one.mp3", seed=0)
        self.analysis = predictor.predict(folder / "one.mp3")
        self.models_version = predictor.models_version

    def predict(self, path: Path, *, explain: bool):
        values = {target: int(path.stem) % 1000 / 1000 for target in TARGETS}
        return replace(self.analysis, values=values)


def scan_made_up(music: Path, database: Path) -> None:
    """Scan by made-up hearing, in a process of its own, and print its peak of memory in MB."""
    predictor = MadeUp(Predictor.load(MODELS), database.parent)
    with Library.write(database, create=True) as library:
        scan(LocalFiles([music]), library, predictor, bar=False)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measure_memory(folder: Path, n_files: int) -> None:
    """Peak memory at 1,000 and at n files, and how long a second scan of these takes."""
    peaks = {}
    for n in (1000, n_files):
        music = folder / f"music{n}"
        for number in range(n):
            if number % PER_FOLDER == 0:
                (music / f"{number // PER_FOLDER:03}").mkdir(parents=True)
            (music / f"{number // PER_FOLDER:03}" / f"{number}.mp3").write_text(str(number))
        command = [sys.executable, __file__, "--made-up", music, folder / f"moods{n}.sqlite"]
        peaks[n] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(f"peak memory of a scan of {n:,} files: {peaks[n]:.0f} MB")
    print(f"ratio {peaks[n_files] / peaks[1000]:.3f}")
    size = (folder / f"moods{n_files}.sqlite").stat().st_size
    print(f"library of {n_files:,} songs: {size / 1e6:.0f} MB, {size / n_files:.0f} bytes each")
    command = [sys.executable, "-m", "music_learning", "scan", music, "--library", folder / f"moods{n_files}.sqlite"]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=MODELS.parent)
    print(f"second scan of {n_files:,} unchanged files: {time.perf_counter() - start:.1f} s ({done.stdout.strip()})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose clips to use (default: synthetic clips)")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--made-up", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if arguments.made_up:
        scan_made_up(*arguments.made_up)
        return 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        measure_memory(folder, arguments.files)  # first: a process counts the peak of the one that started it, too
        gather(arguments.audio, folder, arguments.clips)
        differing = measure_time(folder)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
