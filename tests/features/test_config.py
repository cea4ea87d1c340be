import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from music_learning.audio import AudioPipeline
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.pipeline_config import PipelineConfig

RATE_HZ = PipelineConfig().sample_rate_hz
TEMPO = "tempogram: strongest usual tempo / 100 bpm"


def named_features(waveform, **pipeline):
    """The features of a waveform by their names."""
    config = FeatureConfig(PipelineConfig(**pipeline))
    values = clip_features(AudioPipeline(config.pipeline)(waveform)[None], config)[0]
    return dict(zip(feature_names(config), values.tolist(), strict=True))


def clicks(bpm, *, seconds=30, seed=0):
    """Bursts of noise over a soft tone."""
    generator, time_s = np.random.default_rng(seed), np.arange(seconds * RATE_HZ) / RATE_HZ
    decay = np.exp(-60 * (time_s % (60 / bpm)))
    samples = 0.3 * decay * generator.standard_normal(len(time_s)) + 0.05 * np.sin(2 * np.pi * 220 * time_s)
    return torch.from_numpy(samples.astype(np.float32))


@pytest.mark.parametrize("hop_samples", [128, 256, 512, 1024])
def test_hundred_clicks_a_minute_are_100_bpm_with_any_hop(hop_samples):
    features = named_features(clicks(100), hop_samples=hop_samples)
    assert features[TEMPO] == pytest.approx(1, abs=0.01)
    for bands in ("bands 0 to 12", "bands 12 to 40", "bands 40 to 96", "all bands"):
        assert math.exp(features[f"pulse clarity: log tempo, {bands}"]) == pytest.approx(100, rel=0.03)
        interval_s = 0.032 * math.exp(features[f"inter-onset intervals: log median, {bands}"])
        assert 60 / interval_s == pytest.approx(100, rel=0.06)
        rate_per_s = features[f"onset strength: onsets per 32 ms, {bands}"] / 0.032
        assert 60 * rate_per_s == pytest.approx(100, rel=0.06)


@pytest.mark.parametrize("bpm", [70, 125, 160])
def test_other_tempi_are_the_same_with_coarse_frames(bpm):
    fine, coarse = (
        named_features(clicks(bpm), hop_samples=hop)["pulse clarity: log tempo, all bands"] for hop in (512, 1024)
    )
    octaves = (coarse - fine) / math.log(2)
    assert octaves == pytest.approx(round(octaves), abs=0.06)


def test_finer_frames_give_the_same_features():
    waveform = clicks(90) + 0.1 * torch.randn(30 * RATE_HZ, generator=torch.Generator().manual_seed(0))
    usual, fine = named_features(waveform), named_features(waveform, hop_samples=256)
    assert fine.keys() == usual.keys()
    assert [*fine.values()] == pytest.approx([*usual.values()], abs=1e-3)


def test_what_coarse_frames_cannot_tell_is_left_out():
    coarse = feature_names(FeatureConfig(PipelineConfig(hop_samples=1024)))
    usual = feature_names(FeatureConfig())
    left_out = [name for name in usual if name not in coarse]
    assert {name.split(":")[0] for name in left_out} == {"modulation spectrum", "tempogram"}
    assert "tempogram: 420 to 600 bpm" in left_out
    assert not set(coarse) - set(usual)


REFUSED = {
    "n_mels 96; the pipeline has 80": {"n_mels": 80},
    "f_max_hz 8000; the pipeline has 4000": {"f_max_hz": 4_000.0, "sample_rate_hz": 8_000},
    "n_pitches 60; the pipeline has 48": {"n_pitches": 48},
    "lowest_midi 33; the pipeline has 21": {"lowest_midi": 21},
    "n_fft 256 at sample_rate_hz 16000 doesn't fit": {"n_fft": 256},
    "pitch_n_fft 1024 at sample_rate_hz 16000 doesn't fit": {"pitch_n_fft": 1024},
    "semitone_width 0.35; the pipeline has 3": {"semitone_width": 3.0},
    "floor_db -120; the pipeline has -20": {"floor_db": -20.0},
    "pitch_hop_samples 2080 at": {"hop_samples": 520, "pitch_hop_samples": 2080},
    "pitch_hop_samples 2000 at": {"hop_samples": 500, "pitch_hop_samples": 2000},
    "pitch_hop_samples 2048 must be 2 times a multiple of hop_samples 300": {"hop_samples": 300},
    "hop_samples 2048 at sample_rate_hz 16000 doesn't fit": {"hop_samples": 2048},
    "pitch_hop_samples 1024 at sample_rate_hz 16000 doesn't fit": {"pitch_hop_samples": 1024},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_pipeline_that_the_features_are_not_made_for_is_refused_by_name(reason):
    with pytest.raises(ValueError, match=reason):
        FeatureConfig(PipelineConfig(**REFUSED[reason]))


def test_same_seconds_at_another_rate_are_accepted():
    pipeline = PipelineConfig(
        sample_rate_hz=32_000, n_fft=2048, hop_samples=1024, pitch_n_fft=8192, pitch_hop_samples=4096
    )
    assert feature_names(FeatureConfig(pipeline)) == feature_names(FeatureConfig())


def test_config_survives_json():
    config = FeatureConfig(PipelineConfig(clip_s=4.0), tone_db=9.0)
    values = json.loads(json.dumps(config.to_dict()))
    assert "pipeline" not in values
    assert FeatureConfig.from_dict(values, config.pipeline) == config


@pytest.mark.parametrize(
    "change",
    [
        *({"tone_db": value} for value in (None, "6", True, [6.0], -6.0, math.nan, math.inf, 10**400, 1e9)),
        *({"n_mfcc": value} for value in (20.5, 10**9, -1)),
        *({"tone_counts": value} for value in (3, [], [10**9], [True], ["1"], [[1]], [1] * 101, {"1": 1})),
        {"x": 1},
    ],
    ids=lambda change: "{}={:.12}".format(*map(str, *change.items())),
)
def test_settings_of_another_type_are_refused(change):
    with pytest.raises(TypeError, match=f"feature setting {next(iter(change))} is "):
        FeatureConfig.from_dict(FeatureConfig().to_dict() | change, PipelineConfig())


@pytest.mark.parametrize("change", [{"range_edges": (5, 5)}, {"n_mfcc": 0}, {"rhythm_s": 0.0}])
def test_settings_that_no_features_can_be_computed_with_are_refused(change):
    with pytest.raises(ValueError, match=r"features .* with their settings"):
        feature_names(replace(FeatureConfig(), **change))


def test_differences_are_named():
    config = FeatureConfig()
    assert config.differences(FeatureConfig()) == ""
    other = replace(config, pipeline=PipelineConfig(hop_samples=256), tone_db=9.0)
    assert config.differences(other) == "hop_samples 512 and 256, tone_db 6.0 and 9.0"


def test_tone_threshold_changes_the_features():
    waveform = clicks(100)
    config = FeatureConfig()
    spectrogram = AudioPipeline()(waveform)[None]
    assert not torch.equal(clip_features(spectrogram, config), clip_features(spectrogram, replace(config, tone_db=9.0)))
