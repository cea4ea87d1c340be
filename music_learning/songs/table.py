"""The songs with their labels: data/songs.csv."""

import math

from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.errors import UserError
from music_learning.files import read_table
from music_learning.paths import DataPaths


def read_songs(paths: DataPaths) -> list[dict[str, str]]:
    """The rows of songs.csv. Raises UserError where it is missing or damaged, or a label isn't a number from 0 to 1."""
    songs = read_table(paths.songs, SONG_COLUMNS, "data_collection.py")
    for song in songs:
        for target in TARGETS:
            if (value := parse_number(song[target])) is None or not 0 <= value <= 1:
                raise UserError(
                    f"{paths.songs}: the {target} of {song['song_id']} is {song[target]!r}, no number from 0 to 1"
                )
    return songs


def parse_number(text: str) -> float | None:
    """The finite number that a text holds, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
