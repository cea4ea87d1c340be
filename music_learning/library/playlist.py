"""Playlists of songs of a library, as m3u8 files, which every player opens.

Songs are named relative to the playlist's folder, so that both can move together; those on a server by their address. A
path is written as the system has it, byte for byte, whatever it is encoded in; what m3u8 can't name is left out.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

from music_learning.errors import UserError, for_stdout, printable
from music_learning.files import atomic, check_replaced
from music_learning.library.database import Library
from music_learning.library.schema import USABLE, Condition
from music_learning.streams import why_lost

MARK = b"#EXTM3U"
SUFFIX = ".m3u8"
ROWS_AT_ONCE = 500
_ADDRESS = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")
_COLUMNS = ("path", "file", "title", "artist", "duration_s", "sha256")


class Song(NamedTuple):
    """What a playlist says of a song."""

    path: bytes
    file: str
    title: str | None
    artist: str | None
    duration_s: float | None
    sha256: str | None

    @property
    def name(self) -> str:
        """Artist and title on one line, or the file's name where it has no title."""
        parts = (self.artist, self.title) if self.title else (PurePath(self.file).stem,)
        return printable(" - ".join(" ".join(part.split()) for part in parts if part))

    def line(self, folder: bytes | None) -> bytes | None:
        """Its path as a line of a playlist in a folder, or in no folder; None where no line can have it."""
        path = self.path
        if folder is not None and not _ADDRESS.match(path):
            place, name = os.path.split(path)
            path = _way(folder, place) + name
            if (
                path[:1] == b"#" or path[:1].isspace() or b":" in path.split(b"/")[0]
            ):  # else a remark, cut short, an address
                path = b"./" + path
        return None if b"\n" in path or b"\r" in path or path != path.rstrip() else path


@lru_cache
def _way(folder: bytes, place: bytes) -> bytes:
    """What goes before the names of files in a place, seen from a folder; files of one place are often neighbours."""
    way = os.path.relpath(place or b".", folder)
    return b"" if way == b"." else way + b"/"


@dataclass
class Written:
    """What became of a playlist."""

    songs: int = 0
    duration_s: float = 0.0
    left_out: list[str] = field(default_factory=list)  # the files that no line can name


def usable(condition: Condition) -> Condition:
    """A condition that songs meet whose files are there and can be used."""
    return Condition(f"({condition.sql}) AND {USABLE}", condition.values)


def songs_by_path(library: Library, condition: Condition) -> Iterator[Song]:
    """The songs that meet a condition, in the order of their paths, none of the same content twice."""
    chosen = usable(condition)
    return _each_once(map(Song._make, library.select(_COLUMNS, f"{chosen.sql} ORDER BY +path", chosen.values)))


def songs_by_number(library: Library, song_ids: Sequence[int]) -> Iterator[Song]:
    """The songs with these numbers, in this order, none of the same content twice."""

    def songs() -> Iterator[Song]:
        for start in range(0, len(song_ids), ROWS_AT_ONCE):
            some = [int(song_id) for song_id in song_ids[start : start + ROWS_AT_ONCE]]
            where = f"song_id IN ({', '.join('?' * len(some))})"
            found = {row[0]: Song(*row[1:]) for row in library.select(("song_id", *_COLUMNS), where, some)}
            yield from filter(None, map(found.get, some))

    return _each_once(songs())


def content_of(sha256: str | None, song_id: object) -> int:
    """A number of 64 bits for a song's content: that any two of a million contents share one has a chance of 3e-8."""
    return hash(sha256 or song_id)


def _each_once(songs: Iterable[Song]) -> Iterator[Song]:
    seen: set[int] = set()
    for song in songs:
        if (content := content_of(song.sha256, song.path)) not in seen:
            seen.add(content)
            yield song


def check_playlist(path: Path) -> None:
    """Raise UserError unless a playlist may go to `path`, where nothing may be but another one."""
    if path.suffix.lower() != SUFFIX:
        raise UserError(f"{path} can't be written: name a file that ends in {SUFFIX}")
    check_replaced(path, MARK, "playlist")


def write_playlist(path: Path, songs: Iterable[Song]) -> Written:
    """Write a playlist. Raises UserError where there are no songs, or the file can't be written."""
    written = Written()
    folder = os.fsencode(os.path.realpath(path.parent))
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            file.writelines(_lines(songs, folder, written))
        if not written.songs:
            raise UserError(f"no song is like that, and {path} was not written; name another condition")
    return written


def print_playlist(songs: Iterable[Song]) -> Written:
    """Write a playlist with whole paths to standard output, until nobody reads it any more.

    Raises UserError where there are no songs.
    """
    written = Written()
    for line in _lines(songs, None, written):
        sys.stdout.buffer.write(for_stdout(line))
        if why_lost(sys.stdout):
            return written
    if not written.songs:
        raise UserError("no song is like that; name another condition")
    return written


def _lines(songs: Iterable[Song], folder: bytes | None, written: Written) -> Iterator[bytes]:
    yield MARK + b"\n"
    for song in songs:
        if (line := song.line(folder)) is None:
            written.left_out.append(song.file)
            continue
        seconds = -1 if song.duration_s is None else round(song.duration_s)
        yield b"#EXTINF:%d,%s\n%s\n" % (seconds, song.name.encode("utf-8", "replace"), line)
        written.songs += 1
        written.duration_s += song.duration_s or 0
