"""The row of one file: what a run over many files says of each of them, in a table and in a library."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from music_learning.columns import PREDICTION_COLUMNS
from music_learning.errors import AudioError, ServerError, unexpected
from music_learning.files import sha256_of
from music_learning.library.processes import Processes
from music_learning.library.tags import read_tags
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import title_of


@dataclass(frozen=True)
class AudioFile:
    """A file to hear, and what its row calls it."""

    path: Path
    name: str

    @classmethod
    def at(cls, path: Path) -> Self:
        """Called by its path, in which a byte that is no UTF-8 becomes `\\xff`, say."""
        return cls(path, os.fsencode(path).decode("utf-8", "backslashreplace"))

    @property
    def key(self) -> bytes:
        """What a library knows it by."""
        return os.fsencode(self.path)

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Where it lies on this machine, for as long as the block lasts."""
        yield self.path

    def state(self) -> tuple[int | None, str | None]:
        """Its bytes, and when it was last changed (in UTC, to the nanosecond); None of what is no file."""
        try:
            status = self.path.stat()
        except (OSError, ValueError):
            return None, None
        return status.st_size, f"{np.datetime64(status.st_mtime_ns, 'ns')}Z"


class Files(Protocol):
    """Audio files that can be listed again and again, and be counted."""

    def __iter__(self) -> Iterator[AudioFile]: ...

    def __len__(self) -> int: ...


class Listener:
    """Makes the rows of a run."""

    def __init__(self, predictor: Predictor | Processes, *, explain: bool = False) -> None:
        """
        Args:
            explain: also find what raised or lowered the values, of files that have a row already, too.
        """
        self.predictor = predictor
        self.explain = explain

    @property
    def version(self) -> str:
        """What a row follows from, but its file."""
        return self.predictor.version

    def before(self, file: AudioFile) -> dict:
        """What is known of a file before it is heard: PREDICTION_COLUMNS, most of them None."""
        n_bytes, modified = file.state()
        known = {"file": file.name, "bytes": n_bytes, "modified": modified, "model": self.version}
        return dict.fromkeys(PREDICTION_COLUMNS) | known

    def hear(self, file: AudioFile) -> tuple[dict, Analysis | None]:
        """The row of a file, None for what is unknown, and its analysis if it could be used."""
        row = self.before(file)
        try:
            with file.opened() as path:
                row |= identified(path)
                if known := self.recall(row):
                    return known, None
                analysis = self.predictor.predict(path, explain=self.explain)
        except ServerError:
            raise
        except AudioError as error:
            return row | {"error": str(error)}, None
        except Exception as error:  # whatever one file causes costs that file, never the run
            return row | {"error": unexpected(error, row["file"])}, None
        return row | analysis.to_dict(), analysis

    def recall(self, row: dict) -> dict | None:
        """The row of a file that needs no hearing, as its content is known; None where it isn't."""
        return None


def identified(path: Path) -> dict[str, str | None]:
    """The hash of a file's content, and its tags; nothing where it can't be read, which whoever decodes it says."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return {}
        return {"sha256": sha256_of(path)} | read_tags(path)
    except (OSError, ValueError):
        return {}


def identity(row: dict) -> tuple[str, ...]:
    """What tells whether a row still says what would be said of its file, of a row from a table as well."""
    return tuple("" if row[name] is None else str(row[name]) for name in ("file", "bytes", "modified", "model"))


def csv_row(row: dict) -> dict:
    """A row with its lists as texts that a table can hold, without an explanation, which none can."""
    if row["error"] is not None:
        return row
    return {name: row[name] for name in PREDICTION_COLUMNS} | {
        "moods": json.dumps(row["moods"]) if row["moods"] else "",
        "warnings": " ".join(row["warnings"]),
        "similar_songs": "; ".join(map(title_of, row["similar_songs"])),
        "similar_artists": "; ".join(artist["artist"] for artist in row["similar_artists"]),
        "markets": "; ".join(market["name"] for market in row["markets"]),
        "timeline": json.dumps(row["timeline"]),
    }
