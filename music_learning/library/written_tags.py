"""Write what a library knows of its songs into their files' tags, and take it back.

A row of a log is there before its file changes, and tells of one field what it held and what it gets. So what a field
held before all writing is found backwards from what it holds now, also where a run was killed, and where another
program has changed it in between. `unfinished_tags` has the copy that is being made, for the run after a killed one.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import sha256_of
from music_learning.library.database import Library
from music_learning.library.outputs import KEYS
from music_learning.library.tag_file import TagFile, Value
from music_learning.library.tag_log import TABLES, Log, add_log, drop_log, find_log
from music_learning.library.tagging import (
    Change,
    FileState,
    changes_to,
    check_changeable,
    check_writable,
    opened,
    packets_of,
    rewrite,
    state_of,
)

ROW_COLUMNS = (
    *("song_id", "path", "file", "bytes", "modified", "sha256", "error", "missing"),
    *("energy", "danceability", "valence", "mood", "tempo", "key", "mode"),
)
FIELDS = ("energy", "danceability", "valence", "mood", "bpm", "initialkey")
_UNFINISHED = """CREATE TABLE IF NOT EXISTS unfinished_tags (
    song_id INTEGER PRIMARY KEY, copy BLOB NOT NULL, bytes INTEGER, modified TEXT, sha256 TEXT)"""
_COPY_NAME = re.compile(rb"/\.[0-9a-f]{32}\.tmp(\.[^/]*)?\Z")  # as files.atomic calls it


class UnnotedError(UserError):
    """A file was changed, but its library could not be; the next run that changes files makes up for it."""


@dataclass(frozen=True)
class Song:
    """A song and its file, as its row has them: ROW_COLUMNS in `row`."""

    row: dict

    @property
    def song_id(self) -> int:
        return self.row["song_id"]

    @property
    def path(self) -> bytes:
        return self.row["path"]

    @property
    def known(self) -> FileState:
        return FileState(self.row["bytes"], self.row["modified"], self.row["sha256"])

    @property
    def is_as_known(self) -> bool:
        """Whether the file is the one that was heard. Raises UserError where there is none."""
        return state_of(self.local) == FileState(self.known.bytes, self.known.modified)

    @property
    def local(self) -> Path:
        """Where it lies. Raises UserError where that is not on this machine."""
        if b"://" in self.path:
            raise UserError("it is not on this machine; tags are written to files here alone")
        return Path(os.fsdecode(self.path))


@dataclass
class Undone:
    """What taking back the tags of a song does to its file."""

    tags: TagFile
    changes: list[Change]
    foreign: list[str]  # the fields that another program has changed since
    log: Log


def has_table(library: Library) -> bool:
    """Whether tags were ever written from a library."""
    with library.transaction() as connection:
        found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'written_tags'")
        return found.fetchone() is not None


def prepare(library: Library) -> None:
    """Make the tables where they are missing, and put right what a killed run has left."""
    with library.transaction() as connection:
        for table in (*TABLES, _UNFINISHED):
            connection.execute(table)
        left = connection.execute("SELECT * FROM unfinished_tags").fetchall()
    for song_id, copy, *made in left:
        if _COPY_NAME.search(copy):  # a library may come from anywhere
            with suppress(OSError):
                Path(os.fsdecode(copy)).unlink()
        for row in library.select(ROW_COLUMNS, "song_id = ?", (song_id,)):
            _put_right(library, Song(dict(zip(ROW_COLUMNS, row, strict=True))), FileState(*made))
        library.change("DELETE FROM unfinished_tags WHERE song_id = ?", (song_id,))


def _put_right(library: Library, song: Song, made: FileState) -> None:
    """Note that a file was changed, if it was."""
    with suppress(UserError):
        if state_of(song.local) != FileState(made.bytes, made.modified):
            return
        with library.transaction() as connection:
            log = find_log(connection, song.known.sha256, song.path, str)  # none has "" for its sound
        _finish(library, song, _links(library, song), made, log)


def plan(song: Song, fields: Sequence[str]) -> tuple[TagFile, list[Change]]:
    """What would change in a song's file by writing fields, of FIELDS; what is not known of it isn't written.

    Raises UserError where it can't be changed, or not before it was scanned again.
    """
    if song.row["error"] is not None:
        raise UserError(f"it could not be heard: {song.row['error']}")
    if song.row["missing"] is not None:
        raise UserError(f"it is missing since {song.row['missing']}; scan the folder where it is now")
    check_changeable(song.local)
    if not song.is_as_known:
        raise UserError("it has changed since it was heard; scan its folder again first")
    tags = opened(song.local)
    texts = texts_of(song.row, whole_bpm=tags.whole_bpm)
    changes = changes_to(tags, {field: Value([texts[field]]) for field in fields if texts[field]})
    check_writable(tags, changes)
    return tags, changes


def texts_of(row: dict, *, whole_bpm: bool) -> dict[str, str | None]:
    """What is written for each of FIELDS; None for what is not known.

    Values have three decimals and the tempo one, unless it must be whole. A key is as ID3's TKEY has it, `F#m`.
    """
    texts = {target: None if row[target] is None else f"{row[target]:.3f}" for target in TARGETS}
    tempo, key, mode = row["tempo"], row["key"], row["mode"]
    bpm = None if tempo is None else f"{tempo:.0f}" if whole_bpm else f"{tempo:.1f}".removesuffix(".0")
    is_known = key is not None and key >= 0 and mode is not None
    return texts | {
        "mood": row["mood"] or None,
        "bpm": bpm,
        "initialkey": f"{KEYS[key]}{'' if mode else 'm'}" if is_known else None,
    }


def write(library: Library, song: Song, tags: TagFile, changes: list[Change]) -> None:
    """Change fields of a song's file, so that it can be undone.

    Raises UserError; the file is as it was then, unless it is an UnnotedError.
    """
    links, log = _links(library, song), _log_of(library, song, song.known.sha256)

    def note_made(made: FileState) -> None:
        with library.transaction(lasting=True) as connection:
            add_log(connection, log, song.song_id, song.path, changes, (song.known, made))
            connection.execute(*_unfinished(song, made))

    made = rewrite(song.local, tags, changes, on_copy=_noting_copy(library, song), on_made=note_made)
    _finish(library, song, links, made, None if log is None or log.content == made.sha256 else log)


def plan_undo(library: Library, song: Song) -> Undone | None:
    """What taking back what was written would do to a song's file; None where nothing was written to it.

    Raises UserError where it can't be changed.
    """
    check_changeable(song.local)
    log = _log_of(library, song, song.known.sha256 if song.is_as_known else sha256_of(song.local))
    if log is None:
        return None
    undone = Undone(opened(song.local), [], [], log)
    for field in dict.fromkeys(step[0] for step in log.steps):
        value = undone.tags.get(field)
        first, is_ours = value_before(value, [(old, new) for name, old, new in log.steps if name == field])
        if not is_ours:
            undone.foreign.append(field)
        elif _texts(first) != _texts(value):
            undone.changes.append(Change(field, value, first))
    check_writable(undone.tags, undone.changes)
    return undone


def undo(library: Library, song: Song, undone: Undone) -> bool:
    """Take back what was written. Returns whether the file is now byte for byte what it was; None was to be changed.

    Raises UserError; the file is as it was then, unless it is an UnnotedError.
    """
    if not undone.changes:
        _drop(library, song, undone.log)
        return False
    is_known, links = song.is_as_known, _links(library, song)

    def note_made(made: FileState) -> None:
        if is_known:  # if it isn't the file that was heard, its row shall not say so
            with library.transaction(lasting=True) as connection:
                connection.execute(*_unfinished(song, made))

    made = rewrite(
        song.local,
        undone.tags,
        undone.changes,
        n_bytes=None if undone.foreign else undone.log.first.bytes,
        on_copy=_noting_copy(library, song),
        on_made=note_made,
    )
    _finish(library, song, links, made if is_known else None, undone.log)
    return made.sha256 == undone.log.first.sha256


def value_before(value: Value | None, steps: Sequence[tuple[Value | None, Value | None]]) -> tuple[Value | None, bool]:
    """What a field held before it was written, back from what it holds now, and whether that is of our making at all.

    Args:
        steps: what it held and got, each time; the last of them, or any after which a run was killed, may never have
            come to the file.
    """
    texts = [_texts(value), *(_texts(part) for step in steps for part in step)]
    is_ours = texts[0] in texts[1:]
    for old, new in reversed(steps):
        if _texts(new) == _texts(value):
            value = old
    return value, is_ours


def _noting_copy(library: Library, song: Song) -> Callable[[Path], None]:
    def note(copy: Path) -> None:
        row = (song.song_id, os.fsencode(copy))
        library.change("INSERT OR REPLACE INTO unfinished_tags (song_id, copy) VALUES (?, ?)", row)

    return note


def _unfinished(song: Song, made: FileState) -> tuple[str, tuple]:
    """The statement that notes what a song's file is about to be."""
    update = "UPDATE unfinished_tags SET bytes = ?, modified = ?, sha256 = ? WHERE song_id = ?"
    return update, (made.bytes, made.modified, made.sha256, song.song_id)


def _log_of(library: Library, song: Song, content: str) -> Log | None:
    with library.transaction() as connection:
        return find_log(connection, content, song.path, lambda: packets_of(song.local).sound)


def _links(library: Library, song: Song) -> list[int]:
    """The other songs that are the same file, by a link."""
    known = (song.known.sha256, song.known.modified, song.song_id)
    place = os.path.realpath(song.path)
    rows = library.select(("song_id", "path"), "sha256 = ? AND modified = ? AND song_id != ?", known)
    return [song_id for song_id, path in rows if os.path.realpath(path) == place]


def _finish(library: Library, song: Song, links: list[int], made: FileState | None, log: Log | None) -> None:
    """Note that a file was changed, so that no scan hears it again, and drop the log that it had.

    Args:
        made: the file as it is now; None where its row was of another.

    Raises UnnotedError.
    """
    try:
        if made is not None:
            rows = [(made.bytes, made.modified, made.sha256, song_id) for song_id in (song.song_id, *links)]
            library.change("UPDATE songs SET bytes = ?, modified = ?, sha256 = ? WHERE song_id = ?", *rows)
        if log is not None:
            _drop(library, song, log)
        library.change("DELETE FROM unfinished_tags WHERE song_id = ?", (song.song_id,))
    except UserError as error:
        raise UnnotedError(f"it was changed, but {error}") from None


def _drop(library: Library, song: Song, log: Log) -> None:
    """Drop the log that a song had."""

    def has_sound(path: bytes) -> bool:
        try:
            return packets_of(Path(os.fsdecode(path))).sound == log.sound
        except UserError:
            return False

    with library.transaction() as connection:
        drop_log(connection, log, song.song_id, song.path, has_sound=has_sound)


def _texts(value: Value | None) -> list[str] | None:
    return None if value is None else value.texts
