import pytest
import torch

from music_learning.features.clip import feature_names, group_names
from music_learning.features.config import FeatureConfig
from music_learning.model.kernel import GaussianProcess
from music_learning.training.config import KernelConfig
from music_learning.training.kernel import drawn, fit_gaussian_process, label_covariance, negative_log_likelihood

FEATURES = FeatureConfig()
N_FEATURES = len(feature_names(FEATURES))
GROUPS = list(group_names(FEATURES))
SIZES = [len(names) for names in group_names(FEATURES).values()]
TELLING = "bass"  # the group that the made-up labels depend on


def made_up(n, *, seed=0, noise=0.02):
    """Features and labels that are a sum over one group's."""
    generator = torch.Generator().manual_seed(seed)
    features = 5 + 3 * torch.randn(n, N_FEATURES, generator=generator)
    of_group = features.split(SIZES, dim=1)[GROUPS.index(TELLING)]
    labels = 0.5 + 0.1 * torch.tanh((of_group[:, :3] - 5).sum(dim=1) / 4)
    return features, labels + noise * torch.randn(n, generator=generator)


@pytest.fixture(scope="module")
def fitted():
    return fit_gaussian_process(*made_up(200), FEATURES)


def test_learns_which_group_counts_and_predicts_other_songs(fitted):
    assert GROUPS[fitted.relevance.argmax()] == TELLING
    features, labels = made_up(200, seed=1)
    mean, std = fitted.predict(features)
    assert (mean - labels).square().mean() < 0.5 * labels.var()
    inside = ((mean - labels).abs() < 1.645 * std).float().mean()
    assert 0.8 < inside < 0.98


def test_the_same_seed_gives_the_same_model(fitted):
    again = fit_gaussian_process(*made_up(200), FEATURES).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in fitted.state_dict().items())


def test_models_of_the_same_songs_share_what_is_large(fitted):
    features, labels = made_up(200)
    other = fit_gaussian_process(features, 1 - labels, FEATURES)
    for name in GaussianProcess.SHARED:
        assert torch.equal(getattr(other, name), getattr(fitted, name))
    assert not torch.equal(other.alpha, fitted.alpha)


def test_more_songs_than_are_kept_are_drawn_by_the_seed():
    features, labels = made_up(60)
    few = KernelConfig(max_songs=40, max_learning_songs=20)
    models = [fit_gaussian_process(features, labels, FEATURES, few, seed=seed) for seed in (0, 0, 1)]
    assert [len(model.songs) for model in models] == [40, 40, 40]
    assert torch.equal(models[0].songs, models[1].songs)
    assert not torch.equal(models[0].songs, models[2].songs)
    assert drawn(5, 5, 0).tolist() == [0, 1, 2, 3, 4]


def test_unknown_features_count_as_the_mean_of_the_known():
    features, labels = made_up(50)
    features[::2, :100] = torch.nan
    features[:, 100] = torch.nan
    model = fit_gaussian_process(features, labels, FEATURES)
    torch.testing.assert_close(model.input_mean[:100], features[1::2, :100].mean(dim=0))
    assert not model.songs[::2, :101].any()
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("case", ["the same song", "songs twice", "labels alike", "two songs"])
def test_songs_that_tell_little_give_a_model_all_the_same(case):
    features, labels = made_up(40)
    if case == "the same song":
        features = features[:1].repeat(40, 1)
    elif case == "songs twice":
        features, labels = features.repeat(5, 1), labels.repeat(5)
    elif case == "labels alike":
        labels = torch.full((40,), 0.3)
    else:
        features, labels = features[:2], labels[:2]
    model = fit_gaussian_process(features, labels, FEATURES)
    mean, std = model.predict(features)
    assert (mean - labels.mean()).abs().max() < 0.2
    assert (std >= 0.01 - 1e-6).all()
    assert (std < 0.3).all()


def test_gradient_of_the_likelihood_is_right():
    """Against the difference that a small step makes, for each parameter."""
    torch.manual_seed(0)
    group, group_size = torch.tensor([0, 0, 1]), torch.tensor([2.0, 2.0, 1.0])
    songs, residuals = torch.randn(8, 3), 0.2 * torch.randn(8)
    parameters = torch.tensor([0.3, -0.2, 0.1, -3.0, -4.0], requires_grad=True)

    def surprise(values):
        return negative_log_likelihood(label_covariance(values, songs, group, group_size), residuals)[0]

    covariance = label_covariance(parameters, songs, group, group_size)
    _, slope = negative_log_likelihood(covariance.detach(), residuals)
    (gradient,) = torch.autograd.grad(covariance, parameters, slope)
    step = 0.01
    for i, expected in enumerate(gradient):
        nudge = step * torch.eye(5)[i]
        difference = (surprise(parameters.detach() + nudge) - surprise(parameters.detach() - nudge)) / (2 * step)
        assert difference == pytest.approx(expected.item(), abs=0.01)
