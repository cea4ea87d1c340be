import numpy as np
import pytest
import torch
from conftest import ROOT

from music_learning.audio import AudioPipeline
from music_learning.features.config import FeatureConfig
from music_learning.features.tempo import bar_cues, candidates_bpm, onset_correlation, tempo_bpm, time_signature
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig

CONFIG = FeatureConfig()
RATE_HZ = CONFIG.pipeline.sample_rate_hz


@pytest.fixture(scope="module")
def model():
    return AudioFeatureModel.load(ModelPaths(ROOT / "models"), CONFIG)


def drums(bpm, *, beats_per_bar=4, seconds=20.0, config=CONFIG):
    """A click on each beat, a thump on the first of each bar: the spectrogram's mel bands."""
    generator = np.random.default_rng(0)
    samples = 1e-4 * generator.standard_normal(round(seconds * RATE_HZ))
    time_s = np.arange(round(0.1 * RATE_HZ)) / RATE_HZ
    click = 0.1 * generator.standard_normal(len(time_s)) * np.exp(-time_s / 0.02)
    thump = np.sin(2 * np.pi * 60 * time_s) * np.exp(-time_s / 0.04)
    for beat in range(int((seconds - 0.2) * bpm / 60)):
        start = round(beat * 60 / bpm * RATE_HZ)
        samples[start : start + len(time_s)] += click + thump * (beat % beats_per_bar == 0)
    pipeline = AudioPipeline(config.pipeline)
    return pipeline(torch.from_numpy(samples.astype(np.float32)))[: config.pipeline.n_mels, :: config.stride]


@pytest.mark.parametrize("bpm", [82, 100, 117.5, 128, 140])
def test_tempo_of_clicks(model, bpm):
    found = tempo_bpm(onset_correlation(drums(bpm), CONFIG), model.tempo, CONFIG)
    assert any(found == pytest.approx(factor * bpm, rel=0.015) for factor in (0.5, 1, 2))


def test_tempo_does_not_depend_on_the_hop(model):
    fine = FeatureConfig(PipelineConfig(hop_samples=256))
    found = [tempo_bpm(onset_correlation(drums(120, config=c), c), model.tempo, c) for c in (CONFIG, fine)]
    assert found[0] == pytest.approx(found[1], rel=0.01)


def test_windows_add_up(model):
    """Two windows of the same drums, out of step, say what one does; a rest between them says nothing."""
    levels = drums(110)
    first, second = levels[:, :300], levels[:, 311:]
    together = onset_correlation(first, CONFIG) + onset_correlation(second, CONFIG)
    rest = onset_correlation(torch.full((96, 200), CONFIG.pipeline.floor_db), CONFIG)
    one = tempo_bpm(onset_correlation(levels, CONFIG), model.tempo, CONFIG)
    assert tempo_bpm(together, model.tempo, CONFIG) == pytest.approx(one, rel=0.01)
    assert tempo_bpm(together + rest, model.tempo, CONFIG) == pytest.approx(one, rel=0.01)


def test_what_stands_still_has_no_tempo(model):
    still = onset_correlation(torch.full((96, 200), -40.0), CONFIG)
    assert tempo_bpm(still, model.tempo, CONFIG) is None


def test_shortest_clip_has_a_tempo(model):
    levels = drums(120, seconds=3.0)
    low, high = candidates_bpm()[[0, -1]]
    assert low <= tempo_bpm(onset_correlation(levels, CONFIG), model.tempo, CONFIG) <= high


def test_bars_of_three_are_told_from_bars_of_four(model):
    in_three, in_four = (onset_correlation(drums(100, beats_per_bar=n), CONFIG) for n in (3, 4))
    scores = [float(bar_cues(sums, 100.0, CONFIG) @ model.bar[:-1]) for sums in (in_three, in_four)]
    assert scores[0] > scores[1] + 1
    assert time_signature(in_four, 100.0, model.bar, CONFIG) == 4
