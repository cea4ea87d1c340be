import pytest
from conftest import fill_library, own_index, read_rows

from music_learning.commands import index
from music_learning.errors import UserError
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import OWN_COLUMNS


def test_index_of_a_library(trained, tmp_path, capsys):
    own_index(trained, tmp_path / "index", songs=4)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"4 songs in {tmp_path / 'index'}\n", "")
    rows = read_rows(tmp_path / "index" / "songs.csv")
    assert [tuple(row.values()) for row in rows] == [
        (str(n + 1), f"s{n}", "", f"/music/s{n}.mp3", "") for n in range(4)
    ]
    assert tuple(rows[0]) == OWN_COLUMNS
    index_of_it = Predictor.load(trained, index=tmp_path / "index").index
    assert index_of_it.nearest(index_of_it.mean, 4)[0].path.startswith("/music/s")


def test_making_it_again_replaces_it(trained, tmp_path):
    for n in (4, 6):
        own_index(trained, tmp_path / "index", songs=n)
    assert len(Predictor.load(trained, index=tmp_path / "index").index.songs) == 6
    assert len(list((tmp_path / "index").iterdir())) == 2


def test_songs_of_other_models_are_told(trained, tmp_path, capsys):
    own_index(trained, tmp_path / "index", songs=2)
    fill_library(tmp_path / "index.sqlite", {"file": "/music/other.mp3"})
    arguments = ["--library", str(tmp_path / "index.sqlite"), "--to", str(tmp_path / "index"), "--models", str(trained)]
    assert index.main(arguments) == 0
    assert capsys.readouterr().err == "songs left out, since other models heard them: 1; scan their folders again\n"


def test_library_of_other_models_alone_says_why_it_has_no_songs(trained, tmp_path, capsys):
    path = fill_library(tmp_path / "moods.sqlite", {}, {}, {})
    with pytest.raises(UserError, match="has 0 songs that these models heard, at least 2 are needed"):
        index.main(["--library", str(path), "--to", str(tmp_path / "index"), "--models", str(trained)])
    assert capsys.readouterr().err == "songs left out, since other models heard them: 3; scan their folders again\n"


def test_what_is_no_index_of_a_library_is_left_alone(trained, tmp_path):
    fill_library(tmp_path / "moods.sqlite", {}, {})
    before = (trained / "index" / "songs.csv").read_bytes()
    with pytest.raises(UserError, match=r"songs\.csv is there and is another table"):
        index.main(
            ["--library", str(tmp_path / "moods.sqlite"), "--to", str(trained / "index"), "--models", str(trained)]
        )
    assert (trained / "index" / "songs.csv").read_bytes() == before


def test_missing_library_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r"there is no library .*; make it with music-learning scan"):
        index.main(["--library", str(tmp_path / "gone.sqlite"), "--to", str(tmp_path / "index")])
