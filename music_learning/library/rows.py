"""The row of one file: what a run over many files says of each of them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from music_learning.columns import TARGETS
from music_learning.errors import AudioError, unexpected
from music_learning.model.predicted_features import PREDICTED
from music_learning.predict.analysis import AUDIO_FEATURES, Analysis
from music_learning.predict.predictor import Predictor

PREDICTION_COLUMNS = (
    *("file", "duration_s", *TARGETS, "error"),
    *(f"{target}_{end}" for target in TARGETS for end in ("low", "high")),
    *(f"{target}_percentile" for target in TARGETS),
    *(name for name in AUDIO_FEATURES if name not in TARGETS),
    *(f"{name}_{end}" for name in PREDICTED for end in ("low", "high")),
    *("lost_s", "mood", "mood_probability", "moods", "warnings", "similar_songs", "similar_artists", "timeline"),
    *("bytes", "modified", "model"),
)


@dataclass(frozen=True)
class AudioFile:
    """A file to hear, and what its row calls it."""

    path: Path
    name: str

    @classmethod
    def at(cls, path: Path) -> Self:
        """Called by its path, in which a byte that is no UTF-8 becomes `\\xff`, say."""
        return cls(path, os.fsencode(path).decode("utf-8", "backslashreplace"))


def row_before(file: AudioFile, predictor: Predictor) -> dict:
    """What is known of a file before it is heard: PREDICTION_COLUMNS, most of them None.

    `bytes` and `modified` (in UTC, to the nanosecond) are None of what is no file.
    """
    row = dict.fromkeys(PREDICTION_COLUMNS) | {"file": file.name, "model": predictor.version}
    try:
        status = file.path.stat()
    except (OSError, ValueError):
        return row
    return row | {"bytes": status.st_size, "modified": f"{np.datetime64(status.st_mtime_ns, 'ns')}Z"}


def identity(row: dict) -> tuple[str, ...]:
    """What tells whether a row still says what would be said of its file, of a row from a table as well."""
    return tuple("" if row[name] is None else str(row[name]) for name in ("file", "bytes", "modified", "model"))


def predict_file(file: AudioFile, *, predictor: Predictor, explain: bool = False) -> tuple[dict, Analysis | None]:
    """The row of one file, PREDICTION_COLUMNS with None for what is unknown, and its analysis if it could be used."""
    row = row_before(file, predictor)
    try:
        analysis = predictor.predict(file.path, explain=explain)
    except AudioError as error:
        return row | {"error": str(error)}, None
    except Exception as error:  # whatever one file causes costs that file, never the run
        return row | {"error": unexpected(error, row["file"])}, None
    return row | analysis.to_dict(), analysis


def csv_row(row: dict) -> dict:
    """A row with its lists as texts that a table can hold, without an explanation, which none can."""
    if row["error"] is not None:
        return row
    return {name: row[name] for name in PREDICTION_COLUMNS} | {
        "moods": json.dumps(row["moods"]) if row["moods"] else "",
        "warnings": " ".join(row["warnings"]),
        "similar_songs": "; ".join(f"{song['title']} by {song['artist']}" for song in row["similar_songs"]),
        "similar_artists": "; ".join(artist["artist"] for artist in row["similar_artists"]),
        "timeline": json.dumps(row["timeline"]),
    }
