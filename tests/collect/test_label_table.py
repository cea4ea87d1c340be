"""A table of labels, joined to songs."""

import sqlite3

import pytest
from conftest import write_catalog

from music_learning.collect.label_table import LabelTable
from music_learning.collect.matching import empty_song
from music_learning.errors import UserError

KAGGLE = {"track_id": "4uLU6hMCjMI75M1A2tKUQC", "artists": "Drake;Rihanna", "track_name": "Too Good", "tempo": "117.9"}
LABELS = {"energy": "0.5", "danceability": "0.25", "valence": "0.75"}


@pytest.mark.parametrize(
    "song",
    [
        {"song_id": "4uLU6hMCjMI75M1A2tKUQC", "source": "spotify"},
        {"artist": "DRAKE", "title": "Too Good (feat. Rihanna)"},
        {"artist": "Drake", "title": "Too Good - Live"},
        {"artist": "Drake;Rihanna", "title": "Too good"},
    ],
)
def test_table_is_joined_by_id_or_by_name(tmp_path, song):
    table = LabelTable(write_catalog(tmp_path / "kaggle.csv", [KAGGLE | LABELS]))
    (labels,) = table.labels_for([empty_song("deezer") | song])
    assert {name: labels[name] for name in LABELS} == LABELS
    assert (labels["tempo_bpm"], labels["liveness"]) == ("117.9", "")


def test_table_is_joined_by_isrc(tmp_path):
    table = LabelTable(write_catalog(tmp_path / "t.csv", [{"ISRC": "us-rc1-76-07839", **LABELS}]))
    assert table.labels_for([empty_song("deezer") | {"isrc": "USRC17607839"}])[0]["energy"] == "0.5"
    assert table.labels_for([empty_song("deezer") | {"isrc": "USRC17607838"}]) == [None]


def test_first_row_of_a_song_counts(tmp_path):
    rows = [KAGGLE | LABELS, KAGGLE | LABELS | {"energy": "0.9"}]
    table = LabelTable(write_catalog(tmp_path / "t.csv", rows))
    assert table.labels_for([empty_song("spotify") | {"song_id": KAGGLE["track_id"]}])[0]["energy"] == "0.5"


def test_table_that_cannot_be_used_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"--labels .*gone\.csv: there is no such file"):
        LabelTable(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="has no column for energy"):
        LabelTable(write_catalog(tmp_path / "t.csv", [KAGGLE]))
    with pytest.raises(UserError, match="names no song; expected a Spotify id"):
        LabelTable(write_catalog(tmp_path / "t.csv", [LABELS]))


def test_rows_that_are_none_are_left_out_and_said(tmp_path, capsys):
    path = write_catalog(tmp_path / "t.csv", [{"isrc": "USRC17607839", **LABELS}, {"isrc": "USRC17607838", **LABELS}])
    path.write_text(path.read_text() + "USRC17607837,0.5\n")
    table = LabelTable(path)
    found = table.labels_for([empty_song("deezer") | {"isrc": f"USRC1760783{n}"} for n in (9, 8, 7)])
    assert [labels is not None for labels in found] == [True, True, False]
    assert capsys.readouterr().out == f"note: 1 rows of {path} are left out: line 4 has 2 values for 4 columns\n"


def test_table_of_excel_is_joined(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("Artist;Track Name;Energy;Danceability;Valence\nBeyoncé;Halo;0,5;1;0,25\n", encoding="utf-16")
    (labels,) = LabelTable(path).labels_for([empty_song("deezer") | {"artist": "Beyoncé", "title": "Halo"}])
    assert [labels[name] for name in LABELS] == ["0.5", "1", "0.25"]


def test_full_folder_of_temporary_files_is_a_sentence(tmp_path, monkeypatch):
    def full(self, path):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(LabelTable, "_fill", full)
    with pytest.raises(UserError, match=r"t\.csv can't be kept in the folder of temporary files: database or disk is"):
        LabelTable(tmp_path / "t.csv")
