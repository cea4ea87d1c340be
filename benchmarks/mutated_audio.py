"""What the decoder and the models do with thousands of damaged files: each must be heard or refused with a sentence.

    python benchmarks/mutated_audio.py                          5,000 files, about ten minutes on two cores
    python benchmarks/mutated_audio.py --files 500 --seed 7

Takes 6 s of synthetic music in each of 19 formats, damages it (bytes flipped, ranges zeroed, deleted, doubled, swapped
or filled with noise, extreme values in headers, sizes of chunks, files cut short or spliced) and predicts it in
processes of their own. Faults are: a process that dies, more than 20 s, an exception that is no AudioError, more than
1 GB, output of a decoder library on the terminal, and a recording that comes out far longer than any can be. Such files
are kept in a folder that is named; the exit status is 1 then. Linux only.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
import soundfile
import torch
from synthetic import by_libsndfile, encoded, make_clip
from tqdm import tqdm

from music_learning.errors import AudioError
from music_learning.parallel import cpu_count
from music_learning.predict.predictor import Predictor

SECONDS = 6.0
MAX_S = 20.0
MAX_GROWTH = 10**9
MAX_VIRTUAL = 4 * 10**9  # beyond what a worker has when it begins: beyond this, it gets a MemoryError
LONGEST_S = 1_800.0  # the WAV's megabyte as 8-bit mono at 1 kHz plays for 18 minutes
EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
    2**63 - 1,
)
GOOD = ("heard", "heard with losses", "refused")
FAULTS = ("died", "over 20 s", "traceback", "over 1 GB", "printed", "too long")

FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "mp3": lambda x: encoded(x, "mp3", "libmp3lame"),
    "mp3 vbr": lambda x: encoded(x, "mp3", "libmp3lame", bit_rate=0, options={"id3v2_version": "3"}),
    "aac": lambda x: encoded(x, "adts", "aac"),
    "m4a": lambda x: encoded(x, "ipod", "aac"),
    "alac": lambda x: encoded(x, "ipod", "alac"),
    "ogg": lambda x: by_libsndfile(x, "OGG", "VORBIS"),
    "opus": lambda x: encoded(x, "ogg", "libopus", rate_hz=48_000),
    "flac": lambda x: by_libsndfile(x, "FLAC"),
    "wav": lambda x: by_libsndfile(x, "WAV", "PCM_16"),
    "wav float": lambda x: by_libsndfile(x, "WAVEX", "FLOAT"),
    "aiff": lambda x: by_libsndfile(x, "AIFF", "PCM_24"),
    "w64": lambda x: by_libsndfile(x, "W64", "MS_ADPCM"),
    "caf": lambda x: encoded(x, "caf", "alac"),
    "wma": lambda x: encoded(x, "asf", "wmav2"),
    "webm": lambda x: encoded(x, "webm", "libopus", rate_hz=48_000),
    "mka": lambda x: encoded(x, "matroska", "libmp3lame"),
    "wv": lambda x: encoded(x, "wv", "wavpack"),
    "tta": lambda x: encoded(x, "tta", "tta"),
    "ac3": lambda x: encoded(x, "ac3", "ac3"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5_000, help="how many (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    arguments = parser.parse_args()
    kept = Path(tempfile.gettempdir()) / f"mutated-audio-{arguments.seed}"
    with tempfile.TemporaryDirectory() as folder:
        make_originals(Path(folder))
        outcomes = judge_all(Path(folder), arguments.files, arguments.seed, kept)
    print_table(outcomes)
    n_faults = sum(outcome in FAULTS for _, outcome in outcomes.elements())
    if n_faults:
        print(f"{n_faults} faults; the files are in {kept}")
    return min(n_faults, 1)


def make_originals(folder: Path) -> None:
    """Write the undamaged file of each format."""
    make_clip(folder / "music.wav", seed=0, duration_s=SECONDS)
    samples, _ = soundfile.read(folder / "music.wav")
    for name, encode in FORMATS.items():
        (folder / name).write_bytes(encode(samples))


def print_table(outcomes: Counter) -> None:
    columns = (*GOOD, *FAULTS)
    print(f"{'':10}" + "".join(f"{column:>19}" for column in columns))
    for name in (*FORMATS, "all"):
        counts = [
            sum(n for (form, kind), n in outcomes.items() if kind == c and name in (form, "all")) for c in columns
        ]
        print(f"{name:10}" + "".join(f"{count:19,}" for count in counts))


# ---------------------------------------------------------------------------------------------------------- the damage


def mutated(originals: dict[str, bytes], number: int, seed: int) -> tuple[str, bytes]:
    """The file of this number: its format and its bytes, the same ones for the same seed."""
    generator = np.random.default_rng([seed, number])
    name = list(FORMATS)[number % len(FORMATS)]
    data = bytearray(originals[name])
    for _ in range(generator.geometric(0.5)):
        damage = DAMAGES[generator.integers(len(DAMAGES))]
        data = damage(data, generator, originals) if data else data
    return name, bytes(data)


def place(data: bytearray, generator: np.random.Generator) -> int:
    """A place in a file: many in its head, where the fields are, some at its end."""
    near = int(generator.integers(min(len(data), int(10 ** generator.uniform(0.5, 3.5)))))
    kind = generator.random()
    if kind < 0.4:
        return near
    return len(data) - 1 - near if kind < 0.5 else int(generator.integers(len(data)))


def span(data: bytearray, generator: np.random.Generator) -> slice:
    """A range in a file: a few bytes to most of it."""
    start = place(data, generator)
    return slice(start, start + int(10 ** generator.uniform(0, np.log10(len(data) + 1))))


def flip_bits(data, generator, _):
    for _ in range(int(10 ** generator.uniform(0, 2.5))):
        data[place(data, generator)] ^= 1 << int(generator.integers(8))
    return data


def replace_bytes(data, generator, _):
    for _ in range(int(10 ** generator.uniform(0, 2))):
        data[place(data, generator)] = int(generator.integers(256))
    return data


def zero(data, generator, _):
    where = span(data, generator)
    data[where] = bytes([int(generator.choice([0, 255]))]) * len(data[where])
    return data


def fill_with_noise(data, generator, _):
    where = span(data, generator)
    data[where] = generator.bytes(len(data[where]))
    return data


def delete(data, generator, _):
    del data[span(data, generator)]
    return data


def double(data, generator, _):
    where = span(data, generator)
    data[where.start : where.start] = data[where]
    return data


def swap(data, generator, _):
    one, other = sorted((span(data, generator), span(data, generator)), key=lambda part: part.start)
    one = slice(one.start, min(one.stop, other.start))
    return data[: one.start] + data[other] + data[one.stop : other.start] + data[one] + data[other.stop :]


def insert_noise(data, generator, _):
    start = place(data, generator)
    data[start:start] = generator.bytes(int(10 ** generator.uniform(0, 4)))
    return data


def cut_short(data, generator, _):
    return data[: place(data, generator) + 1]


def cut_the_start(data, generator, _):
    return data[place(data, generator) :]


def set_a_field(data, generator, _):
    """An extreme value somewhere, in one to eight bytes of either order."""
    value, size = int(generator.choice(EXTREMES)), int(generator.choice([1, 2, 4, 8]))
    order = str(generator.choice(["little", "big"]))
    start = place(data, generator)
    data[start : start + size] = (value % 256**size).to_bytes(size, order)
    return data


def set_a_size(data, generator, _):
    """A wrong size beside a name of four letters, as chunks, atoms and boxes have them."""
    names = [k for k in range(len(data) - 8) if data[k : k + 4].isalpha()] if len(data) < 10_000 else []
    names = names or [k for k in range(min(len(data) - 8, 4_000)) if data[k : k + 4].isalpha()]
    if names:
        start = max(0, int(generator.choice(names)) + int(generator.choice([-4, 4])))
        value = (
            int(generator.choice([*EXTREMES, int(generator.integers(2**32)), int(generator.integers(1000))])) % 2**32
        )
        data[start : start + 4] = struct.pack(str(generator.choice(["<I", ">I"])), value)
    return data


def splice(data, generator, originals):
    """The start of this file and the end of another one, of any format."""
    other = originals[str(generator.choice(list(FORMATS)))]
    return data[: place(data, generator)] + other[place(bytearray(other), generator) :]


def insert_another(data, generator, originals):
    start = place(data, generator)
    return data[:start] + originals[str(generator.choice(list(FORMATS)))] + data[start:]


DAMAGES = (
    flip_bits,
    replace_bytes,
    zero,
    fill_with_noise,
    delete,
    double,
    swap,
    insert_noise,
    cut_short,
    cut_the_start,
    set_a_field,
    set_a_field,
    set_a_size,
    splice,
    insert_another,
)


# ------------------------------------------------------------------------------------------------------- the processes


class Worker:
    """A process that judges one file after the other, and what it is at."""

    def __init__(self, folder: Path, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.process = context.Process(target=work, args=(theirs, folder, self.folder, seed), daemon=True)
        self.process.start()
        theirs.close()
        self.number, self.deadline = -1, 0.0

    def ask(self, number: int) -> None:
        self.number, self.deadline = number, time.monotonic() + MAX_S
        self.connection.send(number)

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def judge_all(folder: Path, n_files: int, seed: int, kept: Path) -> Counter:
    """Predict every file; (format, outcome) -> how many."""
    outcomes, numbers = Counter(), iter(range(n_files))
    workers = [started(folder, seed) for _ in range(cpu_count())]
    busy = [worker for worker in workers if give(worker, numbers)]
    with tqdm(total=n_files, desc="damaging", unit="file") as progress:
        while busy:
            wait([worker.connection for worker in busy], timeout=0.5)
            for worker in list(busy):
                if (answer := answer_of(worker)) is None:
                    continue
                busy.remove(worker)
                outcome, about = answer
                name = list(FORMATS)[worker.number % len(FORMATS)]
                outcomes[name, outcome] += 1
                progress.update()
                if outcome in FAULTS:
                    keep(worker, kept, f"{worker.number}-{outcome}-{name}".replace(" ", "-"), about)
                if outcome in ("died", "over 20 s", "over 1 GB"):
                    worker.close()
                    workers.remove(worker)
                    workers.append(worker := started(folder, seed))
                if give(worker, numbers):
                    busy.append(worker)
    for worker in workers:
        worker.close()
    return outcomes


def started(folder: Path, seed: int) -> Worker:
    """A worker that has loaded everything."""
    worker = Worker(folder, seed)
    worker.connection.recv()
    return worker


def give(worker: Worker, numbers) -> bool:
    if (number := next(numbers, None)) is not None:
        worker.ask(number)
    return number is not None


def answer_of(worker: Worker) -> tuple[str, str] | None:
    """An outcome and what there is to say about it; None while there is none."""
    try:
        if worker.connection.poll():
            return worker.connection.recv()
    except EOFError:
        worker.process.join()
        return "died", f"exit status {worker.process.exitcode}"
    return ("over 20 s", "") if time.monotonic() > worker.deadline else None


def keep(worker: Worker, kept: Path, name: str, about: str) -> None:
    """Copy the file at fault, and write what happened beside it."""
    kept.mkdir(exist_ok=True)
    shutil.copy(worker.folder / "file", kept / name)
    printed = (worker.folder / "printed").read_text(errors="replace")
    (kept / f"{name}.txt").write_text(f"{about}\n{printed}")


def work(connection: Connection, folder: Path, own: Path, seed: int) -> None:
    """Judge the files whose numbers come, in a worker's process."""
    predictor = Predictor.load(Path(__file__).parents[1] / "models")
    torch.set_num_threads(1)
    originals = {name: (folder / name).read_bytes() for name in FORMATS}
    for name in FORMATS:  # code and memory that every file needs
        judged(predictor, folder / name)
    size = os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (size + MAX_VIRTUAL, -1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    printed = os.open(own / "printed", os.O_RDWR | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(printed, stream)
    connection.send("ready")
    while True:
        os.truncate(printed, 0)
        os.lseek(printed, 0, os.SEEK_SET)
        _, data = mutated(originals, connection.recv(), seed)
        (own / "file").write_bytes(data)
        outcome, about = judged(predictor, own / "file")
        if outcome in GOOD and os.fstat(printed).st_size:
            outcome = "printed"
        connection.send((outcome, about))


def judged(predictor: Predictor, path: Path) -> tuple[str, str]:
    """What becomes of a file, and what there is to say about it."""
    Path("/proc/self/clear_refs").write_text("5")  # the largest size so far is forgotten
    before = memory("VmRSS")
    try:
        analysis = predictor.predict(path)
        outcome, about = ("heard with losses" if analysis.lost_s else "heard"), f"{analysis.duration_s:.1f} s"
        if analysis.duration_s > LONGEST_S:
            outcome = "too long"
    except AudioError as error:
        outcome, about = "refused", str(error)
    except Exception:
        outcome, about = "traceback", traceback.format_exc()
    if memory("VmHWM") - before > MAX_GROWTH:
        outcome = "over 1 GB"
    return outcome, about


def memory(name: str) -> int:
    """Bytes, by the name that Linux has for them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
