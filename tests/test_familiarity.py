import numpy as np
import pytest
import torch
from conftest import chord

from artifacts import DataPaths, SpectrogramSet, read_songs
from errors import UserError
from familiarity import Familiarity, fit_familiarity
from pipeline import AudioPipeline
from statistics_layer import clip_statistics


@pytest.fixture(scope="module")
def familiarity(loaded):
    data = DataPaths(loaded)
    songs = read_songs(data)
    groups = {song["song_id"]: song["artist"] for song in songs}
    return fit_familiarity(songs, SpectrogramSet.open(data.spectrograms), groups)


def statistics_of(samples):
    return clip_statistics(AudioPipeline()(torch.from_numpy(samples.astype(np.float32)))[None])


def test_songs_learned_from_are_familiar(familiarity, loaded):
    data = DataPaths(loaded)
    spectrograms = SpectrogramSet.open(data.spectrograms)
    for song in read_songs(data):
        spectrogram = torch.from_numpy(spectrograms.spectrogram(song["song_id"]).astype(np.float32))
        assert familiarity.is_familiar(clip_statistics(spectrogram[None]), 3.6)


def test_other_sounds_are_not(familiarity):
    noise = 0.3 * np.random.default_rng(0).standard_normal(16_000 * 4)
    assert not familiarity.is_familiar(statistics_of(noise), 4)


def test_song_alike_is_familiar_and_its_length_decides_the_limit(familiarity):
    statistics = statistics_of(chord(seconds=3.6, level=0.3) + 0.03 * np.random.default_rng(9).standard_normal(57_600))
    assert familiarity.is_familiar(statistics, 3.6)
    strict = Familiarity(familiarity.songs, familiarity.mean, familiarity.deviation, torch.tensor([1e9, 1e9, 0.0]))
    assert [strict.is_familiar(statistics, length_s) for length_s in (3, 28, 30)] == [True, True, False]


def test_limit_comes_from_songs_by_other_artists(familiarity):
    to_all = familiarity.distances(familiarity.songs * familiarity.deviation + familiarity.mean).sort(dim=1).values
    assert to_all[:, 0].max() < 0.1
    assert familiarity.limits[-1] > to_all[:, 1].median()


def test_saved_and_opened_again(familiarity, tmp_path):
    familiarity.save(tmp_path / "f.safetensors")
    opened = Familiarity.open(tmp_path / "f.safetensors")
    x = statistics_of(chord())
    torch.testing.assert_close(opened.distances(x), familiarity.distances(x), atol=0.01, rtol=0)
    assert torch.equal(opened.limits, familiarity.limits)


@pytest.mark.parametrize(("content", "reason"), [(None, "is missing; run model_train"), (b"x" * 40, "is damaged")])
def test_missing_or_damaged_file_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        Familiarity.open(tmp_path / "f.safetensors")
