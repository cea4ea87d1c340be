"""The songs of a training run, with their splits, artists and spectrograms."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from music_learning.columns import SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.paths import DataPaths
from music_learning.songs.artists import artist_groups, by_other_artists
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets
from music_learning.songs.table import read_songs, read_splits, text_rows

EXTRA = "extra"  # in place of a split: the song only joins the training


@dataclass(frozen=True)
class Corpus:
    """Songs with their spectrograms.

    `songs` are as `read_songs` gives them, with two more columns: `split` is one of SPLITS, or `extra` for songs that
    only join the training, or another word for songs that take no part; `group` names the song's group of artists, and
    is missing for extra songs.
    """

    songs: pd.DataFrame
    spectrograms: SpectrogramSet | SpectrogramSets

    def part(self, *splits: str) -> pd.DataFrame:
        """The songs of one split, or of several, one after the other."""
        return pd.concat([self.songs[self.songs["split"] == split] for split in splits])

    @property
    def train(self) -> pd.DataFrame:
        """The songs of the training split; the networks also learn from the extra ones: `train_and_extra`."""
        return self.part("train")

    @property
    def validation(self) -> pd.DataFrame:
        return self.part("validation")

    @property
    def test(self) -> pd.DataFrame:
        return self.part("test")

    @property
    def extra(self) -> pd.DataFrame:
        """The songs that only join the training: those by artists of validation or test songs don't even that."""
        return by_other_artists(self.part(EXTRA), self.part("validation", "test"))

    @cached_property
    def train_and_extra(self) -> pd.DataFrame:
        """All songs that the networks are trained on."""
        return pd.concat([self.train, self.extra])

    @property
    def fitted(self) -> pd.DataFrame:
        """All songs that a model is fitted to or chosen by: training, extra and validation songs."""
        return pd.concat([self.train_and_extra, self.validation])

    @property
    def without_extra(self) -> pd.DataFrame:
        """All songs but the extra ones."""
        return self.songs[self.songs["split"] != EXTRA]

    def with_splits(self, splits: pd.Series) -> "Corpus":
        """The same songs, the own ones with other splits: song_id -> split."""
        return replace(self, songs=self.songs.assign(split=splits.reindex(self.songs.index).fillna(EXTRA)))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the songs, their labels and clips, the split and the pipeline's settings."""
        digest = hashlib.sha256(json.dumps(self.spectrograms.config.to_dict()).encode())
        for split in (*SPLITS, EXTRA):
            songs = getattr(self, split)
            for row in text_rows(songs[["preview_sha256", *TARGETS]]):
                digest.update("\t".join([split, *row.values()]).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def band_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each mel band over the training songs, in dB, both (n_mels,)."""
        total, squares, n_frames, n_mels = 0.0, 0.0, 0, self.spectrograms.config.n_mels
        for song_id in self.train_and_extra.index:
            clip = self.spectrograms.spectrogram(song_id)[:n_mels].astype(np.float64)
            total, squares = total + clip.sum(axis=1), squares + (clip**2).sum(axis=1)
            n_frames += clip.shape[1]
        mean = total / n_frames
        std = np.sqrt(np.maximum(squares / n_frames - mean**2, 0))
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def read_corpus(paths: DataPaths, extra: Sequence[Path] = ()) -> Corpus:
    """The songs that have a split and a spectrogram.

    Args:
        paths: the data folder.
        extra: more data folders, whose songs only join the training; a song that is in several counts once.

    Raises:
        UserError: a table is missing or damaged, a song lacks its spectrogram, or a split is nearly empty.
    """
    songs, spectrograms = _read_folder(paths)
    songs["group"] = artist_groups(songs)
    sets = [spectrograms]
    for root in extra:
        others, other_set = _read_folder(DataPaths(root))
        new = others[~others.index.isin(songs.index)].assign(split=EXTRA, group=None)
        if not new.empty:
            songs = pd.concat([songs, new.astype({"split": "string", "group": "string"})])
        sets.append(other_set)
    return Corpus(songs, SpectrogramSets(sets))


def _read_folder(paths: DataPaths) -> tuple[pd.DataFrame, SpectrogramSet]:
    """The songs of one folder that have a split, with it, and their spectrograms."""
    splits = read_splits(paths)
    songs = read_songs(paths)
    songs["split"] = splits.reindex(songs.index)
    songs = songs.dropna(subset=["split"])
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    if missing := [row["song_id"] for row in text_rows(songs[["preview_sha256"]]) if not spectrograms.has(row)]:
        raise UserError(
            f"{len(missing)} songs, {missing[0]} first, lack an up-to-date spectrogram; run data_loading.py first"
        )
    for split in SPLITS:
        if (count := int((songs["split"] == split).sum())) < 2:
            raise UserError(f"only {count} songs in the {split} split, at least 2 are needed; collect more songs")
    return songs, spectrograms
