"""The kinds of files that have tags, and which one a file is: its first bytes tell, not its name.

Tags that are no ID3 are read and written by mutagen.
"""

import os
import re
import shutil
from pathlib import Path

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
from music_learning.library.id3 import HEADER_BYTES, MARK, tag_bytes
from music_learning.library.id3_files import ChunkFile, Id3File
from music_learning.library.tag_file import USER_DEFINED, BoundedFile, TagFile, Value, replaced
from music_learning.pipeline_config import FFMPEG_FORMATS

# Of FFmpeg, where nothing is decoded: one packet tells enough, while it looks at seconds of a WAV for hidden surround.
QUICK_OPTIONS = {"format_whitelist": FFMPEG_FORMATS, "max_probe_packets": "1"}
_FREE = "----:com.apple.iTunes:"
_APE = {"date": "Year"}  # all others are called what they are
_MP4 = {"title": "\xa9nam", "artist": "\xa9ART", "album": "\xa9alb", "date": "\xa9day", "isrc": f"{_FREE}ISRC"} | {
    **{"bpm": "tmpo", "initialkey": f"{_FREE}initialkey", "mood": f"{_FREE}MOOD"},
    **{name: f"{_FREE}{name.upper()}" for name in USER_DEFINED},
}
_ASF = {"title": "Title", "artist": "Author", "album": "WM/AlbumTitle", "date": "WM/Year", "isrc": "WM/ISRC"} | {
    **{"bpm": "WM/BeatsPerMinute", "initialkey": "WM/InitialKey", "mood": "WM/Mood"},
    **{name: name.upper() for name in USER_DEFINED},
}


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
        self.file.tags[:] = replaced([*self.file.tags], self._places(field), [tuple(pair) for pair in pairs])

    def others(self, fields: list[str]) -> object:
        pairs = [pair for pair in self.file.tags or () if pair[0].lower() not in fields]
        blocks = self.file.metadata_blocks if isinstance(self.file, FLAC) else ()
        return pairs, [block.write() for block in blocks if block.code not in (Padding.code, VCFLACDict.code)]

    def check(self) -> None:
        if any("\ufffd" in text or re.fullmatch(r"unknown\d+", name) for name, text in self.file.tags or ()):
            raise UserError("it has comments that are no UTF-8 or have no name, which would be lost")

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
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
        self.file.tags[:] = replaced([*self.file.tags], places, attributes)

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


def _save_padded(file: FileType, source: Path, target: Path, n_bytes: int | None) -> None:
    shutil.copyfile(source, target)
    if n_bytes is None:
        file.save(target)
        return
    file.save(target, padding=lambda _: 0)
    if (missing := n_bytes - target.stat().st_size) > 0:
        file.save(target, padding=lambda _: missing)
