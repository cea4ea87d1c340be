import pytest
from conftest import fill_library, read_rows

from music_learning.commands import duplicates
from music_learning.errors import UserError
from music_learning.predict.predictor import Predictor


@pytest.fixture
def moods(trained, tmp_path):
    made_by = {"model": Predictor.load(trained).models_version}
    return fill_library(
        tmp_path / "moods.sqlite",
        made_by | {"embedding": [1, 0, 0], "bytes": 5_000_000, "title": "T\x1b", "artist": "A", "duration_s": 100.5},
        made_by | {"embedding": [50, 0, 0]},
        made_by | {"embedding": [1, 0.5, 0], "bytes": 31_200_000, "file": "/music/b\n.flac"},
        {"embedding": [1, 0, 0]},
    )


def run(library, trained, *more):
    return duplicates.main(["--library", str(library), "--models", str(trained), *map(str, more)])


def test_recordings_are_printed(moods, trained, capsys):
    assert run(moods, trained) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        r"T\x1b by A, 2 files:",
        r"     31.2 MB     1:40  /music/b\n.flac",
        "      5.0 MB     1:40  /music/1.mp3",
        "recordings that are there more than once: 1, in 2 files; all but the largest of each have 5.0 MB",
    ]
    assert "songs left out, since other models heard them: 1;" in captured.err


def test_recordings_are_a_table(moods, trained, tmp_path, capsys):
    for _ in range(2):  # again in its place
        assert run(moods, trained, "--to", tmp_path / "twice.csv") == 0
    rows = read_rows(tmp_path / "twice.csv")
    assert tuple(rows[0]) == duplicates.TABLE
    assert [(row["group"], row["file"], row["distance"]) for row in rows] == [
        ("1", "/music/b\n.flac", "0.000"),
        ("1", "/music/1.mp3", "0.500"),
    ]
    assert "files:" not in capsys.readouterr().out


def test_no_duplicates_are_a_sentence(trained, tmp_path, capsys):
    assert run(fill_library(tmp_path / "a.sqlite"), trained) == 0
    assert capsys.readouterr().out == "no recording is there more than once\n"


def test_what_is_no_such_table_is_left_alone(moods, trained):
    before = moods.read_bytes()
    with pytest.raises(UserError, match="is there and is another table or no table"):
        run(moods, trained, "--to", moods)
    assert moods.read_bytes() == before
