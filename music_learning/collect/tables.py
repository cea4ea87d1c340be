"""The tables that collecting writes: songs.csv and rejected.csv, merged with those of earlier runs."""

from music_learning.collect.matching import same_song_keys
from music_learning.columns import REJECTED_COLUMNS, SONG_COLUMNS
from music_learning.files import read_table, write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows


def read_earlier(paths: DataPaths) -> tuple[list[dict], list[dict]]:
    """The songs kept and rejected by earlier runs. Raises UserError where a table is damaged."""
    songs = read_song_rows(paths) if paths.songs.exists() else []
    rejected = read_table(paths.rejected, REJECTED_COLUMNS, "data_collection.py") if paths.rejected.exists() else []
    return songs, rejected


def save(paths: DataPaths, kept: list[dict], rejected: list[dict], *, online: bool) -> int:
    """Merge into the tables of earlier runs, sorted by id. Returns the number of songs now in songs.csv.

    A song found again is replaced. Online, so is another version of it, and a song of an earlier run that is rejected
    now stays: other labels may have been asked for than those it has.
    """
    found = {song["song_id"].lower() for song in kept + rejected}  # some file systems don't tell Ab from aB
    earlier_songs, earlier_rejected = read_earlier(paths)
    if online:
        keys = {key for song in kept for key in same_song_keys(song)}
        songs = [song for song in earlier_songs if not keys & same_song_keys(song)]
        staying = {song["song_id"].lower() for song in songs}
        rejected = [row for row in rejected if row["song_id"].lower() not in staying]
    else:
        songs = [song for song in earlier_songs if song["song_id"].lower() not in found]
    rejected = [row for row in earlier_rejected if row["song_id"].lower() not in found] + rejected
    rejected = [{column: row[column] for column in REJECTED_COLUMNS} for row in rejected]
    write_table(paths.rejected, REJECTED_COLUMNS, sorted(rejected, key=lambda row: row["song_id"]))
    write_table(paths.songs, SONG_COLUMNS, sorted(songs + kept, key=lambda song: song["song_id"]))
    return len(songs) + len(kept)
