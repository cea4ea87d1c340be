import numpy as np
import pytest

from music_learning.predict.no_music import CLASSES
from music_learning.predict.synthetic_music import SPARSE
from music_learning.predict.synthetic_sounds import KINDS, RATE_HZ, at_some_level
from music_learning.predict.synthetic_speech import Speaker, spoken

MAKERS = [make for make, _ in (*SPARSE, *(kind for kinds in KINDS.values() for kind in kinds))]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("seconds", [3, 4.1])
def test_sounds_have_their_length_and_level_and_follow_from_the_seed(make, seconds):
    n = round(seconds * RATE_HZ)
    first, again, other = (at_some_level(rng := np.random.default_rng(seed), make(rng, n)) for seed in (1, 1, 2))
    assert first.shape == (n,) and first.dtype == np.float32
    assert 0.0099 < np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_kinds_are_those_that_the_detector_names():
    assert ("music", *KINDS) == CLASSES


def test_voice_has_pauses_and_syllables_and_the_pitch_of_its_speaker():
    rng = np.random.default_rng(3)
    speaker = Speaker.random(rng)
    speaker.pitch_hz, speaker.liveliness, speaker.breath, speaker.pause_s = 120.0, 1.0, 0.001, 0.5
    voice = spoken(rng, speaker, 10 * RATE_HZ)
    level = np.sqrt((voice[: len(voice) // 800 * 800].reshape(-1, 800) ** 2).mean(axis=1))
    assert (level < 0.02 * level.max()).mean() > 0.05
    spectrum = np.abs(np.fft.rfft(level - level.mean())) ** 2
    rate_hz = np.fft.rfftfreq(level.size, 0.05)
    assert spectrum[(rate_hz > 1.5) & (rate_hz < 8)].sum() > spectrum[rate_hz > 8].sum()
    power = np.abs(np.fft.rfft(voice)) ** 2
    frequency_hz = np.fft.rfftfreq(voice.size, 1 / RATE_HZ)
    assert (
        power[(frequency_hz > 90) & (frequency_hz < 150)].sum()
        > 20 * power[(frequency_hz > 20) & (frequency_hz < 70)].sum()
    )
