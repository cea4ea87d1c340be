import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from music_learning.model.cnn import HalvingPool, MoodNetwork, NetworkConfig
from music_learning.pipeline_config import PipelineConfig

N_MELS, N_ROWS = PipelineConfig().n_mels, PipelineConfig().n_rows
OUTPUTS = ("energy", "valence", "tempo")
CONFIG = NetworkConfig(outputs=OUTPUTS, n_mels=N_MELS)


def spectrograms(n=3, frames=124, *, seed=0):
    return -50 + 15 * torch.randn(n, N_ROWS, frames, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_input_is_standardised_with_the_statistics():
    torch.manual_seed(0)
    network = MoodNetwork(CONFIG).eval()
    mean, deviation = torch.linspace(-60, -30, N_MELS), torch.linspace(5, 20, N_MELS)
    x = torch.randn(3, N_MELS, 124)
    network.set_input_statistics(torch.zeros(N_MELS), torch.ones(N_MELS))
    standard = network(x)
    network.set_input_statistics(mean, deviation)
    torch.testing.assert_close(network(x * deviation[:, None] + mean[:, None]), standard, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_band_that_never_changes_does_not_divide_by_zero():
    network = MoodNetwork(CONFIG).eval()
    network.set_input_statistics(torch.full((N_MELS,), -100.0), torch.zeros(N_MELS))
    assert network(torch.full((1, N_MELS, 100), -99.0)).isfinite().all()


@torch.inference_mode()
def test_untrained_network_predicts_about_the_means():
    torch.manual_seed(0)
    network = MoodNetwork(CONFIG).eval()
    network.set_input_statistics(torch.full((N_MELS,), -50.0), torch.full((N_MELS,), 15.0))
    network.set_output_means(torch.tensor([0.1, 0.8, 0.5]))
    assert network(spectrograms(20)).mean(dim=0).tolist() == pytest.approx([0.1, 0.8, 0.5], abs=0.2)


@torch.inference_mode()
def test_network_with_only_one_output_predicts_the_same():
    torch.manual_seed(0)
    network = MoodNetwork(CONFIG).eval()
    for column, output in enumerate(OUTPUTS):
        only = network.only(output)
        assert only.config.outputs == (output,)
        torch.testing.assert_close(only(spectrograms())[:, 0], network(spectrograms())[:, column])


@torch.inference_mode()
def test_network_has_a_value_for_each_output():
    torch.manual_seed(0)
    predicted = MoodNetwork(CONFIG).eval()(spectrograms(4) / 10)
    assert predicted.shape == (4, 3)
    assert not torch.equal(predicted[:, 0], predicted[:, 1])


def test_config_survives_json():
    assert NetworkConfig.from_dict(json.loads(json.dumps(CONFIG.to_dict()))) == CONFIG


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    network = MoodNetwork(CONFIG).train()
    network.set_input_statistics(torch.full((N_MELS,), -50.0), torch.full((N_MELS,), 15.0))
    (network(spectrograms(8)) - torch.linspace(0, 1, 8)[:, None]).square().sum().backward()
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learned)


def trained_network():
    """A network whose batch normalisations have all seen data and learned."""
    torch.manual_seed(0)
    network = MoodNetwork(CONFIG).train()
    network.set_input_statistics(torch.full((N_MELS,), -50.0), torch.full((N_MELS,), 15.0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(6):
        loss = (network(spectrograms(8)) - torch.linspace(0, 1, 8)[:, None]).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        if norm.weight.requires_grad:
            norm.weight.detach()[::3] *= -1
    return network.eval()


@pytest.mark.parametrize("frames", [16, 93, 128])
def test_folded_network_predicts_the_same(frames):
    network, x = trained_network(), spectrograms(20, frames)
    folded = network.folded()
    with torch.inference_mode():
        assert network(x).std(dim=0).min() > 0.005
        torch.testing.assert_close(folded(x), network(x), atol=1e-6, rtol=0)
        torch.testing.assert_close(folded.last_hidden(x), network.last_hidden(x), atol=1e-5, rtol=0)


def test_folded_network_has_no_normalisation_of_convolutions_and_leaves_the_other_alone():
    network = MoodNetwork(CONFIG)
    folded = network.folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network.training
    assert not folded.training


@pytest.mark.parametrize("n", [2, 7, 8])
def test_halving_pool_is_a_max_pool(n):
    x = torch.randn(3, 4, n, n, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    assert torch.equal(HalvingPool(dim=2)(x), F.max_pool2d(x, (2, 1)))
    assert torch.equal(HalvingPool(dim=3)(x), F.max_pool2d(x, (1, 2)))
