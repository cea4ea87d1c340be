import numpy as np
import pandas as pd
import pytest
from conftest import run_python, song_frame, song_row

from music_learning.columns import OTHER_FEATURES, SONG_COLUMNS, TARGETS
from music_learning.errors import UserError
from music_learning.files import write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import (
    SONG_DTYPES,
    read_frame,
    read_song_rows,
    read_songs,
    read_splits,
    text_rows,
    write_frame,
    write_songs,
)


def write_rows(folder, *rows):
    write_table(folder / "songs.csv", SONG_COLUMNS, rows)
    return DataPaths(folder)


ODD_TEXTS = [
    "NA",
    "nan",
    "None",
    "1,2,3",
    "007",
    "1e5",
    "1_000",
    "True",
    "a\nb",
    "CR\rhere",
    " spaced ",
    "夜 🎵",
    "'",
    "=x",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=repr)
def test_text_that_looks_like_something_else_stays_text(tmp_path, text):
    paths = write_rows(tmp_path, song_row("a", title=text, artist_id=text), song_row("b", title="next"))
    songs = read_songs(paths)
    assert songs.loc["a", "title"] == songs.loc["a", "artist_id"] == text
    assert songs.loc["b", "title"] == "next"


@pytest.mark.parametrize("song_id", ["007", "NA", "1e5", "-", "nan"])
def test_id_stays_text(tmp_path, song_id):
    songs = read_songs(write_rows(tmp_path, song_row(song_id), song_row("b")))
    assert list(songs.index) == [song_id, "b"]
    assert songs.index.dtype == "string"


def test_columns_have_their_types(tmp_path):
    songs = read_songs(write_rows(tmp_path, song_row("a"), song_row("b", key="4", mode="1.0", release_year="1999")))
    assert list(songs.columns) == list(SONG_COLUMNS[1:])
    assert {name: str(dtype) for name, dtype in songs.dtypes.items()} == {
        name: dtype for name, dtype in SONG_DTYPES.items() if name != "song_id"
    }
    assert all(songs[target].dtype == np.float64 for target in TARGETS)
    assert songs.loc["b", ["key", "mode", "release_year"]].tolist() == [4, 1, 1999]


def test_missing_is_missing_and_never_zero(tmp_path):
    songs = read_songs(write_rows(tmp_path, song_row("a"), song_row("b", loudness_db="0", key="0")))
    assert songs.loc["a"].drop([*TARGETS]).isna().all()
    assert songs.loc["b", ["loudness_db", "key"]].tolist() == [0, 0]
    assert songs.loc["a", "title"] is pd.NA


def test_written_songs_are_read_as_they_were(tmp_path):
    rows = [song_row("a", title="NA", energy="0.1", tempo_bpm="3.69e-06", key="0"), song_row("1-2_3", valence="1")]
    songs = read_songs(write_rows(tmp_path, *rows))
    paths = DataPaths(tmp_path / "again")
    write_songs(paths, songs.assign(split="train"))
    pd.testing.assert_frame_equal(read_songs(paths), songs)
    assert read_song_rows(paths) == rows
    assert paths.songs.read_bytes() == (tmp_path / "songs.csv").read_bytes()


def test_numbers_are_written_as_short_as_they_can_be():
    (row,) = text_rows(song_frame(song_row("a", energy="0.500", valence="1.0", key="7.0", release_year="1999")))
    assert [row[name] for name in ("energy", "valence", "key", "release_year")] == ["0.5", "1", "7", "1999"]


def test_no_rows_are_a_frame_with_columns(tmp_path):
    songs = read_songs(write_rows(tmp_path))
    assert songs.empty
    assert list(songs.columns) == list(SONG_COLUMNS[1:])
    assert text_rows(songs) == []


@pytest.mark.parametrize("read", [read_song_rows, read_songs])
def test_song_that_is_there_twice_is_named(tmp_path, read):
    paths = write_rows(tmp_path, song_row("a"), song_row("b"), song_row("a"))
    with pytest.raises(
        UserError, match=r"songs\.csv is damaged .song a is in it twice.*make it again with data_collection\.py"
    ):
        read(paths)


LINE = ",".join(song_row("a").values())
DAMAGED = {
    "short row": (f"{LINE}\nb,c\n", "too few or too many values"),
    "long row": (f"{LINE},more\n", "too few or too many values"),
    "lone carriage return": (LINE.replace("a,,", "a,with\rreturn,", 1) + "\n", "too few or too many values"),
    "no UTF-8": (LINE.replace("a,,", "a,\xff,", 1) + "\n", "no CSV"),
    "unquoted commas in the id": (f"1,2,3{LINE[1:]}\n", "too few or too many values"),
    "id that leads elsewhere": (LINE.replace("a,", "../../a,", 1) + "\n", "'../../a' is no song_id"),
    "empty id": (LINE[1:] + "\n", "'' is no song_id"),
    "endless id": ("a" * 129 + LINE[1:] + "\n", "no song_id"),
    "label with a comma": (LINE.replace("0.5", '"0,5"', 1) + "\n", "energy of a is '0,5', no number from 0 to 1"),
    "label above 1": (LINE.replace("0.5", "1.5", 1) + "\n", "energy of a is '1.5', no number from 0 to 1"),
}


@pytest.mark.parametrize("read", [read_song_rows, read_songs])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_row_is_a_sentence(tmp_path, case, read):
    text, reason = DAMAGED[case]
    (tmp_path / "songs.csv").write_bytes((",".join(SONG_COLUMNS) + "\n" + text).encode("latin-1"))
    with pytest.raises(UserError, match=rf"songs\.csv.*{reason}"):
        read(DataPaths(tmp_path))


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("tempo_bpm", "fast"),
        ("key", "4.5"),
        ("mode", "major"),
        ("loudness_db", "inf"),
        ("release_year", "1e30"),
        ("key", "9" * 400),
    ],
)
def test_number_that_is_none_is_named(tmp_path, column, text):
    paths = write_rows(tmp_path, song_row("b"), song_row("a", **{column: text}))
    with pytest.raises(UserError, match=rf"songs\.csv: the {column} of a is '{text[:50]}.*, no number that it can be"):
        read_songs(paths)


def test_every_other_feature_is_a_number():
    assert all(SONG_DTYPES[feature] in ("float64", "Int64") for feature in OTHER_FEATURES)


def test_any_table_is_given_back(tmp_path):
    dtypes = {"id": "string", "x": "float64", "n": "Int64"}
    values = {"x": pd.array([0.25, None, 1e-9], "float64"), "n": pd.array([1, 2, None], "Int64")}
    frame = pd.DataFrame(values, index=pd.Index(["a", "b", "NA"], dtype="string", name="id"))
    write_frame(tmp_path / "a.csv", frame)
    assert (tmp_path / "a.csv").read_text() == "id,x,n\na,0.25,1\nb,,2\nNA,1e-09,\n"
    pd.testing.assert_frame_equal(read_frame(tmp_path / "a.csv", dtypes, "make.py"), frame)


def test_newest_split_of_a_song_counts(tmp_path):
    rows = [{"song_id": "a", "split": "train"}, {"song_id": "b", "split": "test"}, {"song_id": "a", "split": "test"}]
    write_table(tmp_path / "splits.csv", ["song_id", "split"], rows)
    assert read_splits(DataPaths(tmp_path)).to_dict() == {"a": "test", "b": "test"}


NO_PANDAS = "import sys; {}; sys.exit('pandas in sys.modules' if 'pandas' in sys.modules else 0)"


@pytest.mark.parametrize(
    "imports",
    [
        "import music_learning.commands.predict, music_learning.predict.predictor, music_learning.predict.similarity",
        "import data_collection, music_learning.collect.deezer, music_learning.collect.local",
    ],
)
def test_predicting_and_collecting_import_no_pandas(imports):
    done = run_python("-c", NO_PANDAS.format(imports))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("label", ["", "high", "nan", "1.2", "-0.1"])
def test_song_with_a_damaged_label_is_named(tmp_path, label):
    write_rows(tmp_path, song_row("b"), song_row("a", valence=label))
    with pytest.raises(UserError, match=rf"songs\.csv: the valence of a is '{label}'"):
        read_songs(DataPaths(tmp_path))


@pytest.mark.parametrize("song_id", ["", "../a", "a b"])
def test_split_of_an_unsafe_id_is_a_sentence(tmp_path, song_id):
    write_table(tmp_path / "splits.csv", ["song_id", "split"], [{"song_id": song_id, "split": "train"}])
    with pytest.raises(UserError, match=rf"splits\.csv is damaged .'{song_id}' is no song_id.*data_loading\.py"):
        read_splits(DataPaths(tmp_path))


@pytest.mark.parametrize("split", ["dev", "", "nan", "Train", "train "])
def test_unknown_split_is_a_sentence(tmp_path, split):
    write_table(tmp_path / "splits.csv", ["song_id", "split"], [{"song_id": "a", "split": split}])
    with pytest.raises(UserError, match=rf"splits\.csv is damaged .'{split}' is no split.; .*data_loading\.py"):
        read_splits(DataPaths(tmp_path))


def test_table_without_a_later_column_is_read(tmp_path):
    """Songs that were collected before time signatures were kept have none."""
    with_it = read_songs(write_rows(tmp_path, song_row("a", time_signature="3")))
    assert with_it["time_signature"].tolist() == [3]
    rows = [{name: value for name, value in song_row("a").items() if name != "time_signature"}]
    write_table(DataPaths(tmp_path).songs, rows[0], rows)
    assert read_songs(DataPaths(tmp_path))["time_signature"].isna().tolist() == [True]
