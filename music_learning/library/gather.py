"""Gather a library of parts into one SQLite file, which all commands read."""

from functools import partial

import pyarrow as pa

from music_learning.errors import UserError
from music_learning.library.database import KEEP, Library
from music_learning.library.parts import READERS, LocalFolder, folder_of, names_of_parts, read_part
from music_learning.library.remote import RemoteFolder
from music_learning.library.schema import COLUMNS
from music_learning.parallel import ordered_map

# Of two rows of a file the one that was heard later stays, as in the parts themselves.
_GATHER = f"{KEEP} WHERE ifnull(excluded.heard, '') >= ifnull(songs.heard, '')"


def parts_in(name: str) -> tuple[LocalFolder | RemoteFolder, list[str]]:
    """The folder with a name, or an address, and the names of its parts. Raises UserError where it has none."""
    folder = folder_of(name)
    names = sorted(names_of_parts(folder))
    if not names:
        raise UserError(f"there are no parts of a library in {folder.name}; name what scan has as its --library")
    return folder, names


def gather(folder: LocalFolder | RemoteFolder, names: list[str], library: Library) -> int:
    """Copy the rows of parts, some at a time. Those of a part are kept as soon as it was read.

    Returns:
        How many there were.

    Raises:
        UserError: a part can't be read.
    """
    n_rows = 0
    for table in ordered_map(partial(read_part, folder), names, workers=READERS, description="gathering", unit="part"):
        rows = _rows(table)
        library.change(_GATHER, *rows)
        n_rows += len(rows)
    return n_rows


def _rows(table: pa.Table) -> list[tuple]:
    """The rows of a part as a database has them: a file's path or address as bytes, embeddings as bytes of float32."""
    paths = [name.encode() for name in table["file"].to_pylist()]
    columns = (table[name].to_pylist() for name in COLUMNS)
    embeddings = (
        None if one.values is None else one.values.to_numpy().astype("<f4").tobytes() for one in table["embedding"]
    )
    return list(zip(paths, *columns, embeddings, strict=True))
