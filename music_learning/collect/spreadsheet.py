"""The tables that people's programs save: of any usual encoding and separator, a row at a time, whatever is in it."""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Collection, Iterator
from typing import BinaryIO

HEAD_BYTES = 1 << 16  # by which a file's kind is told, and which is read at a time
MAX_LINE = 1_000_000  # characters; no song needs as many
SEPARATORS = ",;\t|"
SAVE = 'save it as "CSV UTF-8"'
EXPECTED = "expected a CSV file whose first row names the columns"
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
NO_TABLES = {
    b"PK\x03\x04": f"is a workbook (such as .xlsx, .ods) or a zip file; open it in its program and {SAVE}",
    b"\xd0\xcf\x11\xe0": f"is a workbook of an old kind (.xls); open it in its program and {SAVE}",
    b"\x1f\x8b": "is compressed (gzip); unpack it first",
    b"PAR1": f"is a Parquet file; {SAVE}",
    b"SQLite format 3": f"is a database; {SAVE}",
    b"%PDF": f"is a PDF; {SAVE}",
    b"\x89PNG": "is a picture; expected a CSV file",
    b"{": "is JSON; expected a CSV file",
    b"[": "is JSON; expected a CSV file",
    b"<": "is a web page or XML; download the table itself, as CSV",
}
_NOT_UTF_8 = re.compile("[\udc80-\udcff]+")  # bytes that are none, as Python's surrogateescape has them
_FOREIGN_WORD = re.compile(r"\w*[^\x00-\x7f]+\w*")


class Spreadsheet:
    """A table that is read as it comes: the names of its columns, then its rows.

    Text that is not UTF-8 is taken for Windows-1252, which holds Latin-1, byte by byte: one wrong byte costs one
    character. The separator is the one with which the first row holds most known names, then most names.
    """

    def __init__(self, file: BinaryIO, known_names: Collection[str]) -> None:
        """Raises ValueError, which says what to do, where the file is no table."""
        head = file.peek(HEAD_BYTES)
        if not head:
            raise ValueError(f"is empty; {EXPECTED}")
        if not head.strip(b"\0"):
            raise ValueError("is no table: it begins with zeros; take the file again from where it came from")
        start = head.lstrip(codecs.BOM_UTF8 + b" \t\r\n")
        for beginning, what in NO_TABLES.items():
            if start.startswith(beginning):
                raise ValueError(what)
        self.lines = _Lines(file, _encoding(head))
        self.names = self._read_names(known_names)
        if not self.names:
            raise ValueError(f"is no table: no row names its columns; {EXPECTED}")

    def _read_names(self, known_names: Collection[str]) -> list[str]:
        def names_by(separator: str) -> list[str]:
            values, lines = _record(self.lines, separator)
            self.lines.put_back(lines)
            return [value.strip() for value in values or ()]

        def score(separator: str) -> tuple[int, int]:
            names = names_by(separator)
            return sum(plain_name(name) in known_names for name in names), len(names)

        self.separators = SEPARATORS
        for line in self.lines:
            if named := re.fullmatch(r'"?sep=([^\r\n"])"?\s*', line, re.IGNORECASE):  # Excel's own way to say it
                self.separators = named[1]
            elif line.strip(SEPARATORS + " \r\n"):
                self.lines.put_back([line])
                break
        self.separator = max(self.separators, key=score)  # the first of those that are equally good
        names, _ = names_by(self.separator), _record(self.lines, self.separator)
        while names and not names[-1]:
            names.pop()
        return names

    def __iter__(self) -> Iterator[tuple[list[str], str]]:
        """The values of each row that has any, and why the row can't be used: empty where it can."""
        while True:
            number = self.lines.number + 1
            values, lines = _record(self.lines, self.separator)
            if not lines:
                return
            if len(lines) > 1 and (values is None or self._fault(values)):  # a quotation mark that nobody closed
                self.lines.put_back(lines[1:])
                values, lines = _record(iter(lines[:1]), self.separator)
            if values is None:
                yield [], f"line {number} has more than {csv.field_size_limit():,} characters in one value"
            elif "".join(values).strip():
                fault = self._fault(values)
                open_quote = ", and a quotation mark too many" if fault and lines[0].count('"') % 2 else ""
                yield values, fault and f"line {number} has {fault}{open_quote}"

    def _fault(self, values: list[str]) -> str:
        expected = len(self.names)
        if len(values) < expected or "".join(values[expected:]).strip():
            return f"{len(values)} values for {expected} columns"
        return ""


class _Lines:
    """The lines of a file with their ends, which can be put back; a line that is too long is cut."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        errors = "surrogateescape" if encoding == "utf-8" else "replace"
        self.text = io.TextIOWrapper(file, encoding, errors, newline="")
        self.waiting: deque[str] = deque()
        self.number = 0  # of the line that was given last
        self.foreign_lines, self.foreign_word = 0, ""  # what was not UTF-8

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.waiting.popleft() if self.waiting else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        return line

    def put_back(self, lines: list[str]) -> None:
        self.waiting.extendleft(reversed(lines))
        self.number -= len(lines)

    def _read(self) -> str:
        line = part = self.text.readline(MAX_LINE)
        while len(part) == MAX_LINE and not part.endswith(("\n", "\r")):
            part = self.text.readline(MAX_LINE)
        if _NOT_UTF_8.search(line):
            line = _NOT_UTF_8.sub(lambda found: _windows_1252(found[0]), line)
            self.foreign_lines += 1
            self.foreign_word = self.foreign_word or _FOREIGN_WORD.search(line)[0][:50]
        return line.replace("\0", "").replace("\ufeff", "")


def plain_name(name: str) -> str:
    """A column's name in the form in which names are compared: `Track Name` is `track_name`."""
    return "_".join(name.lower().split())


def _encoding(head: bytes) -> str:
    """The encoding of a file that begins like this; without a mark, UTF-16 is told by the zeros in its first names."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    names = head[:64]
    for encoding, zeros in (("utf-16-le", names[1::2]), ("utf-16-be", names[::2])):
        if zeros.count(0) > 0.8 * len(zeros):
            return encoding
    return "utf-8"


def _windows_1252(escaped: str) -> str:
    return escaped.encode("ascii", "surrogateescape").decode("cp1252", "replace")


def _record(lines: Iterator[str], separator: str) -> tuple[list[str] | None, list[str]]:
    """The values of the next row, None where it has one that is too long; and the lines it is made of."""
    taken = []

    def noted() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    try:
        return next(csv.reader(noted(), delimiter=separator), None), taken
    except csv.Error:
        return None, taken
