import re
from dataclasses import replace

import pytest
from conftest import chord

from music_learning.columns import TARGETS
from music_learning.library.outputs import measured, told
from music_learning.predict.markets import Market
from music_learning.predict.mood import Mood
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import SimilarSong


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


@pytest.fixture(scope="module")
def analysis(predictor):
    return predictor.predict(chord(seconds=4), sample_rate_hz=16_000)


@pytest.mark.parametrize(
    ("value", "true", "error"), [(0.526, 0.614, "-0.08"), (0.5349, 0.5351, "-0.01"), (1, 0, "+1.00")]
)
def test_error_is_the_difference_of_the_numbers_beside_it(predictor, analysis, value, true, error):
    analysis = replace(analysis, values=dict.fromkeys(TARGETS, value))
    text = told(analysis, predictor, title="t", true=dict.fromkeys(TARGETS, true))
    for target in TARGETS:
        line = re.search(rf"^{target} +(\S+) +(\S+) +(\S+) ", text, re.MULTILINE)
        assert line.groups() == (f"{value:.2f}", f"{true:.2f}", error)


def test_mood_is_told_with_its_chances(predictor, analysis):
    values = {"valence": 0.6, "energy": 0.9}
    mood = Mood(values, {"valence": (0.4, 0.8), "energy": (0.8, 1.0)})
    text = told(replace(analysis, mood=mood), predictor, title="t")
    assert "\nmood: probably happy and excited, 8 in 10\n" in text


def test_own_songs_have_their_path_below_and_nothing_that_drives_a_terminal(predictor, analysis):
    songs = (SimilarSong("1", "T\x1b", "", 99.0, "/music/a\nb.mp3"), SimilarSong("2", "U", "A", 98.0, year=1987))
    text = told(replace(analysis, similar_songs=songs, similar_artists=()), predictor, title="t")
    *_, first, path, second = text.splitlines()
    assert first == r"  T\x1b (alike)"
    assert path == r"    /music/a\nb.mp3"
    assert second == "  U by A, on a release of 1987 (somewhat alike)"


def test_markets_are_told_with_how_sure_they_are(predictor, analysis):
    assert not analysis.markets and "charts like it" not in told(analysis, predictor, title="t")
    markets = tuple(Market(code, f"Land {code}", 90.0, 0.05, 0.02) for code in "ABCDEFGHIJ")
    *_, line = told(replace(analysis, markets=markets), predictor, title="t").splitlines()
    share, guess = re.fullmatch(
        r"charts like it: Land A, Land B, Land C, Land D, Land E \(a hint: where a song charts in one or two "
        r"countries, such a country is among the first 5 in (\d+) % of cases, by guessing in (\d+) %\)",
        line,
    ).groups()
    assert (int(share), int(guess)) == (round(100 * predictor.charts.share(5)), round(500 / 71))


@pytest.mark.parametrize(
    ("percentile", "words"),
    [
        (0, "under 1 %"),
        (0.49, "under 1 %"),
        (0.51, "1 %"),
        (42.4, "42 %"),
        (99.4, "99 %"),
        (99.6, "over 99 %"),
        (100, "over 99 %"),
    ],
)
def test_no_song_is_told_to_be_above_all_or_none(predictor, analysis, percentile, words):
    text = told(replace(analysis, percentiles=dict.fromkeys(TARGETS, percentile)), predictor, title="t")
    assert text.count(f"   higher than {words} of {predictor.charts.n_songs:,} chart songs") == len(TARGETS)


def test_percentiles_are_told_of_chart_songs(predictor, analysis):
    analysis = replace(analysis, percentiles=dict.fromkeys(TARGETS, 42.3))
    lines = told(analysis, predictor, title="t").splitlines()
    for target, line in zip(TARGETS, lines[2:5], strict=True):
        assert line.endswith(
            f"higher than {analysis.percentiles[target]:.0f} % of {predictor.charts.n_songs:,} chart songs"
        )


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"tempo": 126.95, "key": 11, "mode": 1, "loudness": -6.42}, "127 bpm, B major, -6.4 dB"),
        ({"tempo": None, "key": 0, "mode": 0, "loudness": None}, "C minor"),
        ({"tempo": None, "key": -1, "mode": None, "loudness": None}, ""),
        ({"tempo": None, "key": None, "mode": None, "loudness": None}, ""),
    ],
)
def test_what_is_measured_is_said_as_people_say_it(features, words):
    assert measured(features) == words
