"""Scan folders into a library: hear what is new or has changed, and note what was moved and what is missing."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from music_learning import __version__
from music_learning.columns import TAGS
from music_learning.errors import UNEXPECTED, UserError, printable
from music_learning.library.database import KEPT, Library, inside
from music_learning.library.embeddings import count_others
from music_learning.library.files import is_folder, walk
from music_learning.library.hearing import Outcome, hear
from music_learning.library.outputs import Output
from music_learning.library.processes import Processes
from music_learning.library.rows import AudioFile, Listener, csv_row
from music_learning.pipeline_config import SUFFIXES
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor

SEEN_AT_ONCE = 1000  # rows whose numbers are noted together
MAX_REASONS = 10  # in a summary
_FROM_THE_FILE = ("path", "file", "bytes", "modified", "sha256", *TAGS)  # what a copy has of its own


class LocalFiles:
    """The audio files in folders, and files, one after the other; they are listed anew each time they are asked for."""

    def __init__(self, named: list[Path]) -> None:
        """Raises UserError where one is not there."""
        paths = list(dict.fromkeys(map(absolute, named)))
        for path, whole in zip(named, map(absolute, named), strict=True):
            if not os.path.lexists(whole):
                raise UserError(f"there is no {path}; name folders that hold audio files")
        folders = {path for path in paths if is_folder(path)}
        self.named = [path for path in paths if not any(finds(folder, path) for folder in folders & {*path.parents})]
        self.folders = [path for path in self.named if path in folders]

    def __iter__(self) -> Iterator[AudioFile]:
        for path in self.named:
            yield from map(AudioFile.at, walk(path) if path in self.folders else (path,))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def absolute(path: Path) -> Path:
    """A path from the root, without `..`, which behind a link leads elsewhere than it seems."""
    return path.resolve() if ".." in path.parts else Path(os.path.normpath(path.absolute()))


def finds(folder: Path, path: Path) -> bool:
    """Whether `walk` comes to what is below a folder: not if it is hidden, or by its name no audio."""
    is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not is_hidden and (is_folder(path) or path.suffix.lower() in SUFFIXES)


class ModelListener(Listener):
    """Makes rows that follow from the models alone."""

    @property
    def version(self) -> str:
        return self.predictor.models_version

    def row(self, file: AudioFile) -> dict:
        """The row of a file as a library keeps it."""
        return library_row(*self.hear(file))


class LibraryListener(ModelListener):
    """Makes the rows of a library, whose songs it does not hear twice, whatever their files are called."""

    def __init__(self, predictor: Predictor | Processes, library: Library) -> None:
        super().__init__(predictor)
        self.library = library

    def before(self, file: AudioFile) -> dict:
        return super().before(file) | {"path": file.key}

    def recall(self, row: dict) -> dict | None:
        copies = self.library.copies_of(row["sha256"], self.version) if row["sha256"] else []
        if not copies:
            return None
        own = (copy for copy in copies if copy["path"] == row["path"])
        gone = (copy for copy in copies if is_gone(copy))
        known = next(own, None) or next(gone, copies[0])
        return known | {name: row[name] for name in _FROM_THE_FILE} | {"missing": None}


def is_there(path: bytes) -> bool:
    """Whether there is a file; nobody asks a server."""
    return b"://" in path or os.path.lexists(path)


def is_gone(row: dict) -> bool:
    """Whether a row's file is not where it was, or another has its name; of one on a server nobody asks."""
    if b"://" in row["path"]:
        return False
    return b"\0" in row["path"] or AudioFile.at(Path(os.fsdecode(row["path"]))).state() != (
        row["bytes"],
        row["modified"],
    )


@dataclass
class Found:
    """What a scan found besides what it heard."""

    moved: int = 0
    copies: int = 0  # of what was heard before, and files that were touched without a change
    missing: int = 0  # since this scan
    reasons: Counter[str] = field(default_factory=Counter)  # of files that could not be used


class LibraryRows(Output):
    """Keeps the rows of a scan in a library."""

    lasts = True

    def __init__(self, library: Library, model: str, folders: list[Path]) -> None:
        """
        Args:
            model: the version of the models, whose rows need not be made again.
            folders: that are scanned as a whole: what is not seen in them is missing.
        """
        self.library, self.model, self.folders, self.path = library, model, folders, library.path
        self.found = Found()
        self.closed: list[Path] = []  # folders that can't be read
        self.seen: list[tuple[int]] = []
        library.change("CREATE TEMP TABLE IF NOT EXISTS seen (song_id INTEGER PRIMARY KEY)")
        library.change("DELETE FROM seen")

    def expect(self, row: dict) -> bool:
        columns = ("song_id", "bytes", "modified", "error", "model")
        known = next(self.library.select(columns, "path = ?", (row["path"],)), None)
        if known is None:
            return True
        song_id, n_bytes, modified, error, model = known
        made_by = self.model if error is None else __version__
        if (n_bytes, modified, model) != (row["bytes"], row["modified"], made_by):
            return True
        self._see(song_id)
        return False

    def append(self, row: dict, analysis: Analysis | None) -> None:
        known = self._row("path = ?", row["path"])
        if "song_id" in row:
            self._note_copy(row, known)
        else:
            row = library_row(row, analysis)
        if row["error"] is not None:
            self.found.reasons[reason_of(row["error"])] += 1
            if is_folder(folder := Path(os.fsdecode(row["path"]))):
                self.closed.append(folder)
                return
            if row["sha256"] is None and not is_there(row["path"]):
                return  # it went away just now, and is missing
            if row["sha256"] is None and known is not None and known["error"] is None:
                self._see(known["song_id"])  # what was heard stays, though it can't be read today
                return
        if known is not None and known["sha256"] != row["sha256"]:
            self.library.set_aside(row["path"], now())
        if row.get("is_moved"):
            self.library.move(row["song_id"], row["path"])
        self.library.add(row)
        self._see(self._row("path = ?", row["path"])["song_id"])

    def _row(self, where: str, value: object) -> dict | None:
        """What the library has of the file that meets a condition with this value; None if there is none."""
        columns = ("song_id", "path", "bytes", "modified", "sha256", "error")
        found = next(self.library.select(columns, where, (value,)), None)
        return found and dict(zip(columns, found, strict=True))

    def _note_copy(self, row: dict, known: dict | None) -> None:
        """A file of known content is a copy, or the one that was heard, elsewhere: then the row moves with it."""
        was = self._row("song_id = ?", row["song_id"])  # it may have moved since
        is_elsewhere = was is not None and was["path"] != row["path"] and is_gone(was)
        row["is_moved"] = is_elsewhere and (known is None or known["sha256"] != row["sha256"])
        self.found.moved += row["is_moved"]
        self.found.copies += not row["is_moved"]

    def _see(self, song_id: int) -> None:
        self.seen.append((song_id,))
        if len(self.seen) >= SEEN_AT_ONCE:
            self._note_seen()

    def _note_seen(self) -> None:
        if self.seen:
            self.library.change("INSERT OR IGNORE INTO seen VALUES (?)", *self.seen)
        self.seen.clear()

    def finish(self) -> None:
        """Mark as missing what is no more where everything was looked at."""
        self._note_seen()
        for folder in self.closed:
            condition, ends = inside(folder)
            self.library.change(f"INSERT OR IGNORE INTO seen SELECT song_id FROM songs WHERE {condition}", ends)
        missing: list[tuple[str, int]] = []
        for folder in self.folders:
            condition, ends = inside(folder)
            unseen = f"{condition} AND missing IS NULL AND song_id NOT IN (SELECT song_id FROM seen)"
            for rows in self.library.batches(("song_id", "path"), unseen, ends):
                missing += [(now(), song_id) for song_id, path in rows if not is_there(path) or b"://" in path]
        self.found.missing = len(missing)
        if missing:
            self.library.change("UPDATE songs SET missing = ? WHERE song_id = ?", *missing)
        self.library.change(
            "UPDATE songs SET missing = NULL WHERE missing IS NOT NULL AND song_id IN (SELECT song_id FROM seen)"
        )
        self.library.drop_set_aside()


def library_row(row: dict, analysis: Analysis | None) -> dict:
    """A row of a run as a library keeps it: COLUMNS, `path` if it has one, and `embedding` (bytes of float32).

    `model` tells what the row follows from: of a song the models; of a file that can't be used the program; and nothing
    where that may pass, since it could not be read or nobody foresaw why: such a file is tried again each time.
    """
    kept = row | csv_row(row) | {"heard": now(), "missing": None, "embedding": None}
    if analysis is not None:
        kept["embedding"] = analysis.embedding.numpy().astype("<f4").tobytes()
    else:
        passes = row["sha256"] is None or row["error"].startswith(UNEXPECTED)
        kept["model"] = None if passes else __version__
    return {name: kept.get(name) for name in KEPT}


def now() -> str:
    """The time in UTC, to the second."""
    return f"{np.datetime64(datetime.now(UTC).replace(tzinfo=None), 's')}Z"


def reason_of(error: str) -> str:
    """Why a file could not be used, without the numbers in which files differ."""
    return re.sub(r"\d[\d.,:]*", "…", error.split(" (more in ")[0])


def scan(
    files: LocalFiles, library: Library, predictor: Predictor | Processes, *, bar: bool = True
) -> tuple[Outcome, Found]:
    """Have a row of every file in a library.

    A file is not heard where its row is of the same bytes, time of change and models, nor where a file of the same
    content was heard by these models.

    Raises:
        KeyboardInterrupt: on Ctrl-C; every row that was made is kept.
    """
    listener = LibraryListener(predictor, library)
    rows = LibraryRows(library, listener.version, files.folders)
    outcome = hear(files, listener, [rows], bar=bar)
    return outcome, rows.found


def count_outdated(library: Library, files: LocalFiles, model: str) -> int:
    """How many songs in the folders of a scan have rows by other models than these."""
    return sum(count_others(library, model, *inside(folder)) for folder in files.folders)


def summary(outcome: Outcome, found: Found) -> list[str]:
    """What became of a scan, on some lines."""
    heard = outcome.heard - outcome.failed - found.moved - found.copies
    parts = {
        "heard": heard,
        "unchanged": outcome.known,
        "moved": found.moved,
        "of known content": found.copies,
        "missing now": found.missing,
        "can't be used": outcome.failed,
    }
    lines = [", ".join(f"{n:,} {what}" for what, n in parts.items() if n or what == "heard")]
    reasons = found.reasons.most_common()
    lines += [f"  {n:,} {printable(reason)}" for reason, n in reasons[:MAX_REASONS]]
    if rest := sum(n for _, n in reasons[MAX_REASONS:]):
        lines.append(f"  {rest:,} for other reasons")
    return lines
