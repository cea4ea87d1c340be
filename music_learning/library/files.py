"""The audio files that a user names: files, and folders with all that is in them."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from music_learning.errors import UserError
from music_learning.pipeline_config import SUFFIXES

STANDARD_INPUT = Path("-")
MAX_INPUT_BYTES = 2_000_000_000
CHUNK_BYTES = 1_000_000


def named_paths(names: Iterable[str]) -> list[Path]:
    """What a user names, as paths: `-` alone is STANDARD_INPUT, and a file called so is `./-`."""
    paths = [(name, Path(name)) for name in names]
    return [path.absolute() if path == STANDARD_INPUT and name != "-" else path for name, path in paths]


def find_files(arguments: list[Path]) -> list[Path]:
    """The files named, and the audio files in the folders named (sorted, without hidden ones).

    Links to folders are followed, each folder once. A folder without any audio file stays in the list, and so does one
    that can't be read, so that it gets its row.
    """
    files = []
    for argument in arguments:
        files += sorted(_inside(argument)) or [argument] if _is_folder(argument) else [argument]
    return files


@contextmanager
def saved_input() -> Iterator[Path]:
    """Standard input as a file, for as long as the block lasts.

    Raises UserError where it is closed, a terminal, or without end.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("-: there is nothing on standard input; pipe a file into it, or name one")
    with TemporaryDirectory(prefix="music-learning-") as folder:
        path = Path(folder, "standard_input")
        try:
            with open(path, "wb") as file:
                while chunk := sys.stdin.buffer.read(CHUNK_BYTES):
                    file.write(chunk)
                    if file.tell() > MAX_INPUT_BYTES:
                        raise UserError(f"-: more than {MAX_INPUT_BYTES // 10**9} GB; save it to a file and name that")
        except OSError as error:
            raise UserError(f"standard input can't be read and kept in {folder}: {error.strerror}") from None
        yield path


def _inside(folder: Path) -> list[Path]:
    """The audio files in a folder and below, and the folders that can't be read."""
    found: list[Path] = []
    closed: list[Path] = []
    seen: set[tuple[int, int]] = set()  # devices and numbers of folders: a link may lead back to one
    for root, folders, names in os.walk(folder, followlinks=True, onerror=lambda e: closed.append(Path(e.filename))):
        try:
            status = Path(root).stat()
        except OSError:
            closed.append(Path(root))
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(root, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in SUFFIXES and not _is_something_else(path)]
    return found + closed


def _is_folder(path: Path) -> bool:
    try:
        return path != STANDARD_INPUT and path.is_dir()
    except OSError:  # its name is too long, say: it has a row that says so
        return False


def _is_something_else(path: Path) -> bool:
    """Whether it is there and no file; one in a folder that can't be entered has a row that says so."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:  # a link to nothing
        return True
    except OSError:
        return False
