"""The tables that pass between stages 2 and 3, as typed DataFrames: checked, read and written here.

Rows are checked as text before a DataFrame is made of them: `pandas.read_csv` takes a short row for missing values and
a song called NA for none. pandas is imported only where a DataFrame is made, since collecting songs and predicting
files import this module, too, and have no use for it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from music_learning.columns import OTHER_FEATURES, SAFE_ID, SONG_COLUMNS, SPLIT_COLUMNS, SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.files import damaged, read_table, write_table
from music_learning.paths import DataPaths
from music_learning.pipeline_config import shown

if TYPE_CHECKING:
    import pandas as pd

SONG_DTYPES = {
    **dict.fromkeys(SONG_COLUMNS, "string"),
    **dict.fromkeys(TARGETS + OTHER_FEATURES, "float64"),
    **dict.fromkeys(("release_year", "key", "mode", "time_signature"), "Int64"),
}
LATER_COLUMNS = {"time_signature"}  # that a table written by an older version may lack: nothing is known of them


def read_song_rows(paths: DataPaths, made_by: str = "data_collection.py") -> list[dict[str, str]]:
    """The rows of songs.csv as text.

    Raises:
        UserError: it is missing or damaged, a song's id is unsafe or there twice, or a label isn't a number from 0 to
            1; the message names `made_by`, the command to run.
    """
    songs = read_table(paths.songs, [name for name in SONG_COLUMNS if name not in LATER_COLUMNS], made_by)
    songs = [dict.fromkeys(LATER_COLUMNS, "") | song for song in songs]
    check_ids(paths.songs, [song["song_id"] for song in songs], made_by)
    if twice := [song_id for song_id, n in Counter(song["song_id"] for song in songs).items() if n > 1]:
        raise damaged(paths.songs, f"song {twice[0]} is in it twice", made_by)
    for song in songs:
        for target in TARGETS:
            if label_of(song, target) is None:
                raise UserError(
                    f"{paths.songs}: the {target} of {song['song_id']} is {shown(song[target])}, no number from 0 to 1"
                )
    return songs


def read_songs(paths: DataPaths) -> "pd.DataFrame":
    """The songs of songs.csv by song_id, with SONG_DTYPES; what is missing is NA or NaN, never 0.

    Raises:
        UserError: as `read_song_rows`; or another number is none.
    """
    return to_frame(read_song_rows(paths), SONG_DTYPES, paths.songs)


def write_songs(paths: DataPaths, songs: "pd.DataFrame") -> None:
    """Write songs.csv, without the columns that are not its own."""
    write_frame(paths.songs, songs[[*SONG_COLUMNS[1:]]])


def read_splits(paths: DataPaths) -> "pd.Series":
    """song_id -> split. Raises UserError where data/splits.csv is missing or damaged."""
    splits = read_frame(paths.splits, dict.fromkeys(SPLIT_COLUMNS, "string"), "data_loading.py")["split"]
    check_ids(paths.splits, splits.index, "data_loading.py")
    if bad := {str(split) for split in splits.fillna("")} - set(SPLITS):
        raise damaged(paths.splits, f"{shown(min(bad))} is no split", "data_loading.py")
    return splits[~splits.index.duplicated(keep="last")]


def read_frame(path: Path, dtypes: dict[str, str], made_by: str) -> "pd.DataFrame":
    """Read a table that another stage wrote, checked by `read_table`; `to_frame` makes a DataFrame of it."""
    return to_frame(read_table(path, dtypes, made_by), dtypes, path)


def to_frame(rows: list[dict[str, str]], dtypes: dict[str, str], path: Path) -> "pd.DataFrame":
    """Rows of text as a DataFrame with these columns, whose index is the first of them.

    Raises:
        UserError: what should be a number is none; the message names `path`, where the rows come from.
    """
    import pandas as pd

    index, *columns = dtypes
    series = {}
    for name in columns:
        texts = [row[name] for row in rows]
        if dtypes[name] == "string":
            values = [text or None for text in texts]
        else:
            values = [_number(text, whole=dtypes[name] == "Int64") for text in texts]
            for row, text, value in zip(rows, texts, values, strict=True):
                if value is None and text not in ("", "nan"):
                    raise UserError(f"{path}: the {name} of {row[index]} is {shown(text)}, no number that it can be")
        series[name] = pd.array(values, dtype=dtypes[name])
    return pd.DataFrame(series, index=pd.Index([row[index] for row in rows], dtype=dtypes[index], name=index))


def write_frame(path: Path, frame: "pd.DataFrame") -> None:
    """Write a DataFrame with its index as CSV, so that `read_frame` gives it back."""
    write_table(path, [frame.index.name, *frame.columns], text_rows(frame))


def text_rows(frame: "pd.DataFrame") -> list[dict[str, str]]:
    """The rows as text, the index under its name; what is missing is empty, and a number as short as it can be."""
    flat = frame.reset_index()
    columns = [flat[name].map(_text, na_action="ignore").astype(object).fillna("") for name in flat]
    return [dict(zip(flat, values, strict=True)) for values in zip(*columns, strict=True)]


def check_ids(path: Path, song_ids: Iterable[str], made_by: str) -> None:
    """Raise UserError where one of the table's ids can be no file's name."""
    if unsafe := [song_id for song_id in song_ids if not SAFE_ID.fullmatch(song_id)]:
        raise damaged(path, f"{shown(unsafe[0])} is no song_id, which has letters, digits, - and _", made_by)


def label_of(song: Mapping[str, str], target: str) -> float | None:
    """The label of a song, or None where it is no number from 0 to 1."""
    value = parse_number(song[target])
    return value if value is not None and 0 <= value <= 1 else None


def parse_number(text: str) -> float | None:
    """The finite number that a text holds, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _number(text: str, *, whole: bool) -> float | None:
    value = parse_number(text)
    if not whole or value is None:
        return value
    return int(value) if value.is_integer() and abs(value) < 2**53 else None


def _text(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
