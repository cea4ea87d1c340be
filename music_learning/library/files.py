"""The audio files that a user names: files, and folders with all that is in them."""

import os
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
        files += list(walk(argument)) or [argument] if is_folder(argument) else [argument]
    return files


def walk(folder: Path) -> Iterator[Path]:
    """The audio files in a folder and below, and the folders that can't be read, sorted, as they are found."""
    seen: set[tuple[int, int]] = set()
    open_folders = [_entries(folder, seen)]  # from the outermost to the innermost; may be deeper than calls can be
    while open_folders:
        for path, is_inner in open_folders[-1]:
            if is_inner:
                open_folders.append(_entries(path, seen))
                break
            yield path
        else:
            open_folders.pop()


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


def _entries(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, bool]]:
    """The audio files and folders in a folder, and whether each is a folder; itself, as no folder, if it is closed.

    Args:
        seen: the devices and numbers of folders that were listed before: a link may lead back to one.
    """
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as scanned:
            entries = sorted((entry for entry in scanned if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError:
        yield folder, False
        return
    for entry in entries:
        path = folder / entry.name
        try:
            is_inner, is_file = entry.is_dir(), entry.is_file()  # as the folder has it, for the most part
        except OSError:  # a link that leads nowhere one can go: its row says so
            is_inner, is_file = False, True
        if is_inner or (is_file and path.suffix.lower() in SUFFIXES):
            yield path, is_inner


def is_folder(path: Path) -> bool:
    try:
        return path != STANDARD_INPUT and path.is_dir()
    except OSError:  # its name is too long, say: it has a row that says so
        return False
