import numpy as np
import pytest
import torch
from conftest import chord, song_frame, song_row
from torch import nn

from music_learning.evaluation import baselines
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs


def recipe_inputs(n=12):
    generator = torch.Generator().manual_seed(0)
    return nn.functional.normalize(torch.rand(n, *baselines.RECIPE_SHAPE, generator=generator), dim=1)


def test_mean_is_that_of_the_training_labels():
    assert baselines.predict_mean(np.array([0.1, 0.2, 0.6]), 4).tolist() == pytest.approx([0.3] * 4)


def test_statistics_are_mean_and_deviation_over_the_valid_frames(tmp_path):
    config = PipelineConfig(clip_s=4.0, n_mels=8)
    spectrograms = SpectrogramSet.create(tmp_path, config)
    clips = {name: np.random.default_rng(k).integers(-90, 0, (config.n_rows, 40 + k)) for k, name in enumerate("abc")}
    spectrograms.append([({"song_id": name, "preview_sha256": "x"}, clip) for name, clip in clips.items()])
    statistics = baselines.log_mel_statistics(spectrograms, ["c", "a"])
    assert statistics.shape == (2, 16)
    for row, name in zip(statistics, "ca", strict=True):
        np.testing.assert_allclose(row, [*clips[name][:8].mean(axis=1), *clips[name][:8].std(axis=1)], rtol=1e-4)


def test_ridge_recovers_a_linear_relation():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((300, 12)) * 10 - 50
    weights = generator.standard_normal(12)
    labels = features @ weights
    labels = 0.2 + 0.6 * (labels - labels.min()) / np.ptp(labels)
    predicted = baselines.predict_ridge(features[:250], labels[:250], features[250:])
    np.testing.assert_allclose(predicted, labels[250:], atol=0.01)


def test_ridge_stays_on_the_scale():
    features = np.arange(40.0)[:, None]
    predicted = baselines.predict_ridge(features[:20], features[:20, 0] / 20, features * 5 - 50)
    assert predicted.min() == 0
    assert predicted.max() == 1


def test_ridge_finds_nothing_in_noise():
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((60, 100)), generator.random(60)
    predicted = baselines.predict_ridge(features[:40], labels[:40], features[40:])
    assert predicted.std() < 0.5 * labels.std()


@pytest.mark.parametrize("seconds", [3.5, 30])
def test_recipe_s_columns_have_unit_norm(seconds):
    waveform = torch.tensor(chord(seconds=seconds, rate_hz=8_000), dtype=torch.float32)
    spectrogram = baselines.recipe_spectrogram(waveform)
    assert spectrogram.shape == (150, 200)
    torch.testing.assert_close(spectrogram.norm(dim=0), torch.ones(200))
    assert (spectrogram >= 0).all()


def test_recipe_s_input_ignores_the_level():
    waveform = torch.tensor(chord(rate_hz=8_000), dtype=torch.float32)
    torch.testing.assert_close(baselines.recipe_spectrogram(waveform), baselines.recipe_spectrogram(0.1 * waveform))


def test_silence_has_no_norm_and_no_nan():
    assert baselines.recipe_spectrogram(torch.zeros(30_000)).isfinite().all()


def test_recipe_s_inputs_come_in_the_songs_order(collected):
    paths = DataPaths(collected)
    songs = read_songs(paths)[:4]
    spectrograms = baselines.recipe_spectrograms(songs, paths, workers=2)
    assert spectrograms.shape == (4, 150, 200)
    assert torch.equal(spectrograms.flip(0), baselines.recipe_spectrograms(songs[::-1], paths, workers=1))


def test_recipe_s_network_has_three_small_blocks():
    model = baselines.OriginalRecipe()
    assert model(torch.zeros(2, 150, 200)).shape == (2,)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(nn.MaxPool2d) == kinds.count(nn.BatchNorm2d) == 3
    assert kinds.count(nn.Conv2d) == 6
    assert sum(parameter.numel() for parameter in model.parameters()) < 50_000


@pytest.mark.parametrize("name", ["mean", "ridge"])
def test_baseline_predicts_the_others_from_the_training_songs(tmp_path, name):
    """The level is the energy; the other labels are 0.5."""
    config = PipelineConfig(clip_s=4.0, n_mels=8)
    spectrograms = SpectrogramSet.create(tmp_path, config)
    rows = [song_row(f"s{k}", energy=str(k / 39), preview_sha256="x") for k in range(40)]
    levels = np.arange(40)[:, None, None] + np.zeros((config.n_rows, 30))
    spectrograms.append([(row, level - 90) for row, level in zip(rows, levels, strict=True)])
    songs = song_frame(*rows)
    predicted = baselines.predict_with_baseline(name, songs[::2], songs[1::2], spectrograms)
    assert list(predicted.index) == [f"s{k}" for k in range(1, 40, 2)]
    assert predicted["valence"].to_numpy() == pytest.approx(0.5)
    expected = songs["energy"][1::2] if name == "ridge" else np.full(20, songs["energy"][::2].mean())
    assert predicted["energy"].to_numpy() == pytest.approx(np.asarray(expected), abs=0.02)


def test_recipe_trains_for_its_epochs():
    epochs = []
    inputs, labels = recipe_inputs(), torch.linspace(0, 1, 12)
    model = baselines.train_original_recipe(inputs, labels, epochs=2, seed=0, after_epoch=lambda: epochs.append(1))
    assert len(epochs) == 2
    torch.manual_seed(0)
    untrained = baselines.OriginalRecipe()
    untrained(inputs[:1])
    assert not torch.equal(model.layers[0].weight, untrained.layers[0].weight)


def test_recipe_s_seed_decides_its_weights():
    inputs, labels = recipe_inputs(), torch.linspace(0, 1, 12)
    predictions = [
        baselines.predict_original_recipe(baselines.train_original_recipe(inputs, labels, epochs=1, seed=seed), inputs)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(predictions[0], predictions[1])
    assert not np.array_equal(predictions[0], predictions[2])


def test_recipe_s_predictions_stay_on_the_scale():
    model = baselines.OriginalRecipe().eval()
    model(recipe_inputs(1))
    nn.init.constant_(model.layers[-1].bias, 7.0)
    predicted = baselines.predict_original_recipe(model, recipe_inputs(11))
    assert predicted.shape == (11,)
    assert (predicted == 1).all()
