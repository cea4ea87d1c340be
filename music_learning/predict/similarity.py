"""An index of songs: what the CNNs made of each, and which of them are most like another song.

The networks' last hidden layers describe a song in some hundreds of numbers, many of which say the same. The index
keeps their principal components, each scaled to the same variance, and compares songs by Euclidean distance.

A folder with two files: `songs.csv` names the songs, `embeddings.safetensors` has their components in the same order.
The index of the training songs has their labels as well; one of a library's songs has the paths of their files. Both
have the years of releases that the songs are on, as far as they are known; older ones lack that column.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import atomic, check_table, damaged, read_columns, sha256_of, write_table
from music_learning.model.tensors import Expected, check_weights, read_metadata, read_tensors
from music_learning.parallel import cpu_count, ordered_map
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import label_of

NAMES = ("song_id", "title", "artist")
YEAR = "release_year"
LABELLED_COLUMNS = (*NAMES, *TARGETS)
OWN_COLUMNS = (*NAMES, "path", YEAR)
TENSORS = ("components", "mean", "basis")
N_COMPONENTS = 64
MIN_VARIANCE = 1e-6  # of a component, as a share of the first one's
N_PAIRS = 20_000  # of songs, drawn to tell how far apart songs usually are
# How near a song is in words, and from which similarity percentile on. Of 94 songs that the models never heard, 27 %
# find one in the released index that is very alike, 61 % one that is at least alike, 88 % one at least somewhat alike;
# all ten nearest are for 3, 36 and 68 % (benchmarks/similar.py --audio FOLDER).
GRADES = ((99.9, "very alike"), (99.0, "alike"), (90.0, "somewhat alike"), (0.0, "not very alike"))
N_CHOSEN_PER_SONG = 2
RANK_OFFSET = 5  # the larger, the more it counts to be near throughout, and the less to be the nearest to a part
MADE_BY = "music-learning index"


@dataclass(frozen=True)
class SimilarSong:
    """A neighbour of a song. `similarity_percentile` is the % of pairs of the training songs that are farther apart.

    They are the same whatever index it is in. Of a recording of several windows, the one that is nearest to the song
    counts, or their mean if that is nearer.
    """

    song_id: str
    title: str
    artist: str  # empty where nobody knows
    similarity_percentile: float
    path: str | None = None  # of a song of one's own, to play it
    year: int | None = None  # of a release that it is on, which may be a reissue

    @property
    def name(self) -> str:
        return named(self.title, self.artist)

    @property
    def closeness(self) -> str:
        """How near it is, in words: one of GRADES."""
        return next(words for least, words in GRADES if self.similarity_percentile >= least)

    def to_dict(self) -> dict:
        return {
            "song_id": self.song_id,
            "title": self.title,
            "artist": self.artist,
            "year": self.year,
            "similarity_percentile": round(self.similarity_percentile, 2),
            "closeness": self.closeness,
            "path": self.path,
        }


@dataclass(frozen=True)
class SimilarArtist:
    """An artist, and the one of their songs that is most like the recording."""

    artist: str
    song: SimilarSong

    def to_dict(self) -> dict:
        return {
            "artist": self.artist,
            "song": self.song.title,
            "similarity_percentile": round(self.song.similarity_percentile, 2),
            "closeness": self.song.closeness,
        }


class Songs(Sequence[dict[str, str]]):
    """The rows of a table, kept as columns: a million of dicts would take half as much memory again."""

    def __init__(self, columns: dict[str, list[str]]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["song_id"])

    def __getitem__(self, row: int) -> dict[str, str]:
        return {name: values[row] for name, values in self.columns.items()}


class SongIndex:
    """Songs with their components, to be searched."""

    def __init__(self, songs: Sequence[dict[str, str]], components: Tensor, mean: Tensor, basis: Tensor) -> None:
        """
        Args:
            songs: at least two rows with NAMES, and what else is known, the same of each.
            components: (songs, components).
            mean: (embedding,) of the embeddings.
            basis: (embedding, components), what a centred embedding is multiplied with.
        """
        self.songs = songs
        self.components = components
        self.mean = mean
        self.basis = basis
        self.squares = torch.linalg.vector_norm(components, dim=1).square()

    @cached_property
    def pair_distances(self) -> Tensor:
        """(pairs,), ascending, of its own songs; a predictor puts those of the training songs in their place, in whose
        components it is."""
        generator = torch.Generator().manual_seed(0)
        first, second = torch.randint(len(self.songs), (2, N_PAIRS), generator=generator)
        apart = first != second
        distances = torch.linalg.vector_norm(self.components[first[apart]] - self.components[second[apart]], dim=1)
        return distances.sort().values

    def project(self, embeddings: Tensor) -> Tensor:
        """(..., embedding) -> (..., components)"""
        return (embeddings - self.mean) @ self.basis

    def nearest(self, embedding: Tensor, n: int) -> list[SimilarSong]:
        """Up to n songs, the nearest to an embedding (embedding,) first."""
        return self._similar_songs(self._nearest_rows(embedding, n))

    def nearest_to_windows(self, windows: Iterable[tuple[Tensor, float]], n: int) -> list[SimilarSong]:
        """Up to n songs that are most like a recording, which may be a mix of several: its windows vote.

        The song that is the r-th nearest to a window gets 1 / (RANK_OFFSET + r) of that window's votes (reciprocal rank
        fusion: Cormack et al., SIGIR 2009). So a song comes first that is near throughout, then what is the nearest to
        one part: of mixes of five clips, the nearest songs of 4.7 of them were among the first ten, and of 1.1 with the
        mean of the windows, which is like no part of a mix. Ranks count and not distances, so that a part whose sound
        many songs share does not take all places. For one window it is `nearest`.

        Args:
            windows: the embedding (embedding,) of each, and how many votes it has, such as its length.
            n: how many songs are found, and how many get votes from a window.

        Returns:
            The songs by their votes, each with its similarity to the window, or to the mean of all, that is nearest.
        """
        votes: dict[int, float] = {}
        closest: dict[int, float] = {}
        mean, total_weight = torch.zeros_like(self.mean), 0.0
        for embedding, weight in windows:
            total_weight += weight
            mean = mean + weight / total_weight * (embedding - mean)
            for rank, (row, distance) in enumerate(self._nearest_rows(embedding, n), start=1):
                votes[row] = votes.get(row, 0.0) + weight / (RANK_OFFSET + rank)
                closest[row] = min(distance, closest.get(row, distance))
        best = sorted(votes, key=lambda row: (-votes[row], closest[row]))[:n]
        to_mean = self._distances(mean, self.components[best]).tolist()
        return self._similar_songs([(row, min(closest[row], other)) for row, other in zip(best, to_mean, strict=True)])

    def _nearest_rows(self, embedding: Tensor, n: int) -> list[tuple[int, float]]:
        """The rows of up to n songs with their distances to an embedding (embedding,), the nearest first."""
        # A product of matrix and vector is three times as quick as distances, but its differences of large numbers blur
        # the nearest: it chooses more than are asked for, and their distances decide.
        rough = torch.addmv(self.squares, self.components, self.project(embedding), alpha=-2)
        rows = rough.topk(min(N_CHOSEN_PER_SONG * n, len(self.songs)), largest=False).indices.sort().values
        found = self._distances(embedding, self.components[rows]).topk(min(n, len(rows)), largest=False)
        return list(zip(rows[found.indices].tolist(), found.values.tolist(), strict=True))

    def _distances(self, embedding: Tensor, components: Tensor) -> Tensor:
        """From an embedding (embedding,) to songs (songs, components) -> (songs,)"""
        return torch.cdist(self.project(embedding)[None], components, compute_mode="donot_use_mm_for_euclid_dist")[0]

    def _similar_songs(self, found: list[tuple[int, float]]) -> list[SimilarSong]:
        """Songs by their rows and their distances."""
        nearer = torch.searchsorted(self.pair_distances, torch.tensor([distance for _, distance in found])).tolist()
        return [
            self._similar_song(row, 100 * (1 - n / len(self.pair_distances)))
            for (row, _), n in zip(found, nearer, strict=True)
        ]

    def _similar_song(self, row: int, similarity_percentile: float) -> SimilarSong:
        song = self.songs[row]
        names = (song[name] for name in NAMES)
        return SimilarSong(*names, similarity_percentile, song.get("path"), year_of(song.get(YEAR)))

    def save(self, folder: Path, weights: dict[str, str]) -> None:
        """Write the index. `weights` has the hash of each target's weights, without which it means nothing."""
        songs_path, embeddings_path = _paths(folder)
        write_table(songs_path, self.songs[0], self.songs)
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        metadata = {"songs_sha256": sha256_of(songs_path), **weights}
        with atomic(embeddings_path) as temporary:
            save_file(tensors, temporary, metadata)

    @classmethod
    def open(
        cls,
        folder: Path,
        weights: dict[str, str],
        *,
        columns: Sequence[str] = NAMES,
        embedding: int | str = "embedding",
        made_by: str = MADE_BY,
    ) -> "SongIndex":
        """Read an index.

        Args:
            folder: what `save` wrote to.
            weights: the hash of each target's weights, as `save` had it.
            columns: what it has to say of each song; those of TARGETS are labels.
            embedding: how many numbers the models describe a song in; a word: as many as there are.
            made_by: the command to name in an error.

        Raises:
            UserError: it is missing or damaged, or was made with other models.
        """
        songs_path, embeddings_path = _paths(folder)
        songs = Songs(read_columns(songs_path, columns, made_by))
        metadata = read_metadata(embeddings_path, made_by)
        check_weights(folder, metadata, weights, made_by)
        if metadata.get("songs_sha256") != sha256_of(songs_path):
            raise damaged(songs_path, "or changed: embeddings.safetensors is of other songs", made_by)
        if len(songs) < 2:
            raise damaged(songs_path, "it needs two songs", made_by)
        labels = [target for target in TARGETS if target in columns]
        if labels and any(label_of(song, target) is None for song in songs for target in labels):
            raise damaged(songs_path, "its songs need labels from 0 to 1", made_by)
        tensors = read_tensors(embeddings_path, expected_tensors(len(songs), embedding), made_by)
        return cls(songs, **tensors)


def build_index(
    songs: list[dict[str, str]], spectrograms: SpectrogramSet, embed: Callable[[Tensor], Tensor]
) -> SongIndex:
    """Make an index of the training songs, on all cores.

    Args:
        songs: rows of songs.csv whose spectrograms are in the set; at least two.
        embed: (n_rows, frames) -> (embedding,)
    """

    def embedding(song: dict[str, str]) -> Tensor:
        return embed(spectrograms.tensor(song["song_id"]))

    mapped = ordered_map(embedding, songs, workers=cpu_count(), description="index", unit="song")
    embeddings = torch.stack(list(mapped))
    mean = embeddings.mean(dim=0)
    variances, directions = torch.linalg.eigh(torch.cov(embeddings.T.double()))
    variances, directions = variances.flip(0)[:N_COMPONENTS], directions.flip(1)[:, :N_COMPONENTS]
    kept = variances > MIN_VARIANCE * variances[0]
    basis = (directions[:, kept] / variances[kept].sqrt()).float()
    songs = [{name: song[name] for name in LABELLED_COLUMNS} | {YEAR: song.get(YEAR, "")} for song in songs]
    return SongIndex(songs, (embeddings - mean) @ basis, mean, basis)


def expected_tensors(songs: int | str, embedding: int | str) -> Expected:
    """The type and the shape of each tensor of an index; a word stands for any size."""
    return {
        "components": (torch.float32, (songs, "components")),
        "mean": (torch.float32, (embedding,)),
        "basis": (torch.float32, (embedding, "components")),
    }


def by_artist(songs: Sequence[SimilarSong], n: int) -> list[SimilarArtist]:
    """Up to n artists of songs, the most similar first, each with the first of theirs."""
    artists: dict[str, SimilarArtist] = {}
    for song in filter(lambda song: song.artist, songs):
        artists.setdefault(song.artist, SimilarArtist(song.artist, song))
    return list(artists.values())[:n]


def named(title: str, artist: str) -> str:
    """What people call a song, whose artist may be unknown."""
    return f"{title} by {artist}" if artist else title


def year_of(text: str | None) -> int | None:
    """The year that a date begins with, such as 1987 or 2003-05-12; None where it begins with none."""
    found = re.match(r"[0-9]{4}", text or "")
    return int(found[0]) or None if found else None


def check_place(folder: Path, columns: Sequence[str]) -> None:
    """Raise UserError unless an index of songs with these columns can be saved there: a new one, or in place of one."""
    if folder.is_dir():
        older = [name for name in columns if name != YEAR]
        check_table(_paths(folder)[0], columns, older)
    elif os.path.lexists(folder):
        raise UserError(f"{folder} is no folder; name another")


def _paths(folder: Path) -> tuple[Path, Path]:
    return folder / "songs.csv", folder / "embeddings.safetensors"
