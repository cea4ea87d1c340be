"""Every file that passes between the stages: where it lies, which columns it has, how it is written and read.

Written to a temporary name and renamed, so that a killed run leaves no half file; read with a check, so that a missing
or damaged file is one clear sentence. Nothing is pickled.
"""

import csv
import hashlib
import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_learning.errors import UserError

# Importing matplotlib takes a quarter of a second, which predicting files need not wait for; the pipeline brings torch,
# half a gigabyte of memory, which collecting songs has no use for.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from music_learning.audio import PipelineConfig

TARGETS = ("energy", "danceability", "valence")
SPLITS = ("train", "validation", "test")

# What the label source may know besides the three targets; missing is empty, never 0.
OTHER_FEATURES = (
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "loudness_db",
    "tempo_bpm",
    "key",
    "mode",
)
SONG_COLUMNS = (
    *("song_id", "title", "artist", "artist_id", "album", "isrc", "release_year"),
    *TARGETS,
    *OTHER_FEATURES,
    *("source", "label_source", "preview_file", "preview_sha256"),
)
REJECTED_COLUMNS = ("song_id", "title", "artist", "stage", "reason")
SPLIT_COLUMNS = ("song_id", "split")
INDEX_COLUMNS = ("song_id", "frames", "preview_sha256")

SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class DataPaths:
    """Where the collected data lie below one folder."""

    root: Path

    @property
    def songs(self) -> Path:
        return self.root / "songs.csv"

    @property
    def rejected(self) -> Path:
        return self.root / "rejected.csv"

    @property
    def previews(self) -> Path:
        return self.root / "previews"

    @property
    def answers(self) -> Path:
        return self.root / "answers.sqlite"

    @property
    def splits(self) -> Path:
        return self.root / "splits.csv"

    @property
    def spectrograms(self) -> Path:
        return self.root / "spectrograms"

    @property
    def demo(self) -> Path:
        return self.root / "demo"

    def picture(self, name: str) -> Path:
        return self.root / "pictures" / f"{name}.png"

    def preview(self, song: dict[str, str]) -> Path:
        """The clip of one row of songs.csv. Raises UserError for a file name that isn't `<song_id>.<suffix>`."""
        name = song["preview_file"]
        if not SAFE_ID.fullmatch(song["song_id"]) or not re.fullmatch(
            re.escape(song["song_id"]) + r"\.[A-Za-z0-9]{1,5}", name
        ):
            raise UserError(f"{self.songs} has an unsafe preview_file {name!r}; make it with data_collection.py")
        return self.previews / name


@dataclass(frozen=True)
class ModelPaths:
    """Where the trained models lie below one folder."""

    root: Path

    def weights(self, target: str) -> Path:
        return self.root / f"{target}.safetensors"

    def description(self, target: str) -> Path:
        return self.root / f"{target}.json"

    @property
    def results(self) -> Path:
        return self.root / "results.csv"

    def predictions(self, target: str, split: str, *, cached: bool = False) -> Path:
        """Predictions for a split; `cached` ones only serve a run that goes on after it was stopped."""
        return self.root / ("checkpoints" if cached else "predictions") / f"{target}_{split}.csv"

    def checkpoint(self, name: str) -> Path:
        return self.root / "checkpoints" / f"{name}.safetensors"

    def picture(self, name: str) -> Path:
        return self.root / "pictures" / f"{name}.png"

    @property
    def intervals(self) -> Path:
        return self.root / "intervals.json"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def familiarity(self) -> Path:
        return self.root / "familiarity.safetensors"

    @property
    def previous(self) -> Path:
        return self.root / "previous"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    A link is followed. Raises UserError where the file can't be written.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


def check_output(path: Path) -> None:
    """Raise UserError unless `path` can become a file: before long work, so that it isn't done for nothing."""
    if (path.exists() and not path.is_file()) or not path.absolute().parent.is_dir():
        raise UserError(f"{path} can't be written: name a file in a folder that exists")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict]) -> None:
    """Write rows as UTF-8 CSV with exactly these columns; None becomes empty."""
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        # Before Python 3.13 a lone carriage return is not quoted, and ends the row when it is read.
        quoting = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for row in rows:
            (quoting if any("\r" in str(value) for value in row.values()) else writer).writerow(row)


def read_table(path: Path, columns: Iterable[str], made_by: str) -> list[dict[str, str]]:
    """Read a CSV that another stage wrote; every value is text.

    Raises:
        UserError: it is missing, no CSV, or lacks one of `columns`; the message names `made_by`, the command to run.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            rows = list(reader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run {made_by} first") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} can't be read as CSV ({error}); make it again with {made_by}") from None
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; make it again with {made_by}")
    if any(None in row or None in row.values() for row in rows):
        raise UserError(f"{path} has a row with too few or too many values; make it again with {made_by}")
    return rows


def write_json(path: Path, value: dict | list[dict]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, made_by: str) -> dict:
    """Read a JSON object that another stage wrote. Raises UserError where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run {made_by} first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); make it again with {made_by}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (not a JSON object); make it again with {made_by}")
    return value


def read_pipeline_config(values: object, path: Path, made_by: str) -> "PipelineConfig":
    """The pipeline settings stored in the JSON file `path`. Raises UserError where they are damaged or others."""
    from music_learning.audio import PipelineConfig

    try:
        return PipelineConfig.from_dict(values)
    except TypeError as error:
        raise UserError(
            f"{path} is damaged or of another version ({error}); delete it and make it again with {made_by}"
        ) from None


def read_songs(paths: DataPaths) -> list[dict[str, str]]:
    """The rows of songs.csv. Raises UserError where it is missing or damaged, or a label isn't a number from 0 to 1."""
    songs = read_table(paths.songs, SONG_COLUMNS, "data_collection.py")
    for song in songs:
        for target in TARGETS:
            if (value := parse_number(song[target])) is None or not 0 <= value <= 1:
                raise UserError(
                    f"{paths.songs}: the {target} of {song['song_id']} is {song[target]!r}, no number from 0 to 1"
                )
    return songs


def parse_number(text: str) -> float | None:
    """The finite number that a text holds, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_atomically(source: Path, destination: Path) -> None:
    with atomic(destination) as temporary:
        shutil.copyfile(source, temporary)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a matplotlib figure as PNG."""
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a title in another script shows boxes
        figure.savefig(temporary, dpi=100, format="png")


class SpectrogramSet:
    """A growing set of spectrograms on disk: read through a memory map, so that it may be larger than memory.

    Three files in one folder: `pipeline.json` with the front end's settings; `spectrograms.f16`, rows of `n_rows` x
    `clip_frames` little-endian float16, as the pipeline makes them; `index.csv`, whose line k says which song row k is,
    how many frames are valid, and which preview it was made from. A row is written before its line in the index, so
    whatever kills a run, each line has its row. A song that was computed again has a new row; its last one counts.
    """

    def __init__(self, folder: Path, config: "PipelineConfig", index: list[dict[str, str]]) -> None:
        self.folder = folder
        self.config = config
        self.shape = (config.n_rows, config.clip_frames)
        self.index = index
        self.rows = {line["song_id"]: row for row, line in enumerate(index)}
        self.mapped = np.empty((0, *self.shape), "<f2")  # the rows as `spectrogram` reads them, mapped when it is asked

    @classmethod
    def open(cls, folder: Path, made_by: str = "data_loading.py") -> "SpectrogramSet":
        """Open a set for reading. Raises UserError where it is missing or damaged."""
        described = folder / "pipeline.json"
        config = read_pipeline_config(read_json(described, made_by), described, made_by)
        index = read_table(folder / "index.csv", INDEX_COLUMNS, made_by)
        spectrograms = cls(folder, config, index)
        data = folder / "spectrograms.f16"
        if not data.exists() or data.stat().st_size < len(index) * spectrograms.row_bytes:
            raise UserError(f"{data} is shorter than its index; delete {folder} and run {made_by} again")
        for line in index:
            if not line["frames"].isdecimal() or not 0 < int(line["frames"]) <= config.clip_frames:
                raise UserError(f"{folder / 'index.csv'} is damaged; delete {folder} and run {made_by} again")
        return spectrograms

    @classmethod
    def create(cls, folder: Path, config: "PipelineConfig") -> "SpectrogramSet":
        """Open a set for appending, made where there is none.

        A half-written row or index line at the end, left by a killed run, is cut off. Raises UserError where the set
        was made with other settings.
        """
        described = folder / "pipeline.json"
        if not (described.exists() and (folder / "index.csv").exists()):
            write_table(folder / "index.csv", INDEX_COLUMNS, [])
            (folder / "spectrograms.f16").write_bytes(b"")
            write_json(described, config.to_dict())
        text = (folder / "index.csv").read_bytes()
        if not text.endswith(b"\n"):
            os.truncate(folder / "index.csv", text.rfind(b"\n") + 1)
        spectrograms = cls.open(folder)
        if difference := spectrograms.config.differences(config):
            raise UserError(
                f"{folder} was made with other settings than this run's: {difference}; "
                f"delete {folder} and run data_loading.py again"
            )
        os.truncate(folder / "spectrograms.f16", len(spectrograms.index) * spectrograms.row_bytes)
        return spectrograms

    @property
    def row_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * 2

    def has(self, song: dict[str, str]) -> bool:
        """Whether there is a spectrogram of this song, made from this very preview."""
        row = self.rows.get(song["song_id"])
        return row is not None and self.index[row]["preview_sha256"] == song["preview_sha256"]

    def append(self, items: list[tuple[dict[str, str], np.ndarray]]) -> None:
        """Add songs with their spectrograms (n_rows, frames); at most `clip_frames` frames are kept."""
        try:
            self._append(items)
        except OSError as error:
            raise UserError(f"{self.folder} can't be written: {error.strerror}") from None

    def _append(self, items: list[tuple[dict[str, str], np.ndarray]]) -> None:
        lines = []
        with open(self.folder / "spectrograms.f16", "ab") as data:
            for song, spectrogram in items:
                frames = min(spectrogram.shape[1], self.shape[1])
                row = np.full(self.shape, self.config.floor_db, "<f2")
                row[:, :frames] = spectrogram[:, :frames]
                data.write(row.tobytes())
                lines.append(
                    {"song_id": song["song_id"], "frames": str(frames), "preview_sha256": song["preview_sha256"]}
                )
            data.flush()
            os.fsync(data.fileno())
        with open(self.folder / "index.csv", "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, INDEX_COLUMNS, lineterminator="\n").writerows(lines)
        for line in lines:
            self.rows[line["song_id"]] = len(self.index)
            self.index.append(line)

    def memory_map(self) -> np.ndarray:
        """All rows, (rows, n_rows, clip_frames) float16, read only. Beyond its `frames` a row is `floor_db`."""
        if not self.index:
            raise UserError(f"{self.folder} holds no spectrogram; run data_loading.py first")
        shape = (len(self.index), *self.shape)
        return np.memmap(self.folder / "spectrograms.f16", "<f2", mode="r", shape=shape)

    def spectrogram(self, song_id: str) -> np.ndarray:
        """One song's spectrogram, (n_rows, valid frames) float16, read only."""
        if len(self.mapped) != len(self.index):
            self.mapped = self.memory_map()
        return self.mapped[self.rows[song_id], :, : self.frames(song_id)]

    def frames(self, song_id: str) -> int:
        """The number of valid frames of one song's row."""
        return int(self.index[self.rows[song_id]]["frames"])


class SpectrogramSets:
    """Several sets, made with the same settings, that are read as one; the first that has a song counts."""

    def __init__(self, sets: list[SpectrogramSet]) -> None:
        """Raises UserError where the sets were made with different settings."""
        self.sets = sets
        self.config = sets[0].config
        for other in sets[1:]:
            if difference := self.config.differences(other.config):
                raise UserError(
                    f"{sets[0].folder} and {other.folder} were made with different settings: {difference}; "
                    f"delete {other.folder} and run data_loading.py again"
                )

    def _holding(self, song_id: str) -> SpectrogramSet:
        return next(spectrograms for spectrograms in self.sets if song_id in spectrograms.rows)

    def spectrogram(self, song_id: str) -> np.ndarray:
        """One song's spectrogram, (n_rows, valid frames) float16, read only."""
        return self._holding(song_id).spectrogram(song_id)

    def frames(self, song_id: str) -> int:
        """The number of valid frames of one song's row."""
        return self._holding(song_id).frames(song_id)
