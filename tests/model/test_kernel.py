import copy

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from music_learning.features.clip import feature_names, group_names
from music_learning.features.config import FeatureConfig
from music_learning.model.kernel import GaussianProcess, kernel_matrix

FEATURES = FeatureConfig()
N_FEATURES = len(feature_names(FEATURES))
SIGNAL_VAR, NOISE_VAR = 0.04, 0.01


def features(n, *, seed=0):
    return 3 + 2 * torch.randn(n, N_FEATURES, generator=torch.Generator().manual_seed(seed))


def conditioned(labels, *, seed=0):
    """A model that knows as many songs as there are labels, and their features."""
    model, known = GaussianProcess(FEATURES, len(labels)), features(len(labels), seed=seed)
    model.input_mean.fill_(3)
    model.input_std.fill_(2)
    model.relevance.uniform_(0.01, 0.1, generator=torch.Generator().manual_seed(seed))
    model.songs.copy_(model.standardised(known))
    model.signal_var.fill_(SIGNAL_VAR)
    model.noise_var.fill_(NOISE_VAR)
    model.prior_mean.fill_(0.5)
    songs = model.scaled(model.songs).double()
    covariance = SIGNAL_VAR * kernel_matrix(songs, songs) + NOISE_VAR * torch.eye(len(labels))
    model.alpha.copy_(torch.linalg.solve(covariance, torch.tensor(labels, dtype=torch.float64) - 0.5))
    return model, known


@torch.inference_mode()
def test_predicts_as_scikit_learn_does():
    labels = np.linspace(0.2, 0.9, 12)
    model, known = conditioned(labels)
    clips = torch.cat([known[:2] + 0.3, features(3, seed=1)])
    reference = GaussianProcessRegressor(
        ConstantKernel(SIGNAL_VAR) * Matern(nu=0.5), alpha=NOISE_VAR, optimizer=None
    ).fit(model.scaled(model.songs).numpy(), labels - 0.5)
    mean, std = reference.predict(model.scaled(model.standardised(clips)).numpy(), return_std=True)
    ours, our_std = model.predict(clips)
    np.testing.assert_allclose(ours, mean + 0.5, atol=1e-3)
    np.testing.assert_allclose(our_std, np.sqrt(std**2 + NOISE_VAR), atol=1e-3)


@torch.inference_mode()
def test_far_from_all_songs_it_says_the_mean_and_all_the_variance():
    model, _ = conditioned([0.1, 0.2, 0.9])
    model.relevance.fill_(100)
    mean, std = model.predict(features(4, seed=1))
    torch.testing.assert_close(mean, torch.full((4,), 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(std, torch.full((4,), (SIGNAL_VAR + NOISE_VAR) ** 0.5), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_known_song_leaves_little_more_than_the_noise():
    model, known = conditioned([0.1] * 6)
    model.songs.copy_(model.songs[:1].expand(6, -1))
    _, std = model.predict(known[:1])
    assert NOISE_VAR**0.5 <= std.item() < (NOISE_VAR + NOISE_VAR / 6 + 1e-3) ** 0.5
    model.noise_var.fill_(1e-4)
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    _, std = model.predict(known[:1].repeat(3, 1))
    assert std.isfinite().all()
    assert (std >= 0.01 - 1e-7).all()


@torch.inference_mode()
def test_value_stays_in_range():
    model, known = conditioned([0.1, 0.9])
    model.alpha.mul_(100)
    assert model(known).tolist() == [0, 1]
    mean, _ = model.predict(known)
    assert mean[0] < 0 < 1 < mean[1]


def test_kernel_falls_with_the_distance():
    one, other = torch.zeros(1, 3), torch.tensor([[0.0, 0.6, 0.8]])
    assert kernel_matrix(one, other).item() == pytest.approx(np.exp(-1))
    assert kernel_matrix(one, 2 * other).item() == pytest.approx(np.exp(-2))


def test_equal_songs_have_a_gradient():
    songs = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    kernel_matrix(songs, songs).sum().backward()
    assert songs.grad.isfinite().all()
    assert songs.grad.abs().max() < 10


def test_each_group_counts_by_its_relevance():
    """Whatever its size: a deviation of 1 in all of a group's features lies sqrt(relevance) away."""
    model = GaussianProcess(FEATURES, 1)
    model.relevance.copy_(torch.linspace(0.1, 2, len(model.relevance)))
    for group, relevance in enumerate(model.relevance):
        deviations = (model.group == group).float()[None]
        assert deviations.sum() == len(list(group_names(FEATURES).values())[group])
        assert model.scaled(deviations).norm().item() == pytest.approx(relevance.sqrt().item(), rel=1e-4)


def test_standardised_features_are_bounded():
    model, far = GaussianProcess(FEATURES, 1), torch.full((1, N_FEATURES), 1e30)
    assert model.standardised(far).dtype == torch.float16
    for extreme, bound in ((far, 4), (-far, -4), (torch.inf * far, 4), (-torch.inf * far, -4)):
        assert (model.standardised(extreme) == bound).all()


@torch.inference_mode()
def test_unknown_features_count_as_the_mean():
    model, known = conditioned([0.1, 0.5, 0.9])
    unknown, mean = known.clone(), known.clone()
    unknown[:, 10:300], mean[:, 10:300] = torch.nan, 3.0
    assert torch.equal(model(unknown), model(mean))
    assert not torch.equal(model(unknown), model(known))


@torch.inference_mode()
def test_what_is_computed_once_is_of_the_present_weights_and_is_not_saved():
    model, known = conditioned([0.1, 0.5, 0.9])
    names = set(model.state_dict())
    before = model.predict(known)
    assert set(model.state_dict()) == names
    other, _ = conditioned([0.9, 0.5, 0.4], seed=1)
    model.load_state_dict(other.state_dict())
    for ours, theirs, earlier in zip(model.predict(known), other.predict(known), before, strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, earlier)
