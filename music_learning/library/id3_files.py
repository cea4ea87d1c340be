"""Files that keep their tags as ID3v2: mp3 and TTA before all else, WAV and AIFF in a chunk."""

import os
import re
from pathlib import Path
from typing import BinaryIO

from music_learning.errors import UserError
from music_learning.library.id3 import HEADER_BYTES, MAX_TAG_BYTES, Id3Tag, tag_bytes
from music_learning.library.tag_file import USER_DEFINED, BoundedFile, TagFile, Value, copy_part, replaced

_ID3 = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "date": "TDRC", "isrc": "TSRC"} | {
    **{"bpm": "TBPM", "initialkey": "TKEY", "mood": "TMOO"},
    **{name: f"TXXX:{name.upper()}" for name in USER_DEFINED},
}
_ID3_2 = {"title": "TT2", "artist": "TP1", "album": "TAL", "date": "TYE", "isrc": "TRC"} | {
    **{"bpm": "TBP", "initialkey": "TKE", "mood": "TXX:MOOD"},
    **{name: f"TXX:{name.upper()}" for name in USER_DEFINED},
}
_DATE_2_3 = ("TYER", "TDAT")


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
        self.tag.frames[:] = replaced(self.tag.frames, places, frames)

    def others(self, fields: list[str]) -> object:
        names = (self.names[field].partition(":") for field in fields)
        places = {k for name, _, description in names for k in self.tag.named(name, description or None)}
        return [frame for k, frame in enumerate(self.tag.frames) if k not in places]

    def check(self) -> None:
        if not self.tag.is_whole:
            raise UserError("its ID3 tag is damaged, or of a kind that can't be written without a loss")

    def save(self, source: Path, target: Path, n_bytes: int | None = None) -> None:
        with open(source, "rb") as old, open(target, "wb") as new:
            self._write(old, new, n_bytes)

    def _write(self, old: BinaryIO, new: BinaryIO, n_bytes: int | None) -> None:
        rest_bytes = old.seek(0, os.SEEK_END) - self.end
        new.write(self.tag.pack(None if n_bytes is None else max(0, n_bytes - rest_bytes)))
        copy_part(old, new, self.end, self.end + rest_bytes)


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

    def check(self) -> None:
        if not self.is_in_order:
            raise UserError("its chunks are damaged, or it is cut off")
        super().check()

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
        copy_part(old, new, 0, place[0])
        new.write(chunk)
        copy_part(old, new, min(place[1], size), size)
        new.seek(4)
        new.write(form_bytes.to_bytes(4, self.order))
