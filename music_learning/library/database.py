"""A library: the songs of a music collection, with all that was heard of each, in one SQLite file.

The table `songs` has a row per file: its number, its path as the system's bytes, the columns of `schema.COLUMNS`, and
its embedding. A row is in the file as soon as its song was heard; whatever kills the run takes none away.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, Self

from music_learning.errors import UserError
from music_learning.files import check_output, hold
from music_learning.library.schema import COLUMNS

APPLICATION_ID = 0x4D4C6962  # "MLib": by which a file is known to be a library
SCHEMA_VERSION = 1
ROWS_AT_ONCE = 250  # that stay in a core's cache, where more of them take longer each
PAGE_BYTES = 16384  # of which a song has a tenth: looking at all songs takes two thirds of the time of 4096
MAX_COPIES = 16  # that are looked at, of a file of which there are hundreds
BUSY_TIMEOUT_S = 10  # for which another program's writing is waited for
_SQL_TYPES = {str: "TEXT", int: "INTEGER", float: "REAL"}
_SCHEMA = f"""
CREATE TABLE songs (
    song_id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    {", ".join(f'"{name}" {_SQL_TYPES[kind]}' for name, kind in COLUMNS.items())},
    embedding BLOB
);
CREATE INDEX songs_by_content ON songs (sha256);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
KEPT = ("path", *COLUMNS, "embedding")  # of a row, all but its number
# Keeps a row, given as KEPT, in place of the one that its path had; a condition may follow.
KEEP = f"""
INSERT INTO songs ({", ".join(f'"{name}"' for name in KEPT)}) VALUES ({", ".join("?" * len(KEPT))})
ON CONFLICT (path) DO UPDATE SET {", ".join(f'"{name}" = excluded."{name}"' for name in KEPT[1:])}
"""


class Library:
    """An open library. One run writes at a time; any number may read meanwhile. It may serve many threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: IO | None) -> None:
        self.path = path
        self.connection = connection
        self.lock = lock
        self.turn = Lock()  # of the threads

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a library to read it. Raises UserError where there is none that can be read."""
        _refuse_parts(path)
        if not path.exists():
            raise UserError(f"there is no library {path}; make it with music-learning scan FOLDER --library {path}")
        with _clearly(path):
            # A reader, too, has files beside the database while it is open: where nobody may write, nothing changes.
            mode = "mode=rw" if os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK) else "mode=ro"
            if mode == "mode=ro" and not Path(f"{path}-wal").exists():
                mode = "immutable=1"
            connection = _connected(f"{path.absolute().as_uri()}?{mode}", uri=True)
            connection.execute("PRAGMA query_only = ON")
            return cls(path, _checked(path, connection), None)

    @classmethod
    def write(cls, path: Path, *, create: bool = False) -> Self:
        """Open a library to change it.

        Args:
            create: make it where there is none.

        Raises:
            UserError: it can't be written, is another run's at the moment, or is no library of this version.
        """
        _refuse_parts(path)
        if not create and not path.exists():
            return cls.open(path)  # which says so
        check_output(path)
        real = Path(os.path.realpath(path))
        try:  # a file of its own, since the database must not be opened beside SQLite
            lock = open(real.with_name(f".{real.name}.lock"), "a")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{path} can't be written: {error.strerror}") from None
        try:
            hold(lock, f"another run writes to {path}; wait until it has ended")
            with _clearly(path):
                connection = _connected(path)
                if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    connection.executescript(f"PRAGMA page_size = {PAGE_BYTES}; BEGIN; {_SCHEMA} COMMIT;")
                _checked(path, connection).execute("PRAGMA journal_mode = WAL")  # readers and a writer at a time
                connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut costs is heard anew
                return cls(path, connection, lock)
        except BaseException:
            lock.close()
            raise

    def select(self, columns: Sequence[str], where: str = "1", values: Sequence[object] = ()) -> Iterator[tuple]:
        """The rows that meet a condition, in memory that does not grow with their number.

        Args:
            columns: names, trusted: `song_id`, `path`, those of COLUMNS, `embedding`.
            where: SQL, trusted, with `?` for each of the values; may end in an ORDER BY.
        """
        for rows in self.batches(columns, where, values):
            yield from rows

    def batches(self, columns: Sequence[str], where: str = "1", values: Sequence[object] = ()) -> Iterator[list[tuple]]:
        """As `select`, up to ROWS_AT_ONCE rows at a time, for who takes a million of them."""
        with self.turn, _clearly(self.path):
            found = self.connection.execute(f"SELECT {_names(columns)} FROM songs WHERE {where}", values)
            rows = found.fetchmany(ROWS_AT_ONCE)
        while rows:
            yield rows
            with self.turn, _clearly(self.path):
                rows = found.fetchmany(ROWS_AT_ONCE)

    def count(self, where: str = "1", values: Sequence[object] = ()) -> int:
        """How many rows meet a condition: SQL, trusted."""
        with self.turn, _clearly(self.path):
            return self.connection.execute(f"SELECT count(*) FROM songs WHERE {where}", values).fetchone()[0]

    def copies_of(self, sha256: str, model: str) -> list[dict]:
        """What these models heard in files of the same content, as rows for `add` with `song_id`; a few at most."""
        names = ("song_id", *KEPT)
        where = f"sha256 = ? AND model = ? AND error IS NULL ORDER BY song_id LIMIT {MAX_COPIES}"
        return [dict(zip(names, row, strict=True)) for row in self.select(names, where, (sha256, model))]

    def add(self, row: dict) -> None:
        """Keep the row of a file, in place of the one that its path had.

        Args:
            row: `path` (bytes), all of COLUMNS, and `embedding` (bytes of float32, or None).
        """
        self.change(KEEP, tuple(map(row.get, KEPT)))

    def set_aside(self, path: bytes, missing: str) -> None:
        """Free a path whose file is another now, and keep its row, as missing since: its file may be elsewhere."""
        self.change(
            "UPDATE songs SET path = CAST(char(0) || song_id AS BLOB), missing = ? WHERE path = ?", (missing, path)
        )

    def move(self, song_id: int, path: bytes) -> None:
        """Give a row another path, which no other may have."""
        self.change("UPDATE songs SET path = ? WHERE song_id = ?", (path, song_id))

    def drop_set_aside(self) -> None:
        """Forget the rows that were set aside and found nowhere."""
        self.change("DELETE FROM songs WHERE path < ?", (b"\1",))

    def change(self, statement: str, *values: Sequence[object]) -> None:
        """Do something (SQL, trusted) with each of the values, or without any: all or nothing.

        Raises UserError where it can't be done.
        """
        with self.turn, _clearly(self.path), self.connection:
            for value in values or ((),):
                self.connection.execute(statement, value)

    @contextmanager
    def transaction(self, *, lasting: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection, for several statements that are done together or not at all.

        Args:
            lasting: wait until they are on the disk, so that no crash of the machine can take them away.

        Raises UserError where they can't be done.
        """
        with self.turn, _clearly(self.path):
            if lasting:
                self.connection.execute("PRAGMA synchronous = FULL")
            try:
                with self.connection:
                    yield self.connection
            finally:
                if lasting:
                    self.connection.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        with self.turn, suppress(sqlite3.Error):  # a thread that was not waited for may be asking something
            self.connection.close()
        if self.lock is not None:
            self.lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def inside(folder: Path) -> tuple[str, tuple[bytes, bytes]]:
    """The condition that a path is below a folder, and its values."""
    start = os.fsencode(folder).rstrip(b"/") + b"/"
    return "path >= ? AND path < ?", (start, start[:-1] + b"0")  # the byte after "/"


def _refuse_parts(path: Path) -> None:
    """Raise UserError where a path is that of a library of parts, of which `s3://` has become `s3:/`."""
    is_remote = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) and not path.exists()
    if is_remote or path.is_dir():
        who, why, name = path, "is a folder", f"{path}/"
        if is_remote:
            who, why, name = "the library", "lies on a server", "s3://bucket/folder/"
        raise UserError(
            f"{who} can't be used: it {why}, and here a library is an SQLite file; make that of what scan filled by "
            f"music-learning gather {name} --library moods.sqlite"
        )


def _connected(path: str | Path, **options: bool) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, **options)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _checked(path: Path, connection: sqlite3.Connection) -> sqlite3.Connection:
    """A connection to a library of this version. Raises UserError, and closes it, where it is to something else."""
    try:
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION_ID:
            raise UserError(f"{path} is a database of another program, not a library; name another file")
        if version != SCHEMA_VERSION:
            which = "a newer" if version > SCHEMA_VERSION else "an older"
            raise UserError(
                f"{path} is a library of version {version}, this program writes version {SCHEMA_VERSION}; use "
                f"{which} music-learning, or make the library anew under another name"
            )
        connection.execute(f"SELECT {_names(KEPT)} FROM songs LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _clearly(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a UserError."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_NOTADB"):
            reason = f"{path} is no library; name another file"
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            reason = f"{path} is in use: another program writes to it; try again when it has ended"
        elif name.startswith("SQLITE_CORRUPT") or "no such" in str(error):
            reason = f"{path} is damaged ({error}); restore it from a backup, or make it anew under another name"
        elif name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            reason = f"{path} can't be written or read: {error}; name a file in a folder of yours"
        else:
            reason = f"{path} can't be used: {error}"
        raise UserError(reason) from None
