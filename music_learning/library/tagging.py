"""Write tags into an audio file so that its sound and all its other tags stay as they are, whatever ends the program.

A copy beside the file gets the tags and is compared with it: the packets of all streams, as FFmpeg takes them out of
the container, and every other tag must be the same. Then it takes the file's place at once. A link is followed; of a
file with several names (hard links) only this one gets the copy.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import av
from mutagen import MutagenError

from music_learning.errors import UserError
from music_learning.files import atomic, sha256_of
from music_learning.library.rows import AudioFile
from music_learning.library.tag_file import TagFile, Value
from music_learning.library.tag_kinds import QUICK_OPTIONS, open_tags

SPARE_BYTES = 10_000_000  # that a disk shall have left beside a copy


@dataclass(frozen=True)
class FileState:
    """By what a library knows a file again; `modified` is in UTC, to the nanosecond."""

    bytes: int
    modified: str
    sha256: str | None = None
    sound: str | None = None  # what Packets calls so


@dataclass(frozen=True)
class Change:
    """What becomes of a field; None is a field that isn't there."""

    field: str
    old: Value | None
    new: Value | None


def state_of(path: Path) -> FileState:
    """A file's size and time of change. Raises UserError where there is no file."""
    n_bytes, modified = AudioFile.at(path).state()
    if n_bytes is None or modified is None:
        raise UserError("there is no such file any more; scan its folder again")
    return FileState(n_bytes, modified)


def check_changeable(path: Path) -> None:
    """Raise UserError with the reason where a file may not be changed."""
    state_of(path)
    status, folder = path.stat(), Path(os.path.realpath(path)).parent
    if not stat.S_ISREG(status.st_mode):
        raise UserError("it is no file")
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise UserError("it is read-only; allow it to be written first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError("its folder is read-only, and a copy has to be made there")


def opened(path: Path) -> TagFile:
    """The tags of a file. Raises UserError where it has none that can be written."""
    try:
        tags = open_tags(path)
    except UserError:
        raise
    except Exception as error:  # mutagen raises more than it says, of damaged files
        raise UserError(f"its tags can't be read ({' '.join(str(error).split())[:100]})") from None
    if tags is None:
        raise UserError("files of its kind have no tags that can be written here")
    return tags


def changes_to(tags: TagFile, wanted: Mapping[str, Value | None]) -> list[Change]:
    """What would have to change for fields to hold what is wanted."""
    changes = []
    for field, new in wanted.items():
        old = tags.get(field)
        if (old and old.texts) != (new and new.texts):
            changes.append(Change(field, old, new))
    return changes


def check_writable(tags: TagFile, changes: list[Change]) -> None:
    """Raise UserError with the reason where tags are of a kind in which these changes would lose something."""
    for change in changes:
        if change.old is not None and change.old.exact is None:
            raise UserError(f"its {change.field} is no text, and could not be restored")
    if changes:
        tags.check()


def rewrite(
    path: Path,
    tags: TagFile,
    changes: list[Change],
    *,
    n_bytes: int | None = None,
    on_copy: Callable[[Path], None],
    on_made: Callable[[FileState], None],
) -> FileState:
    """Change fields of a file.

    Args:
        tags: of the file, as it is; they are changed.
        n_bytes: how long the file shall become, if padding can do it.
        on_copy: called with the name of the copy before it is made.
        on_made: called with what the file will be, just before it takes the place of the old one.

    Returns what the file is now.

    Raises:
        UserError: a sentence, mostly without the file's name; the file is as it was.
    """
    before = state_of(path)
    if shutil.disk_usage(Path(os.path.realpath(path)).parent).free < before.bytes + SPARE_BYTES:
        raise UserError("there is too little space on its disk for the copy that is made of it")
    check_writable(tags, changes)
    sound = packets_of(path)
    if sound.container not in tags.containers:
        raise UserError("its first bytes are of another kind than what follows")
    others = tags.others([change.field for change in changes])
    for change in changes:
        tags.put(change.field, change.new)
    with atomic(path) as copy:
        on_copy(copy)
        try:
            tags.save(path, copy, n_bytes)
        except (MutagenError, ValueError, TypeError, AssertionError, IndexError) as error:
            raise UserError(f"its tags can't be written ({' '.join(str(error).split())[:100]})") from None
        _take_over(path, copy)
        _check(copy, sound, others, changes)
        if state_of(path) != before:
            raise UserError("another program changed it just now; try again")
        made = replace(state_of(copy), sha256=sha256_of(copy), sound=sound.sound)
        on_made(made)
    return made


@dataclass(frozen=True)
class Packets:
    """What a file holds to be decoded: its container, by FFmpeg's name, and a hash of all packets with their times."""

    container: str
    sha256: str
    sound: str = ""  # a hash of the audio alone: another program that adds a cover, say, leaves it as it is


def packets_of(path: Path) -> Packets:
    """Take a file's packets out of its container; nothing is decoded.

    Raises UserError where FFmpeg can't, and so nobody could say whether they stay as they are.
    """
    digest, sound = hashlib.sha256(), hashlib.sha256()
    try:
        with av.open(f"file:{path}", options=QUICK_OPTIONS, metadata_errors="replace") as container:
            name = container.format.name
            for stream in container.streams:
                codec = stream.codec_context
                digest.update(repr((stream.type, codec and codec.name, stream.time_base)).encode())
            for packet in container.demux():
                digest.update(repr((packet.stream_index, packet.pts, packet.dts, packet.size)).encode())
                digest.update(packet)
                if packet.stream.type == "audio":
                    sound.update(packet)
    except (av.FFmpegError, OSError, ValueError):
        raise UserError("it is damaged, so that nobody could say whether its sound stays as it is") from None
    return Packets(name, digest.hexdigest(), sound.hexdigest())


def _take_over(path: Path, copy: Path) -> None:
    """Give a copy all that a file has but its time of change."""
    shutil.copystat(path, copy)
    status = path.stat()
    if hasattr(os, "chown"):
        with suppress(OSError):  # only root may give files away
            os.chown(copy, status.st_uid, status.st_gid)
    os.utime(copy)


def _check(copy: Path, sound: Packets, others: object, changes: list[Change]) -> None:
    """Raise UserError unless a copy differs from its file in these fields alone."""
    if packets_of(copy) != sound:
        raise UserError("writing tags would change its sound, since it is damaged or unusual; it is left as it was")
    made = opened(copy)
    if made.others([change.field for change in changes]) != others:
        raise UserError("writing tags would change others of its tags; it is left as it was")
    for change in changes:
        value = made.get(change.field)
        if (value and value.texts) != (change.new and change.new.texts):
            raise UserError(f"its {change.field} could not be written; it is left as it was")
