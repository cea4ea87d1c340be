import numpy as np
import pandas as pd
import pytest
import torch

from music_learning.features.config import FeatureConfig
from music_learning.features.key import KINDS
from music_learning.features.loudness import N_BINS, integrated_loudness
from music_learning.features.measurement import Measurement
from music_learning.features.tempo import onset_correlation
from music_learning.training.audio_features import LABELS, LEAST_SONGS, fit_audio_features

CONFIG = FeatureConfig()
N_SONGS = LEAST_SONGS + 20


@pytest.fixture(scope="module")
def songs():
    """Songs with a beat of their own, a triad of their own and a level of their own, and their labels."""
    generator = np.random.default_rng(0)
    labels = pd.DataFrame(
        {
            "tempo_bpm": generator.uniform(80, 159, N_SONGS),
            "key": generator.integers(12, size=N_SONGS),
            "mode": generator.integers(2, size=N_SONGS),
            "time_signature": generator.choice([3, 4], N_SONGS),
        },
        index=[f"song{n}" for n in range(N_SONGS)],
    )
    measured = [measurement(n, row, generator) for n, row in enumerate(labels.itertuples())]
    labels["loudness_db"] = [0.5 * integrated_loudness(one.loudness) - 2 for one in measured]
    return measured, labels.astype(dict.fromkeys(("key", "mode", "time_signature"), "Int64"))


def measurement(n, song, generator):
    levels = torch.from_numpy(generator.standard_normal((96, 600))).float()
    beats = (np.arange(0, 600 * CONFIG.frame_s, 60 / song.tempo_bpm) / CONFIG.frame_s).astype(int)
    levels[:, beats] += 20
    levels[:12, beats[:: song.time_signature]] += 30
    pitches = torch.rand(len(KINDS), 12, generator=torch.Generator().manual_seed(n))
    triad = [song.key - 9, song.key - 9 + 3 + song.mode, song.key - 2]
    pitches[:, [step % 12 for step in triad]] += 3
    histogram = torch.zeros(N_BINS)
    histogram[100 + 5 * n] = 10
    return Measurement(histogram, onset_correlation(levels, CONFIG), pitches)


def test_what_is_learned_is_found_again(songs):
    measured, labels = songs
    model = fit_audio_features(measured, labels, CONFIG)
    assert model.loudness.tolist() == pytest.approx([0.5, -2], abs=1e-3)
    told = pd.DataFrame([model.features(one, CONFIG) for one in measured], index=labels.index)
    for name in ("key", "mode", "time_signature"):
        assert (told[name] == labels[name]).mean() > 0.9, name
    assert ((told["tempo"] / labels["tempo_bpm"] - 1).abs() < 0.04).mean() > 0.9


def test_what_too_few_songs_have_is_not_learned(songs):
    measured, labels = songs
    for name in LABELS:
        some = labels.copy()
        some.loc[some.index[LEAST_SONGS - 1 :], name] = pd.NA if some[name].dtype == "Int64" else np.nan
        told = fit_audio_features(measured, some, CONFIG).features(measured[0], CONFIG)
        ours = {"loudness_db": "loudness", "tempo_bpm": "tempo"}.get(name, name)
        assert told[ours] is None
        assert told["tempo" if name == "key" else "key"] is not None or name == "mode"
