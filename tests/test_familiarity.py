from copy import copy

import numpy as np
import pytest
import torch
from conftest import ROOT, chord
from safetensors.torch import save_file

from music_learning.audio import AudioPipeline
from music_learning.errors import UserError
from music_learning.features.clip import clip_statistics
from music_learning.paths import DataPaths
from music_learning.predict.novelty import LENGTHS_S, Familiarity, fit_familiarity
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows

RELEASED = ROOT / "models" / "familiarity.safetensors"


@pytest.fixture(scope="module")
def familiarity(loaded):
    data = DataPaths(loaded)
    songs = read_song_rows(data)
    groups = {song["song_id"]: song["artist"] for song in songs}
    return fit_familiarity(songs, SpectrogramSet.open(data.spectrograms), groups)


def statistics_of(samples):
    return clip_statistics(AudioPipeline()(torch.from_numpy(samples.astype(np.float32)))[None])


def test_songs_learned_from_are_familiar(familiarity, loaded):
    data = DataPaths(loaded)
    spectrograms = SpectrogramSet.open(data.spectrograms)
    for song in read_song_rows(data):
        spectrogram = torch.from_numpy(spectrograms.spectrogram(song["song_id"]).astype(np.float32))
        assert familiarity.is_familiar(clip_statistics(spectrogram[None]), 3.6)


@pytest.mark.parametrize("seconds", [3, 5, 10])
@pytest.mark.parametrize("level", [0.003, 0.3])
def test_noise_is_not_at_any_length_and_level(familiarity, seconds, level):
    noise = level * np.random.default_rng(0).standard_normal(16_000 * seconds)
    assert not familiarity.is_familiar(statistics_of(noise), seconds)


def test_half_of_a_positive_statistic_is_as_far_as_double(familiarity):
    positive = familiarity.positive
    assert 0 < positive.sum() < positive.numel()
    usual = torch.where(positive, familiarity.mean.exp(), familiarity.mean)[None]
    less, more = (torch.where(positive, factor * usual, usual) for factor in (0.5, 2))
    torch.testing.assert_close(familiarity.standardised(less), -familiarity.standardised(more), atol=1e-3, rtol=0)
    assert familiarity.standardised(less)[:, positive].max() < 0
    assert familiarity.standardised(-usual)[:, positive].isfinite().all()


def test_song_alike_is_familiar_and_its_length_decides_the_limit(familiarity):
    statistics = statistics_of(chord(seconds=3.6, level=0.3) + 0.03 * np.random.default_rng(9).standard_normal(57_600))
    assert familiarity.is_familiar(statistics, 3.6)
    strict = copy(familiarity)
    strict.limits = torch.tensor([1e9, 0.0, 1e9, 0.0])
    lengths_s = (3, 4.7, 5, 9, 10, 28, 30)
    familiar = [True, True, False, False, True, True, False]
    assert [strict.is_familiar(statistics, length_s) for length_s in lengths_s] == familiar


@pytest.mark.skipif(not RELEASED.exists(), reason="no released models here")
def test_released_file_tells_noise_from_unheard_songs():
    released, demo = Familiarity.open(RELEASED), DataPaths(ROOT / "data" / "demo")
    spectrograms = SpectrogramSet.open(demo.spectrograms)
    songs = [torch.from_numpy(spectrograms.spectrogram(s["song_id"]).astype(np.float32)) for s in read_song_rows(demo)]
    white = np.random.default_rng(0).standard_normal(16_000 * 30)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(white.size // 2 + 1) + 1))
    noise = [AudioPipeline()(torch.from_numpy((0.1 * x / x.std()).astype(np.float32))) for x in (white, pink)]
    for length_s in LENGTHS_S:
        frames = round(length_s * spectrograms.config.frames_per_s)
        familiar = [released.is_familiar(clip_statistics(x[None, :, :frames]), length_s) for x in songs + noise]
        assert not any(familiar[len(songs) :])
        assert sum(familiar) >= len(songs) - 1


def test_limit_comes_from_songs_by_other_artists(familiarity):
    to_all = torch.cdist(familiarity.songs, familiarity.songs).sort(dim=1).values
    assert to_all[:, 0].max() < 0.1
    assert familiarity.limits[-1] > to_all[:, 1].median()


def test_saved_and_opened_again(familiarity, tmp_path):
    familiarity.save(tmp_path / "f.safetensors")
    opened = Familiarity.open(tmp_path / "f.safetensors")
    x = statistics_of(chord())
    torch.testing.assert_close(opened.distances(x), familiarity.distances(x), atol=0.01, rtol=0)
    assert torch.equal(opened.limits, familiarity.limits)


def test_file_of_an_older_version_is_refused(familiarity, tmp_path):
    save_file({"songs": familiarity.songs, "limits": familiarity.limits}, tmp_path / "f.safetensors")
    with pytest.raises(UserError, match="make it again with model_train"):
        Familiarity.open(tmp_path / "f.safetensors")


@pytest.mark.parametrize(("content", "reason"), [(None, "is missing; run model_train"), (b"x" * 40, "is damaged")])
def test_missing_or_damaged_file_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        Familiarity.open(tmp_path / "f.safetensors")
