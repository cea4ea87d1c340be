import json

import pytest
import torch

from music_learning.model.cnn import MoodNetwork, NetworkConfig
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
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
