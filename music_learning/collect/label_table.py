"""Labels from a CSV that the user has, such as Kaggle's, joined by Spotify id, ISRC, or artist and title."""

import sqlite3
from pathlib import Path

from music_learning.collect.catalog import read_catalog
from music_learning.collect.matching import clean_isrc, name_key
from music_learning.columns import OTHER_FEATURES, TARGETS
from music_learning.errors import UserError, printable

FEATURES = TARGETS + OTHER_FEATURES


class LabelTable:
    """A CSV of labels, looked up through a temporary database: such tables may hold a million rows."""

    batch = 40

    def __init__(self, path: Path) -> None:
        """Raises UserError where the table can't be read, or lacks labels or anything to join by."""
        self.name = path.name
        self.database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            faults = self._fill(path)
            is_empty = self.database.execute("SELECT 1 FROM labels").fetchone() is None
        except sqlite3.Error as error:
            raise UserError(f"--labels {path} can't be kept in the folder of temporary files: {error}") from None
        if faults:
            print(f"note: {len(faults):,} rows of {printable(str(path))} are left out: {faults[0]}")
        if is_empty:
            raise UserError(
                f"--labels {path} names no song; expected a Spotify id (track_id), isrc, or artist and title per row"
            )

    def _fill(self, path: Path) -> list[str]:
        """Take the labels in. Returns what is wrong with the rows that are none."""
        self.database.execute(f"CREATE TABLE labels (joined_by TEXT PRIMARY KEY, {', '.join(FEATURES)}) WITHOUT ROWID")
        self.database.execute("BEGIN")
        insert, faults = f"INSERT OR IGNORE INTO labels VALUES ({', '.join('?' * (1 + len(FEATURES)))})", []
        for row, fault in read_catalog(path, TARGETS, option="--labels"):
            if fault:
                faults.append(fault)
                continue
            for key in _keys(row):
                self.database.execute(insert, (key, *(row[name] for name in FEATURES)))
        self.database.execute("COMMIT")
        return faults

    def labels_for(self, songs: list[dict[str, str]]) -> list[dict[str, str] | None]:
        """The labels of each song under our own names; None where there are none."""
        return [next(filter(None, map(self._labels, _keys(song))), None) for song in songs]

    def _labels(self, key: str) -> dict[str, str] | None:
        row = self.database.execute(f"SELECT {', '.join(FEATURES)} FROM labels WHERE joined_by = ?", (key,)).fetchone()
        return None if row is None else dict(zip(FEATURES, row, strict=True))


def _keys(song: dict[str, str]) -> list[str]:
    """What a song can be joined by, surest first. A song of several artists is also known by the first."""
    keys = [f"id:{song['song_id']}"] if song["song_id"] else []
    if isrc := clean_isrc(song["isrc"]):
        keys.append(f"isrc:{isrc}")
    if song["artist"] and song["title"]:
        artists = (song["artist"], song["artist"].split(";")[0], song["artist"].split(",")[0])
        keys += [f"name:{name_key(artist, song['title'])}" for artist in dict.fromkeys(artists)]
    return keys
