import json
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT, chord
from safetensors.torch import load_file, save_file

from music_learning.audio import AudioPipeline
from music_learning.errors import UserError
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths
from music_learning.predict.novelty import LENGTHS_S, NoveltyDetector, fit_novelty_detector, settings_of
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows

RELEASED = ROOT / "models" / "novelty.safetensors"
CONFIG = FeatureConfig()
WEIGHTS = {"energy": "0" * 64, "valence": "1" * 64}


@pytest.fixture(scope="module")
def detector(loaded):
    data = DataPaths(loaded)
    songs = read_song_rows(data)
    groups = {song["song_id"]: song["artist"] for song in songs}
    spectrograms = SpectrogramSet.open(data.spectrograms)
    return fit_novelty_detector(songs, spectrograms, groups, FeatureConfig(spectrograms.config))


def features_of(samples):
    return clip_features(AudioPipeline()(torch.from_numpy(samples.astype(np.float32)))[None], CONFIG)


def test_training_songs_are_not_novel(detector, loaded):
    data = DataPaths(loaded)
    spectrograms = SpectrogramSet.open(data.spectrograms)
    for song in read_song_rows(data):
        spectrogram = spectrograms.tensor(song["song_id"])
        assert not detector.is_novel(clip_features(spectrogram[None], CONFIG), 3.6)


@pytest.mark.parametrize("seconds", [3, 5, 10])
@pytest.mark.parametrize("level", [0.003, 0.3])
def test_noise_is_novel_at_any_length_and_level(detector, seconds, level):
    noise = level * np.random.default_rng(0).standard_normal(16_000 * seconds)
    assert detector.is_novel(features_of(noise), seconds)


def test_half_of_a_positive_feature_is_as_far_as_double(detector):
    positive = detector.positive
    assert 0 < positive.sum() < positive.numel()
    usual = torch.where(positive, detector.mean.exp(), detector.mean)[None]
    less, more = (torch.where(positive, factor * usual, usual) for factor in (0.5, 2))
    torch.testing.assert_close(detector.standardised(less), -detector.standardised(more), atol=1e-3, rtol=0)
    assert detector.standardised(less)[:, positive].max() < 0
    assert detector.standardised(-usual)[:, positive].isfinite().all()


def test_song_alike_is_not_novel_and_its_length_decides_the_limit(detector):
    features = features_of(chord(seconds=3.6, level=0.3) + 0.03 * np.random.default_rng(9).standard_normal(57_600))
    assert not detector.is_novel(features, 3.6)
    strict = copy(detector)
    strict.limits = torch.tensor([1e9, 0.0, 1e9, 0.0])
    lengths_s = (3, 4.7, 5, 9, 10, 28, 30)
    novel = [False, False, True, True, False, False, True]
    assert [strict.is_novel(features, length_s) for length_s in lengths_s] == novel


@pytest.mark.skipif(not RELEASED.exists(), reason="no released models here")
def test_released_file_tells_noise_from_unheard_songs():
    released, demo = NoveltyDetector.open(RELEASED, CONFIG, {}), DataPaths(ROOT / "data" / "demo")
    spectrograms = SpectrogramSet.open(demo.spectrograms)
    songs = [spectrograms.tensor(s["song_id"]) for s in read_song_rows(demo)]
    white = np.random.default_rng(0).standard_normal(16_000 * 30)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(white.size // 2 + 1) + 1))
    noise = [AudioPipeline()(torch.from_numpy((0.1 * x / x.std()).astype(np.float32))) for x in (white, pink)]
    for length_s in LENGTHS_S:
        frames = round(length_s * spectrograms.config.frames_per_s)
        novel = [released.is_novel(clip_features(x[None, :, :frames], CONFIG), length_s) for x in songs + noise]
        assert all(novel[len(songs) :])
        assert sum(novel[: len(songs)]) <= 1


def test_limit_comes_from_songs_by_other_artists(detector):
    to_all = torch.cdist(detector.songs, detector.songs).sort(dim=1).values
    assert to_all[:, 0].max() < 0.1
    assert detector.limits[-1] > to_all[:, 1].median()


def test_saved_and_opened_again(detector, tmp_path):
    detector.save(tmp_path / "f.safetensors", WEIGHTS)
    opened = NoveltyDetector.open(tmp_path / "f.safetensors", detector.features, WEIGHTS)
    x = features_of(chord())
    torch.testing.assert_close(opened.distances(x), detector.distances(x), atol=0.01, rtol=0)
    assert torch.equal(opened.limits, detector.limits)


def test_file_of_an_older_version_is_refused(detector, tmp_path):
    save_file({"songs": detector.songs, "limits": detector.limits}, tmp_path / "f.safetensors")
    with pytest.raises(UserError, match="make it again with model_train"):
        NoveltyDetector.open(tmp_path / "f.safetensors", detector.features, WEIGHTS)


@pytest.mark.parametrize(("content", "reason"), [(None, "is missing; run model_train"), (b"x" * 40, "is damaged")])
def test_missing_or_damaged_file_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        NoveltyDetector.open(tmp_path / "f.safetensors", CONFIG, WEIGHTS)


def test_features_of_other_settings_are_refused_by_name(detector, tmp_path):
    detector.save(tmp_path / "f.safetensors", WEIGHTS)
    with pytest.raises(UserError, match=r"different feature settings: tone_db 6\.0 and 9\.0; make it again"):
        NoveltyDetector.open(tmp_path / "f.safetensors", replace(detector.features, tone_db=9.0), WEIGHTS)


def test_detector_of_another_pipeline_is_refused_by_name(detector, tmp_path):
    detector.save(tmp_path / "f.safetensors", WEIGHTS)
    finer = replace(detector.features, pipeline=replace(detector.features.pipeline, hop_samples=256))
    with pytest.raises(UserError, match=r"different feature settings: hop_samples 512 and 256; make it again"):
        NoveltyDetector.open(tmp_path / "f.safetensors", finer, WEIGHTS)


def test_detector_of_other_models_is_refused(detector, tmp_path):
    detector.save(tmp_path / "f.safetensors", WEIGHTS)
    with pytest.raises(UserError, match="made with other models than these; make it again with model_train"):
        NoveltyDetector.open(tmp_path / "f.safetensors", detector.features, WEIGHTS | {"valence": "2" * 64})


def test_tensors_of_another_shape_are_refused(detector, tmp_path):
    odd = copy(detector)
    odd.songs = detector.songs[:, :600]
    odd.save(tmp_path / "f.safetensors", WEIGHTS)
    with pytest.raises(UserError, match=r"songs has the shape \(\d+, 600\), not \(\d+, 650\)"):
        NoveltyDetector.open(tmp_path / "f.safetensors", detector.features, WEIGHTS)


DAMAGED = {
    "no songs": ({"songs": torch.zeros(0, 650).half()}, r"songs has the shape \(0, 650\), not \(songs, 650\)"),
    "songs as float32": ({"songs": torch.zeros(3, 650)}, "songs holds numbers of type F32, not torch.float16"),
    "positive as numbers": ({"positive": torch.ones(650)}, "positive holds numbers of type F32, not torch.bool"),
    "songs far off": ({"songs": torch.full((3, 650), 5.0).half()}, "songs are farther off than 4"),
    "NaN": ({"mean": torch.full((650,), torch.nan)}, "mean holds NaN or infinite numbers"),
    "no deviation": ({"std": torch.zeros(650)}, "std is not above 0"),
    "one limit": ({"limits": torch.ones(1)}, r"limits has the shape \(1,\), not \(4\)"),
    "a tensor more": ({"more": torch.ones(1)}, "tensor more is unknown"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_tensors_that_no_detector_has_are_refused(detector, tmp_path, case):
    changes, reason = DAMAGED[case]
    path = tmp_path / "f.safetensors"
    detector.save(path, WEIGHTS)
    save_file(load_file(path) | changes, path, settings_of(detector.features, WEIGHTS))
    with pytest.raises(UserError, match=rf"is damaged .{reason}"):
        NoveltyDetector.open(path, detector.features, WEIGHTS)


@pytest.mark.parametrize("name", ["pipeline", "features", "lengths_s"])
@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "{}", "[" * 100_000, "NaN", "9" * 5_000])
def test_settings_that_no_detector_has_are_refused(detector, tmp_path, name, text):
    path = tmp_path / "f.safetensors"
    detector.save(path, WEIGHTS)
    save_file(load_file(path), path, settings_of(detector.features, WEIGHTS) | {name: text})
    with pytest.raises(UserError, match=r"f\.safetensors is damaged .{,300}make it again with model_train\.py"):
        NoveltyDetector.open(path, detector.features, WEIGHTS)


@pytest.mark.parametrize(
    "change", [{"rhythm_s": 10**9}, {"n_mfcc": 10**9}, {"tempo_transform_s": 1e12}, {"tone_db": True}]
)
def test_settings_that_would_fill_the_memory_are_refused_at_once(detector, tmp_path, change):
    path = tmp_path / "f.safetensors"
    detector.save(path, WEIGHTS)
    features = json.dumps(detector.features.to_dict() | change)
    save_file(load_file(path), path, settings_of(detector.features, WEIGHTS) | {"features": features})
    with pytest.raises(UserError, match=rf"is damaged .feature setting {next(iter(change))} is .*, not like"):
        NoveltyDetector.open(path, detector.features, WEIGHTS)


def test_detector_of_fewer_features_is_refused_by_the_setting_and_not_by_a_shape(detector, tmp_path):
    fewer = copy(detector)
    fewer.features = replace(detector.features, n_mfcc=15)
    n = len(feature_names(fewer.features))
    fewer.songs, fewer.positive, fewer.mean, fewer.std = (
        tensor[..., :n] for tensor in (detector.songs, detector.positive, detector.mean, detector.std)
    )
    fewer.save(tmp_path / "f.safetensors", WEIGHTS)
    with pytest.raises(UserError, match=r"different feature settings: n_mfcc 15 and 20; make it again"):
        NoveltyDetector.open(tmp_path / "f.safetensors", detector.features, WEIGHTS)
