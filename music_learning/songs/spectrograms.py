"""The spectrograms on disk: memory-mapped arrays, the row index, the pipeline's settings."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from music_learning.columns import INDEX_COLUMNS
from music_learning.errors import UserError
from music_learning.files import (
    csv_line,
    read_json,
    read_pipeline_config,
    read_table,
    require_file,
    write_json,
    write_table,
)
from music_learning.pipeline_config import PipelineConfig, shown
from music_learning.songs.table import check_ids

MADE_BY = "data_loading.py"
FRAMES = re.compile("[0-9]{1,9}")
MAX_DB = 1_000  # far more than samples beyond full scale come to


class SpectrogramSet:
    """A growing set of spectrograms on disk: read through a memory map, so that it may be larger than memory.

    Three files in one folder: `pipeline.json` with the front end's settings; `spectrograms.f16`, a row of little-endian
    float16 for each song; `index.csv`, whose line k says which song row k is, how many frames are valid, and which
    preview it was made from. A row holds the mel bands and the peak, (n_mels + 1) x `clip_frames`, and then the
    pitches, each once, though several frames share them: `n_pitches` x frames of pitches. A row is written before its
    line in the index, so whatever kills a run, each line has its row. A song that was computed again has a new row; its
    last one counts.
    """

    def __init__(self, folder: Path, config: PipelineConfig, index: list[dict[str, str]]) -> None:
        self.folder = folder
        self.config = config
        self.levels_shape = (config.n_mels + 1, config.clip_frames)
        self.pitches_shape = (config.n_pitches, len(config.pitch_starts(config.clip_frames)))
        self.index = index
        self.index_bytes = (folder / "index.csv").stat().st_size
        self.rows = {line["song_id"]: row for row, line in enumerate(index)}
        self.mapped = np.empty((0, self.row_size), "<f2")  # the rows, mapped when `spectrogram` is asked
        self.checked: set[int] = set()

    @classmethod
    def open(cls, folder: Path, made_by: str = MADE_BY) -> "SpectrogramSet":
        """Open a set for reading. Raises UserError where it is missing or damaged."""
        described = folder / "pipeline.json"
        config = read_pipeline_config(read_json(described, made_by), described, made_by)
        spectrograms = cls(folder, config, read_table(folder / "index.csv", INDEX_COLUMNS, made_by))
        spectrograms.check(made_by)
        return spectrograms

    @classmethod
    def create(cls, folder: Path, config: PipelineConfig) -> "SpectrogramSet":
        """Open a set for appending, made where there is none.

        A half-written row or index line at the end, left by a killed run, is cut off. Raises UserError where the set
        was made with other settings, or a file of it can't be written.
        """
        try:
            return cls._create(folder, config)
        except OSError as error:
            raise UserError(f"{folder} can't be written: {error.strerror}") from None

    @classmethod
    def _create(cls, folder: Path, config: PipelineConfig) -> "SpectrogramSet":
        described = folder / "pipeline.json"
        if not (described.exists() and (folder / "index.csv").exists()):
            write_table(folder / "index.csv", INDEX_COLUMNS, [])
            (folder / "spectrograms.f16").write_bytes(b"")
            write_json(described, config.to_dict())
        require_file(folder / "index.csv", MADE_BY)
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

    def check(self, made_by: str) -> None:
        """Raise UserError where the rows of the index are none of the data's; a row's own numbers are checked later."""
        again = f"delete {self.folder} and run {made_by} again"
        data, table, config = self.folder / "spectrograms.f16", self.folder / "index.csv", self.config
        if not data.is_file() or data.stat().st_size < len(self.index) * self.row_bytes:
            raise UserError(f"{data} is shorter than its index; {again}")
        check_ids(table, self.rows, made_by)
        for line in self.index:
            is_whole = FRAMES.fullmatch(line["frames"])
            if not is_whole or not config.min_frames <= int(line["frames"]) <= config.clip_frames:
                raise UserError(
                    f"{table} is damaged (the frames of {line['song_id']} are {shown(line['frames'])}, not from "
                    f"{config.min_frames} to {config.clip_frames}); {again}"
                )

    @property
    def row_size(self) -> int:
        """How many numbers a row holds."""
        return math.prod(self.levels_shape) + math.prod(self.pitches_shape)

    @property
    def row_bytes(self) -> int:
        return self.row_size * 2

    def packed(self, spectrogram: np.ndarray) -> np.ndarray:
        """A spectrogram (n_rows, frames) as a row; at most `clip_frames` frames are kept."""
        n_mels, spectrogram = self.config.n_mels, spectrogram[:, : self.config.clip_frames]
        frames = spectrogram.shape[1]
        starts = list(self.config.pitch_starts(frames))
        levels, pitches = (
            np.full(shape, self.config.floor_db, "<f2") for shape in (self.levels_shape, self.pitches_shape)
        )
        levels[:, :frames] = np.concatenate([spectrogram[:n_mels], spectrogram[-1:]])
        pitches[:, : len(starts)] = spectrogram[n_mels:-1, starts]
        return np.concatenate([levels.ravel(), pitches.ravel()])

    def unpacked(self, row: np.ndarray, frames: int) -> np.ndarray:
        """What `packed` made a row of: (n_rows, frames)"""
        size, starts = math.prod(self.levels_shape), [*self.config.pitch_starts(frames), frames]
        levels = row[:size].reshape(self.levels_shape)[:, :frames]
        pitches = row[size:].reshape(self.pitches_shape)[:, : len(starts) - 1]
        return np.concatenate([levels[:-1], pitches.repeat(np.diff(starts), axis=1), levels[-1:]])

    def has(self, song: Mapping[str, str]) -> bool:
        """Whether there is a spectrogram of this song_id, made from the preview with this preview_sha256."""
        row = self.rows.get(song["song_id"])
        return row is not None and self.index[row]["preview_sha256"] == song["preview_sha256"]

    def append(self, items: list[tuple[Mapping[str, str], np.ndarray]]) -> None:
        """Add songs with their spectrograms (n_rows, frames); at most `clip_frames` frames are kept.

        Of a song its song_id and preview_sha256 are needed.
        """
        try:
            self._append(items)
        except OSError as error:
            raise UserError(f"{self.folder} can't be written: {error.strerror}") from None

    def _append(self, items: list[tuple[Mapping[str, str], np.ndarray]]) -> None:
        lines = [
            {
                "song_id": song["song_id"],
                "frames": str(min(spectrogram.shape[1], self.config.clip_frames)),
                "preview_sha256": song["preview_sha256"],
            }
            for song, spectrogram in items
        ]
        text = "".join(csv_line(line, INDEX_COLUMNS) for line in lines).encode()
        data_bytes = len(self.index) * self.row_bytes
        # An append that was stopped in the middle may have left a part of it, which is cut off.
        with _opened_at(self.folder / "spectrograms.f16", data_bytes) as data:
            for _, spectrogram in items:
                data.write(self.packed(spectrogram).tobytes())
            data.flush()
            os.fsync(data.fileno())
        with _opened_at(self.folder / "index.csv", self.index_bytes) as file:
            file.write(text)
        rows = self.rows | {line["song_id"]: row for row, line in enumerate(lines, len(self.index))}
        index, index_bytes = self.index + lines, self.index_bytes + len(text)
        self.rows, self.index, self.index_bytes = rows, index, index_bytes  # at once, so that they fit together

    def memory_map(self) -> np.ndarray:
        """All rows, (rows, row_size) float16, read only. Beyond its `frames` a row is `floor_db`."""
        if not self.index:
            raise UserError(f"{self.folder} holds no spectrogram; run data_loading.py first")
        shape = (len(self.index), self.row_size)
        return np.memmap(self.folder / "spectrograms.f16", "<f2", mode="r", shape=shape)

    def spectrogram(self, song_id: str) -> np.ndarray:
        """One song's spectrogram, (n_rows, valid frames) float16. Raises UserError where it is damaged."""
        if len(self.mapped) != len(self.index):
            self.mapped = self.memory_map()
        row = self.rows[song_id]
        clip = self.unpacked(self.mapped[row], self.frames(song_id))
        if row not in self.checked:
            lowest = self.config.floor_db - 1
            levels = clip.astype(np.float32)
            has_hole = not levels.any(axis=1).all()  # zeros are 0 dB, as loud as can be, in which no band stays
            if has_hole or not (levels.min() >= lowest and levels.max() <= MAX_DB):  # NaN is neither
                raise UserError(
                    f"{self.folder / 'spectrograms.f16'} is damaged (the spectrogram of {song_id} has levels that none "
                    f"can have); delete {self.folder} and run {MADE_BY} again"
                )
            self.checked.add(row)
        return clip

    def tensor(self, song_id: str) -> Tensor:
        """One song's spectrogram to compute with, (n_rows, valid frames) float32."""
        return torch.from_numpy(self.spectrogram(song_id).astype(np.float32))

    def frames(self, song_id: str) -> int:
        """The number of valid frames of one song's row."""
        return int(self.index[self.rows[song_id]]["frames"])


@contextmanager
def _opened_at(path: Path, end: int) -> Iterator[BinaryIO]:
    """A file that is there, to be written from `end` on; what it has beyond that is cut off."""
    with open(path, "r+b") as file:
        file.truncate(end)
        file.seek(end)
        yield file


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
        """One song's spectrogram, (n_rows, valid frames) float16."""
        return self._holding(song_id).spectrogram(song_id)

    def tensor(self, song_id: str) -> Tensor:
        """One song's spectrogram to compute with, (n_rows, valid frames) float32."""
        return self._holding(song_id).tensor(song_id)

    def frames(self, song_id: str) -> int:
        """The number of valid frames of one song's row."""
        return self._holding(song_id).frames(song_id)
