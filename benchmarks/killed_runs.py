"""What a folder run and a scan keep when they are killed, and whether two commands can write to one place.

    python benchmarks/killed_runs.py                 1,000 files, `kill -9` at 10 random moments; two writers, 10 times
    python benchmarks/killed_runs.py --files 100

After each kill, every row that had been printed must be in the tables, as the uninterrupted run has it; the same
command must end with the same bytes, having heard each row that was kept only once. A library must keep every row that
a reader had seen in it, and end with the rows of an uninterrupted scan. Exits with 1 where anything failed.
"""

import argparse
import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from synthetic import make_clip
from tqdm import tqdm

from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.files import write_table
from music_learning.library.schema import COLUMNS

ROOT = Path(__file__).parents[1]
N_FILES = 1000
N_DIFFERENT = 50
N_KILLS = 10
N_TRIES = 10
CLIP_S = 10.0
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def make_album(folder: Path, n: int) -> Path:
    """A folder of n clips, one in a hundred of them damaged beyond use."""
    folder.mkdir()
    for seed in tqdm(range(n), desc="clips", disable=None):
        path = folder / f"clip{seed:05}.mp3"
        if seed % 100 == 99:
            path.write_bytes(b"no audio" * 100)
        elif seed < N_DIFFERENT:
            make_clip(path, seed=seed, duration_s=CLIP_S)
        else:
            same = (folder / f"clip{seed % N_DIFFERENT:05}.mp3").read_bytes()
            path.write_bytes(same + bytes(seed))  # zeros behind the music, so that none is a copy of another
    return folder


def rows_of(folder: Path) -> tuple[list[str], list[str]]:
    """The rows of the two tables, as they stand there: those that a reader can make something of."""
    csv_rows = (folder / "moods.csv").read_text(encoding="utf-8").split("\n")[1:-1]
    return csv_rows, [json.dumps(row) for row in json.loads((folder / "moods.json").read_text(encoding="utf-8"))]


def uninterrupted(album: Path, folder: Path) -> tuple[float, float]:
    """Make the tables. Returns the seconds until the first row, and until the end."""
    begun = time.perf_counter()
    run = command("model_demo.py", album, "--csv", folder / "moods.csv", "--json", folder / "moods.json")
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
        process.stdout.readline()
        start_s = time.perf_counter() - begun
        process.communicate()
    return start_s, time.perf_counter() - begun


def kill_and_go_on(album: Path, folder: Path, reference: Path, *, times_s: tuple[float, float], seed: int) -> list[str]:
    """Kill a run at random moments, and let the last one end. Returns what was not as it should be.

    Args:
        times_s: how long an uninterrupted run takes to its first row, and to its end.
    """
    generator, faults, (start_s, end_s) = random.Random(seed), [], times_s
    run = command("model_demo.py", album, "--csv", folder / "moods.csv", "--json", folder / "moods.json")
    whole_csv, whole_json = rows_of(reference)
    kept = 0
    for n in range(N_KILLS):
        with open(folder / "printed", "w") as printed, open(folder / "log", "w") as log:
            process = subprocess.Popen(run, stdout=printed, stderr=log, env=ENVIRONMENT, cwd=folder)
            time.sleep(generator.uniform(0, start_s + 2 * (end_s - start_s) / N_KILLS))
            process.send_signal(signal.SIGKILL)
            process.wait()
        if not (folder / "moods.json").exists():  # killed before it had begun
            continue
        n_printed = sum(str(album) in line for line in (folder / "printed").read_text().splitlines())
        csv_rows, json_rows = rows_of(folder)
        # A row of a failed file is made again, behind the others, and takes its place at the end.
        csv_good, json_good = ([row for row in rows if "not an audio" not in row] for rows in (csv_rows, json_rows))
        if not set(csv_rows) <= set(whole_csv) or not set(json_rows) <= set(whole_json):
            faults.append(f"kill {n + 1}: a row differs from the uninterrupted run's")
        if min(len(csv_good), len(json_good)) < kept:
            faults.append(f"kill {n + 1}: {kept} rows had been kept before, {len(csv_good)} are there")
        if n_printed > len(csv_rows):
            faults.append(f"kill {n + 1}: {n_printed} rows were printed, {len(csv_rows)} are there")
        kept = min(len(csv_good), len(json_good))
        print(f"kill {n + 1}: {n_printed:5} printed, {kept:5} of {len(whole_csv)} kept", flush=True)
    last = subprocess.run(run, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder)
    if kept and f"{kept:,} of {len(whole_csv):,} files were heard before" not in last.stderr:
        faults.append(f"the last run did not go on after {kept} rows: {last.stderr!r}")
    for name in ("moods.csv", "moods.json"):
        if (folder / name).read_bytes() != (reference / name).read_bytes():
            faults.append(f"{name} differs from the uninterrupted run's")
    return faults


def library_rows(path: Path) -> dict[bytes, tuple]:
    """What a library has of each file, but when it heard it and under which number."""
    columns = ", ".join(f'"{name}"' for name in (*COLUMNS, "embedding") if name != "heard")
    with closing(sqlite3.connect(path)) as connection:
        return {path: tuple(row) for path, *row in connection.execute(f"SELECT path, {columns} FROM songs")}


def kill_scan_and_go_on(album: Path, folder: Path, *, times_s: tuple[float, float], seed: int) -> list[str]:
    """As `kill_and_go_on`, of a scan: a reader looks at its library until the moment that it is killed."""
    generator, faults, (start_s, end_s) = random.Random(seed), [], times_s
    reference, killed = folder / "reference.sqlite", folder / "killed.sqlite"
    run = [sys.executable, "-m", "music_learning", "scan", str(album), "--library"]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": ROOT}
    subprocess.run([*run, str(reference)], **options)
    expected = library_rows(reference)
    for n in range(N_KILLS):
        process, seen = subprocess.Popen([*run, str(killed)], **options), {}
        end = time.perf_counter() + generator.uniform(0, start_s + 2 * (end_s - start_s) / N_KILLS)
        while time.perf_counter() < end and process.poll() is None:
            time.sleep(0.01)
            with suppress(sqlite3.OperationalError):  # it is being made
                seen = library_rows(killed) if killed.exists() else {}
        process.kill()
        process.wait()
        kept = library_rows(killed) if seen else {}
        if not set(seen) <= set(kept) or any(kept[path] != expected[path] for path in kept):
            faults.append(f"kill {n + 1} of the scan: a row is gone, or differs from the uninterrupted scan's")
        print(f"kill {n + 1} of the scan: {len(seen):5} seen, {len(kept):5} of {len(expected)} kept", flush=True)
    last = subprocess.run([*run, str(killed)], capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT)
    print(f"last scan: {last.stdout.splitlines()[0]}", flush=True)
    if library_rows(killed) != expected:
        faults.append("the library differs from the uninterrupted scan's")
    return faults


def make_data(folder: Path) -> None:
    """What data_collection.py leaves: a few songs."""
    (folder / "previews").mkdir(parents=True)
    rows = []
    for n in range(40):
        make_clip(folder / "previews" / f"song{n}.mp3", seed=n, duration_s=CLIP_S)
        row = dict.fromkeys(SONG_COLUMNS, "") | {"song_id": f"song{n}", "title": f"Title {n}", "artist": f"Artist {n}"}
        rows.append(row | dict.fromkeys(TARGETS, f"{n / 40}") | {"preview_file": f"song{n}.mp3"})
    write_table(folder / "songs.csv", SONG_COLUMNS, rows)


def is_held(lock: Path) -> bool:
    """Whether some process holds the lock of a file."""
    if not lock.exists():
        return False
    with open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def two_writers(run: list[str], folder: Path, lock: Path) -> int:
    """Start a command, and again while it writes. Returns how often the second said so and ended."""
    refused = 0
    for _ in range(N_TRIES):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": folder}
        first = subprocess.Popen(run, **options)
        while not is_held(lock):
            if first.poll() is not None:  # it was looked at in the very moment that it wanted the lock
                first = subprocess.Popen(run, **options)
            time.sleep(0.02)
        first.send_signal(signal.SIGSTOP)  # however long the second takes to start
        second = subprocess.run(run, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder)
        refused += second.returncode == 1 and "wait until it has ended" in second.stderr
        first.kill()
        first.wait()
    return refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=N_FILES)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        album = make_album(folder / "album", arguments.files)
        for part in ("reference", "killed"):
            (folder / part).mkdir()
        times_s = uninterrupted(album, folder / "reference")
        print(f"{arguments.files} files, uninterrupted: {times_s[1]:.0f} s", flush=True)
        faults = kill_and_go_on(album, folder / "killed", folder / "reference", times_s=times_s, seed=arguments.seed)
        faults += kill_scan_and_go_on(album, folder, times_s=times_s, seed=arguments.seed)
        make_data(folder / "data")
        writers = {
            "model_demo.py": ([album, "--csv", "two.csv"], "two.csv"),
            "data_loading.py": (["--data", "data"], "data/.data_loading.lock"),
            "model_train.py": (["--data", "data", "--models", "models"], "models/.model_train.lock"),
        }
        for script, (options, lock) in writers.items():
            if script == "model_train.py":
                loading = command("data_loading.py", "--data", "data")
                subprocess.run(loading, capture_output=True, env=ENVIRONMENT, cwd=folder, check=True)
            refused = two_writers(command(script, *options), folder, folder / lock)
            print(f"two of {script}: {refused} of {N_TRIES} second ones refused", flush=True)
            if refused < N_TRIES:
                faults.append(f"{script}: a second writer was not refused")
    print("\n".join(faults) or "every finished row was kept; tables and library are those of the uninterrupted runs")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
