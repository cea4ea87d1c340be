"""Playlists: what a player reads of them, whatever files and songs are called."""

import os
from pathlib import Path

import pytest
from conftest import kept_row

from music_learning.errors import UserError
from music_learning.library.conditions import parse_condition
from music_learning.library.database import Library
from music_learning.library.playlist import Song, check_playlist, songs_by_number, songs_by_path, write_playlist
from music_learning.library.schema import Condition

NAMES = [
    *(b"a.mp3", b"#1.mp3", b" b.mp3", b"\tc.mp3", b"d:e.mp3", b"data:x.mp3", "ä夜.mp3".encode(), b"f\xff.mp3"),
    *(b"100%41.mp3", b"-g.mp3", b"h\\i.mp3", b"~.mp3", b"$(j) 'k'.mp3", b"deep/#l.mp3", b"[m]*?.mp3"),
]


def read_m3u8(path: Path) -> list[tuple[int, str, Path]]:
    """Seconds, name and file of each song, as players read them: remarks and space around lines are no names."""
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    assert lines[0] == b"#EXTM3U"
    assert [line.startswith(b"#") for line in lines[1:]] == [True, False] * (len(lines) // 2)
    songs = []
    for remark, name in zip(lines[1::2], lines[2::2], strict=True):
        tag, _, title = remark.decode().partition(",")
        file = path.parent.resolve() / os.fsdecode(name)
        songs.append((int(tag.removeprefix("#EXTINF:")), title, file))
    return songs


def song(path: bytes, **values) -> Song:
    file = path.decode("utf-8", "backslashreplace")
    return Song(
        **{"path": path, "file": file, "title": None, "artist": None, "duration_s": None, "sha256": None} | values
    )


@pytest.fixture
def music(tmp_path) -> list[bytes]:
    """Files with all sorts of names."""
    files = [tmp_path / "music" / os.fsdecode(name) for name in NAMES]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return list(map(os.fsencode, files))


@pytest.mark.parametrize("place", ["music/a.m3u8", "a.m3u8", "lists/deep/a.m3u8"])
def test_players_find_every_file(music, tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_playlist(path, map(song, music))
    assert (written.songs, written.left_out) == (len(NAMES), [])
    for file, (_, _, found) in zip(music, read_m3u8(path), strict=True):
        assert found.samefile(os.fsdecode(file))
    assert os.fsencode(tmp_path) not in path.read_bytes()


def test_playlist_in_a_linked_folder_finds_its_files(music, tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    write_playlist(tmp_path / "link" / "a.m3u8", [song(music[0])])
    [(_, _, found)] = read_m3u8(tmp_path / "link" / "a.m3u8")
    assert found.samefile(os.fsdecode(music[0]))


def test_songs_on_a_server_are_named_by_their_address(tmp_path):
    write_playlist(tmp_path / "a.m3u8", [song(b"s3://bucket/#a b.mp3")])
    assert (tmp_path / "a.m3u8").read_bytes() == b"#EXTM3U\n#EXTINF:-1,#a b\ns3://bucket/#a b.mp3\n"


def test_what_no_line_can_name_is_left_out(tmp_path):
    names = (b"/a.mp3", b"/b\nc.mp3", b"/d\re.mp3", b"/f.mp3 ", b"/g.mp3")
    written = write_playlist(tmp_path / "a.m3u8", map(song, names))
    assert (written.songs, written.left_out) == (2, ["/b\nc.mp3", "/d\re.mp3", "/f.mp3 "])
    assert len(read_m3u8(tmp_path / "a.m3u8")) == 2


@pytest.mark.parametrize(
    ("title", "artist", "name"),
    [
        ("T", "A", "A - T"),
        ("T", None, "T"),
        (None, "A", "b.c"),
        ("T\n#EXTINF:1,x\r\n/etc/passwd", "A\u2028B", "A B - T #EXTINF:1,x /etc/passwd"),
        ("\x1b[2J夜", "", "\\x1b[2J夜"),
        ("T\x85U\x0bV", "A\0", "A\\x00 - T U V"),
    ],
)
def test_name_is_one_line(tmp_path, title, artist, name):
    write_playlist(tmp_path / "a.m3u8", [song(b"/music/b.c.mp3", title=title, artist=artist, duration_s=61.5)])
    assert read_m3u8(tmp_path / "a.m3u8")[0][:2] == (62, name)


@pytest.fixture
def library(tmp_path):
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for row in (
            kept_row("/c.mp3", energy=0.3),
            kept_row("/a.mp3", energy=0.1, title="A", artist="B", duration_s=90.0),
            kept_row("/b.mp3", energy=0.2),
            kept_row("/b copy.mp3", energy=0.2, sha256="hash of /b.mp3"),
            kept_row("/gone.mp3", missing="2026-01-01T00:00:00Z"),
            kept_row("/failed.mp3", error="no audio"),
            kept_row("/d.mp3", energy=0.4, sha256=None),
            kept_row("/e.mp3", energy=0.5, sha256=None),
        ):
            library.add(row)
        yield library


def files_of(songs) -> list[str]:
    return [song.file for song in songs]


def test_songs_by_path_are_there_and_none_is_twice(library):
    assert files_of(songs_by_path(library, Condition())) == ["/a.mp3", "/b copy.mp3", "/c.mp3", "/d.mp3", "/e.mp3"]
    assert files_of(songs_by_path(library, parse_condition("energy < .25"))) == ["/a.mp3", "/b copy.mp3"]
    assert files_of(songs_by_path(library, parse_condition("energy = .1 or missing is not null"))) == ["/a.mp3"]


def test_songs_by_number_keep_their_order(library):
    assert files_of(songs_by_number(library, [4, 8, 3, 1, 99, 1])) == ["/b copy.mp3", "/e.mp3", "/c.mp3"]
    many = [1] * 2000 + [2]
    assert files_of(songs_by_number(library, many)) == ["/c.mp3", "/a.mp3"]


def test_playlist_replaces_a_playlist_alone(library, tmp_path):
    path = tmp_path / "a.m3u8"
    write_playlist(path, songs_by_path(library, Condition()))
    check_playlist(path)
    write_playlist(path, songs_by_path(library, parse_condition("energy = .1")))
    assert [(s, name) for s, name, _ in read_m3u8(path)] == [(90, "B - A")]
    path.write_bytes(b"ID3 a song")
    with pytest.raises(UserError, match="is no playlist; name another file"):
        check_playlist(path)
    with pytest.raises(UserError, match=r"ends in \.m3u8"):
        check_playlist(tmp_path / "a.mp3")
    with pytest.raises(UserError, match="there is no folder"):
        check_playlist(tmp_path / "none" / "a.m3u8")


def test_playlist_without_songs_is_not_written(library, tmp_path):
    path = tmp_path / "a.m3u8"
    write_playlist(path, songs_by_path(library, Condition()))
    before = path.read_bytes()
    with pytest.raises(UserError, match="no song is like that"):
        write_playlist(path, songs_by_path(library, parse_condition("energy > 1")))
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*tmp*"))
