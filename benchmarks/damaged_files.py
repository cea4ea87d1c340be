"""Damaged, truncated, hostile files in the folders of the models and the data: what does each reader say?

    python benchmarks/damaged_files.py
    python benchmarks/damaged_files.py no_music        only the files whose names hold this word

The released models and the demo's songs are copied to a temporary folder, with a checkpoint and predictions made up
here. Each file is damaged in every way of its kind, and read as the commands read it, in a process of its own. Good is
a sentence (UserError), or the same result as of whole files; or the one without a checkpoint, if that is damaged; or
another one that makes sense, where a value was changed to one that could have been meant. Bad is another exception, a
result without sense, more than a second of computing (or 10 s of waiting), more than 1 GB of memory, of which the
imports take half. Some are shown to real commands. Takes about five minutes.
"""

import gc
import hashlib
import json
import math
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from tqdm import tqdm

from music_learning.columns import SPLIT_COLUMNS, SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.evaluation.conformal import Interval, without_interval, write_intervals
from music_learning.evaluation.predictions import read_predictions, write_predictions
from music_learning.evaluation.report import RESULT_COLUMNS, update_results
from music_learning.files import write_table
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.paths import DataPaths, ModelPaths
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of
from music_learning.songs.artists import assign_splits
from music_learning.songs.corpus import read_corpus
from music_learning.songs.table import read_song_rows, read_songs, read_splits
from music_learning.training.checkpoint import TrainingRun
from music_learning.training.config import TrainingConfig
from music_learning.training.description import weights_trained_with

ROOT = Path(__file__).parents[1]
MAX_S, MAX_BYTES, GIVEN_UP_S = 1.0, 10**9, 10
SETTINGS = TrainingConfig(network=NetworkConfig(stem_channels=(2, 3), channels=4, n_blocks=1, hidden=5))
SEED = 0
DEEP = "@deep@"  # stands for a list of lists of lists ..., which json.dumps can't write
HOSTILE_VALUES = (
    *(None, True, "0.5", "", [], {}, [None], "x" * 10_000, DEEP),
    *(-1, -0.5, 1e-300, 0.5, 10**9, 10**400, -(10**400), math.nan, math.inf, -math.inf, 1e308),
)
HOSTILE_TEXTS = (
    *(
        "",
        "nan",
        "inf",
        "-1",
        "0",
        "1e30",
        "9" * 400,
        "1.5",
        "0x1f",
        "1_0",
        "٣",
        "../../etc/passwd",
        "a\0b",
        "x" * 200_000,
    ),
    *("-0.5", "a\nb", '"', "None", "true"),
)


# The folder of whole files.


def make_checkpoint() -> TrainingRun:
    """A small network after one step."""
    torch.manual_seed(SEED)
    training = TrainingRun(MoodNetwork(replace(SETTINGS.network, outputs=TARGETS)), SETTINGS)
    training.network(torch.randn(2, 96, 64)).sum().backward()
    training.optimizer.step()
    training.history.append(([0.5, 0.5, 0.5], None))
    training.validated([0.4, 0.5, 0.6], 1)
    return training


def make_folder(root: Path) -> None:
    """Fill `root` with models/ and data/ as the stages leave them."""
    shutil.copytree(ROOT / "models", root / "models", ignore=shutil.ignore_patterns("pictures", "predictions"))
    shutil.copytree(ROOT / "data" / "demo", root / "data")
    data, models = DataPaths(root / "data"), ModelPaths(root / "models")
    songs = read_songs(data)
    splits = [{"song_id": song_id, "split": SPLITS[k % 3]} for k, song_id in enumerate(songs.index)]
    write_table(data.splits, SPLIT_COLUMNS, splits)
    write_predictions(models.predictions("energy", "fold", cached=True), songs["energy"], songs["energy"])
    make_checkpoint().save(models.checkpoint("training"))


# How the commands read it. Each returns what it made of the files, which must make sense.


def read_models(root: Path) -> dict:
    predictor = Predictor.load(root / "models")
    saved = SavedSongs.open(DataPaths(ROOT / "data" / "demo"))
    saved.check_pipeline(predictor.pipeline.config)
    analysis = saved.analyse(saved.songs[0], predictor)
    result = analysis.to_dict()
    for target in TARGETS:
        assert 0 <= analysis.values[target] <= 1 and 0 <= analysis.percentiles[target] <= 100
        predictor.descriptions[target].get("metrics", {}).get("test", {}).get("mae")  # as the page does
    for low, high in analysis.intervals.values():
        assert 0 <= low <= high <= 1
    assert all(0 <= song.similarity_percentile <= 100 for song in analysis.similar_songs)
    return result


def read_data(root: Path) -> dict:
    paths = DataPaths(root / "data")
    corpus = read_corpus(paths)
    mean, std = corpus.band_statistics
    assert mean.isfinite().all() and std.isfinite().all() and (mean >= -100).all() and (mean < 20).all()
    songs = read_songs(paths)
    saved = SavedSongs.open(paths)
    for song in saved.songs:
        assert all(0 <= label <= 1 for label in labels_of(song).values())
        if song["song_id"] not in saved.spectrograms.rows:
            continue  # which is a sentence when the song is asked for
        spectrogram = saved.spectrograms.tensor(song["song_id"])
        assert spectrogram.isfinite().all() and spectrogram.shape[1] >= 16
    assert saved.songs == read_song_rows(paths)
    splits = assign_splits(songs, read_splits(paths), seed=0)
    return {"fingerprint": corpus.fingerprint, "mean": mean.tolist(), "songs": saved.songs, "splits": splits.to_dict()}


def read_intervals_anew(root: Path) -> dict:
    """What a cross-validation does with the models that are there."""
    paths = ModelPaths(root / "models")
    corpus = read_corpus(DataPaths(ROOT / "data" / "demo" if not (root / "data").is_dir() else root / "data"))
    trained = weights_trained_with(corpus, SETTINGS, paths)
    missing = without_interval(paths, dict.fromkeys(TARGETS, "0" * 64))
    write_intervals(paths, {"valence": Interval((0, 1, 0), (0, 1, 0), 0.1)}, {"valence": {}}, {})
    return {"trained": trained, "missing": missing}


def read_checkpoint(root: Path) -> dict:
    """A checkpoint that is damaged is none: the run starts anew."""
    torch.manual_seed(SEED)
    training = TrainingRun(MoodNetwork(replace(SETTINGS.network, outputs=TARGETS)), SETTINGS)
    training.load(ModelPaths(root / "models").checkpoint("training"))
    training.network(torch.randn(2, 96, 64)).sum().backward()
    training.optimizer.step()
    if training.history:
        training.validated([0.4, 0.5, 0.6], 3)
        training.stalled(1, 3)
    assert all(tensor.isfinite().all() for tensor in training.network.state_dict().values())
    hashed = hashlib.sha256(b"".join(t.detach().numpy().tobytes() for t in training.network.parameters()))
    return {"history": training.history, "best": training.best_loss, "weights": hashed.hexdigest()}


def read_cached_predictions(root: Path) -> dict:
    songs = read_songs(DataPaths(ROOT / "data" / "demo"))
    predicted = read_predictions(ModelPaths(root / "models").predictions("energy", "fold", cached=True), songs)
    assert list(predicted.index) == list(songs.index) and predicted.between(0, 1).all()
    return predicted.to_dict()


def read_results(root: Path) -> dict:
    path = ModelPaths(root / "models").results
    row = dict.fromkeys(RESULT_COLUMNS, 0.5) | {"target": "energy", "model": "ours", "split": "new", "n": 5}
    update_results(path, [row])
    return {"text": path.read_text(encoding="utf-8")}


READERS = (read_models, read_data, read_intervals_anew, read_checkpoint, read_cached_predictions, read_results)


def readers_of(file: Path) -> list[Callable[[Path], dict]]:
    if file.parts[0] == "data":
        return [read_data]
    if file.parts[1] == "checkpoints":
        return [read_checkpoint if file.suffix == ".safetensors" else read_cached_predictions]
    if file.name == "results.csv":
        return [read_results]
    reads_anew = file.suffix == ".json"
    return [read_models, read_intervals_anew] if reads_anew else [read_models]


# The kinds of damage. Each gives names and functions of the file's path.


def whole_file_damages(others: list[Path]) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Damages that any file can have."""

    def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(change(path.read_bytes()))

    def flipped(data: bytes, place: float) -> bytes:
        k = min(int(place * len(data)), len(data) - 1)
        return data[:k] + bytes([data[k] ^ 0xFF]) + data[k + 1 :]

    def instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            path.unlink()
            make(path)

        return change

    def sparse(path: Path) -> None:
        path.touch()
        os.truncate(path, 3 * 10**9)

    yield "missing", Path.unlink
    yield "emptied", content(lambda data: b"")
    for share in (0.01, 0.5, 0.9):
        yield f"truncated to {share:.0%}", content(lambda data, share=share: data[: int(share * len(data))])
    for n in (1, 7):
        yield f"{n} bytes shorter", content(lambda data, n=n: data[:-n])
    yield "a byte longer", content(lambda data: data + b"\0")
    for place in (0, 0.001, 0.37, 0.83, 1):
        yield f"a byte flipped at {place:.1%}", content(lambda data, place=place: flipped(data, place))
    yield "zeros", content(lambda data: bytes(len(data)))
    yield (
        "zeros in the middle",
        content(
            lambda data: data[: len(data) // 2] + bytes(min(len(data) // 4, 10_000)) + data[len(data) // 2 :][10_000:]
        ),
    )
    yield "random bytes", content(lambda data: np.random.default_rng(SEED).bytes(len(data)))
    yield "HTML", content(lambda data: b"<!DOCTYPE html><html><body>404</body></html>\n" * 40)
    yield "a folder", instead(Path.mkdir)
    yield "a pipe", instead(os.mkfifo)
    yield "a link to nothing", instead(lambda path: path.symlink_to("nowhere"))
    yield "/dev/zero", instead(lambda path: path.symlink_to("/dev/zero"))
    yield "3 GB of nothing", instead(sparse)
    for other in others:
        yield f"is {other.name}", lambda path, other=other: shutil.copyfile(other, path)


def leaves(value: object, above: tuple = ()) -> Iterator[tuple]:
    """The way to every value in a JSON value, objects and lists among them."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from leaves(below, (*above, key))


def replaced(value: object, way: tuple, new: object) -> object:
    if not way:
        return new
    copy = value.copy()
    copy[way[0]] = replaced(value[way[0]], way[1:], new)
    return copy


def json_damages(text: str, n_values: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each value replaced by `n_values` of the hostile ones, and each left out; and the text as a whole."""
    value, taken = json.loads(text), count()

    def writing(changed: object) -> Callable[[Path], None]:
        written = json.dumps(changed).replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000)
        return lambda path: path.write_text(written, encoding="utf-8")

    for way in leaves(value):
        if way[0] == "training" and len(way) > 1:  # which nothing reads one by one
            continue
        name = ".".join(map(str, way))
        for _ in range(n_values):
            hostile = HOSTILE_VALUES[next(taken) % len(HOSTILE_VALUES)]
            yield f"{name} = {str(hostile)[:12]}", writing(replaced(value, way, hostile))
        holder = value
        for key in way[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and len(way) < 2:
            shorter = {key: kept for key, kept in holder.items() if key != way[-1]}
            yield f"without {name}", writing(replaced(value, way[:-1], shorter))
    yield "a value more", writing(value | {"more": 1})
    yield "a list", writing([value])
    yield "null", writing(None)
    yield "deep", writing(DEEP)
    yield "a number of 5000 digits", lambda path: path.write_text(text.replace(": ", ": " + "9" * 5_000, 1))
    yield "UTF-16", lambda path: path.write_text(text, encoding="utf-16")
    yield "19 MB of lists", lambda path: path.write_text('{"a": [' + "[]," * 6_300_000 + "1]}")
    yield "9 MB of objects", lambda path: path.write_text('{"a": [' + "{}," * 3_000_000 + "1]}")


def tensor_damages(file: Path, n_kinds: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each tensor (of many, some) changed in `n_kinds` of the ways; and the header as a whole."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = from_safetensors(file.read_bytes())  # not mapped, since the file will be changed

    def changed(tensor: torch.Tensor) -> dict[str, torch.Tensor | None]:
        filled = tensor.double().reshape(-1)
        spoilt = {}
        for number in (math.nan, math.inf, -math.inf):
            copy = filled.clone()
            copy[-1:] = number
            spoilt[f"{number} in it"] = copy.view(tensor.shape).to(tensor.dtype)
        return {
            "missing": None,
            "without rows": tensor[:0] if tensor.dim() else torch.zeros(0, dtype=tensor.dtype),
            "a row less": tensor[1:] if tensor.dim() else tensor[None],
            "a row more": torch.cat([tensor, tensor[-1:]]) if tensor.dim() else torch.stack([tensor, tensor]),
            "flat": tensor.reshape(-1) if tensor.dim() > 1 else tensor[None],
            "another dimension": tensor[..., None],
            "transposed": tensor.T.contiguous() if tensor.dim() == 2 else tensor.reshape(1, -1),
            "one number": tensor.reshape(-1)[0],
            **{str(dtype): tensor.to(dtype) for dtype in (torch.float64, torch.int8, torch.bool, torch.complex64)},
            **{str(dtype): tensor.to(dtype) for dtype in (torch.bfloat16, torch.int64)},
            **(spoilt if tensor.is_floating_point() else {}),
            "negative": -tensor.abs() - 1 if tensor.dtype != torch.bool else tensor.int() - 1,
            "huge": (tensor.double() * 0 + 6e4).to(tensor.dtype),
        }

    def writing(others: dict[str, torch.Tensor], meta: dict | None = metadata) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(to_safetensors(others, meta))

    taken = count()
    for name, tensor in [*tensors.items()][:: 1 + len(tensors) // 25]:
        kinds = changed(tensor)
        for _ in range(min(n_kinds, len(kinds))):
            kind = [*kinds][next(taken) % len(kinds)]
            others = {k: t for k, t in (tensors | {name: kinds[kind]}).items() if t is not None}
            yield f"{name}: {kind}", writing(others)
    yield "no tensors", writing({})
    yield "a tensor more", writing(tensors | {"more": torch.zeros(3)})
    yield "metadata gone", writing(tensors, None)
    for key in metadata or ():
        for text in ("x", "[" * 100_000, "{}", "[1, 2]"):
            yield f"metadata {key} = {text[:5]}", writing(tensors, metadata | {key: text})
        yield f"metadata {key} gone", writing(tensors, {k: v for k, v in metadata.items() if k != key})
    yield from header_damages(file)


def header_damages(file: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """A safetensors header that lies."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    first = next(name for name in header if name != "__metadata__")

    def writing(changed: dict, body: bytes = data[8 + length :]) -> Callable[[Path], None]:
        text = json.dumps(changed).encode()
        return lambda path: path.write_bytes(struct.pack("<Q", len(text)) + text + body)

    for shape in ([10**9, 10**9], [10**18], [-1], [0], [], ["3"], [2**64], [1.5]):
        yield f"header: shape {shape}", writing(header | {first: header[first] | {"shape": shape}})
    for offsets in ([0, 10**12], [10**12, 10**13], [8, 0], [-8, 0]):
        yield f"header: offsets {offsets}", writing(header | {first: header[first] | {"data_offsets": offsets}})
    for dtype in ("F64", "I8", "U8", "X"):
        yield f"header: {dtype}", writing(header | {first: header[first] | {"dtype": dtype}})
    for claimed in (0, 10, 10**8, 10**12, 2**63, 2**64 - 1):
        yield f"header: {claimed} long", lambda path, n=claimed: path.write_bytes(struct.pack("<Q", n) + data[8:])
    yield "header: 90 MB", lambda path: path.write_bytes(struct.pack("<Q", 90_000_000) + b" " * 90_000_000)
    empty = {f"t{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(300_000)}
    yield "header: 300,000 tensors", writing(empty, b"")


def table_damages(text: str, n_texts: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each column left out, doubled and with `n_texts` of the hostile ones; and the table as a whole."""
    import csv
    import io

    header, *rows = csv.reader(io.StringIO(text, newline=""))

    def writing(new_header: list[str], new_rows: list[list[str]], encoding: str = "utf-8", **options) -> Callable:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n", **options).writerows([new_header, *new_rows])
        return lambda path: path.write_bytes(out.getvalue().encode(encoding))

    taken = count()
    for k, column in enumerate(header):
        without = [[*row[:k], *row[k + 1 :]] for row in rows]
        yield f"without {column}", writing([*header[:k], *header[k + 1 :]], without)
        yield f"{column} twice", writing([*header, column], [[*row, row[k]] for row in rows])
        for _ in range(n_texts):
            hostile, (first, *rest) = HOSTILE_TEXTS[next(taken) % len(HOSTILE_TEXTS)], rows
            yield f"{column} = {hostile[:8]!r}", writing(header, [[*first[:k], hostile, *first[k + 1 :]], *rest])
    yield "no rows", writing(header, [])
    yield "one row", writing(header, rows[:1])
    yield "rows gone", writing(header, rows[: len(rows) // 2])
    yield "rows twice", writing(header, [*rows, *rows])
    yield "a short row", writing(header, [rows[0][:-1], *rows[1:]])
    yield "a long row", writing(header, [[*rows[0], "x"], *rows[1:]])
    yield "no header", writing(rows[0], rows[1:])
    yield "semicolons", writing(header, rows, delimiter=";")
    yield "UTF-16", writing(header, rows, "utf-16")
    yield "an open quote", lambda path: path.write_text(text.replace(",", ',"', 1), encoding="utf-8")
    yield "a line of 30 MB", lambda path: path.write_text(text + "x" * 30_000_000, encoding="utf-8")
    yield "a line of 30 M commas", lambda path: path.write_text(text + "," * 30_000_000, encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """One damage of one file. `rehashed`: a model's description has the hash of the damaged weights."""

    file: Path  # below the folder
    kind: str
    name: str
    damage: Callable[[Path], None] | None
    rehashed: bool = False


def all_cases(root: Path) -> Iterator[Case]:
    """The damages of every file that the stages leave."""
    models = [f"models/{name}" for name in ("intervals.json", "no_music.safetensors", "index/embeddings.safetensors")]
    models += ["models/index/songs.csv", "models/results.csv", "models/energy.json", "models/energy.safetensors"]
    models += ["models/checkpoints/training.safetensors", "models/checkpoints/energy_fold.csv"]
    spectrograms = [f"data/spectrograms/{name}" for name in ("pipeline.json", "index.csv", "spectrograms.f16")]
    files = [Path(name) for name in (*models, "data/songs.csv", "data/splits.csv", *spectrograms)]
    others = [root / "models" / name for name in ("danceability.safetensors", "danceability.json")]
    others.append(root / "data" / "songs.csv")
    for file in files:
        path = root / file
        for name, damage in whole_file_damages([other for other in others if other != path]):
            yield Case(file, "file as a whole", name, damage)
        if file.suffix == ".json":
            n_values = 3 if file.name == "pipeline.json" else 1
            for name, damage in json_damages(path.read_text(encoding="utf-8"), n_values):
                yield Case(file, "JSON", name, damage)
        elif file.suffix == ".safetensors":
            many = len(read_header(path)) > 10
            for name, damage in tensor_damages(path, 1 if many else 8):
                yield Case(file, "tensors", name, damage, rehashed=file.stem in TARGETS)
        elif file.suffix == ".csv":
            for name, damage in table_damages(
                path.read_text(encoding="utf-8"), 12 if len(read_columns(path)) < 5 else 2
            ):
                yield Case(file, "table", name, damage)


def read_columns(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").partition("\n")[0].split(",")


def read_header(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


# Measuring.


@dataclass(frozen=True)
class Outcome:
    """How reading ended: `said` is an error's message, or what isn't good."""

    ending: str  # one of GOOD or BAD; anew: the training starts as if there was no checkpoint
    said: str = ""
    seconds: float = 0.0  # of computing
    bytes: int = 0


GOOD = ("sentence", "same", "anew", "other")
BAD = ("traceback", "senseless", "slow", "memory")


def read_as(reader: Callable[[Path], dict], root: Path) -> tuple[str, object]:
    try:
        return "result", reader(root)
    except UserError as error:
        is_sentence = 20 < len(str(error)) < 1_500 and "\n" not in str(error)
        return ("memory" if "allocate" in str(error) else "sentence" if is_sentence else "senseless"), str(error)
    except AssertionError as error:
        return "senseless", f"senseless result {error}"
    except MemoryError as error:
        return "memory", repr(error)
    except BaseException as error:
        return ("memory" if "allocate" in str(error) else "traceback"), f"{type(error).__name__}: {str(error)[:200]}"


def in_child(reader: Callable[[Path], dict], root: Path) -> tuple[str, object, float, int]:
    """Read in a forked process: the ending, what came of it, the seconds, the largest resident set in bytes."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        signal.alarm(GIVEN_UP_S)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))  # what asks for more is told no
        start_s = time.process_time()  # others use the machine, too
        ending, result = read_as(reader, root)
        with os.fdopen(sending, "wb") as file:
            pickle.dump((ending, result, time.process_time() - start_s), file)
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as file:
        data = file.read()
    _, status, usage = os.wait4(child, 0)
    if not data:
        return ("slow" if os.WTERMSIG(status) == signal.SIGALRM else "traceback"), f"status {status}", GIVEN_UP_S, 0
    return *pickle.loads(data), usage.ru_maxrss * 1024


def outcome_of(case: Case, root: Path, expected: dict[str, object]) -> Outcome:
    """The worst that a reader made of a damaged file."""
    outcomes = []
    for reader in readers_of(case.file):
        ending, result, seconds, size = in_child(reader, root)
        if ending == "result":
            is_anew = reader is read_checkpoint and not result["history"] and alike(result, expected["anew"])
            ending = "anew" if is_anew else "same" if alike(result, expected[reader.__name__]) else "other"
            result = ""
        if ending in GOOD and size > MAX_BYTES:
            ending = "memory"
        elif ending in GOOD and seconds > MAX_S:
            ending = "slow"
        outcomes.append(Outcome(ending, str(result), seconds, size))
    return max(outcomes, key=lambda outcome: ("same", "anew", "sentence", "other", *BAD).index(outcome.ending))


def alike(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def put_back(path: Path, data: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def put_all_back(root: Path, whole: dict[Path, bytes]) -> None:
    for file, data in whole.items():
        put_back(root / file, data)


def measure(case: Case, root: Path, whole: dict[Path, bytes], expected: dict[str, object]) -> Outcome:
    path = root / case.file
    case.damage(path)
    described = path.with_suffix(".json")
    if case.rehashed:
        description = json.loads(whole[described.relative_to(root)])
        description["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        described.write_text(json.dumps(description))
    try:
        return outcome_of(case, root, expected)
    finally:
        for file in (case.file, described.relative_to(root), Path("models/intervals.json"), Path("models/results.csv")):
            if file in whole:
                put_back(root / file, whole[file])


# Real commands.

COMMANDS = {
    "model_demo.py": "model_demo.py --models {models} --picture {root}/a.png --seed 1",
    "data_loading.py": "data_loading.py --data {data}",
    "model_train.py": "model_train.py --data {data} --models {models} --epochs 1 --device cpu",
}
COMMANDED = {
    "model_demo.py": ("energy.json", "energy.safetensors", "no_music.safetensors", "intervals.json", "index/songs.csv"),
    "data_loading.py": ("songs.csv", "splits.csv", "spectrograms/pipeline.json"),
    "model_train.py": ("splits.csv", "spectrograms/index.csv", "spectrograms/pipeline.json"),
}
COMMANDED_DAMAGES = ("random bytes", "a pipe", "truncated to 50%")


def run_commands(root: Path, whole: dict[Path, bytes]) -> list[str]:
    """Show some damaged files to the commands that read them. Returns what went wrong."""
    wrong, n = [], 0
    damages = dict(whole_file_damages([]))
    for command, files in COMMANDED.items():
        words = [
            word.format(root=root, data=root / "data", models=root / "models") for word in COMMANDS[command].split()
        ]
        for file in files:
            name, path = COMMANDED_DAMAGES[n % len(COMMANDED_DAMAGES)], root / "models" / file
            damages[name](path if path.exists() else root / "data" / file)
            try:
                done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
                said = "".join(done.stderr.strip().splitlines()[-1:])
                is_bug = "Traceback" in done.stderr or said.startswith("error: unexpected: ")
                if done.returncode != 1 or is_bug or not said.startswith("error: "):
                    wrong.append(f"{command}, {file}: {name}: status {done.returncode}, {said}")
            except subprocess.TimeoutExpired:
                wrong.append(f"{command}, {file}: {name}: more than 60 s")
            put_all_back(root, whole)
            n += 1
    print(f"{n} runs of real commands: {len(wrong)} without a sentence")
    return wrong


def main() -> int:
    torch.set_num_threads(1)  # else no child could compute
    gc.freeze()  # or every child would copy what it collects
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        make_folder(root)
        whole = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        expected = {}
        for reader in READERS:
            ending, result, seconds, size = in_child(reader, root)
            assert ending == "result", result
            expected[reader.__name__] = result
            print(f"whole files, {reader.__name__}: {seconds:.2f} s, {size / 1e6:.0f} MB", flush=True)
            put_all_back(root, whole)
        ModelPaths(root / "models").checkpoint("training").unlink()
        expected["anew"] = in_child(read_checkpoint, root)[1]
        put_all_back(root, whole)
        cases, outcomes = [], []
        # One after the other, since a child's memory counts what this process holds.
        for case in tqdm(all_cases(root), unit="file", disable=None):
            if word in str(case.file):
                outcomes.append(measure(case, root, whole, expected))
                cases.append(replace(case, damage=None))
                show(cases[-1], outcomes[-1])
        wrong = [] if word else run_commands(root, whole)
    return report(cases, outcomes, wrong)


def show(case: Case, outcome: Outcome) -> None:
    """Print what is bad, and what came out otherwise than of whole files."""
    if outcome.ending not in ("sentence", "same", "anew"):
        said = f"{case.file}: {case.name!r}: {outcome.said[:150]!r}"
        print(f"{outcome.ending:10} {said} {outcome.seconds:.2f} s, {outcome.bytes / 1e6:.0f} MB", flush=True)


def report(cases: list[Case], outcomes: list[Outcome], wrong: list[str]) -> int:
    """Print the table. Returns the exit status."""
    print("\n".join(wrong))
    endings = (*GOOD, *BAD)
    print(f"{'':50}" + "".join(f"{ending:>11}" for ending in endings))
    by_kind = Counter((f"{case.file}, {case.kind}", o.ending) for case, o in zip(cases, outcomes, strict=True))
    for kind in dict.fromkeys(kind for kind, _ in by_kind):
        print(f"{kind:50}" + "".join(f"{by_kind[kind, ending]:11}" for ending in endings))
    n = Counter(outcome.ending for outcome in outcomes)
    n_bad = sum(n[ending] for ending in BAD)
    print(f"{len(cases)} damaged files: " + ", ".join(f"{n[ending]} {ending}" for ending in endings))
    slowest, largest = max(o.seconds for o in outcomes), max(o.bytes for o in outcomes)
    print(f"{n_bad} bad; at most {slowest:.2f} s and {largest / 1e6:.0f} MB")
    return 1 if n_bad or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
