import numpy as np
import pytest
from conftest import ROOT

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.paths import ModelPaths
from music_learning.predict.fit_markets import N_NEAREST, as_predicted, fit_rates, places_of, read_errors
from music_learning.predict.markets import CHART_FEATURES, ChartSongs

RELEASED = ModelPaths(ROOT / "models")


@pytest.fixture(scope="module")
def errors():
    return read_errors(RELEASED)


def test_errors_are_those_of_the_cross_validation(errors):
    truth, predicted = errors
    assert truth.shape == predicted.shape == (749, len(CHART_FEATURES))
    mean = dict(zip(CHART_FEATURES, np.abs(predicted - truth).mean(axis=0), strict=True))
    stated = {"energy": 0.081, "danceability": 0.075, "valence": 0.140, "acousticness": 0.061, "speechiness": 0.030}
    assert {name: round(mean[name], 3) for name in stated} == pytest.approx(stated, abs=0.0011)
    assert mean["loudness"] == pytest.approx(1.5, abs=0.05)


def test_errors_come_from_songs_that_are_alike(errors):
    songs = ChartSongs.open()
    predicted = as_predicted(songs, *errors, seed=0)
    assert predicted.shape == songs.features.shape
    off = np.abs(predicted - songs.features).mean(axis=0)
    assert all(off[:6] > 0.01) and all(off[:6] < 0.25)
    bounded = predicted[:, : CHART_FEATURES.index("loudness")]
    assert bounded.min() >= 0 and bounded.max() <= 1
    assert (as_predicted(songs, *errors, seed=0) == predicted).all()
    assert (as_predicted(songs, *errors, seed=1) != predicted).any()
    spread = [points[:, 2].std() for points in (predicted, songs.features)]
    assert spread[0] < 1.05 * spread[1]  # what is extreme is predicted less so: errors do not widen the cloud


def test_errors_of_a_song_stay_together():
    """Two kinds of songs, each with an error of its own in all features."""
    truth = np.repeat([[0.2] * 8, [0.8] * 8], N_NEAREST, axis=0) + 1e-6 * np.arange(2 * N_NEAREST)[:, None]
    predicted = truth + np.repeat([[0.1] * 8, [-0.1] * 8], N_NEAREST, axis=0)
    features = np.array([[0.2] * 8, [0.8] * 8])
    songs = ChartSongs(features, np.arange(2), np.eye(2, dtype=bool), ("A", "B"), ("A", "B"))
    assert as_predicted(songs, truth, predicted, seed=3) == pytest.approx(np.array([[0.3] * 8, [0.7] * 8]))


def test_places_count_from_the_likest():
    assert places_of(np.array([[0.1, 0.9, 0.5], [3, 2, 1]])).tolist() == [[2, 0, 1], [0, 1, 2]]


def test_songs_of_the_same_artists_count_for_no_chance():
    """Three songs of one country, two of them by the same artist, and one of another; each is found first or second."""
    charted = np.array([[True, False]] * 3 + [[False, True]])
    songs = ChartSongs(np.zeros((4, len(CHART_FEATURES))), np.array([0, 0, 1, 2]), charted, ("A", "B"), ("A", "B"))
    assert songs.n_local_of_others.tolist() == [[1, 1], [1, 1], [2, 1], [3, 0]]
    places = np.array([[0, 1], [0, 1], [0, 1], [0, 1]])
    shares, rates = fit_rates(songs, [places, places], measured=songs.is_local, extra=2)
    assert shares == pytest.approx([3 / 4, 1 / 4])
    assert rates == pytest.approx([3 / (3 + 3 + 4 + 5), 1 / (3 + 3 + 3 + 2)])
    shares, rates = fit_rates(songs, [places], measured=songs.artists == 0, extra=2)
    assert shares == pytest.approx([1, 0]) and rates == pytest.approx([2 / (3 + 3), 0])


def test_predictions_of_other_songs_are_refused(tmp_path):
    paths = ModelPaths(tmp_path)
    paths.predictions("energy", "5-fold").parent.mkdir()
    with pytest.raises(
        UserError, match=r"audio_features_5-fold\.csv is missing; run tools/fit_audio_features\.py first"
    ):
        read_errors(paths)
    source, place = (each.predictions("audio_features", "5-fold") for each in (RELEASED, paths))
    place.write_bytes(source.read_bytes())
    for target in TARGETS:
        paths.predictions(target, "5-fold").write_text("song_id,true,predicted\nanother,0.5,0.5\n")
    with pytest.raises(UserError, match="have 0 songs in common, 10 are needed"):
        read_errors(paths)
