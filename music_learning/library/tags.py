"""What an audio file's tags say of the song."""

import os
from pathlib import Path

import av
from mutagen.apev2 import APEv2
from mutagen.id3 import ParseID3v1

from music_learning.columns import TAGS
from music_learning.library.tag_file import BoundedFile, TagFile, TooLongError
from music_learning.library.tag_kinds import QUICK_OPTIONS, ApeFile, open_tags

MAX_LETTERS = 20_000  # of a tag; a title may have thousands
_ID3V1_BYTES, _END_BYTES = 128, 160  # of ID3v1, and of that with the end of APEv2 before it
_ASKED_OF_FFMPEG = (
    b"RIFF",
    b"RF64",
    b"riff",
    b"FORM",
    b"caff",
    b"\x1aE\xdf\xa3",
)  # what keeps tags elsewhere too, or in other ways


def read_tags(path: Path) -> dict[str, str | None]:
    """A file's tags by the names of TAGS; None is what it doesn't tell, or tells in a damaged way.

    Of several values of a tag all are told, with `; ` between them. Nothing is raised, and no length that a damaged tag
    claims costs memory or time.
    """
    found: dict[str, str | None] = dict.fromkeys(TAGS)
    for read in (_by_name, _at_the_end, _by_ffmpeg):
        try:
            found |= read(path)
        except TooLongError:  # FFmpeg would read it all
            break
        except Exception:  # tags are never worth a song
            continue
        if any(found.values()):
            break
    return found


def _by_name(path: Path) -> dict[str, str | None]:
    tags = open_tags(path)
    return {} if tags is None else {name: _told(tags, name) for name in TAGS}


def _told(tags: TagFile, name: str) -> str | None:
    """What a tag says; None where it is not there, or damaged."""
    try:
        value = tags.get(name)
    except Exception:
        return None
    return None if value is None else _clean(value.texts)


def _at_the_end(path: Path) -> dict[str, str | None]:
    """What an mp3 without ID3v2 has behind its sound: APEv2 or ID3v1."""
    with open(path, "rb") as opened:
        file = BoundedFile(opened)
        if path.suffix.lower() not in (".mp3", ".mp2") and file.read(1) != b"\xff":
            return {}
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
        end = file.read()
        if b"APETAGEX" in end:
            tags = ApeFile(APEv2(file))
            return {name: _told(tags, name) for name in TAGS}
        frames = ParseID3v1(end[-_ID3V1_BYTES:]) or {}
        names = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "date": "TDRC"}
        return {name: _clean([str(frames[frame])]) for name, frame in names.items() if frame in frames}


def _by_ffmpeg(path: Path) -> dict[str, str | None]:
    """What FFmpeg finds in Matroska, in CAF, and in the chunks of WAV and AIFF that are no ID3."""
    with open(path, "rb") as file:
        if not file.read(4).startswith(_ASKED_OF_FFMPEG):
            return {}
    with av.open(f"file:{path}", options=QUICK_OPTIONS, metadata_errors="replace") as container:
        streams = container.streams.audio
        known = {**(streams[0].metadata if streams else {}), **container.metadata}
    known = {name.lower(): text for name, text in known.items()}
    known.setdefault("date", known.get("date_released", ""))
    return {name: _clean([known.get(name, "")]) for name in TAGS}


def _clean(texts: list[str]) -> str | None:
    """Texts as one that a database takes: without zeros and halves of characters, of at most MAX_LETTERS; or None."""
    joined = "; ".join(dict.fromkeys(stripped for text in texts if (stripped := text.replace("\0", " ").strip())))
    whole = joined[:MAX_LETTERS].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole or None
