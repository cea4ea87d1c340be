"""The audio files that a user names: files, and folders with all that is in them."""

import os
from pathlib import Path

from music_learning.pipeline_config import SUFFIXES


def find_files(arguments: list[Path]) -> list[Path]:
    """The files named, and the audio files in the folders named (sorted, without hidden ones).

    Links to folders are followed, each folder once. A folder without any audio file stays in the list, and so does one
    that can't be read, so that it gets its row.
    """
    files = []
    for argument in arguments:
        files += sorted(_inside(argument)) or [argument] if argument.is_dir() else [argument]
    return files


def _inside(folder: Path) -> list[Path]:
    """The audio files in a folder and below, and the folders that can't be read."""
    found: list[Path] = []
    closed: list[Path] = []
    seen: set[tuple[int, int]] = set()  # devices and numbers of folders: a link may lead back to one
    for root, folders, names in os.walk(folder, followlinks=True, onerror=lambda e: closed.append(Path(e.filename))):
        status = Path(root).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(root, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    return found + closed
