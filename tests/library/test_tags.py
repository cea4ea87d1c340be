"""Reading tags: every container, every way to keep them, and whatever is wrong with them."""

import random
import sqlite3
import struct
import tracemalloc
import zlib
from pathlib import Path

import mutagen
import pytest
from conftest import chord, write_audio, write_with_ffmpeg
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TALB, TDRC, TIT2, TPE1, TSRC, ID3v1SaveOptions
from mutagen.mp4 import MP4

from music_learning.columns import TAGS
from music_learning.library.tag_file import MAX_READ_BYTES
from music_learning.library.tags import MAX_LETTERS, read_tags

RATE_HZ = 48_000
SAMPLES = chord(seconds=0.5, rate_hz=RATE_HZ)
ENGLISH = {"title": "Tïtle 日本", "artist": "Ärtist", "album": "Album", "date": "2001", "ISRC": "USRC17607839"}
TOLD = dict(zip(TAGS, ENGLISH.values(), strict=True))
NOTHING = dict.fromkeys(TAGS)
CODECS = {
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".opus": "libopus",
    ".m4a": "aac",
    ".mp4": "aac",
    ".wav": "pcm_s16le",
    ".aiff": "pcm_s16be",
    ".caf": "pcm_s16le",
    ".wma": "wmav2",
    ".wv": "wavpack",
    ".mka": "libopus",
    ".webm": "libopus",
}
NO_ISRC = (".mp3", ".m4a", ".mp4", ".aiff", ".wma")  # FFmpeg writes none there that anybody would look for
NO_DATE = (".wma", ".wv")


def encoded(folder: Path, suffix: str, tags: dict[str, str] | None = None) -> Path:
    options = {"write_id3v2": "1"} if suffix == ".aiff" else None
    path = folder / f"clip{suffix}"
    return write_with_ffmpeg(path, SAMPLES, RATE_HZ, codec=CODECS[suffix], options=options, tags=tags)


def id3(*frames: bytes, version: int = 3) -> bytes:
    """An ID3 tag before some bytes of mp3."""
    body = b"".join(frames)
    size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + size + body + b"\xff\xfb\x90\x64" + bytes(413)


def frame(name: bytes, content: bytes, *, flags: bytes = b"\0\0") -> bytes:
    return name + struct.pack(">I", len(content)) + flags + content


def written(folder: Path, data: bytes, name: str = "song.mp3") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", CODECS)
def test_what_ffmpeg_writes_is_read(suffix, tmp_path):
    missing = {"isrc": None} if suffix in NO_ISRC else {}
    missing |= {"date": None} if suffix in NO_DATE else {}
    assert read_tags(encoded(tmp_path, suffix, ENGLISH)) == TOLD | missing


@pytest.mark.parametrize("suffix", CODECS)
def test_without_tags_nothing_is_told(suffix, tmp_path):
    assert read_tags(encoded(tmp_path, suffix)) == NOTHING


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".aiff"])
def test_what_mutagen_writes_as_id3_is_read(suffix, tmp_path):
    path = encoded(tmp_path, suffix)
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for kind, text in zip((TIT2, TPE1, TALB, TDRC, TSRC), TOLD.values(), strict=True):
        file.tags.add(kind(encoding=1, text=[text]))
    file.save()
    assert read_tags(path) == TOLD


def test_isrc_of_mp4(tmp_path):
    path = encoded(tmp_path, ".m4a", ENGLISH)
    file = MP4(path)
    file["----:com.apple.iTunes:ISRC"] = [b"USRC17607839"]
    file.save()
    assert read_tags(path) == TOLD


def test_vorbis_in_ogg(tmp_path):
    path = write_audio(tmp_path / "song.ogg", chord(rate_hz=RATE_HZ), RATE_HZ, format="OGG", subtype="VORBIS")
    file = mutagen.File(path)
    file.update({"Title": "A", "ARTIST": ["B", "C", "B"], "isrc": ""})
    file.save()
    assert read_tags(path) == NOTHING | {"title": "A", "artist": "B; C"}


def test_the_content_tells_the_kind_not_the_name(tmp_path):
    path = encoded(tmp_path, ".m4a", ENGLISH)
    assert read_tags(path.rename(tmp_path / "song.mp3"))["title"] == "Tïtle 日本"


def test_older_versions_of_id3(tmp_path):
    old = b"ID3\2\0\0\0\0\0\x1bTT2\0\0\x06\0TitleTYE\0\0\x05\x001999\0"
    assert read_tags(written(tmp_path, old)) == NOTHING | {"title": "Title", "date": "1999"}
    parts = (frame(b"TYER", b"\x001999"), frame(b"TDAT", b"\x003112"), frame(b"TIT2", b"\1\xff\xfeA\0\0\0\xff\xfeB\0"))
    assert read_tags(written(tmp_path, id3(*parts))) == NOTHING | {"title": "A; B", "date": "1999-12-31"}


def test_sizes_as_early_itunes_wrote_them(tmp_path):
    """ID3v2.4, with frames of more than 127 bytes whose sizes have eight bits in a byte."""
    long = frame(b"COMM", b"\0eng\0" + b"x" * 300)
    assert read_tags(written(tmp_path, id3(long, frame(b"TIT2", b"\0Title"), version=4)))["title"] == "Title"


def test_unsynchronised_tag(tmp_path):
    data = bytearray(id3(frame(b"TIT2", b"\1\xff\x00\xfeA\0")))
    data[5] = 0x80
    data[10 + 7] -= 1  # a frame's size is that before
    assert read_tags(written(tmp_path, bytes(data)))["title"] == "A"


def test_tags_behind_an_mp3(tmp_path):
    path = encoded(tmp_path, ".mp3")
    path.write_bytes(path.read_bytes()[path.read_bytes().index(b"\xff\xfb") :])
    tag = ID3()
    tag.add(TIT2(encoding=0, text=["From ID3v1"]))
    tag.save(path, v1=ID3v1SaveOptions.CREATE)
    path.write_bytes(path.read_bytes()[tag.size :])
    ID3.delete(ID3(), path, delete_v1=False)
    assert read_tags(path) == NOTHING | {"title": "From ID3v1"}
    ape = APEv2()
    ape.update({"Title": ["From", "APE"], "Year": "2002"})
    ape.save(path)
    assert read_tags(path) == NOTHING | {"title": "From; APE", "date": "2002"}


def test_long_titles_are_whole_up_to_a_bound(tmp_path):
    for n in (10_000, MAX_LETTERS, 3 * MAX_LETTERS):
        title = read_tags(written(tmp_path, id3(frame(b"TIT2", b"\3" + "é".encode() * n))))["title"]
        assert title == "é" * min(n, MAX_LETTERS)


def test_every_text_goes_into_a_database(tmp_path):
    """Halves of characters, zeros, bytes that are no UTF-8 and nothing but spaces."""
    halves = b"\1\xff\xfe" + "A".encode("utf-16-le") + b"\x00\xd8" + "B".encode("utf-16-le")
    for content, expected in (
        (halves, "A�B"),
        (b"\0a\0\0b\0", "a; b"),
        (b"\3caf\xe9", "caf�"),
        (b"\0  \n", None),
        (b"\0", None),
        (b"\x07abc", None),
        (b"", None),
    ):
        title = read_tags(written(tmp_path, id3(frame(b"TIT2", content))))["title"]
        assert title == expected
        assert sqlite3.connect(":memory:").execute("SELECT ?", (title,)).fetchone() == (title,)


def test_a_frame_that_unpacks_to_a_gigabyte_costs_nothing(tmp_path):
    zeros = zlib.compressobj()
    packed = zeros.compress(b"\0" + b"x" * 999_999) + b"".join(zeros.compress(b"x" * 10**6) for _ in range(100))
    path = written(tmp_path, id3(frame(b"TIT2", struct.pack(">I", 10**8) + packed + zeros.flush(), flags=b"\0\x80")))
    tracemalloc.start()
    title = read_tags(path)["title"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert title == "x" * MAX_LETTERS and peak < 5_000_000


def test_a_file_that_is_all_tags_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "song.flac"
    with open(path, "wb") as file:  # a comment that claims four gigabytes, in a file that has them, empty as they are
        file.write(b"fLaC\x04\xff\xff\xff" + struct.pack("<III", 0, 1, 2**32 - 1))
        file.truncate(2**32)
    tracemalloc.start()
    assert read_tags(path) == NOTHING
    assert tracemalloc.get_traced_memory()[1] < 2.5 * MAX_READ_BYTES
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", CODECS)
def test_damaged_tags_raise_nothing(suffix, tmp_path):
    whole, generator = encoded(tmp_path, suffix, ENGLISH).read_bytes(), random.Random(suffix)
    path = tmp_path / f"damaged{suffix}"
    for _ in range(60):
        data = bytearray(whole[: generator.choice((len(whole), len(whole) // 2, 200, 30))])
        for _ in range(generator.choice((0, 1, 3, 10))):
            data[generator.randrange(min(400, len(data)))] = generator.choice(
                (0, 127, 128, 255, generator.randrange(256))
            )
        path.write_bytes(data)
        tags = read_tags(path)
        assert tuple(tags) == TAGS
        assert all(text is None or 0 < len(text.encode()) <= 4 * MAX_LETTERS for text in tags.values())


def test_what_is_no_file(tmp_path):
    assert read_tags(tmp_path) == read_tags(tmp_path / "missing.mp3") == NOTHING
