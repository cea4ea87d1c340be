"""Songs that the user already has: a catalog with labels and a folder of clips."""

import ast
import csv
from pathlib import Path

from artifacts import OTHER_FEATURES, SONG_COLUMNS, TARGETS
from errors import UserError
from pipeline import SUFFIXES

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
NEEDED = ("song_id", "title", "artist", *TARGETS)


class LocalCatalog:
    """A CSV of songs with labels, and a folder with their clips.

    The clip of a song is named by the catalog's file column, or else is `<song_id>.<suffix>`; either way it lies in
    the folder itself.
    """

    def __init__(self, catalog: Path, audio: Path) -> None:
        """Raises UserError where the folder isn't one; the catalog is read by `songs()`."""
        if not audio.is_dir():
            raise UserError(f"--audio {audio} is not a folder; name the folder that holds the clips")
        self.catalog = catalog
        self.audio = audio
        self.files = {path.name: path for path in sorted(audio.iterdir()) if path.is_file()}
        self.by_id = {path.stem: path for path in self.files.values() if path.suffix.lower() in SUFFIXES}

    def songs(self) -> list[dict[str, str]]:
        """All rows, in order, under our own column names; what the catalog lacks is empty.

        Raises:
            UserError: the catalog can't be read or lacks a needed column.
        """
        try:
            with open(self.catalog, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                names = [name.strip() for name in reader.fieldnames or ()]
                reader.fieldnames = names
                column = {ours: _first(theirs, names) for ours, theirs in COLUMN_NAMES.items()}
                if missing := [ours for ours in NEEDED if column[ours] is None]:
                    wanted = "; ".join(f"{ours} ({', '.join(COLUMN_NAMES[ours])})" for ours in missing)
                    raise UserError(
                        f"{self.catalog} has no column for {wanted}; it has: {', '.join(names)[:500] or 'none'}"
                    )
                return [self._song(row, column) for row in reader if any(row.values())]
        except FileNotFoundError:
            raise UserError(f"--catalog {self.catalog}: there is no such file") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"--catalog {self.catalog} can't be read as a UTF-8 CSV file: {error}") from None

    def _song(self, row: dict[str, str], column: dict[str, str | None]) -> dict[str, str]:
        song = {ours: (row[column[ours]] or "").strip() if column.get(ours) else "" for ours in SONG_COLUMNS}
        song["release_year"] = song["release_year"][:4] if song["release_year"][:4].isdigit() else ""
        song["artist"], song["artist_id"] = (_names(song[key]) for key in ("artist", "artist_id"))
        song["source"] = "local"
        song["label_source"] = self.catalog.name
        return song

    def preview(self, song: dict[str, str]) -> Path:
        """The clip of a song. Raises UserError where the folder has none by that name."""
        name = song["preview_file"]
        path = self.files.get(name) if name else self.by_id.get(song["song_id"])
        if path is None:
            raise UserError(f"no clip {name or song['song_id'] + '.*'} in {self.audio.name}/")
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{name} is no audio file by its suffix; known are {', '.join(sorted(SUFFIXES))}")
        return path


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
