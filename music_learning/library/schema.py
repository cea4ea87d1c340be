"""The columns of a library: what it keeps of each song, in its database, its Parquet files and what it exports."""

from dataclasses import dataclass

from music_learning.columns import PREDICTION_COLUMNS, TAGS, TARGETS

# Of a row of a table, what a library leaves out: what follows from the whole library, and what is longest.
_LEFT_OUT = ("similar_songs", "similar_artists", "markets", "timeline")
_TEXTS = (*TAGS, "file", "error", "mood", "moods", "warnings", "modified", "sha256", "model", "heard", "missing")
_WHOLE_NUMBERS = ("bytes", "key", "mode", "time_signature", "duration_ms")
_FIRST = ("file", *TAGS, "duration_s", *TARGETS, "tempo", "key", "mode", "loudness")  # the quickest to read, too

# The type of each. `heard` is when it was heard and `missing` since when its file is, both in UTC; `moods` is JSON, and
# `warnings` are sentences with spaces between them, as in a table.
COLUMNS: dict[str, type] = {
    name: str if name in _TEXTS else int if name in _WHOLE_NUMBERS else float
    for name in dict.fromkeys((*_FIRST, *PREDICTION_COLUMNS, "heard", "missing"))
    if name not in _LEFT_OUT
}

USABLE = "error IS NULL AND missing IS NULL"  # the condition (SQL) that a song's file is there and could be heard


@dataclass(frozen=True)
class Condition:
    """An expression of SQL over the columns of `songs`, and the values of its `?`; by default all songs meet it."""

    sql: str = "1"
    values: tuple[str | int | float, ...] = ()
