"""Tables that grow by a row at a time and can be read at any moment, of which a run that was killed lost no row.

A table tells which files it has rows of already (`identity`: by path, size, time of change and model), so that the same
command goes on where it was. Its rows are appended as they come; at the end of a run they are put in the run's order.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from music_learning.columns import PREDICTION_COLUMNS
from music_learning.errors import UserError, for_stdout, printable
from music_learning.files import LINES_SUFFIXES, atomic, check_output, csv_line, hold
from music_learning.library.outputs import STANDARD_OUTPUT, Output
from music_learning.library.processes import ENDED
from music_learning.library.rows import csv_row, identity
from music_learning.predict.analysis import Analysis
from music_learning.streams import why_lost

Key = tuple[str, ...]  # a row's identity
Span = tuple[int, int]  # where in a file something begins and ends, in bytes
MAX_FIELD = 100_000_000  # letters: the timeline of some months


@dataclass(frozen=True)
class Format:
    """How rows become bytes: `opening`, the rows with `separator` between them, `closing`."""

    mark: bytes  # how a table with a row begins
    opening: bytes
    separator: bytes
    closing: bytes
    encode: Callable[[dict], bytes]
    rows: Callable[[BinaryIO], Iterator[tuple[Span, dict]]]  # those that are whole, in what is left of a file


def csv_bytes(row: dict) -> bytes:
    return csv_line(csv_row(row), PREDICTION_COLUMNS).encode("utf-8", "replace")


def json_bytes(row: dict) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")


def json_line_bytes(row: dict) -> bytes:
    return json_bytes(row) + b"\n"


def _csv_rows(file: BinaryIO) -> Iterator[tuple[Span, dict]]:
    """A row may have several lines, where a name has."""
    start = end = file.tell()
    whole = True

    def lines() -> Iterator[str]:
        nonlocal end, whole
        for line in file:
            end, whole = end + len(line), line.endswith(b"\n")
            yield line.decode("utf-8", "replace")

    reader = csv.reader(lines())
    while True:
        usual = csv.field_size_limit(MAX_FIELD)  # the timeline of two hours is longer; one limit holds for all readers
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:  # not ours
            values = []
        finally:
            csv.field_size_limit(usual)
        if whole and len(values) == len(PREDICTION_COLUMNS):
            yield (start, end), dict(zip(PREDICTION_COLUMNS, values, strict=True))
        start = end


def _json_rows(file: BinaryIO, *, with_newline: bool) -> Iterator[tuple[Span, dict]]:
    end = file.tell()
    for line in file:
        start, end = end, end + len(line)
        content = line if with_newline else line.rstrip(b",\n")
        with suppress(ValueError, RecursionError):
            row = json.loads(content)
            if line.endswith(b"\n") and isinstance(row, dict) and set(row) >= set(PREDICTION_COLUMNS):
                yield (start, start + len(content)), row


HEADER = ",".join(PREDICTION_COLUMNS).encode() + b"\n"
CSV = Format(HEADER, HEADER, b"", b"", csv_bytes, _csv_rows)
JSON_LIST = Format(b'[\n{"file": ', b"[\n", b",\n", b"\n]\n", json_bytes, partial(_json_rows, with_newline=False))
JSON_LINES = Format(b'{"file": ', b"", b"", b"", json_line_bytes, partial(_json_rows, with_newline=True))


def json_format(name: str | None) -> Format:
    """JSON Lines for standard output (`-`) and files called so, otherwise a list, which is what .json means."""
    return JSON_LINES if name == "-" or Path(name or "").suffix.lower() in LINES_SUFFIXES else JSON_LIST


class Table(Output):
    """A file of rows, held by one run at a time."""

    lasts = True

    def __init__(self, path: Path, form: Format) -> None:
        """Open a table, new or of an earlier run.

        Raises:
            UserError: the file can't be written, is another run's at the moment, or holds something else.
        """
        check_output(path)
        self.path, self.form = Path(os.path.realpath(path)), form
        self.spans: dict[Key, Span] = {}
        self.order: list[Key] = []
        self.known: set[Key] = set()
        self.expected: list[Key] = []
        self.made: dict[str, Key] = {}  # of this run's rows, by the file's name: it may change before it is heard
        self.end = 0  # of the last whole row
        refusal = f"another run writes to {path}; wait until it has ended"
        is_new = not self.path.exists()
        try:
            self.file = open(self.path, "x+b" if is_new else "r+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{path} can't be written: {error.strerror}") from None
        try:
            hold(self.file, refusal)
            if not self.path.exists() or not os.path.samestat(os.fstat(self.file.fileno()), self.path.stat()):
                raise UserError(refusal)  # it has put another file in this one's place since
            self._read()
        except OSError as error:
            self.file.close()
            if is_new:
                self.path.unlink(missing_ok=True)
            raise UserError(f"{path} can't be written: {error.strerror}") from None
        except BaseException:
            self.file.close()
            raise

    def _read(self) -> None:
        """Find the whole rows, and cut off what a killed run left behind the last of them."""
        form = self.form
        start = self.file.read(max(len(form.mark), len(form.opening + form.closing) + 1))
        if not form.mark.startswith(start[: len(form.mark)]) and start != form.opening + form.closing:
            raise self._other_content()
        with open(self.path, "rb") as reader:
            reader.seek(len(form.opening))
            for (begin, end), row in form.rows(reader):
                key = identity(row)
                self.spans[key], self.end = (begin, end), end
                self.order.append(key)
                is_whole = not row["error"] and len(row) == len(PREDICTION_COLUMNS)  # without an explanation
                if is_whole or row["error"] == ENDED:  # which might end this run, too
                    self.known.add(key)
        if not self.order and form.mark != form.opening and self._has_line(len(start)):
            raise self._other_content()
        if self.order:
            self._write(form.closing, self.end)
        else:
            self._write(form.opening + form.closing, 0)
            self.end = len(form.opening)

    def _has_line(self, start: int) -> bool:
        """Whether a line ends behind here, which a run that was killed in its first row leaves none of."""
        with open(self.path, "rb") as reader:
            reader.seek(start)
            return reader.readline(MAX_FIELD).endswith(b"\n")

    def _other_content(self) -> UserError:
        return UserError(
            f"{self.path} holds something else than this command writes today; delete it or name another file"
        )

    def has(self, key: Key) -> bool:
        """Whether there is a row of what is now known under this `identity`.

        A file that could not be used is heard again, but for one that ended the process that heard it.
        """
        return key in self.known

    def expect(self, row: dict) -> bool:
        key = identity(row)
        self.expected.append(key)
        return not self.has(key)

    def append(self, row: dict, analysis: Analysis | None = None) -> None:
        """Write a row, whole or not at all; one that is there already stays, unless this one explains.

        Raises OSError where there is no room for it.
        """
        key = self.made[row["file"]] = identity(row)
        if self.has(key) and (analysis is None or analysis.explanation is None):
            return
        form, data = self.form, self.form.encode(row)
        before = form.separator if self.order else b""
        self._write(before + data + form.closing, self.end)
        start = self.end + len(before)
        self.spans[key], self.end = (start, start + len(data)), start + len(data)
        self.order.append(key)

    def _write(self, data: bytes, offset: int) -> None:
        """Put data at an offset, which ends the file; what can't be written whole is taken back."""
        done = 0
        try:
            self.file.seek(offset)
            while done < len(data):
                done += self.file.write(data[done:])
            self.file.truncate()
        except OSError:
            with suppress(OSError):
                self.file.truncate(offset)
                self.file.seek(offset)
                self.file.write(self.form.closing)
            raise

    def finish(self) -> None:
        """End the table with the expected rows alone, in their order. Raises OSError or UserError."""
        os.fsync(self.file.fileno())
        keys = [self.made.get(key[0], key) for key in self.expected]
        if keys == self.order:
            return
        named = {key[0] for key in keys}
        if n_others := sum(key[0] not in named for key in self.known):
            self._keep_as(self.path.with_name(f"{self.path.name}~"), n_others)
        with atomic(self.path) as temporary, open(temporary, "wb") as file:
            file.write(self.form.opening)
            for n, key in enumerate(keys):
                begin, end = self.spans[key]
                self.file.seek(begin)
                file.write((self.form.separator if n else b"") + self.file.read(end - begin))
            file.write(self.form.closing)

    def _keep_as(self, path: Path, n_others: int) -> None:
        """Leave the table under another name, since rows of files that this run was not about go from it."""
        shutil.copyfile(self.path, path)
        print(f"{printable(str(path))} keeps {n_others:,} rows of files that were not named now", file=sys.stderr)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream(Output):
    """Rows on standard output, for another program."""

    path = STANDARD_OUTPUT

    def __init__(self, form: Format) -> None:
        """
        Args:
            form: one that needs no `closing`.
        """
        if lost := why_lost(sys.stdout):
            raise UserError(f"standard output can't be written: {lost.strerror}; name a file to write to")
        self.form, self.begun = form, False

    def append(self, row: dict, analysis: Analysis | None) -> None:
        sys.stdout.buffer.write(for_stdout((b"" if self.begun else self.form.opening) + self.form.encode(row)))
        sys.stdout.buffer.flush()
        self.begun = True
