"""The embeddings of a library's songs, for what compares songs with one another."""

from collections.abc import Iterable, Sequence

import numpy as np

from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.schema import USABLE, Condition

HAS_COPIES = "sha256 IN (SELECT sha256 FROM songs GROUP BY sha256 HAVING count(*) > 1)"


def current(model: str) -> Condition:
    """The songs that the models of this version heard, whose files are there."""
    return Condition(f"{USABLE} AND model = ?", (model,))


def copies(condition: Condition) -> Condition:
    """Of the songs of each content that meet a condition, all but the one that was found first."""
    placed = f"""SELECT song_id, row_number() OVER (PARTITION BY sha256 ORDER BY song_id) AS place
        FROM songs WHERE ({condition.sql}) AND {HAS_COPIES}"""
    return Condition(f"song_id IN (SELECT song_id FROM ({placed}) WHERE place > 1)", condition.values)


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
    chosen = current(model)
    but = copies(chosen)
    where = f"{chosen.sql} AND NOT {but.sql} ORDER BY {order}"
    for *row, embedding in library.select((*columns, "embedding"), where, (*chosen.values, *but.values)):
        for column, value in zip(values, row, strict=True):
            column.append(value)
        embeddings += embedding or b""
        sizes.add(len(embedding or b""))
    _check_sizes(library, sizes)
    return values, np.frombuffer(embeddings, "<f4").reshape(len(values[0]), -1 if sizes else 0)


def as_points(library: Library, embeddings: Iterable[bytes], n_components: int | None = None) -> np.ndarray:
    """Embeddings of one version of the models as (songs, components) float32.

    Args:
        library: that they are of.
        embeddings: as it keeps them; at least one, unless it is said how many components they have.
        n_components: how many others of that version have.

    Raises:
        UserError: one is damaged.
    """
    embeddings = list(embeddings)
    sizes = set(map(len, embeddings)) | (set() if n_components is None else {4 * n_components})
    _check_sizes(library, sizes)
    return np.frombuffer(b"".join(embeddings), "<f4").reshape(len(embeddings), max(sizes) // 4)


def _check_sizes(library: Library, sizes: set[int]) -> None:
    """Raise UserError unless all embeddings, of these sizes in bytes, have as many components."""
    if len(sizes) > 1 or 0 in sizes or any(size % 4 for size in sizes):
        raise UserError(f"{library.path} is damaged: it has embeddings of other sizes; restore it, or make it anew")


def count_others(library: Library, model: str, where: str = "1", values: Sequence[object] = ()) -> int:
    """How many songs are there and can be used that other models heard than of this version.

    Args:
        where: a condition that they meet (SQL, trusted), with `?` for each of the values.
    """
    return library.count(f"({where}) AND {USABLE} AND model != ?", (*values, model))
