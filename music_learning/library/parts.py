"""A library in a folder of Parquet files, here or on a server: what many machines fill and tables are read from.

`pandas.read_parquet(folder)` has a row per file at any moment: a part is written as a whole, a file's row stays in the
part that it is in, and one that has changed takes its own old row's place. What has a row is not heard again.
"""

import hashlib
import io
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from music_learning import __version__
from music_learning.errors import UserError
from music_learning.files import atomic, only_writer
from music_learning.library.database import inside
from music_learning.library.files import is_folder
from music_learning.library.hearing import Outcome
from music_learning.library.parquet import SCHEMA, to_table
from music_learning.library.processes import Processes
from music_learning.library.remote import RemoteFolder, file_of, is_address
from music_learning.library.rows import AudioFile, Files
from music_learning.library.scan import Found, ModelListener, now, reason_of
from music_learning.parallel import cpu_count, in_order, ordered_map
from music_learning.predict.predictor import Predictor

BATCH_FILES = 64  # of a new part: a quarter of a minute of one core
READERS = 16  # parts that are read at a time
MARK = "_music-learning"  # readers of Parquet pass over names that begin so
_PART = re.compile(r"part-[0-9a-f]{16}\.parquet")
_STATE = ("file", "bytes", "modified", "model", "error", "missing", "heard")
_INDEX = """
CREATE TABLE known (file TEXT PRIMARY KEY, bytes INT, modified TEXT, model TEXT, error INT, missing TEXT, heard TEXT,
                    part TEXT) WITHOUT ROWID;
CREATE INDEX known_by_part ON known (part);
CREATE TABLE listed (number INTEGER PRIMARY KEY, file TEXT UNIQUE, key BLOB, bytes INT, modified TEXT);
CREATE TABLE stale (part TEXT PRIMARY KEY);
"""
# The listed files that have no row of these bytes, this time of change and these models.
_NEEDED = """
FROM listed LEFT JOIN known USING (file) WHERE known.file IS NULL OR known.bytes IS NOT listed.bytes
OR known.modified IS NOT listed.modified OR known.model IS NOT iif(known.error, ?, ?)
"""


@dataclass(frozen=True)
class Batch:
    """Files whose rows go into one part."""

    part: str
    files: tuple[AudioFile, ...]


Heard = Generator[tuple[Batch, list[dict]], None, None]  # batches, in any order, with the row of each of their files
Engine = Callable[[Iterator[Batch]], Heard]


class LocalFolder:
    """The files of a folder, whose content is read and written as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path}/"

    def names(self) -> list[str]:
        """What is in the folder; folders in it end in `/`."""
        try:
            return [f"{path.name}{'/' * path.is_dir()}" for path in self.path.iterdir()]
        except OSError as error:
            raise UserError(f"{self.name} can't be read: {error.strerror}") from None

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{self.name}{name} can't be read: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        with atomic(self.path / name) as temporary:
            temporary.write_bytes(content)


def folder_of(name: str) -> LocalFolder | RemoteFolder:
    """The folder that a library of parts is kept in. Raises UserError where an address is none."""
    return RemoteFolder(name) if is_address(name) else LocalFolder(Path(name))


def names_of_parts(folder: LocalFolder | RemoteFolder) -> list[str]:
    """The parts in a folder. Raises UserError where it can't be read, or holds something else."""
    names = [name for name in folder.names() if not name.startswith((".", "_"))]
    if others := sorted(name for name in names if not _PART.fullmatch(name)):
        raise UserError(
            f"{folder.name} holds other things than a library's parts, such as {others[0]}; name an empty folder, or "
            "that of a library"
        )
    return names


def read_part(folder: LocalFolder | RemoteFolder, name: str) -> pa.Table:
    """The rows of a part, with parquet.SCHEMA. Raises UserError where it can't be read."""
    content = folder.read(name)
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError):
        table = None
    if table is None or not table.schema.equals(SCHEMA):
        what = "is damaged" if table is None else "was written by another version of this program"
        raise UserError(f"{folder.name}{name} {what}; delete it, and its songs are heard again")
    return table


class Parts:
    """An open library of parts, with an index of its rows on this machine's disk; one run writes at a time."""

    def __init__(self, folder: LocalFolder | RemoteFolder, model: str, index: sqlite3.Connection) -> None:
        """
        Args:
            model: the version of the models, whose rows need not be made again.
            index: an empty database.
        """
        self.folder, self.model, self.index = folder, model, index
        self.closed: list[Path] = []  # listed folders that can't be read
        index.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_INDEX}")
        names = names_of_parts(folder)
        folder.write(MARK, b"These are the parts of a library: music-learning scan --help\n")  # or says why it can't
        self._read(names)

    def _read(self, names: list[str]) -> None:
        """Index all rows; of a file that has several, as two runs at a time may leave, the last one heard."""
        read = ordered_map(self._state_of, names, workers=READERS, description="reading the library", unit="part")
        for name, columns in zip(names, read, strict=True):
            for row in zip(*columns, strict=True):
                self._note(name, *row)

    def _state_of(self, name: str) -> list[list]:
        table = read_part(self.folder, name).select(_STATE)
        return [column.to_pylist() for column in table.columns]

    def _note(self, part: str, *state: object) -> None:
        file, *_, error, _, heard = state
        known = self.index.execute("SELECT heard, part FROM known WHERE file = ?", (file,)).fetchone()
        if known and known[1] != part:
            is_later = (heard or "", part) > (known[0] or "", known[1])
            self.index.execute("INSERT OR IGNORE INTO stale VALUES (?)", (known[1] if is_later else part,))
            if not is_later:
                return
        values = (*state[:4], error is not None, *state[5:], part)
        self.index.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def expect(self, files: Files) -> tuple[int, int]:
        """List the files of a run. Returns how many there are, and how many of them have to be heard."""
        rows = ((file.name, file.key, *file.state()) for file in files)
        with tqdm(rows, desc="listing", unit="file", disable=None) as shown:
            self.index.executemany(
                "INSERT OR IGNORE INTO listed (file, key, bytes, modified) VALUES (?, ?, ?, ?)", shown
            )
        n_listed = self.index.execute("SELECT count(*) FROM listed").fetchone()[0]
        return n_listed, self.index.execute(f"SELECT count(*) {_NEEDED}", (__version__, self.model)).fetchone()[0]

    def batches(self) -> Iterator[Batch]:
        """What has to be heard: by the parts that hold the files' old rows, and new files in parts of their own."""
        self.index.execute(
            f"CREATE TABLE needed AS SELECT number, listed.key, listed.bytes, listed.modified, part {_NEEDED}",
            (__version__, self.model),
        )
        self.index.execute("CREATE INDEX needed_by_part ON needed (part, number)")
        parts = [part for (part,) in self.index.execute("SELECT DISTINCT part FROM needed WHERE part IS NOT NULL")]
        columns = "SELECT key, bytes, modified FROM needed WHERE part"
        for part in parts:
            rows = self.index.execute(f"{columns} = ? ORDER BY number", (part,)).fetchall()
            yield Batch(part, tuple(file_of(*row) for row in rows))
        found = self.index.execute(f"{columns} IS NULL ORDER BY number")
        while rows := found.fetchmany(BATCH_FILES):
            name = hashlib.sha256(repr((self.model, rows)).encode()).hexdigest()[:16]
            yield Batch(f"part-{name}.parquet", tuple(file_of(*row) for row in rows))

    def add(self, batch: Batch, rows: list[dict]) -> None:
        """Keep the rows of a batch, in place of those that its files had; what was heard stays where that failed today.

        It may have failed for a while alone where `model` is None (`scan.library_row`).
        """
        failed = {row["file"] for row in rows if row["error"] is not None}
        local = [file for file in batch.files if file.name in failed and not is_address(file.name)]
        closed = [file for file in local if is_folder(file.path)]
        self.closed += [file.path for file in closed]
        spared = {file.name for file in closed}
        spared |= {row["file"] for row in rows if row["model"] is None and self._was_heard(row["file"])}
        if kept := [row for row in rows if row["file"] not in spared]:
            self._write(batch.part, kept)

    def _was_heard(self, file: str) -> bool:
        return self.index.execute("SELECT 1 FROM known WHERE file = ? AND NOT error", (file,)).fetchone() is not None

    def _write(self, part: str, rows: list[dict]) -> None:
        """Write a part with these rows besides those that it has, as the index says, of other files."""
        table = to_table(rows)
        if self.index.execute("SELECT 1 FROM known WHERE part = ? LIMIT 1", (part,)).fetchone():
            here = "SELECT file, missing FROM known WHERE part = ?"
            missing = dict(self.index.execute(here, (part,)))
            for row in rows:
                missing.pop(row["file"], None)
            old = read_part(self.folder, part)
            old = old.filter(pc.is_in(old["file"], pa.array(list(missing), pa.string())))
            marks = pa.array([missing[file] for file in old["file"].to_pylist()], pa.string())
            table = pa.concat_tables([old.set_column(SCHEMA.get_field_index("missing"), "missing", marks), table])
        content = io.BytesIO()
        pq.write_table(table.sort_by("file"), content, compression="zstd")
        self.folder.write(part, content.getvalue())
        for row in rows:
            self._note(part, *map(row.get, _STATE))

    def finish(self, folders: list[Path | str]) -> int:
        """Mark as missing what was not listed in folders that were listed as a whole. Returns how many are so now."""
        unlisted = "missing IS NULL AND file NOT IN (SELECT file FROM listed)"
        open_again = "missing IS NOT NULL AND file IN (SELECT file FROM listed)"
        self._remark(open_again, (), None)
        closed = list(map(_below, self.closed))
        spared = "".join(" AND NOT (file >= ? AND file < ?)" for _ in closed)
        n_missing = 0
        for folder in folders:
            ends = (*_below(folder), *(end for pair in closed for end in pair))
            n_missing += self._remark(f"file >= ? AND file < ? AND {unlisted}{spared}", ends, now())
        for (part,) in self.index.execute("SELECT part FROM stale").fetchall():
            self._write(part, [])
        return n_missing

    def _remark(self, condition: str, values: tuple, missing: str | None) -> int:
        self.index.execute(f"INSERT OR IGNORE INTO stale SELECT DISTINCT part FROM known WHERE {condition}", values)
        return self.index.execute(f"UPDATE known SET missing = ? WHERE {condition}", (missing, *values)).rowcount


def _below(folder: Path | str) -> tuple[str, str]:
    """Between which names the files in a folder are."""
    _, ends = inside(folder)
    start, end = (name.decode("utf-8", "backslashreplace") for name in ends)
    return start, end


@contextmanager
def open_parts(name: str, model: str) -> Iterator[Parts]:
    """Open a library of parts, a new one too, and read which files have rows.

    Raises:
        UserError: the folder can't be written, is another run's at the moment, or holds something else.
    """
    with ExitStack() as stack:
        if not is_address(name):
            stack.enter_context(only_writer(Path(name), "scan"))
        place = stack.enter_context(TemporaryDirectory(prefix="music-learning-"))
        yield Parts(folder_of(name), model, stack.enter_context(closing(sqlite3.connect(Path(place, "index.sqlite")))))


def on_this_machine(predictor: Predictor | Processes) -> Engine:
    """Hears on all cores of this machine."""
    return partial(_hear_here, ModelListener(predictor))


def _hear_here(listener: ModelListener, batches: Iterator[Batch]) -> Heard:
    begun: deque[Batch] = deque()

    def files() -> Iterator[AudioFile]:
        for batch in batches:
            begun.append(batch)
            yield from batch.files

    rows: list[dict] = []
    for row in in_order(listener.row, files(), workers=cpu_count()):
        rows.append(row)
        if len(rows) == len(begun[0].files):
            yield begun.popleft(), rows
            rows = []


def scan_into(parts: Parts, files: Files, engine: Engine) -> tuple[Outcome, Found]:
    """Have a row of every file in a library of parts. Each part is kept as soon as its files were heard.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with a sentence of what is kept.
        UserError: a part can't be written; those before are kept.
    """
    n_listed, n_needed = parts.expect(files)
    outcome, found = Outcome(known=n_listed - n_needed), Found()
    heard = engine(parts.batches())
    try:
        with tqdm(total=n_needed, desc="predicting", unit="file", disable=None) as progress:
            for batch, rows in heard:
                parts.add(batch, rows)
                errors = [row["error"] for row in rows if row["error"] is not None]
                outcome.heard += len(rows)
                outcome.failed += len(errors)
                found.reasons.update(map(reason_of, errors))
                progress.update(len(rows))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"after {outcome.known + outcome.heard:,} of {n_listed:,} files; every part that was written is kept, the "
            "same command goes on"
        ) from None
    finally:
        heard.close()
    found.missing = parts.finish(files.folders)
    return outcome, found
