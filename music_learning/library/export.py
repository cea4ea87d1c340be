"""A library as a table that other programs read: Parquet, CSV or JSON Lines.

A table has a row for every row of the library, those of files that can't be used and of missing ones, too, unless a
condition leaves them out. All have `schema.COLUMNS`; Parquet has the embeddings as well, as lists of numbers. Texts are
as they were tagged: a spreadsheet may take a title that begins with `=` for a formula, unless it is told that they are
texts.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from music_learning.errors import UserError, for_stdout
from music_learning.files import LINES_SUFFIXES, MAX_LINE, atomic, check_output, csv_line
from music_learning.library.database import Library
from music_learning.library.schema import COLUMNS, Condition
from music_learning.streams import why_lost

ROWS_AT_ONCE = 10_000  # that are in memory together, and a row group of Parquet
N_KNOWN = 10  # columns, the first ones, by which an earlier export is known


@dataclass(frozen=True)
class Form:
    """A kind of table."""

    columns: tuple[str, ...]
    write: Callable[[Path, Iterator[list[tuple]]], None]
    columns_in: Callable[[Path], tuple[str, ...]]  # of a file that is there; whatever it raises, it is another's


def form_of(path: Path) -> Form:
    """The kind of table that a file's name asks for. Raises UserError where it asks for none."""
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        raise UserError(f"{path} can't be written: name a file that ends in {', '.join(FORMS)}")
    return FORMS[suffix]


def check_table(path: Path) -> None:
    """Raise UserError unless an export may go to `path`, where nothing may be but an earlier one of its kind."""
    form = form_of(path)
    check_output(path)
    if path.exists() and path.stat().st_size:
        found: tuple[str, ...] = ()
        with suppress(Exception):  # what is no table of the kind may fail in any way
            found = form.columns_in(path)[:N_KNOWN]
        if found != form.columns[:N_KNOWN]:
            raise UserError(f"{path} is there and is no export of a library; name another file")


def export(library: Library, path: Path, condition: Condition, *, bar: bool = True) -> int:
    """Write the rows that meet a condition to a file, in memory that does not grow with their number.

    Args:
        path: its name tells the kind of table; what it held stays until the new table is whole.
        bar: show a progress bar on a terminal.

    Returns:
        how many there were.

    Raises:
        UserError: the library can't be read, the file can't be written or holds something else.
    """
    check_table(path)
    form = form_of(path)
    total, n_rows = library.count(condition.sql, condition.values), 0
    with tqdm(total=total, desc="exporting", unit="row", disable=None if bar else True) as progress:

        def counted() -> Iterator[list[tuple]]:
            nonlocal n_rows
            for rows in _batches(library, form.columns, condition):
                yield rows
                n_rows += len(rows)
                progress.update(len(rows))

        with atomic(path) as temporary:
            form.write(temporary, counted())
    return n_rows


def print_lines(library: Library, condition: Condition) -> None:
    """Write the rows that meet a condition to standard output, as JSON Lines, until nobody reads them any more."""
    for rows in _batches(library, tuple(COLUMNS), condition):
        sys.stdout.buffer.write(for_stdout(b"".join(map(_json_line, rows))))
        if why_lost(sys.stdout):  # of which `errors.run` says why in the end, where it is worth a word
            return


def _batches(library: Library, columns: tuple[str, ...], condition: Condition) -> Iterator[list[tuple]]:
    """The rows that meet a condition, some at a time."""
    rows = library.select(columns, condition.sql, condition.values)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        yield batch


def _write_parquet(path: Path, batches: Iterator[list[tuple]]) -> None:
    import pyarrow.parquet as pq

    from music_learning.library.parquet import SCHEMA, columns_to_table

    # Embeddings are as good as random: a dictionary of them is a second copy.
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=list(COLUMNS)) as writer:
        for rows in batches:
            writer.write_table(columns_to_table(list(zip(*rows, strict=True))))


def _write_csv(path: Path, batches: Iterator[list[tuple]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for rows in batches:
            file.writelines(csv_line(dict(zip(COLUMNS, row, strict=True)), tuple(COLUMNS)) for row in rows)


def _write_json_lines(path: Path, batches: Iterator[list[tuple]]) -> None:
    with open(path, "wb") as file:
        for rows in batches:
            file.writelines(map(_json_line, rows))


def _json_line(row: tuple) -> bytes:
    return json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False).encode() + b"\n"


def _parquet_columns(path: Path) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    return tuple(pq.read_schema(path).names)


def _csv_columns(path: Path) -> tuple[str, ...]:
    with open(path, encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader([file.readline(MAX_LINE)])))


def _json_columns(path: Path) -> tuple[str, ...]:
    with open(path, encoding="utf-8") as file:
        return tuple(json.loads(file.readline(MAX_LINE)))


_JSON_LINES = Form(tuple(COLUMNS), _write_json_lines, _json_columns)
FORMS = {
    ".parquet": Form((*COLUMNS, "embedding"), _write_parquet, _parquet_columns),
    ".csv": Form(tuple(COLUMNS), _write_csv, _csv_columns),
    **dict.fromkeys(LINES_SUFFIXES, _JSON_LINES),
}
