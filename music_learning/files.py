"""Every file that passes between the stages: where it lies, which columns it has, how it is written and read.

Written to a temporary name and renamed, so that a killed run leaves no half file; read with a check, so that a missing
or damaged file is one clear sentence. Nothing is pickled.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO

from music_learning.errors import UserError
from music_learning.paths import CHARTS, RELEASED_MODELS, RESTORE_CHARTS, RESTORE_MODELS
from music_learning.pipeline_config import PipelineConfig

MAX_JSON_BYTES = 2_000_000
MAX_LINE = 1_000_000  # letters of a table
LINES_SUFFIXES = (".jsonl", ".ndjson")  # of JSON Lines
PNG_MARK = b"\x89PNG"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    A link is followed. Raises UserError where the file can't be written.
    """
    path = Path(os.path.realpath(path))
    # A name of its own, since threads and processes write side by side, and short: a legal name may have no room left.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp{path.suffix[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # it isn't there, for the most part
            temporary.unlink()


@contextmanager
def only_writer(folder: Path, command: str) -> Iterator[None]:
    """Hold a folder for one run of a command. The hold ends with the process, however that ends.

    Raises:
        UserError: another run holds it, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / f".{Path(command).stem}.lock", "a")  # noqa: SIM115
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder} can't be written: there is a file in place of a folder; name another") from None
    except OSError as error:
        raise UserError(f"{folder} can't be written: {error.strerror}") from None
    with file:
        hold(file, f"another run of {command} writes to {folder}; wait until it has ended")
        yield


def hold(file: IO, refusal: str) -> None:
    """Hold an open file until it is closed. Raises UserError with the sentence `refusal` where another run does."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has other locks
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(refusal) from None
    except OSError:  # a file system without locks, as some networks' are
        pass


def check_output(path: Path) -> None:
    """Raise UserError unless `path` can become a file: before long work, so that it isn't done for nothing."""
    folder = Path(os.path.realpath(path)).parent
    reason = ""
    try:
        if path.is_dir():
            reason = "it is a folder"
        elif path.exists() and not path.is_file():
            reason = "it is a device or a pipe"
        elif not folder.is_dir():
            reason = f"there is no folder {folder}"
    except OSError as error:  # its name is too long, say
        raise UserError(f"{path} can't be written: {error.strerror}") from None
    if reason:
        raise UserError(f"{path} can't be written: {reason}; name a file in a folder that exists")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{path} can't be written: {folder} is read-only for you; name a file in another folder")


def check_picture(path: Path) -> None:
    """As `check_replaced`, of a picture."""
    check_replaced(path, PNG_MARK, "PNG picture")


def check_replaced(path: Path, mark: bytes, what: str) -> None:
    """As `check_output`, of a file that takes the place of none but another of its kind, which begins with `mark`."""
    check_output(path)
    with suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read(len(mark)) not in (b"", mark):
            raise UserError(f"{path} is there and is no {what}; name another file")


def check_table(path: Path, *columns: Iterable[str]) -> None:
    """As `check_output`, of a table, which replaces none but one that has exactly one of these lists of columns."""
    check_output(path)
    with suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read(MAX_LINE).partition(b"\n")[0].decode("utf-8", "replace") not in ("", *map(",".join, columns)):
            raise UserError(f"{path} is there and is another table or no table; name another file")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict]) -> None:
    """Write rows as UTF-8 CSV with exactly these columns; None becomes empty."""
    columns = tuple(columns)
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(columns)
        file.writelines(csv_line(row, columns) for row in rows)


def csv_line(row: dict, columns: Sequence[str]) -> str:
    """A row as CSV has it, with the end of its line."""
    # Before Python 3.13 a lone carriage return is not quoted, and ends the row when it is read.
    has_return = any("\r" in str(value) for value in row.values())
    line = io.StringIO()
    quoting = csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL
    csv.DictWriter(line, columns, lineterminator="\n", quoting=quoting).writerow(row)
    return line.getvalue()


def remedy(path: Path, otherwise: str) -> str:
    """What to do about a file that is missing or damaged: what we come with is restored, anything else made again."""
    place = Path(os.path.realpath(path))
    for folder, restore in ((RELEASED_MODELS, RESTORE_MODELS), (CHARTS.root, RESTORE_CHARTS)):
        if place.is_relative_to(os.path.realpath(folder)):
            return restore
    return otherwise


def require_file(path: Path, made_by: str) -> None:
    """Raise UserError unless there is a file. Whoever opened a pipe in its place would wait for ever."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path, made_by) from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None
    if not is_file:
        raise damaged(path, "it is no file", made_by)


def damaged(path: Path, reason: object, made_by: str) -> UserError:
    """The error that says so of a file that another stage wrote, and names `made_by`, the command to run.

    Without `made_by` it is of a file that the user named.
    """
    if not made_by:
        return UserError(f"{path} can't be used ({reason}); {remedy(path, 'name another file')}")
    return UserError(f"{path} is damaged ({reason}); {remedy(path, f'delete it and make it again with {made_by}')}")


def missing_file(path: Path, made_by: str) -> UserError:
    """The error of a file that another stage, `made_by`, writes; by a relative path it may only be elsewhere.

    Without `made_by` it is of a file that the user named.
    """
    if not made_by:
        return UserError(f"{path.absolute()} is missing; {remedy(path, 'name another file')}")
    folder = path.parts[0]
    elsewhere = "" if path.is_absolute() or folder == ".." else f", or start this in the folder that holds {folder}/"
    return UserError(f"{path.absolute()} is missing; {remedy(path, f'run {made_by} first{elsewhere}')}")


def read_table(path: Path, columns: Iterable[str], made_by: str) -> list[dict[str, str]]:
    """Read a CSV that another stage wrote, as rows; `read_columns` says the rest."""
    table = read_columns(path, columns, made_by)
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def read_columns(path: Path, columns: Iterable[str], made_by: str) -> dict[str, list[str]]:
    """Read a CSV that another stage wrote, as columns; every value is text.

    Raises:
        UserError: it is missing, no CSV, or lacks one of `columns`; the message names `made_by`, the command to run.
    """
    require_file(path, made_by)
    is_even = True
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file))
            names = next(reader, [])
            values: list[list[str]] = [[] for _ in names]
            for row in filter(None, reader):
                is_even = is_even and len(row) == len(names)
                for column, text in zip(values, row, strict=False):
                    column.append(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, f"no CSV: {error}", made_by) from None
    if missing := [column for column in columns if column not in names]:
        raise damaged(path, f"it has no column {', '.join(missing)}", made_by)
    if len(set(names)) < len(names):
        raise damaged(path, "it has a column twice", made_by)
    if not is_even:
        raise damaged(path, "it has a row with too few or too many values", made_by)
    return dict(zip(names, values, strict=True))


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a table, none of which can fill the memory. Raises csv.Error for what no table holds."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise csv.Error(f"a line of {MAX_LINE:,} letters")
        if "\0" in line:
            raise csv.Error("a zero byte")
        yield line


def write_json(path: Path, value: dict | list[dict]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, made_by: str) -> dict:
    """Read a JSON object that another stage wrote. Raises UserError where it is missing or damaged."""
    require_file(path, made_by)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"larger than {MAX_JSON_BYTES // 1_000_000} MB")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:  # nested a thousand times deep, too
        raise damaged(path, error, made_by) from None
    if not isinstance(value, dict):
        raise damaged(path, "not a JSON object", made_by)
    return value


def read_pipeline_config(values: object, path: Path, made_by: str) -> PipelineConfig:
    """The pipeline settings stored in the JSON file `path`. Raises UserError where they are damaged or others."""
    try:
        return PipelineConfig.from_dict(values)
    except (TypeError, ValueError) as error:
        raise damaged(path, error, made_by) from None


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_atomically(source: Path, destination: Path) -> None:
    with atomic(destination) as temporary:
        shutil.copyfile(source, temporary)
