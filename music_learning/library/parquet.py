"""The rows of a library as columns, for Parquet files.

Import this where a table is made and no sooner: it loads pyarrow.
"""

from collections.abc import Sequence

import pyarrow as pa

from music_learning.library.schema import COLUMNS

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
# Embeddings are lists of any length, so that tables of several models have one schema.
SCHEMA = pa.schema([*((name, _TYPES[kind]) for name, kind in COLUMNS.items()), ("embedding", pa.list_(pa.float32()))])


def to_table(rows: list[dict]) -> pa.Table:
    """Rows as `scan.library_row` makes them, as a table with SCHEMA; what else they have is left out."""
    return columns_to_table([[row[name] for row in rows] for name in SCHEMA.names])


def columns_to_table(columns: Sequence[Sequence]) -> pa.Table:
    """A table with SCHEMA of its columns, in that order, with values as a library has them."""
    *plain, embeddings = columns
    arrays = [pa.array(values, field.type) for values, field in zip(plain, SCHEMA, strict=False)]
    return pa.Table.from_arrays([*arrays, _lists(embeddings)], schema=SCHEMA)


def _lists(embeddings: Sequence[bytes | None]) -> pa.ListArray:
    """Embeddings, each the bytes of float32, as lists of numbers."""
    binary = pa.array(embeddings, pa.binary())
    _, offsets, data = binary.buffers()
    numbers = pa.Array.from_buffers(pa.float32(), (data.size if data else 0) // 4, [None, data])
    ends = pa.Array.from_buffers(pa.int32(), len(binary) + 1, [None, offsets]).to_numpy() // 4
    return pa.ListArray.from_arrays(pa.array(ends), numbers, mask=binary.is_null())
