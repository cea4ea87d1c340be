import json
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

from music_learning.audio import AudioPipeline
from music_learning.errors import UserError
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths
from music_learning.predict.fit_no_music import fit_no_music_detector, sample_weights, softened
from music_learning.predict.no_music import CLASSES, LIMIT, NoMusicDetector, settings_of
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows

RELEASED = ROOT / "models" / "no_music.safetensors"
CONFIG = FeatureConfig()
N_FEATURES = len(feature_names(CONFIG))
TIME_S = np.arange(16_000 * 30) / 16_000


@pytest.fixture(scope="module")
def detector(loaded):
    spectrograms = SpectrogramSet.open(DataPaths(loaded).spectrograms)
    return fit_no_music_detector(sorted(spectrograms.rows), spectrograms, CONFIG)


def features_of(samples):
    return clip_features(AudioPipeline()(torch.from_numpy(samples.astype(np.float32)))[None], CONFIG)


@pytest.mark.parametrize("seconds", [3, 10])
@pytest.mark.parametrize("level", [0.003, 0.3])
def test_noise_is_no_music_at_any_length_and_level(detector, seconds, level):
    noise = level * np.random.default_rng(0).standard_normal(16_000 * seconds)
    assert detector.kind(features_of(noise)) in ("noise", "tones")


def test_the_same_seed_fits_the_same_detector(detector, loaded):
    spectrograms = SpectrogramSet.open(DataPaths(loaded).spectrograms)
    again, other = (fit_no_music_detector(sorted(spectrograms.rows), spectrograms, CONFIG, seed=k) for k in (0, 1))
    torch.testing.assert_close(again.coef, detector.coef)
    assert not torch.allclose(other.coef, detector.coef)


def test_every_class_counts_the_same_and_songs_more_than_sparse_music():
    numbers = np.array([0] * 8 + [1] * 3 + [2] * 5 + [3] * 2)
    weights = sample_weights(numbers, n_songs=6)
    np.testing.assert_allclose(np.bincount(numbers, weights), np.full(4, 4.5))
    assert weights[:6].sum() == pytest.approx(0.75 * 4.5)


def test_softened_song_is_nowhere_louder_nor_below_the_floor():
    spectrogram = -60 + 5 * torch.randn(CONFIG.pipeline.n_rows, 200, generator=torch.Generator().manual_seed(0))
    softer = softened(np.random.default_rng(0), spectrogram, CONFIG)
    lowest = softer[:96].max() - CONFIG.pipeline.range_db
    assert (softer[:96] <= spectrogram[:96]).all() and softer[:96].min() >= lowest - 1e-3
    assert (softer[95] < softer[5] - 20).any()
    assert softer.min() >= CONFIG.pipeline.floor_db


def test_limit_decides_and_the_likeliest_kind_is_named():
    def detector(*intercept):
        return NoMusicDetector(
            CONFIG,
            torch.zeros(N_FEATURES),
            torch.ones(N_FEATURES),
            torch.zeros(len(CLASSES), N_FEATURES),
            torch.tensor(intercept),
        )

    x = torch.zeros(1, N_FEATURES)
    assert detector(0.0, -9.0, LIMIT + 0.1, -9.0).kind(x) == "noise"
    assert detector(0.0, -9.0, LIMIT - 0.1, -9.0).kind(x) is None
    assert detector(0.0, 3.0, 2.0, 1.0).kind(x) == "speech"


def test_unknown_feature_counts_as_the_mean(detector):
    x = features_of(0.1 * np.random.default_rng(0).standard_normal(48_000))
    unknown, usual = x.clone(), x.clone()
    unknown[:, 100:110], usual[:, 100:110] = torch.nan, detector.mean[100:110]
    torch.testing.assert_close(detector.log_odds(unknown), detector.log_odds(usual))


@pytest.mark.skipif(not RELEASED.exists(), reason="no released models here")
def test_released_file_tells_noise_and_tones_from_unheard_songs():
    released, demo = NoMusicDetector.open(RELEASED, CONFIG), DataPaths(ROOT / "data" / "demo")
    spectrograms = SpectrogramSet.open(demo.spectrograms)
    songs = [spectrograms.tensor(s["song_id"]) for s in read_song_rows(demo)]
    white = np.random.default_rng(0).standard_normal(TIME_S.size)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(white.size // 2 + 1) + 1))
    tone, hum = (sum(np.sin(2 * np.pi * k * f * TIME_S) for k in range(1, n)) for f, n in ((880, 2), (50, 9)))
    sounds = [
        AudioPipeline()(torch.from_numpy((0.1 * x / x.std()).astype(np.float32))) for x in (white, pink, tone, hum)
    ]
    for length_s in (3, 5, 10, 30):
        frames = round(length_s * spectrograms.config.frames_per_s)
        kinds = [released.kind(clip_features(x[None, :, :frames], CONFIG)) for x in songs + sounds]
        assert all(kind in ("noise", "tones") for kind in kinds[len(songs) :])
        assert len(songs) - kinds[: len(songs)].count(None) <= 1


def test_saved_and_opened_again(detector, tmp_path):
    detector.save(tmp_path / "f.safetensors")
    opened = NoMusicDetector.open(tmp_path / "f.safetensors", CONFIG)
    x = features_of(np.sin(2000 * TIME_S))
    torch.testing.assert_close(opened.log_odds(x), detector.log_odds(x))
    assert (tmp_path / "f.safetensors").stat().st_size < 50_000


@pytest.mark.parametrize(("content", "reason"), [(None, "is missing; run model_train"), (b"x" * 40, "is damaged")])
def test_missing_or_damaged_file_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        NoMusicDetector.open(tmp_path / "f.safetensors", CONFIG)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"tone_db": 9.0}, r"tone_db 6\.0 and 9\.0"),
        ({"n_mfcc": 15}, "n_mfcc 20 and 15"),
        ({"pipeline": replace(CONFIG.pipeline, hop_samples=256)}, "hop_samples 512 and 256"),
    ],
)
def test_features_of_other_settings_are_refused_by_name(detector, tmp_path, change, difference):
    detector.save(tmp_path / "f.safetensors")
    with pytest.raises(UserError, match=rf"different feature settings: {difference}; make it again"):
        NoMusicDetector.open(tmp_path / "f.safetensors", replace(CONFIG, **change))


DAMAGED = {
    "fewer features": ({"mean": torch.zeros(600)}, r"mean has the shape \(600,\), not"),
    "of another type": ({"coef": torch.zeros(4, N_FEATURES).half()}, "coef holds numbers of type F16"),
    "NaN": ({"mean": torch.full((N_FEATURES,), torch.nan)}, "mean holds NaN or infinite numbers"),
    "no deviation": ({"std": torch.zeros(N_FEATURES)}, "std is not above 0"),
    "another class": ({"intercept": torch.ones(5)}, r"intercept has the shape \(5,\), not \(4\)"),
    "a tensor more": ({"more": torch.ones(1)}, "tensor more is unknown"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_tensors_that_no_detector_has_are_refused(detector, tmp_path, case):
    changes, reason = DAMAGED[case]
    path = tmp_path / "f.safetensors"
    detector.save(path)
    save_file(load_file(path) | changes, path, settings_of(CONFIG))
    with pytest.raises(UserError, match=rf"is damaged .{reason}"):
        NoMusicDetector.open(path, CONFIG)


@pytest.mark.parametrize("name", ["pipeline", "features"])
@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "{}", "[" * 100_000, "NaN", "9" * 5_000])
def test_settings_that_no_detector_has_are_refused(detector, tmp_path, name, text):
    path = tmp_path / "f.safetensors"
    detector.save(path)
    save_file(load_file(path), path, settings_of(CONFIG) | {name: text})
    with pytest.raises(UserError, match=r"f\.safetensors is damaged .{,300}make it again with model_train\.py"):
        NoMusicDetector.open(path, CONFIG)


def test_settings_that_would_fill_the_memory_are_refused_at_once(detector, tmp_path):
    path = tmp_path / "f.safetensors"
    detector.save(path)
    features = json.dumps(copy(CONFIG.to_dict()) | {"rhythm_s": 10**9})
    save_file(load_file(path), path, settings_of(CONFIG) | {"features": features})
    with pytest.raises(UserError, match=r"is damaged .feature setting rhythm_s is .*, not like"):
        NoMusicDetector.open(path, CONFIG)
