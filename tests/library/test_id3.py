"""ID3 tags taken apart and put together again."""

import pytest
from mutagen.id3 import ID3, TIT2, TXXX

from music_learning.library.id3 import HEADER_BYTES, PADDING_BYTES, Id3Tag, tag_bytes

HEADER = b"ID3\3\0\0\0\0\0"
FRAME = b"TIT2\0\0\0\3\0\0\0ab"


def made(body: bytes, version: int = 3) -> bytes:
    return b"ID3" + bytes([version, 0, 0, 0, 0, len(body) >> 7, len(body) & 127]) + body


def test_texts_of_other_alphabets():
    for version in (2, 3, 4):
        name, user = ("TKE", "TXX") if version == 2 else ("TKEY", "TXXX")
        tag = Id3Tag(version=version)
        tag.frames = [tag.text_frame(name, None, ["é", "日本"]), tag.text_frame(user, "Mööd", ["x", "y"])]
        read = Id3Tag.parse(tag.pack())
        assert (read.frames, read.is_whole) == (tag.frames, True)
        assert read.texts(0) == ["é", "日本"] and read.texts(1) == ["Mööd", "x", "y"]
        assert read.named(user, "mÖÖd") == [1] and read.named(user, "other") == []


@pytest.mark.parametrize("version", [3, 4])
def test_mutagen_reads_what_is_packed(version, tmp_path):
    tag = Id3Tag(version=version)
    tag.frames = [tag.text_frame("TIT2", None, ["日本"]), tag.text_frame("TXXX", "ENERGY", ["0.5"])]
    path = tmp_path / "tag.mp3"
    path.write_bytes(tag.pack())
    read = ID3(path)
    assert read["TIT2"] == TIT2(text=["日本"]) and read["TXXX:ENERGY"] == TXXX(desc="ENERGY", text=["0.5"])
    assert read.version == (2, version, 0)


def test_a_tag_stays_as_long_as_it_was_if_it_can():
    tag = Id3Tag.parse(made(FRAME + bytes(100)))
    assert tag.frames == [FRAME] and tag.n_bytes == len(tag.pack()) == HEADER_BYTES + len(FRAME) + 100
    tag.frames *= 20
    assert len(tag.pack()) == HEADER_BYTES + 20 * len(FRAME) + PADDING_BYTES
    assert len(tag.pack(5000)) == 5000 and len(tag.pack(3)) == HEADER_BYTES + 20 * len(FRAME)
    tag.frames = []
    assert tag.pack(0) == b""


def test_length_of_a_tag():
    assert tag_bytes(made(bytes(200))) == HEADER_BYTES + 200
    assert tag_bytes(b"ID3\4\0\x10\0\0\0\1") == HEADER_BYTES + 1 + HEADER_BYTES  # with a footer
    assert tag_bytes(b"") == tag_bytes(b"ID3") == tag_bytes(b"fLaC123456") == tag_bytes(b"ID3\3\0\0\xff\0\0\0") == 0


@pytest.mark.parametrize(
    "data",
    [
        made(FRAME + b"junk"),
        made(FRAME + b"TIT2\0\0\1\0\0\0ab"),  # longer than the tag
        made(FRAME, version=9),
        b"ID3\4\0\x40" + made(FRAME)[6:],  # with an extended header
        b"ID3\4\0\x10" + made(FRAME)[6:],  # with a footer
    ],
)
def test_what_could_not_be_written_without_a_loss(data):
    assert not Id3Tag.parse(data).is_whole


def test_flags_of_frames():
    """An encrypted one has no texts; one with a group and a length has them behind those."""
    encrypted, grouped = b"TIT2\0\0\0\3\0\4\0ab", b"TIT2\0\0\0\7\0\x41\x01\0\0\0\2\0a"
    tag = Id3Tag.parse(made(encrypted + grouped, version=4))
    assert tag.frames == [encrypted, grouped]
    assert (tag.texts(0), tag.texts(1)) == ([], ["a"])
