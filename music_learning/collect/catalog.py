"""Reading the CSV tables of songs that people have: the column names of Spotify, of Kaggle's sets, and our own."""

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

from music_learning.columns import OTHER_FEATURES, SONG_COLUMNS, TARGETS
from music_learning.errors import UserError

# The names that Spotify's API, the usual Kaggle sets and our own songs.csv give to each column, best first.
COLUMN_NAMES = {
    "song_id": ("song_id", "track_id", "spotify_id", "id"),
    "title": ("title", "track_name", "name", "song_name", "song"),
    "artist": ("artist", "artists", "artist_name", "artist_names"),
    "artist_id": ("artist_id", "artist_ids"),
    "album": ("album", "album_name"),
    "isrc": ("isrc",),
    "release_year": ("release_year", "year", "release_date", "album_release_date"),
    **{feature: (feature, feature.removesuffix("_db").removesuffix("_bpm")) for feature in TARGETS + OTHER_FEATURES},
    "preview_file": ("preview_file", "audio_file", "file", "filename"),
}


def read_catalog(path: Path, needed: tuple[str, ...], *, option: str) -> Iterator[dict[str, str]]:
    """All rows, in order, under our own column names; what the table lacks is empty.

    Args:
        needed: our names of the columns that must be there.
        option: how the user named the table, for the error.

    Raises:
        UserError: the table can't be read or lacks a needed column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            column = {ours: _first(theirs, names) for ours, theirs in COLUMN_NAMES.items()}
            if missing := [ours for ours in needed if column[ours] is None]:
                wanted = "; ".join(f"{ours} ({', '.join(COLUMN_NAMES[ours])})" for ours in missing)
                raise UserError(f"{path} has no column for {wanted}; it has: {', '.join(names)[:500] or 'none'}")
            for row in reader:
                if any(row.values()):
                    yield _song(row, column)
    except FileNotFoundError:
        raise UserError(f"{option} {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{option} {path} can't be read as a UTF-8 CSV file: {error}") from None


def _song(row: dict[str, str], column: dict[str, str | None]) -> dict[str, str]:
    song = {ours: (row[column[ours]] or "").strip() if column.get(ours) else "" for ours in SONG_COLUMNS}
    song["release_year"] = song["release_year"][:4] if song["release_year"][:4].isdigit() else ""
    song["artist"], song["artist_id"] = (_names(song[key]) for key in ("artist", "artist_id"))
    return song


def _names(text: str) -> str:
    """Several names in one text; some sets write them as a Python list, `['A', 'B']`."""
    if not text.startswith("["):
        return text
    try:
        names = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return "; ".join(str(name) for name in names) if isinstance(names, list) else text


def _first(candidates: tuple[str, ...], names: list[str]) -> str | None:
    """The first candidate that is among the names, whatever their case."""
    by_lower_case = {name.lower(): name for name in reversed(names)}
    return next((by_lower_case[name] for name in candidates if name in by_lower_case), None)
