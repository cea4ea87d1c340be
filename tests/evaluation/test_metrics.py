import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score

from music_learning.evaluation.metrics import evaluate


@pytest.fixture(autouse=True)
def all_resamples(monkeypatch):
    monkeypatch.setattr("music_learning.evaluation.metrics.N_RESAMPLES", 2000)


def noisy(n, *, seed=0, noise=0.2):
    generator = np.random.default_rng(seed)
    truth = generator.random(n)
    return truth, truth + noise * generator.standard_normal(n)


def one_each(n):
    return [str(k) for k in range(n)]


@pytest.mark.parametrize("seed", range(3))
def test_points_equal_sklearn_and_scipy(seed):
    truth, predicted = noisy(80, seed=seed)
    metrics = evaluate(truth, predicted, one_each(80))
    assert metrics.n == 80
    assert metrics.r2 == pytest.approx(r2_score(truth, predicted))
    assert metrics.mae == pytest.approx(mean_absolute_error(truth, predicted))
    assert metrics.rho == pytest.approx(spearmanr(truth, predicted).statistic)


def test_ties_are_ranked_as_scipy_does():
    truth, predicted = (np.round(values, 1) for values in noisy(60))
    assert evaluate(truth, predicted, one_each(60)).rho == pytest.approx(spearmanr(truth, predicted).statistic)


def test_perfect_predictions():
    truth, _ = noisy(30)
    metrics = evaluate(truth, truth, one_each(30))
    assert (metrics.r2, metrics.r2_low, metrics.r2_high) == (1, 1, 1)
    assert (metrics.mae, metrics.mae_low, metrics.mae_high) == (0, 0, 0)
    assert metrics.rho == pytest.approx(1)


def test_mean_as_prediction_has_no_merit():
    truth, _ = noisy(30)
    metrics = evaluate(truth, np.full(30, truth.mean()), one_each(30))
    assert metrics.r2 == pytest.approx(0)
    assert metrics.r2_high <= 1e-12  # the mean of a resample is never a worse guess than another constant
    assert (metrics.rho, metrics.rho_low, metrics.rho_high) == (0, 0, 0)


def test_reversed_predictions():
    truth, _ = noisy(30)
    metrics = evaluate(truth, 1 - truth, one_each(30))
    assert metrics.rho == pytest.approx(-1)
    assert metrics.r2 < 0


def test_intervals_contain_the_points():
    truth, predicted = noisy(100)
    metrics = evaluate(truth, predicted, one_each(100)).to_dict()
    for name in ("r2", "mae", "rho"):
        assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"]


def test_intervals_narrow_with_more_songs():
    few, many = (evaluate(*noisy(n), one_each(n)) for n in (40, 640))
    assert many.r2_high - many.r2_low < 0.5 * (few.r2_high - few.r2_low)


def test_intervals_are_wider_where_songs_of_an_artist_resemble_each_other():
    truth, predicted = (np.repeat(values, 8) for values in noisy(15))
    by_artist = evaluate(truth, predicted, [str(k // 8) for k in range(120)])
    by_song = evaluate(truth, predicted, one_each(120))
    assert by_artist.r2 == by_song.r2
    for name in ("r2", "mae", "rho"):
        widths = [m.to_dict()[f"{name}_high"] - m.to_dict()[f"{name}_low"] for m in (by_artist, by_song)]
        assert widths[0] > 1.5 * widths[1]


def test_order_of_songs_within_groups_does_not_matter_to_the_point():
    truth, predicted = noisy(50)
    order = np.random.default_rng(3).permutation(50)
    metrics, shuffled = evaluate(truth, predicted, one_each(50)), evaluate(truth[order], predicted[order], one_each(50))
    assert shuffled.r2 == pytest.approx(metrics.r2)
    assert shuffled.rho == pytest.approx(metrics.rho)


def test_same_seed_same_interval():
    truth, predicted = noisy(40)
    assert evaluate(truth, predicted, one_each(40)) == evaluate(truth, predicted, one_each(40))
    assert evaluate(truth, predicted, one_each(40), seed=1) != evaluate(truth, predicted, one_each(40))


def test_equal_truths_warn_of_nothing():
    """As where all test songs have the same label; R2 is undefined then."""
    metrics = evaluate(np.full(10, 0.5), np.linspace(0, 1, 10), one_each(10))
    assert np.isnan(metrics.r2)
    assert metrics.mae == pytest.approx(np.abs(np.linspace(0, 1, 10) - 0.5).mean())


def test_line_for_the_terminal():
    metrics = evaluate(*noisy(20), one_each(20))
    assert f"R2 {metrics.r2:.3f} [{metrics.r2_low:.3f}, {metrics.r2_high:.3f}]" in str(metrics)
    assert "n = 20" in str(metrics)
