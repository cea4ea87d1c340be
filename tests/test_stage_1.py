"""The command line of data_collection.py; what it does is tested in collect/."""

from pathlib import Path

import pytest
from conftest import call_main

import data_collection
from music_learning.collect.settings import Settings

BAD_FLAGS = {
    "--songs": ["--songs", "0"],
    "--songs-per-artist": ["--songs-per-artist", "-1"],
    "--max-wait": ["--max-wait", "nan"],
    "--country": ["--country", "Germany"],
    "--labels": ["--labels", "recobeats"],
    "--catalog": ["--catalog", "x.csv"],
    "--audio": ["--audio", "clips"],
    "--chart": ["--source", "spotify", "--chart", "0"],
    "--playlist": ["--source", "local", "--catalog", "x", "--audio", "y", "--playlist", "1"],
    "--dry-run": ["--source", "local", "--catalog", "x", "--audio", "y", "--dry-run"],
    "--source local needs": ["--source", "local"],
    "--source": ["--source", "napster"],
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flag(case, capsys):
    with pytest.raises(SystemExit) as caught:
        call_main(data_collection, *BAD_FLAGS[case])
    assert caught.value.code == 2
    assert case in capsys.readouterr().err


def test_every_online_flag_reaches_the_run(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(data_collection, "collect_online", lambda settings, paths: seen.append((settings, paths.root)))
    table = tmp_path / "labels.csv"
    table.touch()
    flags = ["--songs", 7, "--songs-per-artist", 2, "--labels", table, "--playlist", 1, "--playlist", 2, "--chart", 0]
    flags += ["--seed-artist", "A", "--country", "DE", "--max-wait", 9, "--workers", 4, "--data", tmp_path]
    assert call_main(data_collection, *flags) == 0
    assert call_main(data_collection, "--source", "spotify") == 0
    assert call_main(data_collection) == 0
    everything = Settings("deezer", str(table), 7, 2, ["1", "2"], 0, ["A"], "DE", 9.0, 4)
    assert seen[0] == (everything, tmp_path)
    assert seen[1][0] == Settings(source="spotify", labels="spotify", playlists=[], seed_artists=[])
    assert seen[2] == (Settings(playlists=[], seed_artists=[]), Path("data"))
