from pathlib import Path

import pytest

from music_learning.collect.matching import (
    MAX_COMPARED,
    clean_isrc,
    clear_unknown_features,
    empty_song,
    name_key,
    same_song_keys,
)
from music_learning.songs.table import SONG_DTYPES, to_frame

ONE_SONG = [
    ("Song", "Song (Remastered)"),
    ("Song", "Song - Remastered 2011"),
    ("Song", "Song (2009 Digital Remaster)"),
    ("Song", "Song [Remaster]"),
    ("Song", "Song - Live"),
    ("Song", "Song (Live at Wembley)"),
    ("Song", "Song - Live in Paris, 1999"),
    ("Song", "Song (En Vivo)"),
    ("Song", "Song - Radio Edit"),
    ("Song", "Song (Album Version)"),
    ("Song", "Song (feat. Somebody)"),
    ("Song", "Song feat. Somebody"),
    ("Song", "Song (feat. Somebody) - Remastered"),
    ("Song", "SONG!"),
    ("Song", "  song "),
    ("Déjà vu", "Deja Vu"),
    ("Don't Stop", "Don’t stop"),
    ("ＡＢＣ", "abc"),
]
TWO_SONGS = [
    ("Song", "Song 2"),
    ("Song", "Song (Remix)"),
    ("Song (A Remix)", "Song (B Remix)"),
    ("Song (Taylor's Version)", "Song"),
    ("Live and Let Die", "Die"),
    ("Live Forever", "Forever"),
    ("Love (Live Your Life)", "Love"),
    ("Alive", "A"),
    ("Remaster", "Song"),
    ("か", "が"),
    ("!!!", "???"),
    ("夜に駆ける", "夜"),
    ("Part 1", "Part 2"),
]


@pytest.mark.parametrize(("one", "other"), ONE_SONG)
def test_versions_are_one_song(one, other):
    assert name_key("Artist", one) == name_key("The ARTIST", other)


@pytest.mark.parametrize(("one", "other"), TWO_SONGS)
def test_other_songs_stay_apart(one, other):
    assert name_key("Artist", one) != name_key("Artist", other)


@pytest.mark.parametrize("title", ["(Live)", "- Live", "[Remastered]", "...", "🎵", "", "The"])
def test_title_that_is_nothing_else_stays(title):
    assert name_key("Artist", title) != name_key("Artist", "(feat. X)")


def test_artists_stay_apart():
    assert name_key("A", "B C") != name_key("A B", "C")
    assert name_key("The The", "X") != name_key("", "X")


def test_pathological_title_takes_no_time():
    for title in ("(" * 5000 + " - live" * 2000, "Song (" + "a " * 5000):
        assert name_key("Artist", title) == name_key("Artist", title[:MAX_COMPARED])


@pytest.mark.parametrize(
    ("text", "isrc"),
    [
        ("USRC17607839", "USRC17607839"),
        ("us-rc1-76-07839", "USRC17607839"),
        ("USRC1760783", ""),
        ("USRC17607839,USRC17607838", ""),
        ("../../../x", ""),
        ("", ""),
    ],
)
def test_isrc(text, isrc):
    assert clean_isrc(text) == isrc


def test_songs_are_the_same_by_isrc_or_by_name():
    song = empty_song("deezer") | {"isrc": "USRC17607839", "artist": "A", "title": "T"}
    other_name = song | {"artist": "B", "title": "U"}
    other_isrc = song | {"isrc": "USRC17607840", "title": "T (Live)"}
    neither = song | {"isrc": "", "title": "U"}
    assert same_song_keys(song) & same_song_keys(other_name)
    assert same_song_keys(song) & same_song_keys(other_isrc)
    assert not same_song_keys(song) & same_song_keys(neither)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        *(("key", text, text) for text in ("0", "11", "5.0")),
        *(("key", text, "") for text in ("-1", "12", "5.5", "C#", "nan", "1e300", "9" * 400)),
        *(("mode", text, text) for text in ("0", "1")),
        *(("mode", text, "") for text in ("2", "0.5", "major", "9" * 30)),
        *(("tempo_bpm", text, text) for text in ("120.5", "-3")),
        *(("tempo_bpm", text, "") for text in ("inf", "nan", "fast", "9" * 400)),
        *(("release_year", text, text) for text in ("", "1999")),
        *(("release_year", text, "") for text in ("19999", "year", "1.5", "-1")),
    ],
)
def test_what_can_not_be_is_not_known(column, text, expected):
    """Else the table could not be read again."""
    song = empty_song("x") | {column: text}
    clear_unknown_features(song)
    assert song[column] == expected
    to_frame([song], SONG_DTYPES, Path("songs.csv"))
