"""Conditions: what is understood, what is refused, and that nothing of them is run but what was understood."""

import sqlite3

import pytest

from music_learning.errors import UserError
from music_learning.library.conditions import MAX_LETTERS, parse_condition
from music_learning.library.schema import COLUMNS, Condition

# energy, tempo, mood, title
SONGS = [
    (0.9, 125.0, "happy and excited", "Up"),
    (0.8, None, "tense and angry", "It's 100%"),
    (0.3, 121.5, "calm and content", "down"),
    (0.1, 60.0, None, None),
]


def chosen(text: str) -> list[int]:
    """The numbers of the songs that meet a condition."""
    condition = parse_condition(text)
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE songs ({', '.join(COLUMNS)})")
        connection.executemany("INSERT INTO songs (energy, tempo, mood, title) VALUES (?, ?, ?, ?)", SONGS)
        found = connection.execute(f"SELECT rowid - 1 FROM songs WHERE {condition.sql}", condition.values).fetchall()
    connection.close()
    return [row[0] for row in found]


@pytest.mark.parametrize(
    ("text", "songs"),
    [
        ("energy > .7 and tempo between 120 and 130", [0]),
        ("Energy >= 8e-1", [0, 1]),
        ("energy > -1", [0, 1, 2, 3]),
        ("energy <> 0.9 AND energy != .8 and energy == .3", [2]),
        ("energy = .1 or energy = .9 and tempo > 1000", [3]),
        ("(energy = .1 or energy = .9) and tempo > 100", [0]),
        ("mood in ('calm and content', 'tense and angry')", [1, 2]),
        ("mood not in ('calm and content', 'tense and angry')", [0]),
        ("tempo is null", [1]),
        ("tempo is not null and not tempo < 100", [0, 2]),
        ("tempo not between 100 and 200", [3]),
        ("title like '%DOWN%'", [2]),
        ("title not like '%down%'", [0, 1]),
        ("not title like 'u_'", [1, 2]),
        ("title = 'It''s 100%'", [1]),
        ("\"energy\" > [tempo] or `mood` = 'calm and content'", [2]),
        ("energy < 1" + "0" * 400, [0, 1, 2, 3]),
        ("energy in (" + "1, " * 1000 + ".3)", [2]),
        (" and ".join(["energy > .5"] * 240), [0, 1]),
        ("(" * 20 + "energy > 0.5" + ")" * 20, [0, 1]),
    ],
)
def test_a_condition_means_what_sql_means(text, songs):
    assert chosen(text) == songs


def test_every_column_can_be_asked_for():
    for name, kind in COLUMNS.items():
        value = "'a'" if kind is str else "1"
        assert parse_condition(f"{name.upper()} != {value} and {name} is not null").sql.count(f'"{name}"') == 2


def test_values_never_stand_in_the_sql():
    condition = parse_condition("title = '''; DROP TABLE songs; --' and energy > -12345 and key in (6789)")
    assert condition.values == ("'; DROP TABLE songs; --", -12345, 6789)
    assert not any(piece in condition.sql for piece in ("DROP", "12345", "6789", "'"))


def test_by_default_all_songs_meet_it():
    assert (Condition().sql, Condition().values) == ("1", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("energy", "stands alone"),
        ("energy >", "can't be understood at “>”"),
        ("energy > .5 valence", "at “valence”"),
        ("energy = null", "write is null"),
        ("energy > 'high'", "“energy” is a number and “'high'” is a text"),
        ("date > 1990", "“date” is a text and “1990” is a number"),
        ("energy in (.1, 'a')", "“'a'” is a text"),
        ("energy like .5", "like is for texts"),
        ("loud > 1", "no column “loud”; its columns are file, title"),
        ('mood = "calm"', "single quotes: 'calm'"),
        ("path is null", "no column “path”"),
        ("title = 'a", "does not end"),
        ("energy > .5 -- and more", "a comment"),
        ("energy > .5 /* and more */", "a comment"),
        ("energy > .5; drop table songs", "at “; drop table songs”"),
        ("length(title) > 3", "at “length(title) > 3”"),
        ("energy in (select 1)", "at “select 1)”"),
        ("songs.energy > 1", "at “songs.energy > 1”"),
        ("energy + 1 > 2", "“energy + 1” has no place"),
        ("-energy < 2", "“-energy” has no place"),
        ("energy = .5 = 1", "“energy = 0.5” has no place"),
        ("title like 'a' escape 'b'", "at “escape 'b'”"),
        ("energy in valence", "has no place"),
        ("energy > ?", "at “?”"),
        ("energy > 0x10", "at “0x10”"),
        ("case when energy > 1 then 1 end", "at “case when"),
        ("energy > .5 order by title", "at “order by title”"),
        ("1", "“1” has no place"),
        ("+", "can't be understood"),
        ("title = '\udcff'", "no UTF-8"),
        ("energy=1 or " * 400, f"{MAX_LETTERS:,} letters"),
        ("(" * 1900 + ")" * 1900, "nested too deep"),
        ("not " * 900 + "energy = 1", "nested too deep"),
        ("energy > " + "- " * 1900 + "1", "nested too deep"),
    ],
)
def test_all_else_is_refused_with_a_sentence(text, said):
    with pytest.raises(UserError) as refused:
        parse_condition(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
