"""Rows of a library as columns of Parquet files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import run_python

from music_learning.library.parquet import SCHEMA, to_table
from music_learning.library.schema import COLUMNS

EMPTY = dict.fromkeys(("path", *COLUMNS, "embedding"))


def embedding(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


def test_the_schema_has_the_columns_of_a_library():
    assert SCHEMA.names == [*COLUMNS, "embedding"]
    assert (SCHEMA.field("title").type, SCHEMA.field("key").type) == (pa.string(), pa.int64())
    assert SCHEMA.field("energy").type == pa.float64()


def test_rows_come_back_from_a_file(tmp_path):
    rows = [
        EMPTY | {"path": b"/a.mp3", "file": "/a.mp3", "title": "Ä\n=1", "energy": 0.25, "key": 11},
        EMPTY | {"file": "/b.mp3", "error": "no audio", "missing": "2026-01-01T00:00:00Z"},
        EMPTY | {"file": "/c.mp3", "embedding": embedding(0.5, -1, 3e-8)},
    ]
    pq.write_table(to_table(rows), tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.schema.equals(SCHEMA)
    for row, read in zip(rows, table.to_pylist(), strict=True):
        numbers = row["embedding"] and np.frombuffer(row["embedding"], "<f4").tolist()
        assert read == {name: row[name] for name in COLUMNS} | {"embedding": numbers}


@pytest.mark.parametrize("n", [0, 1])
def test_tables_of_no_rows_and_of_no_embeddings_are_sound(n):
    table = to_table([EMPTY] * n)
    table.validate(full=True)
    assert table.num_rows == n
    assert table.column("embedding").null_count == n


def test_embeddings_may_have_any_length():
    table = to_table([EMPTY | {"embedding": embedding(*range(n))} for n in (64, 3, 0)])
    table.validate(full=True)
    assert table.column("embedding").to_pylist() == [list(range(64)), [0, 1, 2], []]


def test_a_scan_does_not_load_pyarrow():
    program = "import sys, music_learning.commands.scan; print('pyarrow' in sys.modules)"
    assert run_python("-c", program).stdout == "False\n"
