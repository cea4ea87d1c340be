import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from music_learning.errors import UserError
from music_learning.files import damaged, read_json, write_json, write_table
from music_learning.paths import CHARTS, ChartPaths
from music_learning.predict.fit_markets import fit_markets, places_of
from music_learning.predict.markets import (
    CHART_COLUMNS,
    CHART_FEATURES,
    COUNTRY_COLUMNS,
    EXTRA,
    FEATURES,
    N_MARKETS,
    Charts,
    ChartSongs,
)


@pytest.fixture(scope="module")
def charts():
    return Charts.open()


@pytest.fixture
def paths(tmp_path):
    """A copy of the package's tables, to change."""
    own = ChartPaths(tmp_path)
    for name in ("songs", "countries", "markets"):
        shutil.copy(getattr(CHARTS, name), getattr(own, name))
    return own


def features_of(charts, row):
    return dict(zip(CHART_FEATURES, charts.songs.features[row].tolist(), strict=True))


def few_songs(n=60, *, countries=3, seed=0):
    """Songs of one artist each, all of whose features tell their country well."""
    generator = np.random.default_rng(seed)
    home = np.arange(n) % countries
    features = 0.3 + 0.2 * home[:, None] + 0.05 * generator.standard_normal((n, len(CHART_FEATURES)))
    codes = tuple("ABCDEFG"[:countries])
    return ChartSongs(features, np.arange(n), home[:, None] == np.arange(countries), codes, codes)


def test_package_has_the_songs_and_no_names(charts):
    header, *lines = CHARTS.songs.read_text(encoding="utf-8").splitlines()
    assert header.split(",") == [*CHART_COLUMNS]
    assert (charts.n_songs, charts.n_countries) == (1799, 71) and len(lines) == 1799
    for line in lines:
        *numbers, countries = line.split(",")
        assert all(float(number) == float(number) for number in numbers)
        assert {*countries.split()} <= {*charts.songs.countries}
    assert "GLOBAL" not in charts.songs.countries


def test_percentile_is_the_share_of_chart_songs_below(charts):
    energies = np.array(charts.values["energy"])
    assert charts.percentile("energy", 0.0) == 0 and charts.percentile("energy", 1.0) == 100
    assert charts.percentile("energy", 0.7) == pytest.approx(100 * (energies < 0.7).mean())
    equal = energies[0]  # a song is not above itself
    assert charts.percentile("energy", equal) == pytest.approx(100 * (energies < equal).mean())


def test_densities_are_means_of_the_kernel():
    songs = few_songs(9)
    point = songs.features[:1] + 0.02
    scale = songs.features[:, : len(FEATURES)].std(axis=0)
    by_hand = np.exp(-(((point - songs.features)[:, : len(FEATURES)] / scale) ** 2).sum(axis=1) / 2)
    expected = [by_hand[songs.charted[:, country]].mean() for country in range(3)]
    assert songs.densities(point)[0] == pytest.approx(expected)
    for name in ("loudness", "tempo"):  # which are not compared
        other = point + np.where(np.array(CHART_FEATURES) == name, 50, 0)
        assert songs.densities(other) == pytest.approx(songs.densities(point))


def test_songs_of_the_same_artists_are_left_out():
    songs = few_songs(6, countries=2)
    songs = replace(songs, artists=np.array([0, 1, 0, 2, 3, 4]))
    left_out, all_songs = (songs.densities(songs.features[:1], artists)[0] for artists in (songs.artists[:1], None))
    alone = replace(songs, charted=songs.charted & (songs.artists != 0)[:, None])
    assert left_out == pytest.approx(alone.densities(songs.features[:1])[0])
    assert left_out[0] != all_songs[0] and left_out[1] == pytest.approx(all_songs[1])


def test_markets_are_the_likest_countries_first(charts):
    markets = charts.markets(features_of(charts, 500))
    assert len({market.country for market in markets}) == N_MARKETS
    assert [round(market.percentile, 1) for market in markets[:3]] == [100, 98.6, 97.1]
    likeness = charts.songs.densities(charts.songs.features[500:501])[0] / charts.usual
    order = [charts.songs.countries[country] for country in np.argsort(-likeness)[:N_MARKETS]]
    assert [market.country for market in markets] == order
    named = dict(zip(charts.songs.countries, charts.songs.names, strict=True))
    assert all(market.name == named[market.country] for market in markets)
    assert named["IT"] == "Italy" and named["GR"] == "Greece"


def test_song_amid_a_country_s_songs_is_its(charts):
    """Its own songs, all together: each country is more often in the list of its own songs than of others."""
    songs = charts.songs
    named = places_of(songs.densities(songs.features) / charts.usual) < N_MARKETS
    own = songs.charted & songs.is_local[:, None]
    assert named[own].mean() > 2 * named[songs.is_local].mean()


def test_level_of_a_mix_changes_no_market(charts):
    features = features_of(charts, 500)
    softer = features | {"loudness": features["loudness"] - 20}
    assert charts.markets(softer) == charts.markets(features) == charts.markets(features | {"loudness": None})


def test_chance_grows_with_place_and_with_a_country_s_own_songs(charts):
    songs = charts.songs
    one_of_71 = songs.n_local.sum() / songs.is_local.sum() / 71  # of a country, for a song that charts in one or two
    for row in (3, 500, 900):
        for place, market in enumerate(charts.markets(features_of(charts, row))):
            n_local = songs.n_local[songs.countries.index(market.country)]
            assert market.chance == pytest.approx(charts.rates[place] * (n_local + EXTRA))
            guess = (n_local + EXTRA) / (songs.n_local + EXTRA).mean() * one_of_71
            assert market.guess == pytest.approx(guess, rel=1e-4)
            assert 0 < market.chance < 0.25
    assert all(np.diff(charts.rates) <= 0) and all(np.diff(charts.shares) <= 0)


def test_skill_is_weak_and_beyond_chance(charts):
    assert charts.guess(10) == pytest.approx(10 / 71)
    assert 2 < charts.share(10) / charts.guess(10) < 3
    assert charts.share(1) < charts.share(5) < charts.share(10) < charts.share(71) == pytest.approx(1)


@pytest.mark.parametrize("name", FEATURES)
def test_unknown_feature_leaves_no_markets(charts, name):
    features = features_of(charts, 3)
    assert charts.markets(features | {"tempo": None, "liveness": None})
    assert charts.markets(features | {name: None}) == ()
    del features[name]
    assert charts.markets(features) == ()


def test_extreme_song_has_markets(charts):
    markets = charts.markets(dict.fromkeys(FEATURES, 1.0))
    assert len(markets) == N_MARKETS and all(np.isfinite(market.chance) for market in markets)


def test_market_as_json_has_it(charts):
    first = charts.markets(features_of(charts, 0))[0].to_dict()
    assert [*first] == ["country", "name", "percentile", "chance", "guess"]
    assert json.loads(json.dumps(first)) == first
    assert first["percentile"] == 100


def test_hash_follows_all_that_markets_follow_from(charts):
    assert Charts.open().sha256 == charts.sha256
    for name in ("usual", "shares", "rates"):
        assert replace(charts, **{name: getattr(charts, name) / 2}).sha256 != charts.sha256


def test_damaged_tables_are_refused(paths):
    measured = read_json(paths.markets, "")
    for broken in (
        {"rates": measured["rates"][1:]},
        {"usual": [0] * 71},
        {"width": 2.0},
        {"extra": 1},
        {"features": []},
        {"shares": 1},
    ):
        write_json(paths.markets, measured | broken)
        with pytest.raises(UserError, match=r"markets\.json is damaged .*make_charts\.py"):
            Charts.open(paths)
    write_json(paths.markets, measured)
    assert Charts.open(paths).n_songs == 1799
    paths.songs.write_text(paths.songs.read_text().replace("0.168", "0.169", 1))
    with pytest.raises(UserError, match="of other chart songs"):
        Charts.open(paths)
    paths.songs.write_text(paths.songs.read_text().replace("0.169", "loud", 1))
    with pytest.raises(UserError, match=r"charts\.csv is damaged .*numbers"):
        Charts.open(paths)
    paths.songs.unlink()
    with pytest.raises(UserError, match=r"charts\.csv is missing; run tools/make_charts\.py first"):
        Charts.open(paths)
    assert str(damaged(CHARTS.songs, "", "")).endswith("; restore it: git checkout music_learning")


def test_country_without_a_name_is_refused(paths):
    write_table(paths.countries, COUNTRY_COLUMNS, [{"code": "IT", "name": "Italy"}])
    with pytest.raises(UserError, match=r"countries\.csv is damaged .*no name for AE"):
        Charts.open(paths)


def test_what_was_measured_is_of_the_songs_in_the_package(charts):
    measured = read_json(CHARTS.markets, "")
    assert measured["local_songs"] == charts.songs.is_local.sum() == 1603
    assert sum(measured["shares"]) == pytest.approx(charts.songs.n_local.sum() / 1603, rel=1e-3)
    assert measured == json.loads(json.dumps(measured)) and measured["songs_with_errors"] > 700


def test_fitted_chances_are_right_where_the_sound_tells_all():
    songs = few_songs()
    none = (songs.features, songs.features)
    measured = fit_markets(songs, none)
    assert measured["shares"] == pytest.approx([1, 0, 0], abs=1e-6)
    assert measured["rates"][0] * (19 + EXTRA) == pytest.approx(1, rel=1e-4)  # the song itself is not among the 20
