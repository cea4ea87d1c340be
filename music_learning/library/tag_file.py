"""The tags of one audio file, whatever kind it is of: texts by a field's name, and how they come into a copy of it.

The names of fields are those that MusicBrainz Picard, Mp3tag, Mixed In Key, Traktor and Serato use:
picard-docs.musicbrainz.org (appendix B) and docs.mp3tag.de/mapping. Fields without a name of their own, as energy, are
user-defined ones under theirs.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_READ_BYTES = 64_000_000  # of one file, for its tags; each reading counts as at least LEAST_READ_BYTES
LEAST_READ_BYTES = 1000
BLOCK_BYTES = 1_000_000
USER_DEFINED = ("energy", "danceability", "valence")  # and called so everywhere


class TooLongError(OSError):
    """More was to be read than tags are worth."""


class BoundedFile:
    """A file of which only so much can be read: what a damaged tag says of its own length costs no memory or time."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.name, self.left = file, file.name, MAX_READ_BYTES

    def read(self, n: int = -1) -> bytes:
        data = self.file.read(self.left + 1 if n is None or n < 0 else min(n, self.left + 1))
        self.left -= max(len(data), LEAST_READ_BYTES)
        if self.left < 0:
            raise TooLongError("its tags are too long to read")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


@dataclass
class Value:
    """What a field holds: its texts, and from what it can be made again just as it was (as JSON has it).

    `exact` is None of a new value, and of one that could not be made again.
    """

    texts: list[str]
    exact: object = None


class TagFile(ABC):
    """The tags of one file, in memory."""

    containers: tuple[str, ...]  # in which such tags are written, by FFmpeg's names
    whole_bpm = False  # whether a field for the tempo takes whole numbers alone

    @abstractmethod
    def get(self, field: str) -> Value | None:
        """What a field holds, or None."""

    @abstractmethod
    def put(self, field: str, value: Value | None) -> None:
        """Let a field hold a value in the place where it was, or at the end; None takes it out."""

    @abstractmethod
    def others(self, fields: list[str]) -> object:
        """All that the tags hold besides some fields, to be compared."""

    def check(self) -> None:
        """Raise UserError, without the file's name, where it is known already that `save` would lose something."""
        return

    @abstractmethod
    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        """Write a copy of the file with these tags.

        Args:
            n_bytes: how long the copy shall be, if padding can do it.

        Raises:
            UserError: a sentence without the file's name; or whatever mutagen raises.
        """


def replaced(items: Sequence, places: list[int], new: list) -> list:
    """A list with others in place of some items: where the first of them was, or else at the end."""
    at = places[0] if places else len(items)
    return [*items[:at], *new, *(item for k, item in enumerate(items) if k > at and k not in places)]


def copy_part(old: BinaryIO, new: BinaryIO, start: int, end: int) -> None:
    """Write what stands from one place to another of a file."""
    old.seek(start)
    while start < end and (block := old.read(min(BLOCK_BYTES, end - start))):
        new.write(block)
        start += len(block)
