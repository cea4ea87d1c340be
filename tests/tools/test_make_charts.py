import random

import pytest
from conftest import call_main, read_rows, write_catalog

from music_learning.errors import UserError
from music_learning.paths import CHARTS, ChartPaths
from music_learning.predict.markets import CHART_COLUMNS, CHART_FEATURES, Charts
from tools import make_charts


def row(title, artists, country, **values):
    numbers = dict.fromkeys(CHART_FEATURES, "0.5") | {"loudness": "-6.1", "tempo": "120.5"}
    return {"country": country, "title": title, "artists": artists} | numbers | values


SONGS = [
    row("Alone", "Ann", "IT", energy="0.9"),
    row("Alone", "Ann", "GR", energy="0.9"),
    row("Alone", "Ann", "IT", energy="0.9", daily_rank="3"),  # the next day
    row("Together", "Bob, Ann", "GLOBAL", energy="0.1"),
    row("Together", "Bob, Ann", "IT", energy="0.1"),
    row("Nobody's", "Cem", "TR", energy="0.4"),
    row("Nowhere", "Dee", "", energy="0.3"),  # the world's chart, as Kaggle's table has it
]


def made(tmp_path, songs, folder="made"):
    charts = write_catalog(tmp_path / "charts.csv", songs)
    status = call_main(make_charts, "--charts", charts, "--to", tmp_path / folder)
    return status, ChartPaths(tmp_path / folder)


def test_songs_are_there_once_without_names(tmp_path, capsys):
    status, paths = made(tmp_path, SONGS)
    assert status == 0 and "songs: 3, countries in whose charts they are: 3" in capsys.readouterr().out
    rows = read_rows(paths.songs)
    assert [*rows[0]] == [*CHART_COLUMNS]
    assert [(one["energy"], one["countries"]) for one in rows] == [("0.1", "IT"), ("0.4", "TR"), ("0.9", "GR IT")]
    assert [one["artists"] for one in rows] == ["0", "1", "0"]  # who sang together is one group
    text = paths.songs.read_text() + paths.markets.read_text()
    assert not any(name in text for name in ("Ann", "Bob", "Cem", "Alone", "Together"))


def test_what_is_made_is_read(tmp_path):
    _, paths = made(tmp_path, SONGS)
    charts = Charts.open(paths)
    assert (charts.n_songs, charts.songs.names) == (3, ("Greece", "Italy", "Türkiye"))
    assert charts.songs.features[0].tolist() == [0.1, 0.5, 0.5, 0.5, 0.5, 0.5, -6.1, 120.5]
    assert charts.songs.charted.tolist() == [[False, True, False], [False, False, True], [True, True, False]]
    assert len(charts.markets(dict.fromkeys(CHART_FEATURES, 0.5))) == 3


def test_kaggles_name_for_a_title_and_any_order_give_the_same(tmp_path):
    _, paths = made(tmp_path, SONGS)
    named = [{"name": song["title"]} | {key: song[key] for key in song if key != "title"} for song in SONGS[::-1]]
    _, others = made(tmp_path, named, "others")
    assert others.songs.read_bytes() == paths.songs.read_bytes()
    assert others.markets.read_bytes() == paths.markets.read_bytes()


def test_a_song_with_two_sets_of_features_or_orders_of_artists_is_there_once(tmp_path):
    twice = [*SONGS, row("Alone", "Ann", "ES", energy="0.8"), row("Together", "Ann, Bob", "FR", energy="0.1")]
    # Two songs with the same numbers, in the same country, by artists of whom one has another song.
    equal = [row("P", "Eve", "DE"), row("Q", "Fay", "DE"), row("R", "Fay", "DE", energy="0.95")]
    _, paths = made(tmp_path, twice + equal)
    rows = read_rows(paths.songs)
    kept = [(one["energy"], one["countries"]) for one in rows if one["countries"] != "DE"]
    assert kept == [("0.1", "FR IT"), ("0.4", "TR"), ("0.8", "ES GR IT")]
    for seed in range(5):
        shuffled = random.Random(seed).sample(twice + equal, len(twice + equal))
        _, others = made(tmp_path, shuffled, str(seed))
        assert others.songs.read_bytes() == paths.songs.read_bytes()
        assert others.markets.read_bytes() == paths.markets.read_bytes()


@pytest.mark.parametrize(
    ("songs", "reason"),
    [
        (
            [row("A", "B", "IT", energy="loud")],
            "row 2: the energy is 'loud', no number that it can be; name another table",
        ),
        ([row("A", "B", "IT"), row("A", "B", "IT", valence="1.5")], "row 3: the valence is '1.5'"),
        ([row("A", "B", "IT", loudness="")], "row 2: the loudness is ''"),
        ([row("A", "B", "Atlantis")], "row 2: 'ATLANTIS' is no country of .*countries.csv; add its name"),
        ([row("A", "B", "IT")], "has fewer than 2 songs in the charts of a country; name another table"),
        ([row("A", "B", "GLOBAL")], "has fewer than 2 songs"),
        ([{key: value for key, value in row("A", "B", "IT").items() if key != "title"}], "a column title or name"),
        (
            [{key: value for key, value in row("A", "B", "IT").items() if key != "tempo"}],
            r"charts.csv can't be used \(it has no column tempo\); name another file",
        ),
    ],
)
def test_what_is_no_chart_is_a_sentence(tmp_path, songs, reason):
    with pytest.raises(UserError, match=reason):
        made(tmp_path, songs)
    assert not (tmp_path / "made").exists()


def test_missing_table_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv is missing; name another file"):
        call_main(make_charts, "--charts", tmp_path / "gone.csv", "--to", tmp_path)


def test_package_is_left_alone(tmp_path):
    before = CHARTS.songs.read_bytes()
    made(tmp_path, SONGS)
    assert CHARTS.songs.read_bytes() == before
