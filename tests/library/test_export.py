"""A library as a table: what is in it, and what it does not take the place of."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import kept_embedding, kept_row

from music_learning.errors import UserError
from music_learning.library import export as module
from music_learning.library.conditions import parse_condition
from music_learning.library.database import Library
from music_learning.library.export import check_table, export
from music_learning.library.schema import COLUMNS, Condition

ROWS = [
    kept_row("/a.mp3", title='=HYPERLINK("x")', artist="Ä\nB\rC", key=11, embedding=kept_embedding(0.5, -1)),
    kept_row("/b.mp3", error="no audio", energy=None, sha256=None),
    kept_row("/c.mp3", missing="2026-01-01T00:00:00Z", title="夜, \"quoted\", 'too'", tempo=1e-7),
    kept_row("/d\udcff.mp3", file="/d\\xff.mp3", sha256="d", energy=0.75, warnings="one two"),
]


@pytest.fixture(params=[".parquet", ".csv", ".jsonl", ".ndjson", ".CSV"])
def path(request, tmp_path) -> Path:
    return tmp_path / f"moods{request.param}"


@pytest.fixture
def songs(tmp_path):
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for row in ROWS:
            library.add(row)
        yield library


def read(path: Path) -> list[dict]:
    """The rows of a table with the types of a library, without embeddings."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [{name: row[name] for name in COLUMNS} for row in rows]
    if path.suffix.lower() == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: COLUMNS[name](value) if value else None for name, value in row.items()} for row in rows]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def plain(rows: list[dict]) -> list[dict]:
    return [{name: row[name] for name in COLUMNS} for row in rows]


@pytest.mark.parametrize("at_once", [3, 10_000])
def test_every_row_is_exported_as_it_is(songs, path, at_once, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    assert export(songs, path, Condition()) == 4
    assert read(path) == plain(ROWS)
    assert sorted(file.name for file in path.parent.iterdir() if file.name.startswith(".")) == [".moods.sqlite.lock"]


def test_parquet_has_the_embeddings(songs, tmp_path):
    export(songs, tmp_path / "a.parquet", Condition())
    assert pq.read_table(tmp_path / "a.parquet").column("embedding").to_pylist() == [[0.5, -1], None, None, None]


def test_condition_chooses_rows(songs, path):
    condition = parse_condition("error is null and missing is null and energy > .1")
    assert export(songs, path, condition) == 2
    assert read(path) == plain([ROWS[0], ROWS[3]])


def test_no_row_gives_a_table_without_rows(songs, path):
    assert export(songs, path, parse_condition("energy > 1")) == 0
    assert read(path) == []


def test_earlier_export_and_empty_file_are_replaced(songs, path):
    path.touch()
    assert export(songs, path, Condition()) == 4
    assert export(songs, path, parse_condition("energy > .6")) == 1
    assert read(path) == plain(ROWS[3:])


@pytest.mark.parametrize(
    "content",
    [
        b"ID3 some song",
        b"PAR1 no more",
        b"SQLite format 3\0",
        b"file,title,artist\n/a.mp3,A,B\n",
        b"file,duration_s,energy,danceability,valence,error\n",
        b'{"file": "/a.mp3", "duration_s": 30.0, "energy": 0.5}\n',
        b"[1, 2]\n",
        b"\n",
        b"\xff\xfe\0",
    ],
)
def test_other_content_stays(songs, path, content):
    path.write_bytes(content)
    with pytest.raises(UserError, match="is there and is no export of a library; name another file"):
        export(songs, path, Condition())
    assert path.read_bytes() == content


def test_other_table_stays(songs, tmp_path):
    pq.write_table(pa.table({"file": ["/a.mp3"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no export"):
        export(songs, tmp_path / "a.parquet", Condition())


@pytest.mark.parametrize("name", ["a.xlsx", "a", ".csv", "a.json"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"ends in \.parquet, \.csv, \.jsonl"):
        check_table(tmp_path / name)


def test_place_that_can_t_be_written(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="it is a folder"):
        check_table(tmp_path / "folder.csv")
    with pytest.raises(UserError, match="there is no folder"):
        check_table(tmp_path / "none" / "a.csv")


def test_export_that_fails_leaves_the_earlier_one(songs, path, monkeypatch):
    export(songs, path, Condition())
    before = path.read_bytes()

    def broken(*_):
        yield from ROWS[:0]
        raise UserError("the library is damaged")

    monkeypatch.setattr(songs, "select", broken)
    with pytest.raises(UserError, match="the library is damaged"):
        export(songs, path, Condition())
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*tmp*"))
