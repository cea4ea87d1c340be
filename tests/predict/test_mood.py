from itertools import product

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from music_learning.evaluation.conformal import Interval
from music_learning.predict.mood import (
    AXES,
    MAX_CORRELATION,
    MOODS,
    Mood,
    both_below,
    deviations,
    error_correlation,
    values_at,
)


def mood(valence, energy, *, ends=((0.2, 0.3), (0.1, 0.05)), correlation=0.0):
    """A mood whose intervals reach so far below and above the point."""
    values = {"valence": valence, "energy": energy}
    intervals = {
        axis: (max(values[axis] - low, 0), min(values[axis] + high, 1))
        for axis, (low, high) in zip(AXES, ends, strict=True)
    }
    return Mood(values, intervals, correlation)


def drawn(mood, n=200_000):
    """Values (n,) of both axes as they are distributed around a prediction."""
    covariance = [[1, mood.correlation], [mood.correlation, 1]]
    stds = np.random.default_rng(0).multivariate_normal([0, 0], covariance, n).T
    return [values_at(part, mood.values[axis], *mood.intervals[axis]) for part, axis in zip(stds, AXES, strict=True)]


@pytest.mark.parametrize("correlation", [-0.8, -0.3, 0.0, 0.05, 0.8])
def test_both_below_is_that_of_scipy(correlation):
    for first, second in product((-3, -0.7, 0, 0.4, 2, 8), repeat=2):
        expected = multivariate_normal.cdf([first, second], cov=[[1, correlation], [correlation, 1]])
        assert both_below(first, second, correlation=correlation) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("point", [(0.6, 0.55), (0.3, 0.8), (0.5, 0.45)])
@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.4])
def test_probabilities_are_shares_of_the_distribution(point, correlation):
    made = mood(*point, correlation=correlation)
    valence, energy = drawn(made)
    assert sum(made.probabilities.values()) == pytest.approx(1)
    assert list(made.probabilities.values()) == sorted(made.probabilities.values(), reverse=True)
    for (is_positive, is_high), word in MOODS.items():
        share = np.mean(((valence >= 0.5) == is_positive) & ((energy >= 0.5) == is_high))
        assert made.probabilities[word] == pytest.approx(share, abs=0.005)


def test_nine_of_ten_values_lie_in_an_interval_and_half_above_the_prediction():
    made = mood(0.55, 0.6)
    for axis, values in zip(AXES, drawn(made), strict=True):
        low, high = made.intervals[axis]
        assert [np.mean(values < place) for place in (low, made.values[axis], high)] == pytest.approx(
            [0.05, 0.5, 0.95], abs=0.005
        )


def test_deviations_undo_values_at():
    stds = np.array([-2.5, -1, 0, 0.3, 2])
    assert deviations(values_at(stds, 0.5, 0.3, 0.6), 0.5, 0.3, 0.6) == pytest.approx(stds)
    assert deviations([0.3, 0.6], 0.5, 0.3, 0.6) == pytest.approx([-1.645, 1.645], abs=1e-3)


def test_interval_without_width_is_sure():
    assert deviations([0.4, 0.5, 0.6], 0.5, 0.5, 0.5).tolist() == [-8, 0, 8]
    assert mood(0.7, 0.2, ends=((0, 0), (0, 0))).probability == pytest.approx(1)


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5])
def test_outline_holds_its_share(correlation):
    """Counted with the polygon's own inside, not with the formula that it was made by."""
    made = mood(0.5, 0.5, correlation=correlation)
    path = pytest.importorskip("matplotlib.path")
    points = np.stack(drawn(made, 20_000), axis=1)
    shares = [np.mean(path.Path(made.outline(share)).contains_points(points)) for share in (0.5, 0.9)]
    assert shares == pytest.approx([0.5, 0.9], abs=0.015)


def test_outline_stays_on_the_plane():
    outline = mood(0.02, 0.99).outline(0.9)
    assert outline.min() >= 0
    assert outline.max() <= 1


@pytest.mark.parametrize(
    ("valence", "energy", "word", "phrase"),
    [
        (0.9, 0.9, "happy and excited", "almost surely happy and excited, more than 9 in 10"),
        (0.3, 0.9, "tense and angry", "probably tense and angry, 9 in 10"),
        (0.6, 0.1, "calm and content", "probably calm and content, 8 in 10"),
        (0.46, 0.1, "sad and gloomy", "perhaps sad and gloomy, 6 in 10"),
        (0.5, 0.9, None, "no mood stands out: happy and excited 5 in 10, tense and angry 5 in 10"),
        (0.5, 0.505, None, "no mood stands out: {} 3 in 10, {} 3 in 10, {} 2 in 10, {} 2 in 10"),
    ],
)
def test_words_are_as_sure_as_what_is_known(valence, energy, word, phrase):
    made = mood(valence, energy)
    assert made.word == word
    assert str(made) == phrase.format(*made.probabilities)


def test_word_is_that_of_the_point_where_there_are_no_intervals():
    for intervals in ({}, {"energy": (0.1, 0.9)}):
        made = Mood({"valence": 0.5, "energy": 0.49}, intervals)
        assert (made.word, made.probability, made.probabilities) == ("calm and content", None, {})
        assert str(made) == "calm and content (how likely is not known)"
        with pytest.raises(ValueError, match="without intervals"):
            made.outline(0.9)


def test_chances_in_ten_are_neither_all_nor_none():
    made = mood(0.97, 0.97)
    assert made.chances() == [("happy and excited", "more than 9 in 10")]
    assert {chance for _, chance in made.chances(at_least=0)} == {"more than 9 in 10", "less than 1 in 10"}


def test_correlation_of_errors_is_found():
    generator = np.random.default_rng(0)
    errors = generator.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], 4000).T
    predicted = {axis: generator.uniform(0.3, 0.7, 4000) for axis in AXES}
    truth = {axis: predicted[axis] + 0.05 * error for axis, error in zip(AXES, errors, strict=True)}
    intervals = dict.fromkeys(AXES, Interval((-1.64, 0, 0), (1.64, 0, 0), 0))
    tables = {axis: {"predicted": predicted[axis], "std": np.full(4000, 0.05)} for axis in AXES}
    assert error_correlation(intervals, truth, tables) == pytest.approx(0.4, abs=0.03)


def test_correlation_of_two_songs_is_neither_certain_nor_missing():
    intervals = dict.fromkeys(AXES, Interval((-1, 0, 0), (1, 0, 0), 0))
    predicted = {axis: {"predicted": np.array([0.4, 0.6]), "std": np.full(2, 0.1)} for axis in AXES}
    for truth, expected in (([0.5, 0.6], MAX_CORRELATION), ([0.4, 0.6], 0)):
        assert error_correlation(intervals, dict.fromkeys(AXES, np.array(truth)), predicted) == expected
