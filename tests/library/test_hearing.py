import json
from types import SimpleNamespace

import pytest
from conftest import read_rows

from music_learning.columns import PREDICTION_COLUMNS
from music_learning.errors import AudioError
from music_learning.library import hearing
from music_learning.library.hearing import hear
from music_learning.library.outputs import STANDARD_OUTPUT, Terminal
from music_learning.library.rows import AudioFile, Listener
from music_learning.library.tables import CSV, JSON_LIST, Table

VALUES = {"duration_s": 3.0, "energy": 0.1, "danceability": 0.2, "valence": 0.3, "mood": "calm", "lost_s": 0.0}
VALUES |= {"warnings": [], "similar_songs": [], "similar_artists": [], "markets": [], "timeline": []}


class FakePredictor:
    version = "0-abc"

    def __init__(self):
        self.heard = []

    def predict(self, path, *, explain):
        self.heard.append(path.name)
        if path.name.startswith("bad"):
            raise AudioError("no sound")
        if path.name.startswith("worse"):
            raise ZeroDivisionError("by\nzero")
        if path.name.startswith("stop"):
            raise KeyboardInterrupt
        return SimpleNamespace(to_dict=lambda: VALUES, explanation=None)


@pytest.fixture
def predictor():
    return FakePredictor()


@pytest.fixture
def files(tmp_path):
    def make(*names):
        (tmp_path / "songs").mkdir(exist_ok=True)
        for name in names:
            (tmp_path / "songs" / name).write_text(name)
        return [AudioFile.at(tmp_path / "songs" / name) for name in names]

    return make


class Broken:
    """An output that fails at its third row."""

    def __init__(self, error, path="broken"):
        self.error, self.path, self.rows = error, path, []

    def expect(self, row):
        return False

    def append(self, row, analysis):
        self.rows.append(row)
        if len(self.rows) == 3:
            raise self.error

    lasts = False

    def finish(self):
        raise AssertionError("finished after it broke")


def names_in(path):
    return [row["file"].rsplit("/")[-1] for row in read_rows(path)]


def test_whatever_a_file_causes_costs_that_file(files, predictor, tmp_path, capsys):
    with Table(tmp_path / "moods.csv", CSV) as table:
        outcome = hear(files("a", "bad", "worse", "b"), Listener(predictor), [table, Terminal(files("a"))])
    assert (outcome.heard, outcome.failed, outcome.known, outcome.broken) == (4, 2, 0, [])
    rows = read_rows(tmp_path / "moods.csv")
    assert [row["error"] for row in rows[::3]] == ["", ""]
    assert rows[1]["error"] == "no sound"
    assert rows[2]["error"].startswith("unexpected: ZeroDivisionError: by zero (more in ")
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_second_run_hears_what_is_new_or_changed(files, predictor, tmp_path):
    songs = files("a", "b", "bad")
    for _ in range(2):
        with Table(tmp_path / "moods.csv", CSV) as table:
            outcome = hear(songs, Listener(predictor), [table])
    assert sorted(predictor.heard) == ["a", "b", "bad", "bad"]
    assert (outcome.known, outcome.heard, outcome.failed) == (2, 1, 1)
    (tmp_path / "songs" / "b").write_text("another song")
    with Table(tmp_path / "moods.csv", CSV) as table:
        hear(files("0") + songs, Listener(predictor), [table], bar=False)
    assert sorted(predictor.heard)[:2] == ["0", "a"]
    assert names_in(tmp_path / "moods.csv") == ["0", "a", "b", "bad"]


def test_row_that_one_table_lacks_is_made_for_both(files, predictor, tmp_path):
    songs = files("a", "b")
    with Table(tmp_path / "moods.csv", CSV) as table:
        hear(songs[:1], Listener(predictor), [table])
    with Table(tmp_path / "moods.csv", CSV) as table, Table(tmp_path / "moods.json", JSON_LIST) as other:
        hear(songs, Listener(predictor), [table, other, Terminal(songs, only_new=True)])
    assert names_in(tmp_path / "moods.csv") == ["a", "b"]
    assert [row["bytes"] for row in json.loads((tmp_path / "moods.json").read_text())] == [1, 1]


def test_file_named_twice_has_two_rows(files, predictor, tmp_path):
    songs = files("a", "b")
    for _ in range(2):
        with Table(tmp_path / "moods.csv", CSV) as table:
            hear([*songs, songs[0]], Listener(predictor), [table])
        assert names_in(tmp_path / "moods.csv") == ["a", "b", "a"]


def test_output_that_breaks_costs_that_output(files, predictor, tmp_path, capsys):
    broken = Broken(OSError(28, "No space left on device"))
    with Table(tmp_path / "moods.csv", CSV) as table:
        outcome = hear(files(*"abcdef"), Listener(predictor), [broken, table])
    assert outcome.broken == ["broken"]
    assert len(broken.rows) == 3
    assert names_in(tmp_path / "moods.csv") == list("abcdef")
    assert capsys.readouterr().err == "error: broken can't be written: No space left on device\n"


def test_reader_that_has_gone_ends_the_printing_alone(files, predictor, tmp_path, capsys):
    with Table(tmp_path / "moods.csv", CSV) as table:
        outcome = hear(files(*"abcdef"), Listener(predictor), [Broken(BrokenPipeError(), STANDARD_OUTPUT), table])
    assert outcome.broken == []
    assert names_in(tmp_path / "moods.csv") == list("abcdef")
    assert capsys.readouterr().err == ""


def test_run_without_any_output_left_ends(files, predictor, monkeypatch):
    monkeypatch.setattr(hearing, "cpu_count", lambda: 2)  # each core has some files in work
    broken = Broken(BrokenPipeError())
    broken.expect = lambda row: True
    outcome = hear(files(*map(str, range(200))), Listener(predictor), [broken])
    assert outcome.heard == 3
    assert len(predictor.heard) < 100


def test_table_that_can_t_be_ordered_is_said(files, predictor, tmp_path, capsys, monkeypatch):
    songs = files("a", "b")
    with Table(tmp_path / "moods.csv", CSV) as table:
        hear(songs[1:], Listener(predictor), [table])
    monkeypatch.setattr("music_learning.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with Table(tmp_path / "moods.csv", CSV) as table:
        outcome = hear(songs, Listener(predictor), [table], bar=False)
    assert outcome.broken == [str(tmp_path / "moods.csv")]
    assert names_in(tmp_path / "moods.csv") == ["b", "a"]
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'moods.csv'} can't be written: ")


def test_ctrl_c_keeps_the_rows(files, predictor, tmp_path):
    songs = files("a", "b", "stop", "c")
    stopped = pytest.raises(
        KeyboardInterrupt, match="after 2 of 4 files; every row that was written is kept, the same command goes on"
    )
    with Table(tmp_path / "moods.csv", CSV) as table, stopped:
        hear(songs, Listener(predictor), [table])
    assert names_in(tmp_path / "moods.csv") == ["a", "b"]


def test_ctrl_c_without_a_table_promises_nothing(files, predictor):
    with pytest.raises(KeyboardInterrupt, match=r"^after 0 of 1 files$"):
        hear(files("stop"), Listener(predictor), [Terminal(files("a"))])


def test_table_has_each_row_once_while_another_goes_on(files, predictor, tmp_path):
    songs = files("a", "b")
    with Table(tmp_path / "moods.csv", CSV) as table:
        hear(songs, Listener(predictor), [table])
    stopped = [*songs, *files("stop")]
    moods, others = Table(tmp_path / "moods.csv", CSV), Table(tmp_path / "moods.json", JSON_LIST)
    with moods, others, pytest.raises(KeyboardInterrupt):
        hear(stopped, Listener(predictor), [moods, others])
    assert names_in(tmp_path / "moods.csv") == ["a", "b"]


def test_names_cannot_move_the_terminal(files, predictor, capsys):
    songs = files("a\nb", "\x1b[2J", "夜", "long" * 30)
    hear(songs, Listener(predictor), [Terminal([AudioFile(song.path, song.path.name) for song in songs])])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(songs)
    assert not any(character in "".join(lines) for character in "\x1b\r\0")


def test_rows_have_all_columns(files, predictor):
    rows = []
    sink = SimpleNamespace(path="memory", lasts=False, expect=lambda row: True, finish=lambda: None)
    sink.append = lambda row, analysis: rows.append((row, analysis))
    hear(files("a", "bad"), Listener(predictor), [sink])
    assert [list(row) for row, _ in rows] == [list(PREDICTION_COLUMNS)] * 2
    assert [analysis is None for _, analysis in rows] == [False, True]
