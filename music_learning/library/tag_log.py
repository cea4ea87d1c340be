"""Logs of the tags that were written from a library into files, by which they are taken back: kept in the library.

A log belongs to a content, the sha256 of a file after writing, and so is found wherever a file of that content is now,
and by all its copies. It also has the path of the song, and a hash of the sound: by these it is found where another
program has changed the file since. A trigger gives it to the paths where scans find the song later, too. A log whose
content is nowhere stays: the file may come back.

A row tells of one field what it held and what it got, in one writing; a log has those of all writings before as well.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from music_learning.library.database import Library
from music_learning.library.scan import now
from music_learning.library.tag_file import Value
from music_learning.library.tagging import Change, FileState

TABLES = (
    # `old` and `new` are JSON, null for a field that isn't there; `bytes` and `sha256` are the file's before.
    """CREATE TABLE IF NOT EXISTS written_tags (
        write_id INTEGER PRIMARY KEY, content TEXT NOT NULL, path BLOB NOT NULL, song_id INTEGER,
        sound TEXT NOT NULL, field TEXT NOT NULL, old TEXT, new TEXT, bytes INTEGER NOT NULL, sha256 TEXT,
        written TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS written_tags_by_content ON written_tags (content)",
    "CREATE INDEX IF NOT EXISTS written_tags_by_path ON written_tags (path)",
    # The path of a row that is only set aside begins with a zero.
    """CREATE TRIGGER IF NOT EXISTS written_tags_follow AFTER UPDATE OF path ON songs
    WHEN NEW.path >= x'01' AND NOT EXISTS (SELECT 1 FROM written_tags WHERE content = NEW.sha256 AND path = NEW.path)
    BEGIN
        INSERT INTO written_tags (content, path, song_id, sound, field, old, new, bytes, sha256, written)
        SELECT content, NEW.path, song_id, sound, field, old, new, bytes, sha256, written FROM written_tags
        WHERE content = NEW.sha256 AND song_id = NEW.song_id AND path = (
            SELECT path FROM written_tags WHERE content = NEW.sha256 AND song_id = NEW.song_id
            ORDER BY write_id DESC LIMIT 1)
        ORDER BY write_id;
    END""",
)
# The condition that a song may have a log, once there are such tables. A missing song that is elsewhere is that one.
HAS_WRITTEN = """(sha256 IN (SELECT content FROM written_tags) OR path IN (SELECT path FROM written_tags))
    AND (missing IS NULL OR sha256 NOT IN (SELECT sha256 FROM songs WHERE missing IS NULL AND sha256 IS NOT NULL))"""
_COLUMNS = "content, path, song_id, sound, field, old, new, bytes, sha256, written"
_NOWHERE = b""  # the path of a log that only copies have a use for


@dataclass(frozen=True)
class Log:
    """What was written to a file, and what it was before."""

    content: str
    path: bytes
    sound: str
    steps: list[tuple[str, Value | None, Value | None]]  # field, what it held, what it got; in order
    first: FileState  # the file before the first writing; its time of change is not known


def find_log(connection: sqlite3.Connection, content: str, path: bytes, sound: Callable[[], str]) -> Log | None:
    """The log of a file.

    Args:
        sound: finds the hash of the file's sound, where it is asked for.
    """
    found = connection.execute(
        """SELECT content, path, sound, max(write_id) FROM written_tags WHERE content = ? OR path = ?
        GROUP BY content, path ORDER BY content = ? DESC, path = ? DESC, max(write_id) DESC""",
        (content, path, content, path),
    ).fetchall()
    own = next((row[:3] for row in found if row[0] == content or row[2] == sound()), None)
    if own is None:
        return None
    rows = connection.execute(
        "SELECT field, old, new, bytes, sha256 FROM written_tags WHERE content = ? AND path = ? ORDER BY write_id",
        own[:2],
    ).fetchall()
    steps = [(field, _value(old), _value(new)) for field, old, new, *_ in rows]
    return Log(*own, steps, FileState(rows[0][3], "", rows[0][4]))


def add_log(
    connection: sqlite3.Connection,
    log: Log | None,
    song_id: int,
    path: bytes,
    changes: Sequence[Change],
    states: Sequence[FileState],
) -> None:
    """Keep what is written to a file, after what its log had.

    Args:
        states: the file before and after.
    """
    before, made = states
    key = (made.sha256, path)
    if log is not None and key != (log.content, log.path):
        connection.execute(
            f"""INSERT INTO written_tags ({_COLUMNS}) SELECT ?, ?, ?, ?, field, old, new, bytes, sha256, written
            FROM written_tags WHERE content = ? AND path = ? ORDER BY write_id""",
            (*key, song_id, made.sound, log.content, log.path),
        )
    for change in changes:
        values = (change.field, _json(change.old), _json(change.new))
        row = (*key, song_id, made.sound, *values, before.bytes, before.sha256, now())
        connection.execute(f"INSERT INTO written_tags ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def drop_log(
    connection: sqlite3.Connection, log: Log, song_id: int, path: bytes, *, has_sound: Callable[[bytes], bool]
) -> None:
    """Drop the log that a song had, but for the other songs that have a use for it.

    Args:
        has_sound: whether the file at a path has the sound of the log.
    """
    others = "SELECT 1 FROM songs WHERE sha256 = ? AND song_id != ? LIMIT 1"
    if connection.execute(others, (log.content, song_id)).fetchone():
        statement = "UPDATE written_tags SET path = ?, song_id = NULL WHERE content = ? AND path = ?"
        connection.execute(statement, (_NOWHERE, log.content, path))
        return
    paths = {row[0] for row in connection.execute("SELECT path FROM written_tags WHERE content = ?", (log.content,))}
    for written_at in paths:
        known = connection.execute("SELECT 1 FROM songs WHERE path = ? AND song_id != ?", (written_at, song_id))
        if known.fetchone() is None or not has_sound(written_at):  # what another program has changed there needs it
            connection.execute("DELETE FROM written_tags WHERE content = ? AND path = ?", (log.content, written_at))


def count_logs(library: Library) -> int:
    """How many contents have a log."""
    with library.transaction() as connection:
        return connection.execute("SELECT count(DISTINCT content) FROM written_tags").fetchone()[0]


def _json(value: Value | None) -> str | None:
    return None if value is None else json.dumps([value.texts, value.exact])


def _value(text: str | None) -> Value | None:
    return None if text is None else Value(*json.loads(text))
