"""The tags of an audio file, of whatever kind: texts by a field's name, read, put in and saved to a copy of the file.

There are five ways to keep tags; which one a file has, its first bytes tell. The names of fields are those that
MusicBrainz Picard, Mp3tag, Mixed In Key, Traktor and Serato use: picard-docs.musicbrainz.org (appendix B) and
docs.mp3tag.de/mapping. Fields without a name of their own, as energy, are user-defined ones under theirs.
"""

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mutagen import FileType
from mutagen.apev2 import APENoHeaderError, APEv2, APEValue
from mutagen.asf import ASF, UNICODE, ASFValue
from mutagen.flac import FLAC, Padding, VCFLACDict
from mutagen.mp4 import MP4, AtomDataType, MP4FreeForm
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis

from music_learning.errors import UserError
from music_learning.library.id3 import HEADER_BYTES, MARK, MAX_TAG_BYTES, Id3Tag, tag_bytes
from music_learning.pipeline_config import FFMPEG_FORMATS

MAX_READ_BYTES = 64_000_000  # of one file, for its tags; each reading counts as at least LEAST_READ_BYTES
LEAST_READ_BYTES = 1000
BLOCK_BYTES = 1_000_000
# Of FFmpeg, where nothing is decoded: one packet tells enough, while it looks at seconds of a WAV for hidden surround.
QUICK_OPTIONS = {"format_whitelist": FFMPEG_FORMATS, "max_probe_packets": "1"}
_FREE = "----:com.apple.iTunes:"
_OWN = ("energy", "danceability", "valence")  # user-defined, and called so everywhere
_ID3 = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "date": "TDRC", "isrc": "TSRC"} | {
    **{"bpm": "TBPM", "initialkey": "TKEY", "mood": "TMOO"},
    **{name: f"TXXX:{name.upper()}" for name in _OWN},
}
_ID3_2 = {"title": "TT2", "artist": "TP1", "album": "TAL", "date": "TYE", "isrc": "TRC"} | {
    **{"bpm": "TBP", "initialkey": "TKE", "mood": "TXX:MOOD"},
    **{name: f"TXX:{name.upper()}" for name in _OWN},
}
_APE = {"date": "Year"}  # all others are called what they are
_MP4 = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "date": "\xa9day", "isrc": f"{_FREE}ISRC"} | {
    **{"bpm": "tmpo", "initialkey": f"{_FREE}initialkey", "mood": f"{_FREE}MOOD"},
    **{name: f"{_FREE}{name.upper()}" for name in _OWN},
}
_ASF = {"title": "Title", "artist": "Author", "album": "WM/AlbumTitle", "date": "WM/Year", "isrc": "WM/ISRC"} | {
    **{"bpm": "WM/BeatsPerMinute", "initialkey": "WM/InitialKey", "mood": "WM/Mood"},
    **{name: name.upper() for name in _OWN},
}


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

    @abstractmethod
    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        """Write a copy of the file with these tags.

        Args:
            n_bytes: how long the copy shall be, if padding can do it.

        Raises:
            UserError: a sentence without the file's name; or whatever mutagen raises.
        """


class Id3File(TagFile):
    """ID3v2 before all else: mp3 and TTA, and AAC without a container where it has such a tag already."""

    containers = ("mp3", "tta", "aac")
    whole_bpm = True  # TBPM is "an integer and represented as a numerical string"

    def __init__(self, file: BoundedFile) -> None:
        self.start = file.tell()
        n_bytes = tag_bytes(file.read(HEADER_BYTES))
        if n_bytes > MAX_TAG_BYTES:
            raise UserError("its ID3 tag is too long")
        file.seek(self.start)
        self.end = self.start + n_bytes
        self.tag = Id3Tag.parse(file.read(n_bytes)) if n_bytes else Id3Tag()
        self.names = _ID3_2 if self.tag.version == 2 else _ID3

    def get(self, field: str) -> Value | None:
        if field == "date" and self.tag.version == 3 and not self.tag.named("TDRC"):
            return self._date()
        name, _, description = self.names[field].partition(":")
        places = self.tag.named(name, description or None)
        texts = [text for k in places for text in self.tag.texts(k)[1 if description else 0 :]]
        exact = {"version": self.tag.version, "frames": [self.tag.frames[k].hex() for k in places]}
        return Value(texts, exact) if places else None

    def _date(self) -> Value | None:
        """The year, and the day as DDMM, which 2.3 keeps apart."""
        year, day = ("".join(text for k in self.tag.named(name) for text in self.tag.texts(k)) for name in _DATE_2_3)
        is_day = re.fullmatch(r"\d{4}", year) and re.fullmatch(r"\d{4}", day)
        return Value([f"{year}-{day[2:]}-{day[:2]}" if is_day else year]) if year else None

    def put(self, field: str, value: Value | None) -> None:
        name, _, description = self.names[field].partition(":")
        places = self.tag.named(name, description or None)
        frames = []
        if value is not None:
            exact = value.exact or {}
            if exact.get("version") == self.tag.version:
                frames = [bytes.fromhex(frame) for frame in exact["frames"]]
            else:
                frames = [self.tag.text_frame(name, description or None, value.texts)]
        self.tag.frames[:] = _replaced(self.tag.frames, places, frames)

    def others(self, fields: list[str]) -> object:
        names = (self.names[field].partition(":") for field in fields)
        places = {k for name, _, description in names for k in self.tag.named(name, description or None)}
        return [frame for k, frame in enumerate(self.tag.frames) if k not in places]

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        if not self.tag.is_whole:
            raise UserError("its ID3 tag is damaged, or of a kind that can't be written without a loss")
        with open(source, "rb") as old, open(target, "wb") as new:
            self._write(old, new, n_bytes)

    def _write(self, old: BinaryIO, new: BinaryIO, n_bytes: int | None) -> None:
        rest_bytes = old.seek(0, os.SEEK_END) - self.end
        new.write(self.tag.pack(None if n_bytes is None else max(0, n_bytes - rest_bytes)))
        _copy(old, new, self.end, self.end + rest_bytes)


_DATE_2_3 = ("TYER", "TDAT")


class ChunkFile(Id3File):
    """ID3v2 in a chunk of its own: WAV and AIFF."""

    containers = ("wav", "aiff")

    def __init__(self, file: BoundedFile) -> None:
        form = file.read(12)
        self.order, self.name = ("little", b"id3 ") if form.startswith(b"RIFF") else ("big", b"ID3 ")
        self.form_bytes = int.from_bytes(form[4:8], self.order)
        size = file.seek(0, os.SEEK_END)
        self.form_end = 8 + self.form_bytes
        self.is_in_order = self.form_end <= size
        self.chunk: tuple[int, int] | None = None  # where it starts, and where it ends, with its padding
        at = 12
        while at + 8 <= min(self.form_end, size):
            file.seek(at)
            header = file.read(8)
            end = at + 8 + int.from_bytes(header[4:], self.order)
            end += end % 2
            if header[:4].lower() == b"id3 " and self.chunk is None:
                self.chunk, self.name = (at, end), header[:4]
            self.is_in_order &= end <= self.form_end + self.form_end % 2
            at = end
        file.seek(self.chunk[0] + 8 if self.chunk else size)
        super().__init__(file)
        self.is_in_order &= self.chunk is None or self.end <= self.chunk[1]

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        if not self.is_in_order:
            raise UserError("its chunks are damaged, or it is cut off")
        super().save(source, target, n_bytes)

    def _write(self, old: BinaryIO, new: BinaryIO, n_bytes: int | None) -> None:
        size = old.seek(0, os.SEEK_END)
        # One with an odd number of bytes, which should be followed by a zero, may end without.
        place = self.chunk or (min(size, self.form_end + self.form_end % 2),) * 2
        others = size - (place[1] - place[0])
        tag = self.tag.pack(None if n_bytes is None else max(0, n_bytes - others - 8))
        tag += b"\0" * (len(tag) % 2)
        chunk = self.name + len(tag).to_bytes(4, self.order) + tag if tag else b""
        form_bytes = self.form_bytes + len(chunk) - (place[1] - place[0])
        if not self.chunk:
            form_bytes = place[0] - 8 + len(chunk) if chunk else self.form_bytes
        if form_bytes >= 2**32:
            raise UserError("with tags it would be longer than such a file can be")
        _copy(old, new, 0, place[0])
        new.write(chunk)
        _copy(old, new, min(place[1], size), size)
        new.seek(4)
        new.write(form_bytes.to_bytes(4, self.order))


class VorbisFile(TagFile):
    """Vorbis comments, of FLAC and what is in Ogg."""

    containers = ("flac", "ogg")

    def __init__(self, file: FileType) -> None:
        self.file = file

    def _places(self, field: str) -> list[int]:
        return [k for k, (name, _) in enumerate(self.file.tags or ()) if name.upper() == field.upper()]

    def get(self, field: str) -> Value | None:
        pairs = [list(pair) for pair in self.file.tags or () if pair[0].upper() == field.upper()]
        return Value([text for _, text in pairs], pairs) if pairs else None

    def put(self, field: str, value: Value | None) -> None:
        if self.file.tags is None:
            self.file.add_tags()
        pairs = [] if value is None else value.exact or [(field.upper(), text) for text in value.texts]
        self.file.tags[:] = _replaced([*self.file.tags], self._places(field), [tuple(pair) for pair in pairs])

    def others(self, fields: list[str]) -> object:
        pairs = [pair for pair in self.file.tags or () if pair[0].lower() not in fields]
        blocks = self.file.metadata_blocks if isinstance(self.file, FLAC) else ()
        return pairs, [block.write() for block in blocks if block.code not in (Padding.code, VCFLACDict.code)]

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        if any("\ufffd" in text or re.fullmatch(r"unknown\d+", name) for name, text in self.file.tags or ()):
            raise UserError("it has comments that are no UTF-8 or have no name, which would be lost")
        _save_padded(self.file, source, target, n_bytes)


class Mp4File(TagFile):
    """The atoms of iTunes, in MP4."""

    containers = ("mov,mp4,m4a,3gp,3g2,mj2",)
    whole_bpm = True

    def __init__(self, file: MP4) -> None:
        self.file = file

    def _key(self, field: str) -> str:
        """The key of a field, as it is written in this file, if it is there."""
        key = _MP4[field]
        return next((own for own in self.file.tags or () if own.lower() == key.lower()), key)

    def get(self, field: str) -> Value | None:
        values = (self.file.tags or {}).get(self._key(field))
        if not values:
            return None
        if isinstance(values[0], bytes):
            texts = [value.decode("utf-8", "replace") for value in values]
            return Value(texts, [[int(value.dataformat), value.hex()] for value in values])
        return Value([str(value) for value in values], list(values))

    def put(self, field: str, value: Value | None) -> None:
        if self.file.tags is None:
            self.file.add_tags()
        key = self._key(field)
        self.file.tags.pop(key, None)
        if value is None:
            return
        if not key.startswith(_FREE):
            self.file.tags[key] = value.exact or [int(text) if field == "bpm" else text for text in value.texts]
        elif value.exact:
            self.file.tags[key] = [MP4FreeForm(bytes.fromhex(data), AtomDataType(form)) for form, data in value.exact]
        else:
            self.file.tags[key] = [MP4FreeForm(text.encode(), AtomDataType.UTF8) for text in value.texts]

    def others(self, fields: list[str]) -> object:
        keys = [self._key(field) for field in fields]
        return {key: value for key, value in (self.file.tags or {}).items() if key not in keys}

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        _save_padded(self.file, source, target, n_bytes)


class ApeFile(TagFile):
    """APEv2, behind all else: Monkey's Audio and WavPack."""

    containers = ("ape", "wv")

    def __init__(self, tags: APEv2) -> None:
        self.tags = tags

    def _key(self, field: str) -> str:
        key = _APE.get(field, field.upper())
        return next((own for own in self.tags if own.lower() == key.lower()), key)

    def get(self, field: str) -> Value | None:
        value = self.tags.get(self._key(field))
        if value is None:
            return None
        is_text = isinstance(value.value, str)
        text = str(value) if is_text else repr(value.value)
        return Value(text.split("\0"), [value.kind, text] if is_text else None)

    def put(self, field: str, value: Value | None) -> None:
        key = self._key(field)
        if value is None:
            self.tags.pop(key, None)
        elif value.exact:
            kind, text = value.exact
            self.tags[key] = APEValue(text, kind)
        else:
            self.tags[key] = value.texts

    def others(self, fields: list[str]) -> object:
        keys = [self._key(field) for field in fields]
        return {key: (value.kind, value.value) for key, value in self.tags.items() if key not in keys}

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        shutil.copyfile(source, target)
        if n_bytes is not None and not self.tags:
            self.tags.delete(target)
        else:
            self.tags.save(target)
        with open(source, "rb") as old, open(target, "ab") as new:  # mutagen takes an ID3v1 tag at the end away
            size = old.seek(0, os.SEEK_END)
            old.seek(max(0, size - 128))
            if (last := old.read()).startswith(b"TAG"):
                new.write(last)


class AsfFile(TagFile):
    """The attributes of ASF: wma."""

    containers = ("asf",)

    def __init__(self, file: ASF) -> None:
        self.file = file

    def get(self, field: str) -> Value | None:
        values = self.file.tags.get(_ASF[field])
        if not values:
            return None
        texts = [str(value) for value in values]
        parts = [[str(value), value.language, value.stream] for value in values]
        return Value(texts, parts if all(value.TYPE == UNICODE for value in values) else None)

    def put(self, field: str, value: Value | None) -> None:
        places = [k for k, (name, _) in enumerate(self.file.tags) if name == _ASF[field]]
        parts = [] if value is None else value.exact or [(text, None, None) for text in value.texts]
        attributes = [
            (_ASF[field], ASFValue(text, UNICODE, language=language, stream=stream)) for text, language, stream in parts
        ]
        self.file.tags[:] = _replaced([*self.file.tags], places, attributes)

    def others(self, fields: list[str]) -> object:
        names = [_ASF[field] for field in fields]
        return sorted((name, repr(value)) for name, value in self.file.tags if name not in names)

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        _save_padded(self.file, source, target, n_bytes)


_OGG_KINDS = {b"OpusHead": OggOpus, b"\x01vorbis": OggVorbis, b"\x7fFLAC": OggFLAC, b"Speex   ": OggSpeex}
_ASF_MARK = bytes.fromhex("3026b2758e66cf11")
_CHUNKED = ((b"RIFF", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC"))
_APE_MARKS = (b"MAC ", b"wvpk")
_ID3_MARKS = (b"\xff", b"TTA1")  # of what follows an ID3 tag, or could
_ID3_SUFFIXES = (".mp3", ".mp2", ".tta")  # of a file that may begin with something else
_TYPICAL_START = 64  # bytes that tell what a file is


def open_tags(path: Path) -> TagFile | None:
    """The tags of a file, by what it is; None of a kind that has none of these five.

    Raises whatever mutagen, the system or a damaged tag raise.
    """
    with open(path, "rb") as opened:
        file = BoundedFile(opened)
        start = file.read(_TYPICAL_START)
        file.seek(0)
        if (start[:4], start[8:12]) in _CHUNKED:
            return ChunkFile(file)
        if start.startswith(b"OggS"):
            return next((VorbisFile(kind(file)) for mark, kind in _OGG_KINDS.items() if mark in start), None)
        if start[4:8] == b"ftyp":
            return Mp4File(MP4(file))
        if start.startswith(_ASF_MARK):
            return AsfFile(ASF(file))
        if start.startswith(_APE_MARKS):
            return ApeFile(_ape_tags(file))
        file.seek(tag_bytes(start[:HEADER_BYTES]))
        follows = file.read(4) if start.startswith(MARK) else start[:4]
        file.seek(0)
        if follows == b"fLaC":
            return VorbisFile(FLAC(file))
        if not start.startswith(MARK) and _is_adts(follows):
            return None
        has_id3 = start.startswith((MARK, *_ID3_MARKS)) or path.suffix.lower() in _ID3_SUFFIXES
        return Id3File(file) if has_id3 else None


def _is_adts(start: bytes) -> bool:
    """Whether a file begins as AAC without a container does: with a layer of 0, which MPEG audio never has."""
    return len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0


def _ape_tags(file: BoundedFile) -> APEv2:
    try:
        return APEv2(file)
    except APENoHeaderError:
        return APEv2()


def _replaced(items: Sequence, places: list[int], new: list) -> list:
    """A list with others in place of some items: where the first of them was, or else at the end."""
    at = places[0] if places else len(items)
    return [*items[:at], *new, *(item for k, item in enumerate(items) if k > at and k not in places)]


def _copy(old: BinaryIO, new: BinaryIO, start: int, end: int) -> None:
    """Write what stands from one place to another of a file."""
    old.seek(start)
    while start < end and (block := old.read(min(BLOCK_BYTES, end - start))):
        new.write(block)
        start += len(block)


def _save_padded(file: FileType, source: Path, target: Path, n_bytes: int | None) -> None:
    shutil.copyfile(source, target)
    if n_bytes is None:
        file.save(target)
        return
    file.save(target, padding=lambda _: 0)
    if (missing := n_bytes - target.stat().st_size) > 0:
        file.save(target, padding=lambda _: missing)
