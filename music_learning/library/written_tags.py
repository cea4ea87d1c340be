"""Which tags were written from a library into its songs' files, and what had been there before: kept in the library.

A row of `written_tags` is there before its file changes, and tells of one field what it held and what it gets. So
what a field held before all writing is found backwards from what it holds now, also where a run was killed, and where
another program has changed it in between. `unfinished_tags` has the copy that is being made, for the run after a killed
one.
"""

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.outputs import KEYS
from music_learning.library.scan import now
from music_learning.library.tag_file import TagFile, Value
from music_learning.library.tagging import Change, FileState, changes_to, check_changeable, opened, rewrite, state_of

ROW_COLUMNS = (
    *("song_id", "path", "file", "bytes", "modified", "sha256", "error", "missing"),
    *("energy", "danceability", "valence", "mood", "tempo", "key", "mode"),
)
FIELDS = ("energy", "danceability", "valence", "mood", "bpm", "initialkey")
_TABLES = (
    # `old` and `new` are JSON, null for a field that isn't there; the file's `bytes` and `sha256` are those before.
    """CREATE TABLE IF NOT EXISTS written_tags (
        write_id INTEGER PRIMARY KEY, song_id INTEGER NOT NULL, field TEXT NOT NULL, old TEXT, new TEXT,
        bytes INTEGER NOT NULL, sha256 TEXT, written TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS written_tags_by_song ON written_tags (song_id)",
    """CREATE TABLE IF NOT EXISTS unfinished_tags (
        song_id INTEGER PRIMARY KEY, copy BLOB NOT NULL, bytes INTEGER, modified TEXT, sha256 TEXT)""",
)
_COPY_NAME = re.compile(rb"/\.[0-9a-f]{32}\.tmp(\.[^/]*)?\Z")  # as files.atomic calls it
HAS_WRITTEN = "song_id IN (SELECT song_id FROM written_tags)"  # a condition, once there is such a table


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
    first: FileState  # the file before the first writing; its time of change is not known


def has_table(library: Library) -> bool:
    """Whether tags were ever written from a library."""
    return bool(_rows(library, "SELECT 1 FROM sqlite_schema WHERE name = 'written_tags'"))


def prepare(library: Library) -> None:
    """Make the tables where they are missing, and put right what a killed run has left."""
    _together(library, [(table, ()) for table in _TABLES])
    for song_id, copy, *made in _rows(library, "SELECT * FROM unfinished_tags"):
        if _COPY_NAME.search(copy):  # a library may come from anywhere
            with suppress(OSError):
                Path(os.fsdecode(copy)).unlink()
        path = _rows(library, "SELECT path FROM songs WHERE song_id = ?", (song_id,))
        with suppress(UserError):
            if path and state_of(Path(os.fsdecode(path[0][0]))) == FileState(*made[:2]):
                _finish(library, [song_id], FileState(*made))
        _together(library, [("DELETE FROM unfinished_tags WHERE song_id = ?", (song_id,))])


def plan(song: Song, fields: Sequence[str]) -> tuple[TagFile, list[Change]]:
    """What would change in a song's file by writing fields, of FIELDS; what is not known of it isn't written.

    Raises UserError where it can't be changed, or not before it was scanned again.
    """
    if song.row["error"] is not None:
        raise UserError(f"it could not be heard: {song.row['error']}")
    if song.row["missing"] is not None:
        raise UserError(f"it is missing since {song.row['missing']}; scan the folder where it is now")
    check_changeable(song.local)
    if state_of(song.local) != FileState(song.known.bytes, song.known.modified):
        raise UserError("it has changed since it was heard; scan its folder again first")
    tags = opened(song.local)
    texts = texts_of(song.row, whole_bpm=tags.whole_bpm)
    return tags, changes_to(tags, {field: Value([texts[field]]) for field in fields if texts[field]})


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
    """Change fields of a song's file, so that it can be undone. Raises UserError; the file is as it was then."""
    links = _links(library, song)
    made = _rewrite(library, song, tags, changes)
    _finish(library, [song.song_id, *links], made)


def plan_undo(library: Library, song: Song) -> Undone:
    """What taking back what was written would do to a song's file. Raises UserError where it can't be changed."""
    check_changeable(song.local)
    tags = opened(song.local)
    rows = _rows(
        library,
        "SELECT field, old, new, bytes, sha256 FROM written_tags WHERE song_id = ? ORDER BY write_id",
        (song.song_id,),
    )
    undone = Undone(tags, [], [], FileState(rows[0][3], "", rows[0][4]))
    for field in dict.fromkeys(row[0] for row in rows):
        value = tags.get(field)
        steps = [(_value(old), _value(new)) for name, old, new, *_ in rows if name == field]
        first, is_ours = value_before(value, steps)
        if not is_ours:
            undone.foreign.append(field)
        elif _texts(first) != _texts(value):
            undone.changes.append(Change(field, value, first))
    return undone


def undo(library: Library, song: Song, undone: Undone) -> bool:
    """Take back what was written. Returns whether the file is now byte for byte what it was; None was to be changed."""
    is_known = state_of(song.local) == FileState(song.known.bytes, song.known.modified)
    if undone.changes:
        n_bytes = undone.first.bytes if not undone.foreign else None
        links = _links(library, song)
        made = _rewrite(library, song, undone.tags, undone.changes, n_bytes=n_bytes, is_known=is_known)
        if is_known:
            _finish(library, [song.song_id, *links], made)
    _together(
        library,
        [
            ("DELETE FROM written_tags WHERE song_id = ?", (song.song_id,)),
            ("DELETE FROM unfinished_tags WHERE song_id = ?", (song.song_id,)),
        ],
    )
    return bool(undone.changes) and made.sha256 == undone.first.sha256


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


def _rewrite(
    library: Library,
    song: Song,
    tags: TagFile,
    changes: list[Change],
    *,
    n_bytes: int | None = None,
    is_known: bool = True,
) -> FileState:
    """Change a file, with notes of it.

    Args:
        is_known: whether the file is the one that was heard; if it isn't, its row shall not say so.
    """

    def note_copy(copy: Path) -> None:
        row = (song.song_id, os.fsencode(copy))
        _together(library, [("INSERT OR REPLACE INTO unfinished_tags (song_id, copy) VALUES (?, ?)", row)])

    def note_made(made: FileState) -> None:
        insert = (
            "INSERT INTO written_tags (song_id, field, old, new, bytes, sha256, written) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        rows = [
            (
                song.song_id,
                change.field,
                _json(change.old),
                _json(change.new),
                song.known.bytes,
                song.known.sha256,
                now(),
            )
            for change in changes
        ]
        statements = [(insert, row) for row in rows]
        if is_known:
            update = "UPDATE unfinished_tags SET bytes = ?, modified = ?, sha256 = ? WHERE song_id = ?"
            statements.append((update, (made.bytes, made.modified, made.sha256, song.song_id)))
        _together(library, statements, lasting=True)

    return rewrite(song.local, tags, changes, n_bytes=n_bytes, on_copy=note_copy, on_made=note_made)


def _links(library: Library, song: Song) -> list[int]:
    """The other songs that are the same file, by a link."""
    known = (song.known.sha256, song.known.modified, song.song_id)
    rows = _rows(library, "SELECT song_id, path FROM songs WHERE sha256 = ? AND modified = ? AND song_id != ?", known)
    place = os.path.realpath(song.path)
    return [song_id for song_id, path in rows if os.path.realpath(path) == place]


def _finish(library: Library, song_ids: list[int], made: FileState) -> None:
    """Let the rows of songs have their file as it is now, so that no scan hears it again."""
    update = "UPDATE songs SET bytes = ?, modified = ?, sha256 = ? WHERE song_id = ?"
    statements = [(update, (made.bytes, made.modified, made.sha256, song_id)) for song_id in song_ids]
    _together(library, [*statements, ("DELETE FROM unfinished_tags WHERE song_id = ?", song_ids[:1])])


def _texts(value: Value | None) -> list[str] | None:
    return None if value is None else value.texts


def _json(value: Value | None) -> str | None:
    return None if value is None else json.dumps([value.texts, value.exact])


def _value(text: str | None) -> Value | None:
    return None if text is None else Value(*json.loads(text))


def _rows(library: Library, statement: str, values: Sequence[object] = ()) -> list[tuple]:
    return library.connection.execute(statement, values).fetchall()


def _together(library: Library, statements: Iterable[tuple[str, Sequence[object]]], *, lasting: bool = False) -> None:
    """Change the library, all or nothing.

    Args:
        lasting: wait until it is on the disk, so that no crash of the machine can take it away.
    """
    with library.turn:
        try:
            library.connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            with library.connection:
                for statement, values in statements:
                    library.connection.execute(statement, values)
        except sqlite3.Error as error:
            raise UserError(f"{library.path} can't be written: {error}") from None
