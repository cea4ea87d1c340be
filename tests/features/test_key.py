import pytest
import torch
from conftest import MAJOR, MINOR, ROOT, notes

from music_learning.audio import AudioPipeline
from music_learning.features.config import FeatureConfig
from music_learning.features.key import KINDS, key_and_mode, key_cues, pitch_class_sums
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.paths import ModelPaths

CONFIG = FeatureConfig()
IN_MAJOR = [(0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR)]
IN_MINOR = [(0, MINOR), (5, MINOR), (7, MINOR), (0, MINOR)]


@pytest.fixture(scope="module")
def weights():
    return AudioFeatureModel.load(ModelPaths(ROOT / "models"), CONFIG).key


def sums_of(chords, *, up=0):
    waveform = notes([(root + up, steps) for root, steps in chords], chord_s=1.0)
    return pitch_class_sums(AudioPipeline().pitch_levels(waveform), CONFIG)


@pytest.mark.parametrize("up", range(0, 12, 3))
@pytest.mark.parametrize(("chords", "mode"), [(IN_MAJOR, 1), (IN_MINOR, 0)])
def test_key_of_a_cadence(weights, chords, mode, up):
    assert key_and_mode(sums_of(chords, up=up), weights) == ((9 + up) % 12, mode)  # from A, which is 9


def test_cues_turn_with_the_pitch_classes():
    sums = torch.rand(len(KINDS), 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(key_cues(sums.roll(2, dims=1)), key_cues(sums).roll(2, dims=0))


def test_longer_recording_has_the_same_cues():
    sums = sums_of(IN_MAJOR)
    torch.testing.assert_close(key_cues(3 * sums), key_cues(sums))


def test_silence_has_no_key(weights):
    silence = pitch_class_sums(torch.full((60, 40), CONFIG.pipeline.floor_db), CONFIG)
    assert key_and_mode(silence, weights) == (-1, None)
    chords = sums_of(IN_MINOR)
    assert torch.equal(chords + silence, chords)  # and says nothing of what is around it
