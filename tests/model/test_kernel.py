import numpy as np
import pytest
import torch

from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.model.kernel import SupportVectorRegression

FEATURES = FeatureConfig()
N_ROWS = FEATURES.pipeline.n_rows


def spectrograms(n=3, frames=124, *, seed=0):
    return -50 + 15 * torch.randn(n, N_ROWS, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kernel", ["exponential", "gaussian"])
@torch.inference_mode()
def test_kernel_model_knows_its_support_vectors_and_falls_back_to_the_intercept(kernel):
    known, unlike = spectrograms(2), torch.zeros(1, N_ROWS, 124)
    model = SupportVectorRegression(FEATURES, 2, kernel)
    model.support_vectors.copy_(model.scaled(clip_features(known, FEATURES)))
    model.gamma.fill_(1e6)
    model.dual_coef.copy_(torch.tensor([0.3, -0.2]))
    model.intercept.fill_(0.5)
    torch.testing.assert_close(
        model(clip_features(torch.cat([known, unlike]), FEATURES)), torch.tensor([0.8, 0.3, 0.5])
    )
    model.dual_coef.mul_(10)
    assert model(clip_features(known, FEATURES)).tolist() == [1, 0]


@pytest.mark.parametrize(("kernel", "twice_as_far"), [("exponential", -2), ("gaussian", -4)])
def test_kernel_falls_with_the_distance(kernel, twice_as_far):
    model = SupportVectorRegression(FEATURES, 1, kernel)
    one, other = torch.zeros(1, 3), torch.tensor([[0.0, 3.0, 4.0]])
    model.gamma.fill_(0.04)
    assert model.kernel_matrix(one, other).item() == pytest.approx(np.exp(-1))
    assert model.kernel_matrix(one, 2 * other).item() == pytest.approx(np.exp(twice_as_far))


def test_scaled_features_are_bounded_and_weighed():
    model = SupportVectorRegression(FEATURES, 1)
    far = torch.full((1, len(model.input_mean)), 1e30)
    for features, bound in ((far, 4), (-far, -4)):
        scaled = model.scaled(features)
        assert scaled.dtype == torch.float16
        torch.testing.assert_close(scaled[0].float(), bound * model.input_scale, atol=1e-3, rtol=1e-3)
