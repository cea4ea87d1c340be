from types import SimpleNamespace

import pytest
import torch

from music_learning.columns import TARGETS
from music_learning.predict.pooling import RULES, kernel_shift, level_db, pool, window_weights

ENERGY, DANCEABILITY, VALENCE = (TARGETS.index(target) for target in ("energy", "danceability", "valence"))


N_FEATURES = 5


def kernel(features):
    """(B, features) -> (B,), curved as a kernel model is, unknown features being 0."""
    return (features.nan_to_num() ** 2).mean(dim=1) / 10


MODEL = SimpleNamespace(kernel=kernel, config=SimpleNamespace(networks_share=0.3))
MODELS = dict.fromkeys(TARGETS, MODEL)
FEATURES = torch.randn(3, N_FEATURES, generator=torch.Generator().manual_seed(0))
ALIKE = FEATURES[:1].repeat(3, 1)


def test_level_is_that_of_the_mean_power():
    half_silent = torch.tensor([[-20.0, -100.0], [-20.0, -100.0]])
    assert level_db(half_silent) == pytest.approx(-23.01, abs=0.01)
    assert level_db(half_silent - 6) == pytest.approx(level_db(half_silent) - 6, abs=1e-4)


def test_loud_windows_count_more_for_energy_alone():
    weights = window_weights([-30.0, -20.0], [30, 30])
    assert weights[ENERGY].tolist() == pytest.approx([1 / 11, 10 / 11])
    for row in (DANCEABILITY, VALENCE):
        assert weights[row].tolist() == pytest.approx([0.5, 0.5])


def test_windows_count_by_their_length():
    weights = window_weights([-20.0, -20.0], [30, 10])
    for row in (DANCEABILITY, VALENCE):
        assert weights[row].tolist() == pytest.approx([0.75, 0.25])


def test_ends_count_less_for_energy():
    """Six windows, whose middles are 15, 45, 75, 75, 45 and 15 s from an end; a minute's distance suffices."""
    weights = window_weights([-20.0] * 6, [30] * 6)
    assert weights[ENERGY].tolist() == pytest.approx([share / 4 for share in (0.25, 0.75, 1, 1, 0.75, 0.25)])
    assert weights[VALENCE].tolist() == pytest.approx([1 / 6] * 6)


def test_halves_of_a_short_recording_count_alike():
    assert window_weights([-20.0, -20.0], [30, 30]).tolist() == [pytest.approx([0.5, 0.5])] * len(TARGETS)


def test_weights_follow_differences_of_levels_only():
    torch.testing.assert_close(
        window_weights([-3000.0, -3007.0], [1, 2]), window_weights([-20.0, -27.0], [1, 2]), rtol=1e-9, atol=0
    )


def test_one_window_keeps_its_values_exactly():
    values = torch.tensor([[0.1234567], [0.7654321], [0.3333333]])
    pooled = pool(MODELS, values, FEATURES[:1], levels_db=[-31.7], lengths_s=[29.98])
    assert torch.equal(pooled.values, values[:, 0])
    assert pooled.weights.tolist() == [[1.0]] * len(TARGETS)


def test_energy_is_read_at_the_level_of_the_loudest_window():
    values = torch.tensor([[0.2, 0.8, 0.8], [0.5, 0.5, 0.5], [0.1, 0.4, 0.7]])
    pooled = pool(MODELS, values, ALIKE, levels_db=[-30.0, -20.0, -20.0], lengths_s=[30, 30, 30])
    soft = 0.1 * 15 / (0.1 * 15 + 45 + 15)  # a tenth of the power, at an end as the last is; the second is in between
    expected = soft * 0.2 + (1 - soft) * 0.8 + RULES["energy"].per_db * 10 * soft
    assert pooled.values[ENERGY] == pytest.approx(expected, abs=1e-6)
    assert pooled.values[VALENCE] == pytest.approx(0.4)


def test_soft_intro_hardly_lowers_the_energy():
    values = torch.tensor([[0.1, 0.8, 0.8], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    with_intro = pool(MODELS, values, ALIKE, levels_db=[-50.0, -20.0, -20.0], lengths_s=[30, 30, 30])
    assert with_intro.values[ENERGY] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("row", [ENERGY, DANCEABILITY])
def test_kernel_model_is_asked_about_the_mean_features(row):
    """As if it had heard one window with the mean of the features; the CNNs' part stays the mean of the windows'."""
    by_networks = torch.tensor([0.2, 0.5, 0.8])
    values = (0.3 * by_networks + 0.7 * kernel(FEATURES)).repeat(3, 1)
    levels_db, lengths_s = [-20.0] * 3, [30, 30, 10]
    pooled = pool(MODELS, values, FEATURES, levels_db=levels_db, lengths_s=lengths_s)
    weights = window_weights(levels_db, lengths_s)[row].float()
    expected = 0.3 * weights @ by_networks + 0.7 * kernel((weights[:, None] * FEATURES).sum(dim=0, keepdim=True))[0]
    assert pooled.values[row] == pytest.approx(float(expected), abs=1e-6)
    assert abs(float(expected - weights @ values[row])) > 1e-3  # else this shows nothing
    of_valence = torch.tensor(lengths_s).float() @ values[VALENCE] / sum(lengths_s)
    assert pooled.values[VALENCE] == pytest.approx(float(of_valence), abs=1e-6)


def test_mean_of_a_feature_is_over_the_windows_that_tell_it():
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    partly = FEATURES.clone()
    partly[0, 0], partly[:, 1] = torch.nan, torch.nan  # of the second feature no window tells anything
    mean = (weights[:, None] * FEATURES).sum(dim=0, keepdim=True).float()
    mean[0, 0], mean[0, 1] = (FEATURES[1, 0] + FEATURES[2, 0]) / 2, 0
    expected = 0.7 * float(kernel(mean)[0] - weights.float() @ kernel(partly))
    assert kernel_shift(MODEL, partly, weights) == pytest.approx(expected, abs=1e-6)


def test_windows_that_are_alike_shift_nothing():
    assert kernel_shift(MODEL, ALIKE, torch.full((3,), 1 / 3, dtype=torch.float64)) == pytest.approx(0, abs=1e-6)


def test_values_stay_between_0_and_1():
    values = torch.ones(3, 3)
    pooled = pool(MODELS, values, ALIKE, levels_db=[-40.0, -20.0, -20.0], lengths_s=[30, 5, 5])
    assert ((pooled.values >= 0) & (pooled.values <= 1)).all()
