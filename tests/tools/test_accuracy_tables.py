import pytest
from conftest import ROOT, call_main

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import write_json
from music_learning.paths import ModelPaths
from tools import accuracy_tables
from tools.accuracy_tables import BLOCK, DOCUMENTS, TABLES, accuracy_table, number, song_interval_table, with_tables

RELEASED = ModelPaths(ROOT / "models")


def test_documents_say_what_was_measured(capsys):
    assert call_main(accuracy_tables, "--check") == 0, capsys.readouterr().err


def test_each_table_is_in_a_document():
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    assert {name for _, name, _ in BLOCK.findall(text)} == set(TABLES)


def test_changed_number_is_found_and_mended(tmp_path, monkeypatch, capsys):
    text = f"before\n<!-- table test -->\n{accuracy_table(RELEASED, 'test')}\n<!-- end of table -->\nafter\n"
    assert with_tables(text, RELEASED) == text
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "a.md").write_text(text.replace("0.70", "0.99"), encoding="utf-8")
    monkeypatch.setattr(accuracy_tables, "ROOT", tmp_path)
    monkeypatch.setattr(accuracy_tables, "DOCUMENTS", ("a.md",))
    assert call_main(accuracy_tables, "--check") == 1
    assert "a.md" in capsys.readouterr().err
    assert call_main(accuracy_tables) == 0
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == text


def test_table_has_a_row_for_each_model_and_target():
    lines = accuracy_table(RELEASED, "test").splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == [target for target in TARGETS for _ in range(4)]
    assert all(line.count("[") == 3 for line in lines)


def test_intervals_of_songs_are_told_where_they_were_measured(tmp_path):
    measured = {"measured_songs": {"n": 58, "coverage": 0.897, "width": 0.244}}
    write_json(ModelPaths(tmp_path).intervals, {"energy": measured, "danceability": {}, "valence": measured})
    lines = song_interval_table(ModelPaths(tmp_path)).splitlines()[2:]
    assert lines[0] == "| energy | 90 % | 0.24 | 58 |"
    assert lines[1] == "| danceability | not measured | | |"


@pytest.mark.parametrize(("value", "text"), [(-0.0025, "0.00"), (-0.0110, "−0.01"), (0.7341, "0.73")])
def test_numbers_as_people_write_them(value, text):
    assert number(value, 2) == text


def test_unknown_table_is_refused():
    with pytest.raises(UserError, match="there is no table 'x'; known are 5-fold, test, intervals"):
        with_tables("<!-- table x -->\n<!-- end of table -->", RELEASED)
