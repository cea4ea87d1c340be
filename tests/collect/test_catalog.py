"""Tables of songs as people's programs save them."""

import os
import re
from pathlib import Path

import pytest

from music_learning.collect.catalog import read_catalog
from music_learning.columns import TARGETS
from music_learning.errors import UserError

NEEDED = ("song_id", "title", "artist", *TARGETS)
HEADER = ("id", "title", "artist", "energy", "danceability", "valence", "loudness")
ROWS = (
    ("a1", "Crème, brûlée", "Beyoncé", "0.25", "0.5", "1", "-5.5"),
    ("b2", 'Say "ä"; then\nstop', "Motörhead", "0.75", "0", "0.125", ""),
)


def table(separator=",", *, end="\r\n", comma=False):
    """The rows as a spreadsheet program writes them."""

    def quoted(value):
        if comma and re.fullmatch(r"-?\d+\.\d+", value):
            value = value.replace(".", ",")
        needs = any(character in value for character in (separator, '"', "\n"))
        return '"{}"'.format(value.replace('"', '""')) if needs else value

    return "".join(separator.join(map(quoted, row)) + end for row in (HEADER, *ROWS))


def read(tmp_path, content):
    path = tmp_path / "songs.csv"
    path.write_bytes(content)
    return list(read_catalog(path, NEEDED, option="--catalog"))


def values(rows):
    """What was read of rows without a fault, in the order of HEADER."""
    return [tuple(song[name] for name in (*NEEDED, "loudness_db")) for song, fault in rows if not fault]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("comma", [False, True], ids=["point", "decimal comma"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_table_of_any_program_is_read(tmp_path, encoding, comma, separator):
    assert values(read(tmp_path, table(separator, comma=comma).encode(encoding))) == list(ROWS)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=repr)
@pytest.mark.parametrize("before", ["", "sep=;\r\n", '"sep=;"\n', "\n\n", ";;;;\r\n"], ids=repr)
def test_ends_of_lines_and_what_stands_before_the_names(tmp_path, end, before):
    assert values(read(tmp_path, (before + table(";", end=end)).encode())) == list(ROWS)


def test_names_of_columns_in_other_writing(tmp_path):
    text = table().replace("id,title,artist,energy", "\ufeff Track ID ,track name,Artists, ENERGY").encode()
    assert values(read(tmp_path, text)) == list(ROWS)


def test_separator_is_not_told_by_what_stands_in_the_rows(tmp_path):
    text = table(";", comma=True).replace("id;", "id, the song's;id;").replace("a1;", "x;a1;").replace("b2;", "x;b2;")
    assert values(read(tmp_path, text.encode())) == list(ROWS)


def test_one_byte_that_is_not_utf_8_costs_one_character(tmp_path, capsys):
    content = table().encode().replace("Motörhead".encode(), b"Mot\xf6rhead")
    rows = values(read(tmp_path, content))
    assert rows == list(ROWS)
    note = capsys.readouterr().out
    assert "songs.csv is not UTF-8 (lines: 1); that was read as Windows-1252, as in 'Motörhead'; if it" in note


def test_character_that_nothing_can_read_is_marked(tmp_path):
    rows = values(read(tmp_path, table().encode().replace(b"stop", b"sto\x81")))
    assert rows[1][1] == 'Say "ä"; then\nsto\ufffd'


def test_nothing_is_said_of_a_good_table(tmp_path, capsys):
    read(tmp_path, table().encode())
    assert capsys.readouterr() == ("", "")


GOOD = "c3,T,A,0.1,0.2,0.3,-1"
BAD_ROWS = {
    "too few": ("x,T,A,0.1,0.2,0.3", "line 4 has 6 values for 7 columns"),
    "too many": ("x,T, T,A,0.1,0.2,0.3,-1", "line 4 has 8 values for 7 columns"),
    "open quote": ('x,"T,A,0.1,0.2,0.3,-1', "line 4 has 2 values for 7 columns, and a quotation mark too many"),
    "quote around the row": ('"x,T,A,0.1,0.2,0.3,-1"', "line 4 has 1 values for 7 columns"),
    "giant value": ("x," + "T" * 200_000 + ",A,0.1,0.2,0.3,-1", "line 4 has more than 131,072 characters in one value"),
    "giant line": ("x," * 2_000_000, "line 4 has 500001 values for 7 columns"),
    "open quote of a giant": ('x,"' + "T" * 200_000, "line 4 has more than 131,072 characters in one value"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_costs_that_row(tmp_path, case):
    row, expected = BAD_ROWS[case]
    good = table(end="\n").splitlines()[:2]
    rows = read(tmp_path, "\n".join([*good, GOOD, row, GOOD, GOOD.replace("A", 'the ""A')]).encode())
    assert [fault for _, fault in rows] == ["", "", expected, "", ""]
    assert [song["song_id"] for song, _ in rows] == ["a1", "c3", rows[2][0]["song_id"], "c3", "c3"]


@pytest.mark.parametrize("row", ["", ",,,,,,", " , ,", ",,,,,,,,,,"], ids=repr)
def test_empty_rows_are_none(tmp_path, row):
    assert len(read(tmp_path, f"{table()}{row}\r\n{GOOD}\r\n".encode())) == 3


def test_separators_at_the_ends_of_rows_are_no_values(tmp_path):
    assert values(read(tmp_path, table(end=",,\r\n").encode())) == list(ROWS)
    assert values(read(tmp_path, table(end="\n").replace("loudness\n", "loudness,,\n").encode())) == list(ROWS)


def test_zeros_and_marks_inside_are_left_out(tmp_path):
    content = table().encode().replace(b"brh", b"br\0h").replace(b"a1,", b"\xef\xbb\xbfa\0" + b"1,")
    assert values(read(tmp_path, content)) == list(ROWS)


ARTISTS = {
    "['A', 'B']": "A; B",
    "['A\\D']": "A\\D",
    "[" * 5000: "[" * 5000,
    "[0x" + "f" * 5000 + "]": "[0x" + "f" * 5000 + "]",
    "[" + "-" * 50_000 + "1]": "[" + "-" * 50_000 + "1]",
}


@pytest.mark.parametrize("text", ARTISTS, ids=lambda text: text[:10])
def test_lists_of_artists(tmp_path, text):
    content = "id,title,artist,energy,danceability,valence\n" + f'x,T,"{text}",0,0,0\n'
    ((song, fault),) = read(tmp_path, content.encode())
    assert (song["artist"], fault) == (ARTISTS[text], "")


NO_TABLES = {
    "xlsx": (b"PK\x03\x04" + bytes(100), r'is a workbook .*save it as "CSV UTF-8"'),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), r'is a workbook .*save it as "CSV UTF-8"'),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "is compressed"),
    "JSON": (b' [{"id": 1}]', "is JSON; expected a CSV file"),
    "JSON lines": (b'\xef\xbb\xbf{"id": 1}\n', "is JSON; expected a CSV file"),
    "HTML": (b"\n<!DOCTYPE html><html>", "is a web page"),
    "names only": (table().encode().splitlines()[0], "holds no song"),
    "nothing": (b"", "is empty; expected a CSV file whose first row names the columns"),
    "only a mark": ("\ufeff".encode("utf-16-le"), "is no table: no row names its columns; expected a CSV file"),
    "spaces": (b" \r\n\r\n", "is no table: no row names its columns; expected a CSV file"),
    "separators": (b",,,\n;;\n", "is no table: no row names its columns; expected a CSV file"),
    "zeros": (bytes(100_000), "is no table: it begins with zeros; take the file again from where"),
    "column twice": (table().replace("loudness", "Energy").encode(), "has 2 columns called energy; rename all but"),
    "unknown separator": (table("/").encode(), "has no column for song_id .* it has: id/title/artist"),
}


@pytest.mark.parametrize("case", NO_TABLES)
def test_what_is_no_table_is_a_sentence(tmp_path, case):
    content, expected = NO_TABLES[case]
    with pytest.raises(UserError, match=f"songs.csv {expected}"):
        read(tmp_path, content)


@pytest.mark.parametrize("option", ["--catalog", "--labels"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "/dev/full", "/dev/zero"])
def test_what_is_no_file_is_a_sentence_and_nobody_waits(tmp_path, option, kind):
    path = Path(kind) if kind.startswith("/") else tmp_path / "songs.csv"
    {"folder": Path.mkdir, "pipe": os.mkfifo}.get(kind, lambda _: None)(path)
    if not path.exists():
        pytest.skip(f"no {path}")
    with pytest.raises(UserError, match=f"{option} {path} is no file but a folder, pipe or device; name a CSV file"):
        list(read_catalog(path, NEEDED, option=option))


def test_column_that_nobody_asks_for_may_be_there_twice(tmp_path):
    content = table().replace("id,", "x,x,id,").replace("a1,", "1,2,a1,").replace("b2,", "1,2,b2,").encode()
    assert values(read(tmp_path, content)) == list(ROWS)
