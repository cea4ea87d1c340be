"""The embeddings of a library's songs, for what compares songs with one another."""

from collections.abc import Sequence

import numpy as np

from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.schema import USABLE

# A file of these models that is there, and one for each content: of copies the one that was found first.
CURRENT = f"{USABLE} AND model = ?1"
FIRST_OF_CONTENT = f"""{CURRENT} AND NOT EXISTS (
    SELECT 1 FROM (SELECT sha256 AS other, song_id AS number, error, missing, model FROM songs)
    WHERE other = songs.sha256 AND number < songs.song_id AND {CURRENT})"""


def read_embeddings(
    library: Library, columns: Sequence[str], model: str, *, order: str
) -> tuple[list[list], np.ndarray]:
    """What a library says of its songs, one for each content, and their embeddings, in some 300 bytes a song.

    Args:
        library: to read.
        columns: as `Library.select` takes them; for each there is a list.
        model: the version of the models, without whose rows an embedding means something else.
        order: a column.

    Returns:
        The lists, and (songs, components) float32.

    Raises:
        UserError: the library can't be read, or an embedding is damaged.
    """
    values: list[list] = [[] for _ in columns]
    embeddings, sizes = bytearray(), set()
    for *row, embedding in library.select((*columns, "embedding"), f"{FIRST_OF_CONTENT} ORDER BY {order}", (model,)):
        for column, value in zip(values, row, strict=True):
            column.append(value)
        embeddings += embedding or b""
        sizes.add(len(embedding or b""))
    if len(sizes) > 1 or 0 in sizes or any(size % 4 for size in sizes):
        raise UserError(f"{library.path} is damaged: it has embeddings of other sizes; restore it, or make it anew")
    return values, np.frombuffer(embeddings, "<f4").reshape(len(values[0]), -1 if sizes else 0)


def left_out(library: Library, model: str) -> str | None:
    """A sentence about the songs that other models heard; None if there are none."""
    n = library.count(f"{USABLE} AND model != ?", (model,))
    return f"{n:,} songs were heard by other models and are left out; scan their folders again" if n else None
