import numpy as np
import pytest

from music_learning.evaluation.conformal import MAX_SCALE, scaled
from music_learning.evaluation.song_intervals import measure_songs_scale, songs_scale


def made_up(*, n=400, error=0.05, seed=0):
    """Truths, predictions and ends of intervals that would fit twice the error: (n, 3), (n, 3), (2, n, 3)."""
    generator = np.random.default_rng(seed)
    predicted = generator.uniform(0.3, 0.7, (n, 3))
    truth = predicted + error * generator.standard_normal((n, 3))
    half = 1.645 * 2 * error  # what holds 90 % of errors twice as large
    return truth, predicted, np.stack([predicted - half, predicted + half])


def test_intervals_of_twice_the_error_are_halved():
    assert songs_scale(*made_up()) == pytest.approx(0.5, abs=0.03)


def test_scaled_intervals_hold_nine_of_ten_other_songs():
    scale = songs_scale(*made_up())
    truth, predicted, ends = made_up(seed=1)
    low, high = scaled(predicted, ends, scale)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.03)
    assert ((ends[0] <= truth) & (truth <= ends[1])).mean() > 0.99


def test_few_songs_give_a_larger_scale():
    """Of nine, the largest counts, since another one will be beyond it once in ten times."""
    truth, predicted, ends = (array[..., :9, :1] for array in made_up())
    needed = np.abs(truth - predicted) / (ends[1] - predicted)
    assert songs_scale(truth, predicted, ends) == pytest.approx(needed.max())


def test_each_side_has_its_own_room():
    predicted = np.full((100, 1), 0.5)
    ends = np.stack([predicted - 0.1, predicted + 0.4])
    assert songs_scale(predicted + 0.2, predicted, ends) == pytest.approx(0.5)
    assert songs_scale(predicted - 0.2, predicted, ends) == pytest.approx(2)
    assert scaled(predicted, ends, 0.5)[:, 0, 0] == pytest.approx([0.45, 0.7])


def test_no_room_is_no_endless_scale():
    predicted = np.zeros((100, 1))
    assert songs_scale(predicted + 0.2, predicted, np.zeros((2, 100, 1))) == MAX_SCALE


def test_ends_stay_between_0_and_1():
    assert scaled(np.array([0.5]), np.array([[0.1], [0.8]]), 3.0).tolist() == [[0.0], [1.0]]


def test_scale_of_an_artist_is_learned_from_the_others():
    """The first artist's songs are far off and the second's near: each has the scale that the other needs."""
    predicted = np.full((40, 3), 0.5)
    truth = predicted + np.repeat([0.2, 0.01], 20)[:, None]
    ends = np.stack([predicted - 0.1, predicted + 0.1])
    coverage, width = measure_songs_scale(truth, predicted, ends, ["far"] * 20 + ["near"] * 20)
    assert coverage.tolist() == [0.5] * 3
    assert width == pytest.approx([(0.02 + 0.4) / 2] * 3)


def test_measured_coverage_is_nine_of_ten():
    truth, predicted, ends = made_up()
    coverage, width = measure_songs_scale(truth, predicted, ends, [f"group {k // 4}" for k in range(len(truth))])
    assert coverage.mean() == pytest.approx(0.9, abs=0.02)
    assert width == pytest.approx((ends[1] - ends[0]).mean(axis=0) / 2, rel=0.06)
