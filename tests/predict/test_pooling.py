import pytest
import torch

from music_learning.columns import TARGETS
from music_learning.model.ensemble import load_model
from music_learning.paths import ModelPaths
from music_learning.predict.pooling import RULES, kernel_shift, level_db, pool, window_weights

ENERGY, DANCEABILITY, VALENCE = (TARGETS.index(target) for target in ("energy", "danceability", "valence"))


@pytest.fixture(scope="module")
def models(trained):
    return {target: load_model(ModelPaths(trained), target)[0] for target in TARGETS}


@pytest.fixture(scope="module")
def features(models):
    """Of three windows: those of the kernel model's mean song, moved by some noise."""
    svr = models["danceability"].svr
    noise = torch.randn(3, len(svr.input_mean), generator=torch.Generator().manual_seed(0))
    return svr.input_mean + noise * svr.input_std


def test_level_is_that_of_the_mean_power():
    half_silent = torch.tensor([[-20.0, -100.0], [-20.0, -100.0]])
    assert level_db(half_silent) == pytest.approx(-23.01, abs=0.01)
    assert level_db(half_silent - 6) == pytest.approx(level_db(half_silent) - 6, abs=1e-4)


def test_loud_windows_count_more_for_energy_alone():
    weights = window_weights([-30.0, -20.0], [900, 900])
    assert weights[ENERGY].tolist() == pytest.approx([1 / 11, 10 / 11])
    for row in (DANCEABILITY, VALENCE):
        assert weights[row].tolist() == pytest.approx([0.5, 0.5])


def test_windows_count_by_their_length():
    assert window_weights([-20.0, -20.0], [900, 300]).tolist() == [pytest.approx([0.75, 0.25])] * len(TARGETS)


def test_weights_follow_differences_of_levels_only():
    torch.testing.assert_close(
        window_weights([-3000.0, -3007.0], [1, 2]), window_weights([-20.0, -27.0], [1, 2]), rtol=1e-9, atol=0
    )


def test_one_window_keeps_its_values_exactly(models, features):
    values = torch.tensor([[0.1234567], [0.7654321], [0.3333333]])
    pooled = pool(models, values, features[:1], levels_db=[-31.7], lengths=[937])
    assert torch.equal(pooled.values, values[:, 0])
    assert pooled.weights.tolist() == [[1.0]] * len(TARGETS)


def test_energy_is_read_at_the_level_of_the_loudest_window(models, features):
    values = torch.tensor([[0.2, 0.8, 0.8], [0.5, 0.5, 0.5], [0.1, 0.4, 0.7]])
    pooled = pool(models, values, features, levels_db=[-30.0, -20.0, -20.0], lengths=[900, 900, 900])
    below = 10 / 21  # dB: a tenth of the power in one window of three
    assert pooled.values[ENERGY] == pytest.approx((0.1 * 0.2 + 1.6) / 2.1 + RULES["energy"].per_db * below, abs=1e-6)
    assert pooled.values[VALENCE] == pytest.approx(0.4)


def test_soft_intro_hardly_lowers_the_energy(models, features):
    values = torch.tensor([[0.1, 0.8, 0.8], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    with_intro = pool(models, values, features, levels_db=[-50.0, -20.0, -20.0], lengths=[900, 900, 900])
    assert with_intro.values[ENERGY] == pytest.approx(0.8, abs=0.01)


def test_danceability_is_that_of_the_mean_features(models, features):
    """As if the kernel model had heard one window with the mean of the features."""
    model, values = models["danceability"], torch.full((3, 3), 0.5)
    with torch.inference_mode():
        pooled = pool(models, values, features, levels_db=[-20.0] * 3, lengths=[600, 300, 300])
        weights = torch.tensor([0.5, 0.25, 0.25])
        of_each = model.svr(features)
        of_mean = model.svr((weights[:, None] * features).sum(dim=0, keepdim=True))
    share = 1 - model.config.networks_share
    expected = 0.5 + share * (of_mean - (weights * of_each).sum())
    assert pooled.values[DANCEABILITY] == pytest.approx(float(expected), abs=1e-5)
    assert abs(float(of_mean) - float(of_each.mean())) > 1e-4  # else this shows nothing
    assert pooled.values[VALENCE] == pytest.approx(0.5)


def test_windows_that_are_alike_shift_nothing(models, features):
    alike = features[:1].repeat(3, 1)
    assert kernel_shift(models["danceability"], alike, torch.full((3,), 1 / 3, dtype=torch.float64)) == pytest.approx(
        0, abs=1e-5
    )


def test_values_stay_between_0_and_1(models, features):
    values = torch.ones(3, 3)
    pooled = pool(models, values, features, levels_db=[-40.0, -20.0, -20.0], lengths=[9, 1, 1])
    assert ((pooled.values >= 0) & (pooled.values <= 1)).all()
