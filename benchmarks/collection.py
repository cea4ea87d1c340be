"""What data_collection.py must show, against servers on this machine that answer as the real ones do.

    python benchmarks/collection.py                 everything: about half an hour and 3 GB of disk
    python benchmarks/collection.py kills faults    some of it

full: 3,000 songs with the services' limits 100 times faster, then stages 2 and 3 on some of them. throughput: at the
real limits. faults: the same songs when much goes wrong. kills: the same files after kill -9 at 20 random moments, and
which requests were repeated. memory: the largest resident set at 3,000 and 30,000 songs. All but `full` use
previews that cost little to decode.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from music_learning.collect.deezer import PER_S
from music_learning.columns import SONG_COLUMNS
from music_learning.files import write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows
from tools.fake_services import repeated_requests

ROOT = Path(__file__).parents[1]
SPEED = 100
FULL_SONGS = 3_000
THROUGHPUT_SONGS = 300
FAULT_SONGS = KILL_SONGS = 1_000
MEMORY_SONGS = (3_000, 30_000)
KILLS = 20
TRAINED_SONGS = 120
FAULTS = {
    "http_error": 0.05,
    "reset": 0.05,
    "truncated": 0.03,
    "expired": 0.05,
    "code_4_every": 100,
    "retry_after_every": 10,
    "down": "deezer",
    "down_after": 150,
    "down_s": 60 / SPEED,
}


@contextmanager
def servers(*, artists: int, speed: float, kind: str) -> Iterator[dict[str, str]]:
    """The environment that points data_collection.py at fresh servers in a process of their own."""
    command = [sys.executable, ROOT / "tools/fake_services.py", "--artists", artists, "--speed", speed, "--kind", kind]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(6)]
        yield dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    finally:
        process.terminate()
        process.wait()


def control(environment: dict[str, str], command: str, **values) -> list[list[str]]:
    url = environment["DEEZER_URL"].removesuffix("deezer") + f"control/{command}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def start(environment: dict[str, str], data: Path, songs: int, **options) -> subprocess.Popen:
    command = [sys.executable, ROOT / "data_collection.py", "--songs", songs, "--data", data]
    return subprocess.Popen(
        [str(part) for part in command], env=os.environ | environment, stdout=subprocess.PIPE, text=True, **options
    )


def collect(environment: dict[str, str], data: Path, songs: int) -> tuple[float, float, str]:
    """Run data_collection.py to its end. Returns wall time in s, the largest resident set in MB, and its output."""
    begin = time.perf_counter()
    process = start(environment, data, songs)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: data_collection.py ended with status {process.returncode}\n{output}")
    return time.perf_counter() - begin, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2), output


def tables(data: Path) -> tuple[bytes, bytes]:
    return (data / "songs.csv").read_bytes(), (data / "rejected.csv").read_bytes()


def run_stage(*command) -> None:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    print(f"  {command[0]}: status {done.returncode}; {(done.stdout + done.stderr).strip().splitlines()[-1]}")


def full(folder: Path) -> None:
    with servers(artists=4_000, speed=SPEED, kind="mp3") as environment:
        seconds, memory_mb, output = collect(environment, folder / "full", FULL_SONGS)
        limited = sum(outcome == "throttled" for _, _, outcome in control(environment, "log"))
    paths = DataPaths(folder / "full")
    print(f"full run, limits {SPEED} x faster: {seconds:.0f} s, {memory_mb:.0f} MB, {limited} times over a limit")
    print("  " + output.strip().replace("\n", "\n  "))
    songs = read_song_rows(paths)
    some = DataPaths(folder / "some")
    write_table(some.songs, SONG_COLUMNS, songs[:: len(songs) // TRAINED_SONGS][:TRAINED_SONGS])
    some.previews.symlink_to(paths.previews)
    run_stage("data_loading.py", "--data", some.root)
    short = ("--epochs", 2, "--members", 1, "--baselines", "mean", "ridge")
    run_stage("model_train.py", "--data", some.root, "--models", folder / "models", *short)
    run_stage("model_demo.py", "--data", some.root, "--models", folder / "models", "--picture", folder / "demo.png")
    shutil.rmtree(paths.root)


def throughput(folder: Path) -> None:
    with servers(artists=2_000, speed=1, kind="small") as environment:
        seconds, _, _ = collect(environment, folder / "throughput", THROUGHPUT_SONGS)
        log = control(environment, "log")
    asked = Counter(service for service, _, _ in log)["deezer"]
    limited = sum(outcome == "throttled" for _, _, outcome in log)
    print(
        f"throughput at the real limits: {asked} Deezer requests and {THROUGHPUT_SONGS} songs in {seconds:.1f} s, "
        f"{asked / seconds / PER_S:.0%} of the ceiling; {limited} times over a limit"
    )


def faults(folder: Path) -> None:
    with servers(artists=2_000, speed=SPEED, kind="small") as environment:
        plain_s, _, _ = collect(environment, folder / "plain", FAULT_SONGS)
        control(environment, "reset", **FAULTS)
        faulty_s, _, output = collect(environment, folder / "faulty", FAULT_SONGS)
        outcomes = Counter(outcome for _, _, outcome in control(environment, "log"))
    same = "the same" if tables(folder / "plain") == tables(folder / "faulty") else "OTHER"
    print(f"faults: {same} tables; {FAULT_SONGS} songs, {plain_s:.0f} s without faults, {faulty_s:.0f} s with:")
    print("  " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()))
    print("  " + output.strip().splitlines()[-1].strip())


def kills(folder: Path) -> None:
    with servers(artists=2_000, speed=SPEED, kind="small") as environment:
        seconds, _, _ = collect(environment, folder / "whole", KILL_SONGS)
        asked = len(control(environment, "log"))
        control(environment, "reset")
        generator = random.Random(0)
        for _ in range(KILLS):
            process = start(environment, folder / "killed", KILL_SONGS, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0.3, seconds / 8))
            process.kill()
            process.communicate()
        collect(environment, folder / "killed", KILL_SONGS)
        log = control(environment, "log")
    same = tables(folder / "whole") == tables(folder / "killed")
    previews = [{path.name for path in (folder / name / "previews").iterdir()} for name in ("whole", "killed")]
    repeated = repeated_requests(log)
    print(
        f"kill -9 at {KILLS} moments: the tables are {'byte-identical' if same else 'DIFFERENT'}, the previews "
        f"{'the same' if previews[0] == previews[1] else 'DIFFERENT'}; {asked} requests uninterrupted, {len(log)} "
        f"killed, {repeated} repeated ({repeated / KILLS:.1f} per kill; up to 24 are in flight)"
    )


def memory(folder: Path) -> None:
    for count in MEMORY_SONGS:
        with servers(artists=count, speed=SPEED, kind="small") as environment:
            seconds, memory_mb, output = collect(environment, folder / f"memory{count}", count)
            _, again_mb, _ = collect(environment, folder / f"memory{count}", count)
        print(f"memory at {count:6,} songs: {memory_mb:.0f} MB, {again_mb:.0f} MB when all is there ({seconds:.0f} s)")
        print("  " + output.strip().splitlines()[-1].strip(), flush=True)
        shutil.rmtree(folder / f"memory{count}")


PARTS = {"full": full, "throughput": throughput, "faults": faults, "kills": kills, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in arguments.parts or PARTS:
        with TemporaryDirectory() as folder:
            PARTS[name](Path(folder))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
