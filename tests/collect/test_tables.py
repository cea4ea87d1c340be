"""What catalogs and earlier runs hold, merged into songs.csv and rejected.csv."""

import pytest
from conftest import read_rows

from music_learning.collect.matching import empty_song
from music_learning.collect.tables import save
from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.errors import UserError
from music_learning.files import write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows


def song(song_id, **changes):
    return empty_song("deezer") | dict.fromkeys(TARGETS, "0.5") | {"song_id": song_id, "title": song_id} | changes


def rejected(song_id):
    return {"song_id": song_id, "title": "T", "artist": "A", "stage": "labels", "reason": "none"}


@pytest.fixture
def paths(tmp_path):
    return DataPaths(tmp_path)


def ids(path):
    return [row["song_id"] for row in read_rows(path)]


def test_tables_are_sorted_and_counted(paths):
    assert save(paths, [song("b"), song("a")], [rejected("d"), rejected("c")], online=True) == 2
    assert (ids(paths.songs), ids(paths.rejected)) == (["a", "b"], ["c", "d"])
    assert save(paths, [song("c")], [], online=True) == 3
    assert (ids(paths.songs), ids(paths.rejected)) == (["a", "b", "c"], ["d"])


@pytest.mark.parametrize(("online", "staying"), [(True, ["a"]), (False, [])])
def test_song_of_an_earlier_run_that_is_rejected_now(paths, online, staying):
    """Online, other labels may have been asked for; a local catalog says itself what it holds."""
    save(paths, [song("a")], [], online=online)
    save(paths, [], [rejected("a")], online=online)
    assert ids(paths.songs) == staying
    assert ids(paths.rejected) == ([] if staying else ["a"])


@pytest.mark.parametrize("energy", ["", "high", "nan", "1.5", "-0.1"])
def test_label_of_an_earlier_run_that_is_no_number_is_a_sentence(paths, energy):
    write_table(paths.songs, SONG_COLUMNS, [song("a", energy=energy)])
    with pytest.raises(UserError, match=r"songs\.csv: the energy of a is .*, no number from 0 to 1"):
        read_song_rows(paths)
    with pytest.raises(UserError, match=r"songs\.csv: the energy of a"):
        save(paths, [song("b")], [], online=True)
