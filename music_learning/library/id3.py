"""ID3v2 tags as what they are made of: frames, each kept byte for byte until it is changed.

mutagen makes a tag anew when it saves one: frames that it can't read are dropped, and the others' order, encodings and
compression change. A tag that is to be as it was after an undo must not go through that, so it is taken apart here.
Sources: the ID3v2.2, 2.3 and 2.4 informal standards (id3.org).
"""

import re
import zlib
from dataclasses import dataclass, field
from typing import Self

HEADER_BYTES = 10  # of a tag
MARK = b"ID3"
MAX_TAG_BYTES = 32_000_000  # what is longer is no tag to read; a few pictures have some megabytes
MAX_FRAMES = 100_000
MAX_TEXT_BYTES = 200_000
PADDING_BYTES = 1024  # of a tag that outgrows its place, so that the next one need not
_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
_FRAME_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}[A-Z0-9 \0]?")  # some programs write names of 2.2 with a zero in 2.3
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


@dataclass
class Id3Tag:
    """A tag: `version` is 2, 3 or 4; `frames` are whole, with their headers."""

    version: int = 4
    flags: int = 0
    frames: list[bytes] = field(default_factory=list)
    n_bytes: int = 0  # of the tag in its file, with its padding
    is_whole: bool = True  # its frames are all there is: it can be written without a loss

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """A tag from its first byte to its last; as much of it as can be told apart, if it is damaged."""
        version, flags = data[3], data[5]
        body = data[HEADER_BYTES:]
        if version < 4 and flags & _UNSYNCHRONISED:  # of the whole tag; in 2.4 of each frame
            body, flags = body.replace(b"\xff\x00", b"\xff"), flags & ~_UNSYNCHRONISED
        simple = version in (2, 3, 4) and not flags & (_EXTENDED | _FOOTER)
        if flags & _EXTENDED and version > 2:
            size = _synchsafe(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4])
            body = body[size:]
        frames, is_whole = _split(body, version, plain=version == 3)
        if version == 4 and not is_whole:  # early iTunes wrote the sizes of 2.3
            others, others_are_whole = _split(body, version, plain=True)
            if others_are_whole or len(others) > len(frames):
                frames, is_whole = others, others_are_whole
        return cls(version, flags, frames, len(data), simple and is_whole)

    def pack(self, n_bytes: int | None = None) -> bytes:
        """The tag as a file has it.

        Args:
            n_bytes: how long it shall be with its padding, if it isn't longer without; None is as long as it was.
        """
        body = b"".join(self.frames)
        needed = HEADER_BYTES + len(body)
        if n_bytes is None:
            n_bytes = self.n_bytes if needed <= self.n_bytes else needed + PADDING_BYTES
        if not n_bytes and not body:
            return b""
        size = max(n_bytes, needed) - HEADER_BYTES
        header = MARK + bytes([self.version, 0, self.flags]) + _to_synchsafe(size)
        return header + body.ljust(size, b"\0")

    def text_frame(self, name: str, description: str | None, texts: list[str]) -> bytes:
        """A new frame of texts. Args: description: of a frame that has one, None of one that has none."""
        parts = texts if description is None else [description, *texts]
        latin = all(part.isascii() for part in parts)
        wide = 3 if self.version == 4 else 1
        content = bytes([0 if latin else wide])
        if latin or wide == 3:
            content += "\0".join(parts).encode(_ENCODINGS[0 if latin else wide])
        else:
            content += b"\0\0".join(part.encode("utf-16") for part in parts)
        if self.version == 2:
            return name.encode() + len(content).to_bytes(3) + content
        size = _to_synchsafe(len(content)) if self.version == 4 else len(content).to_bytes(4)
        return name.encode() + size + b"\0\0" + content

    def named(self, name: str, description: str | None = None) -> list[int]:
        """The places of the frames of a name and, in whatever case, a description."""
        places = [k for k, frame in enumerate(self.frames) if _name_of(frame, self.version) == name]
        if description is None:
            return places
        return [k for k in places if (self.texts(k, 1) or [""])[0].lower() == description.lower()]

    def texts(self, place: int, n: int | None = None) -> list[str]:
        """The texts in a frame, a description first if it has one; none in one that is no text or can't be read.

        Args:
            n: how many are enough.
        """
        content = _content(self.frames[place], self.version)
        if not content or content[0] >= len(_ENCODINGS):
            return []
        text = content[1 : MAX_TEXT_BYTES + 1].decode(_ENCODINGS[content[0]], "replace").rstrip("\0")
        return [part.lstrip("\ufeff\ufffe") for part in text.split("\0")[:n]]


def tag_bytes(start: bytes) -> int:
    """How long the tag is whose first HEADER_BYTES these are; 0 if they are none's."""
    if len(start) < HEADER_BYTES or not start.startswith(MARK) or max(start[6:10]) > 127:
        return 0
    return HEADER_BYTES + _synchsafe(start[6:10]) + (HEADER_BYTES if start[5] & _FOOTER and start[3] == 4 else 0)


def _split(body: bytes, version: int, *, plain: bool) -> tuple[list[bytes], bool]:
    """The frames of a tag, and whether nothing but zeros is left. Args: plain: whether sizes have 8 bits in a byte."""
    name_bytes, header_bytes = (3, 6) if version == 2 else (4, 10)
    frames, at = [], 0
    while len(frames) < MAX_FRAMES and _FRAME_NAME.fullmatch(body[at : at + name_bytes]):
        size = body[at + name_bytes : at + 2 * name_bytes]
        end = at + header_bytes + (int.from_bytes(size) if plain or version == 2 else _synchsafe(size))
        if end > len(body):
            break
        frames.append(body[at:end])
        at = end
    return frames, not body[at:].strip(b"\0")


def _name_of(frame: bytes, version: int) -> str:
    return frame[: 3 if version == 2 else 4].decode("ascii")


def _content(frame: bytes, version: int) -> bytes:
    """What is in a frame, by the flags in its header; nothing if it is encrypted or damaged."""
    if version == 2:
        return frame[6:]
    flags, content = frame[9], frame[10:]
    grouped, packed, encrypted, unsynchronised, measured = (
        (0x40, 0x08, 0x04, 0x02, 0x01) if version == 4 else (0x20, 0x80, 0x40, 0, 0x80)
    )
    if flags & encrypted:
        return b""
    if version == 4 and flags & grouped:
        content = content[1:]
    if flags & measured:
        content = content[4:]
    if version == 3 and flags & grouped:
        content = content[1:]
    if flags & unsynchronised:
        content = content.replace(b"\xff\x00", b"\xff")
    if flags & packed:
        try:
            content = zlib.decompressobj().decompress(content, MAX_TEXT_BYTES)  # however much it would become
        except zlib.error:
            return b""
    return content


def _synchsafe(data: bytes) -> int:
    """A number of which each byte holds seven bits."""
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number


def _to_synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
