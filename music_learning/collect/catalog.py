"""Reading the tables of songs that people have: the column names of Spotify, of Kaggle's sets, and our own."""

import ast
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from music_learning.collect.spreadsheet import HEAD_BYTES, SAVE, Spreadsheet, plain_name
from music_learning.columns import OTHER_FEATURES, SONG_COLUMNS, TARGETS
from music_learning.errors import UserError, printable

# The names that Spotify's API, the usual Kaggle sets and our own songs.csv give to each column, best first.
COLUMN_NAMES = {
    "song_id": ("song_id", "track_id", "spotify_id", "id"),
    "title": ("title", "track_name", "name", "song_name", "song"),
    "artist": ("artist", "artists", "artist_name", "artist_names"),
    "artist_id": ("artist_id", "artist_ids"),
    "album": ("album", "album_name"),
    "isrc": ("isrc",),
    "release_year": ("release_year", "year", "release_date", "album_release_date"),
    **{target: (target,) for target in TARGETS},
    **{feature: (feature, feature.removesuffix("_db").removesuffix("_bpm")) for feature in OTHER_FEATURES},
    "preview_file": ("preview_file", "audio_file", "file", "filename"),
}
KNOWN_NAMES = {name for names in COLUMN_NAMES.values() for name in names}
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")


def read_catalog(path: Path, needed: tuple[str, ...], *, option: str) -> Iterator[tuple[dict[str, str], str]]:
    """All rows, in order, under our own column names, each with why it is no row of the table; empty where it is one.

    What the table lacks is empty. A decimal comma becomes a point.

    Args:
        needed: our names of the columns that must be there.
        option: how the user named the table, for the error.

    Raises:
        UserError: the table can't be read, holds no row, or lacks a needed column or has it twice.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # some of which would be waited for, or read, for ever
            raise UserError(f"{option} {path} is no file but a folder, pipe or device; name a CSV file")
        with open(path, "rb", buffering=HEAD_BYTES) as file:
            table = Spreadsheet(file, KNOWN_NAMES)
            places = _places(table.names, needed, path)
            number = 0
            for number, (values, fault) in enumerate(table, 1):  # noqa: B007
                yield _song(values, places), fault
    except FileNotFoundError:
        raise UserError(f"{option} {path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{option} {path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{option} {path} {error}") from None
    if not number:
        raise UserError(f"{option} {path} holds no song, only the names of its columns")
    if lines := table.lines.foreign_lines:
        print(
            f"note: {printable(str(path))} is not UTF-8 (lines: {lines:,}); that was read as Windows-1252, as in "
            f"{printable(table.lines.foreign_word)!r}; if it looks wrong, {SAVE}"
        )


def _places(names: list[str], needed: tuple[str, ...], path: Path) -> dict[str, int]:
    """Where each of our columns stands in the table."""
    plain = [plain_name(name) for name in names]
    first = {ours: next((name for name in theirs if name in plain), None) for ours, theirs in COLUMN_NAMES.items()}
    if missing := [ours for ours in needed if first[ours] is None]:
        wanted = "; ".join(f"{ours} ({', '.join(COLUMN_NAMES[ours])})" for ours in missing)
        raise UserError(f"{path} has no column for {wanted}; it has: {', '.join(names)[:500]}")
    if twice := [name for name in first.values() if name and plain.count(name) > 1]:
        raise UserError(f"{path} has {plain.count(twice[0])} columns called {twice[0]}; rename all but the right one")
    return {ours: plain.index(name) for ours, name in first.items() if name}


def _song(values: list[str], places: dict[str, int]) -> dict[str, str]:
    song = dict.fromkeys(SONG_COLUMNS, "")
    song |= {ours: values[place].strip() for ours, place in places.items() if place < len(values)}
    for feature in TARGETS + OTHER_FEATURES:
        if "," in song[feature] and DECIMAL_COMMA.fullmatch(song[feature]):
            song[feature] = song[feature].replace(",", ".")
    song["release_year"] = song["release_year"][:4] if song["release_year"][:4].isdigit() else ""
    song["artist"], song["artist_id"] = (_names(song[key]) for key in ("artist", "artist_id"))
    return song


def _names(text: str) -> str:
    """Several names in one text; some sets write them as a Python list, `['A', 'B']`."""
    if not text.startswith("["):
        return text
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes
            names = ast.literal_eval(text)
        return "; ".join(map(str, names)) if isinstance(names, list) else text
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return text
