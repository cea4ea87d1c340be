import numpy as np
import pytest
import torch
from conftest import chord, tone
from torchaudio.functional import loudness

from music_learning.audio import AudioPipeline
from music_learning.features.config import FeatureConfig
from music_learning.features.loudness import integrated_loudness, loudness_histogram

CONFIG, PIPELINE = FeatureConfig(), AudioPipeline()
RATE_HZ = CONFIG.pipeline.sample_rate_hz


def histogram_of(samples):
    return loudness_histogram(PIPELINE(torch.from_numpy(samples.astype(np.float32)))[: CONFIG.pipeline.n_mels], CONFIG)


def noise(seconds, *, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)) / 10


@pytest.mark.parametrize(
    "samples",
    [noise(12), chord(seconds=12), tone(frequency_hz=100, seconds=12), noise(3) / 100],
    ids=["white", "chord", "low", "short and soft"],
)
def test_loudness_is_torchaudios(samples):
    theirs = float(loudness(torch.from_numpy(samples.astype(np.float32))[None], RATE_HZ))
    assert integrated_loudness(histogram_of(samples)) == pytest.approx(theirs, abs=0.3)


def test_full_scale_tone_is_3_db_below():
    assert integrated_loudness(histogram_of(tone(frequency_hz=997))) == pytest.approx(-3.01, abs=0.1)


def test_rests_do_not_count():
    loud = noise(10)
    with_rests = np.concatenate([loud, loud / 1000, np.zeros(10 * RATE_HZ)])
    assert integrated_loudness(histogram_of(with_rests)) == pytest.approx(
        integrated_loudness(histogram_of(loud)), abs=0.2
    )


def test_gate_is_that_of_the_whole_recording():
    """A soft window counts alone and not beside a loud one; a mean of both windows' loudness would be 10 dB off."""
    loud, soft = histogram_of(noise(10)), histogram_of(noise(10, seed=1) / 10)
    assert integrated_loudness(soft) == pytest.approx(integrated_loudness(loud) - 20, abs=0.2)
    assert integrated_loudness(loud + soft) == pytest.approx(integrated_loudness(loud), abs=0.05)


def test_silence_has_no_loudness():
    assert integrated_loudness(histogram_of(np.zeros(4 * RATE_HZ))) is None
