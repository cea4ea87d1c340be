"""What the tests share: synthesised audio, and small data and model folders made from it.

Nothing comes from outside, and nothing is written outside pytest's temporary folders.
"""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np
import pytest
import soundfile
import torch

import data_collection
import data_loading
import model_train
from music_learning import errors
from music_learning.columns import SONG_COLUMNS, SPLIT_COLUMNS, TARGETS
from music_learning.commands import index
from music_learning.evaluation import metrics
from music_learning.files import write_table
from music_learning.library.database import Library
from music_learning.library.schema import COLUMNS
from music_learning.paths import DataPaths, ModelPaths
from music_learning.predict import fit_no_music
from music_learning.predict.predictor import Predictor
from music_learning.songs.table import SONG_DTYPES, to_frame

ROOT = Path(__file__).resolve().parent.parent
CHORD_HZ = (220, 523, 1000, 2093, 3000)  # below the 4 kHz that a rate of 8 kHz can hold
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)  # semitones from a chord's root up
CLIP_S = 3.6
PATIENCE_S = 600  # with a process, which takes a hundredth of it on a machine that has nothing else to do
SURE_S = 120  # until what is sure to come has come; it takes that long only where something is broken
SPLIT_SIZES = {"train": 10, "validation": 4, "test": 4}

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The servers of the tests are on loopback, and a machine's proxy or its own S3 has no part in them.
for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("AWS_")]:
    del os.environ[name]
torch.set_num_threads(1)  # as in the subprocesses below, so that sums are added in the same order


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory) -> Iterator[None]:
    """Keep the temporary files of the tests, and of the processes that they start, out of the real folder of those."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", folder)
        patched.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_resamples() -> Iterator[None]:
    """Intervals of 50 resamples instead of 2,000, which take most of a short training's time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metrics, "N_RESAMPLES", 50)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_sounds() -> Iterator[None]:
    """A detector of what is no music that learned from short sounds, one of each kind, times its weight."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit_no_music, "N_SOUNDS", 1)
        patched.setattr(fit_no_music, "LENGTHS_S", (3.0, 4.0))
        yield


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch) -> Iterator[Path]:
    """A folder of temporary files for one test alone, in which no log has been begun."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    errors._log.cache_clear()
    yield folder
    errors._log.cache_clear()


def chord(*, seconds: float = 4.0, rate_hz: int = 16_000, level: float = 0.4) -> np.ndarray:
    """Five tones that swell and fade, mono (samples,). The slow swell lets a codec's delay of 50 ms pass unnoticed."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * frequency * t + k) for k, frequency in enumerate(CHORD_HZ))
    return level * (1 + 0.4 * np.sin(2 * np.pi * 0.4 * t)) * tones / len(CHORD_HZ)


def tone(*, frequency_hz: float = 1000, seconds: float = 4.0, rate_hz: int = 16_000, level: float = 1.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def notes(chords, *, chord_s: float = 2.0, rate_hz: int = 16_000) -> torch.Tensor:
    """Sines, one chord after the other: each a root in semitones from the A at 220 Hz, and its steps. (samples,)"""
    parts = []
    for root, steps in chords:
        time_s = np.arange(round(chord_s * rate_hz)) / rate_hz
        parts.append(sum(np.sin(2 * np.pi * 220 * 2 ** ((root + step) / 12) * time_s) for step in steps) / len(steps))
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def write_audio(path: Path, samples: np.ndarray, rate_hz: int = 16_000, **options) -> Path:
    """Write with libsndfile; `format` and `subtype` as soundfile has them."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(str(path), "w", rate_hz, channels, **options) as file:
        for start in range(0, len(samples), 10_000):  # one large write of Ogg can overflow libsndfile's stack
            file.write(samples[start : start + 10_000])
    return path


def write_with_ffmpeg(
    path: Path, samples: np.ndarray, rate_hz: int, *, codec: str, container: str | None = None, options=None, tags=None
) -> Path:
    """Write (samples,) or (samples, 2) with FFmpeg's encoders."""
    planes = np.ascontiguousarray(np.atleast_2d(samples.T), np.float32)
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=rate_hz, layout="mono" if len(planes) == 1 else "stereo")
        stream.bit_rate = 160_000
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=stream.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def write_silent_video(path: Path) -> Path:
    """A film of one second without an audio stream."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for brightness in range(10):
            picture = np.full((64, 64, 3), 20 * brightness, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def write_catalog(path: Path, rows: list[dict], *, encoding: str = "utf-8") -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def song_row(song_id: str, **values: str) -> dict[str, str]:
    """A row of songs.csv with only these values; the labels are 0.5."""
    return {**dict.fromkeys(SONG_COLUMNS, ""), **dict.fromkeys(TARGETS, "0.5"), "song_id": song_id, **values}


def song_frame(*rows: dict[str, str]):
    """Rows of songs.csv as `read_songs` gives them."""
    return to_frame(list(rows), SONG_DTYPES, Path("songs.csv"))


def call_main(module, *arguments) -> int:
    """Run a script's `main()` in this process."""
    with patch.object(sys, "argv", [module.__file__, *map(str, arguments)]):
        return module.main()


def start(*command, **options) -> subprocess.Popen:
    """Start Python in the repository's root, with our modules importable."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, env=environment, text=True, encoding="utf-8", **pipes | options
    )


def ended(process: subprocess.Popen) -> tuple[str, str]:
    """What a process says until it ends, by itself: what takes longer than any machine needs is killed, and fails."""
    try:
        return process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def eventually(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + SURE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def run_python(*command) -> subprocess.CompletedProcess:
    with start(*command) as process:
        stdout, stderr = ended(process)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def library_song(number: int) -> dict[str, str]:
    """A catalog row. A loud song is energetic; of each split, the first two songs are by one artist."""
    first_of_split = {sum(list(SPLIT_SIZES.values())[:k]) for k in range(len(SPLIT_SIZES))}
    artist = number + 1 if number in first_of_split else number
    return {
        "song_id": f"song{number:02}",
        "title": f"Title {number}",
        "artist": f"Artist {artist}",
        "release_year": f"{1990 + number}",
        "energy": f"{(number * 7 % 18) / 18:.3f}",
        "danceability": f"{(number * 5 % 18) / 18:.3f}",
        "valence": f"{(number * 11 % 18) / 18:.3f}",
    }


def library_splits() -> list[dict[str, str]]:
    splits = [split for split, size in SPLIT_SIZES.items() for _ in range(size)]
    return [{"song_id": library_song(number)["song_id"], "split": split} for number, split in enumerate(splits)]


def kept_row(path: str, **values) -> dict:
    """A row as a library of a music collection keeps it, of a song that was heard."""
    row = dict.fromkeys(COLUMNS) | {"path": os.fsencode(path), "file": path, "embedding": None}
    return row | {"sha256": f"hash of {path}", "model": "m1", "energy": 0.5} | values


def kept_embedding(*numbers: float) -> bytes:
    """An embedding as a library keeps it."""
    return np.array(numbers, "<f4").tobytes()


def fill_library(path: Path, *songs: dict) -> Path:
    """Make a library with a row for each song, which has the columns given, and else is as one of the models "m1"."""
    with Library.write(path, create=True) as made:
        for number, song in enumerate(songs, start=1):
            file = song.get("file", f"/music/{number}.mp3")
            usual = {"path": os.fsencode(file), "file": file, "model": "m1", "sha256": f"{number:064}", "bytes": 1000}
            embedding = np.asarray(song.get("embedding", [number, 0, 0]), "<f4").tobytes()
            row = dict.fromkeys(COLUMNS) | {"duration_s": 100.0} | usual | song | {"embedding": embedding}
            made.add(row)
    return path


def own_index(models: Path, folder: Path, *, songs: int) -> None:
    """An index of so many songs without tags, in a place where a model finds them."""
    predictor = Predictor.load(models)
    points = np.random.default_rng(0).standard_normal((songs, predictor.training_songs.components.shape[1]))
    version = predictor.models_version
    rows = ({"model": version, "embedding": point, "file": f"/music/s{n}.mp3"} for n, point in enumerate(points))
    path = fill_library(folder.with_suffix(".sqlite"), *rows)
    assert index.main(["--library", str(path), "--to", str(folder), "--models", str(models)]) == 0


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A folder with catalog.csv and clips/: 18 short songs by 15 artists."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "clips").mkdir()
    songs = [library_song(number) for number in range(sum(SPLIT_SIZES.values()))]
    for number, song in enumerate(songs):
        level = 10 ** (-(1 - float(song["energy"])) * 1.5)
        noise = np.random.default_rng(number).standard_normal(round(CLIP_S * 16_000))
        samples = level * (chord(seconds=CLIP_S, level=0.5) + 0.05 * noise)
        write_audio(folder / "clips" / f"{song['song_id']}.wav", samples)
    write_catalog(folder / "catalog.csv", songs)
    return folder


@pytest.fixture(scope="session")
def collected(library, tmp_path_factory) -> Path:
    """The library after stage 1. Read only; copy it to change it."""
    data = tmp_path_factory.mktemp("collected") / "data"
    catalog, clips = library / "catalog.csv", library / "clips"
    assert call_main(data_collection, "--source", "local", "--catalog", catalog, "--audio", clips, "--data", data) == 0
    return data


@pytest.fixture(scope="session")
def loaded(collected, tmp_path_factory) -> Path:
    """The library after stage 2, with a split that is fixed by hand. Read only; copy it to change it."""
    data = tmp_path_factory.mktemp("loaded") / "data"
    shutil.copytree(collected, data)
    write_table(DataPaths(data).splits, SPLIT_COLUMNS, library_splits())
    assert call_main(data_loading, "--data", data) == 0
    return data


@pytest.fixture(scope="session")
def trained(loaded, tmp_path_factory) -> Path:
    """The models after stage 3, trained for one epoch. Read only; copy it to change it."""
    models = tmp_path_factory.mktemp("trained") / "models"
    arguments = ["--epochs", 1, "--members", 1, "--device", "cpu", "--baselines", "mean", "ridge"]
    assert call_main(model_train, *arguments, "--data", loaded, "--models", models) == 0
    assert all(ModelPaths(models).weights(target).exists() for target in TARGETS)
    return models


@pytest.fixture
def own_data(loaded, tmp_path) -> Path:
    """A copy of the library after stage 2, to change."""
    return Path(shutil.copytree(loaded, tmp_path / "data"))


@pytest.fixture
def own_models(trained, tmp_path) -> Path:
    """A copy of the models, to change."""
    return Path(shutil.copytree(trained, tmp_path / "models"))


def some_weights_differ(one, other):
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="session")
def address(trained, loaded):
    """The address of a page in a process of its own."""
    with start("app.py", "--models", trained, "--data", loaded, "--port", 0) as process:
        try:
            yield re.search(r"http://\S+\d", process.stdout.readline())[0]
        finally:
            process.terminate()
