"""The songs of a library by their likeness to one song: by the Euclidean distance of their embeddings."""

import os
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from music_learning.errors import AudioError, UserError
from music_learning.library.database import Library
from music_learning.library.embeddings import as_points
from music_learning.library.playlist import content_of, usable
from music_learning.library.schema import Condition

MAX_LISTED = 10  # songs in a message
_NAME = "ifnull(artist || ' ', '') || ifnull(title, '')"
_LISTED_NAME = "artist || ' - ' || title"  # as playlists and messages write it
_KNOWN = "error IS NULL AND embedding IS NOT NULL"


@dataclass(frozen=True)
class Sample:
    """What other songs are compared with: an embedding (components,), and the models it is by."""

    embedding: np.ndarray
    model: str

    @classmethod
    def of(cls, library: Library, model: str, embedding: bytes) -> "Sample":
        """Of a song as a library keeps it. Raises UserError where that is damaged."""
        return cls(as_points(library, [embedding])[0], model)

    @classmethod
    def heard(cls, path: Path, models: Path) -> "Sample":
        """Of a file. Raises UserError where it can't be used."""
        from music_learning.predict.predictor import Predictor  # seconds, which the songs of a library do without

        predictor = Predictor.load(models)
        try:
            analysis = predictor.predict(path)
        except AudioError as error:
            raise UserError(f"{path}: {error}") from None
        return cls(analysis.embedding.numpy().astype("<f4"), predictor.models_version)


def find_sample(library: Library, wanted: str, models: Path) -> Sample:
    """The song that is meant: by its path or address, by its title, or by a part of artist and title or of its path.

    Args:
        wanted: what the user calls it; an audio file that is not in the library is heard.
        models: the folder of the models to hear it with.

    Raises:
        UserError: there is none, or several, of which the message lists some; or the library is damaged.
    """
    path = wanted if "://" in wanted else os.path.normpath(Path(wanted).absolute())
    for row in library.select(("model", "embedding"), f"path = ? AND {_KNOWN}", (os.fsencode(path),)):
        return Sample.of(library, *row)
    if os.path.isfile(wanted):  # noqa: PTH113  (which is false of a text that is too long for a name)
        return Sample.heard(Path(wanted), models)
    found = _called(library, wanted.encode("utf-8", "replace").decode())
    if not found:
        raise UserError(f"{wanted!r} is no file, and no part of a title, an artist or a path in {library.path}")
    if len(found) > 1:
        raise UserError(f"{wanted!r} fits several songs; say more of it, or name its file:{_listed(found)}")
    return Sample.of(library, *found[0][3:])


def _called(library: Library, text: str) -> list[tuple]:
    """Artist, title, file, model and embedding of the songs with this title, or else of those whose names it is in.

    They are found in one pass, one for each content, and MAX_LISTED and one at most.
    """
    part = text
    for sign in "\\%_":
        part = part.replace(sign, f"\\{sign}")
    names = [_NAME, "file"]
    if "-" in text:  # else what is a part of artist and title with a dash between them is one of either
        names.append(_LISTED_NAME)
    is_part = " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in names)
    columns = ("sha256", "song_id", "artist", "title", "file", "model", "embedding")
    wanted, whole, parts = _folded(text), {}, {}
    for sha256, song_id, *song in library.select(columns, f"({is_part}) AND {_KNOWN}", (f"%{part}%",) * len(names)):
        found = whole if _folded(song[1] or "") == wanted else parts
        if len(found) <= MAX_LISTED:
            found.setdefault(content_of(sha256, song_id), tuple(song))
    return list((whole or parts).values())


def _folded(text: str) -> bytes:
    """With A to Z as a to z, as `LIKE` takes them."""
    return text.encode().lower()


def _listed(songs: list[tuple]) -> str:
    lines = ["".join(f"{part} - " for part in song[:2] if part) + song[2] for song in songs[:MAX_LISTED]]
    return "".join(f"\n  {' '.join(line.split())}" for line in (*lines, *["…"][: len(songs) - MAX_LISTED]))


def by_likeness(library: Library, condition: Condition, sample: Sample) -> tuple[np.ndarray, int]:
    """The numbers of the songs that meet a condition, those most like a sample first, in 12 bytes of memory a song.

    Returns:
        the numbers (songs,), and how many songs are left out, since they were heard by other models.

    Raises:
        UserError: the library can't be read, or an embedding is damaged.
    """
    chosen = usable(condition)
    where = f"{chosen.sql} AND embedding IS NOT NULL"
    numbers, distances, n_others = [np.zeros(0, int)], [np.zeros(0, np.float32)], 0
    for batch in library.batches(("song_id", "model", "embedding"), where, chosen.values):
        song_ids, models, embeddings = zip(*batch, strict=True)
        if by_others := len(models) - models.count(sample.model):
            n_others += by_others
            alike = [model == sample.model for model in models]
            song_ids, embeddings = tuple(compress(song_ids, alike)), compress(embeddings, alike)
        apart = as_points(library, embeddings, len(sample.embedding)) - sample.embedding
        numbers.append(np.array(song_ids, int))
        distances.append(np.einsum("ij,ij->i", apart, apart))  # squared
    return np.concatenate(numbers)[np.argsort(np.concatenate(distances), kind="stable")], n_others
