"""The songs of a training run, with their split and spectrograms."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from music_learning.columns import SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.paths import DataPaths
from music_learning.songs.artists import artist_names, read_splits
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets
from music_learning.songs.table import read_songs


@dataclass(frozen=True)
class Songs:
    """Rows of songs.csv with their spectrograms, and the split they are in; `extra` ones join the training."""

    spectrograms: SpectrogramSet | SpectrogramSets
    train: list[dict[str, str]]
    validation: list[dict[str, str]]
    test: list[dict[str, str]]
    extra: list[dict[str, str]] = field(default_factory=list)

    @property
    def taught(self) -> list[dict[str, str]]:
        """All songs that the networks are trained on."""
        return self.train + self.extra

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the songs, their labels and clips, the split and the pipeline's settings."""
        digest = hashlib.sha256(json.dumps(self.spectrograms.config.to_dict()).encode())
        for split in (*SPLITS, "extra"):
            for song in getattr(self, split):
                line = [split, song["song_id"], song["preview_sha256"], *(song[target] for target in TARGETS)]
                digest.update("\t".join(line).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def band_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each mel band over the training songs, in dB, both (n_mels,)."""
        total, squares, n_frames, n_mels = 0.0, 0.0, 0, self.spectrograms.config.n_mels
        for song in self.taught:
            clip = self.spectrograms.spectrogram(song["song_id"])[:n_mels].astype(np.float64)
            total, squares = total + clip.sum(axis=1), squares + (clip**2).sum(axis=1)
            n_frames += clip.shape[1]
        mean = total / n_frames
        deviation = np.sqrt(np.maximum(squares / n_frames - mean**2, 0))
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)


def by_other_artists(songs: list[dict[str, str]], taken: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of the songs that share no artist with the songs that are taken."""
    names = {name for song in taken for name in artist_names(song)}
    return [song for song in songs if names.isdisjoint(artist_names(song))]


def read_data(paths: DataPaths) -> tuple[list[dict[str, str]], dict[str, str], SpectrogramSet]:
    """The songs that have a split and a spectrogram, their splits, and the spectrograms."""
    splits = read_splits(paths)
    songs = [song for song in read_songs(paths) if song["song_id"] in splits]
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    if missing := [song["song_id"] for song in songs if not spectrograms.has(song)]:
        raise UserError(
            f"{len(missing)} songs, {missing[0]} first, lack an up-to-date spectrogram; run data_loading.py first"
        )
    for split in SPLITS:
        if (count := sum(splits[song["song_id"]] == split for song in songs)) < 2:
            raise UserError(f"only {count} songs in the {split} split, at least 2 are needed; collect more songs")
    return songs, splits, spectrograms


def read_extra(
    roots: list[Path], songs: list[dict[str, str]], spectrograms: SpectrogramSet
) -> tuple[list[dict[str, str]], SpectrogramSets]:
    """The songs of other data folders that aren't among `songs`, and the spectrograms of all."""
    extra, known, sets = [], {song["song_id"] for song in songs}, [spectrograms]
    for root in roots:
        others, _, other_set = read_data(DataPaths(root))
        extra += [song for song in others if song["song_id"] not in known]
        known |= {song["song_id"] for song in others}
        sets.append(other_set)
    return extra, SpectrogramSets(sets)


def split_songs(
    songs: list[dict[str, str]],
    splits: dict[str, str],
    spectrograms: SpectrogramSet | SpectrogramSets,
    extra: list[dict[str, str]],
) -> Songs:
    """Sort the songs into their splits; the extra ones by artists of validation or test songs are left out."""
    train, validation, test = ([song for song in songs if splits[song["song_id"]] == split] for split in SPLITS)
    return Songs(spectrograms, train, validation, test, by_other_artists(extra, validation + test))
