from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from music_learning.columns import PREDICTED
from music_learning.evaluation import audio_features
from music_learning.evaluation.audio_features import (
    N_FOLDS,
    artist_folds,
    predicted_by_others,
    rank_intervals,
    ranks_by_others,
)
from music_learning.features.clip import feature_names
from music_learning.features.config import FeatureConfig
from music_learning.training.predicted_features import fit_predicted_features

CONFIG = FeatureConfig()
N_SONGS, N_FEATURES = 60, len(feature_names(CONFIG))


@pytest.fixture(scope="module")
def corpus():
    """Songs with features of two causes, and skewed labels that follow one of them."""
    generator = np.random.default_rng(0)
    causes = generator.standard_normal((N_SONGS, 2))
    features = causes @ generator.standard_normal((2, N_FEATURES)) + 0.1 * generator.standard_normal(
        (N_SONGS, N_FEATURES)
    )
    labels = {name: 1 / (1 + np.exp(4 - 3 * causes[:, 0])) for name in PREDICTED}
    groups = [f"artist{n // 2}" for n in range(N_SONGS)]
    songs = pd.DataFrame(labels | {"group": groups}, index=[f"song{n}" for n in range(N_SONGS)])
    return torch.from_numpy(features).float(), songs


def test_no_artist_is_in_two_folds(corpus):
    _, songs = corpus
    held_out = []
    for others, own in artist_folds(songs["group"]):
        assert not {*songs["group"].iloc[others]} & {*songs["group"].iloc[own]}
        held_out += own.tolist()
    assert sorted(held_out) == list(range(N_SONGS))


def test_labels_of_other_artists_are_found(corpus):
    features, songs = corpus
    predicted, folds = ranks_by_others(features, songs, CONFIG)
    assert {*folds} == {*range(N_FOLDS)}
    for name in PREDICTED:
        assert spearmanr(predicted[name], songs[name])[0] > 0.8
        assert predicted[f"{name}_value"].between(songs[name].min(), songs[name].max()).all()
    interval = rank_intervals(predicted, folds, songs)["speechiness"]
    assert 0.75 <= interval["measured"]["coverage"] <= 1 and interval["measured"]["width"] < 0.7


def test_processes_share_the_songs(corpus):
    features, songs = corpus
    model = fit_predicted_features(features, songs, CONFIG)
    first, *others = model.processes.values()
    for other in others:
        assert all(torch.equal(getattr(first, name), getattr(other, name)) for name in first.SHARED)
    assert model.quantiles[0, [0, -1]].tolist() == pytest.approx(
        [songs["acousticness"].min(), songs["acousticness"].max()], abs=1e-6
    )


def test_predictions_of_others_stand_beside_the_labels(corpus, monkeypatch):
    features, songs = corpus
    songs = songs.assign(loudness_db=-7.0, tempo_bpm=120.0)
    measured = pd.DataFrame({"loudness": -6.0, "tempo": np.nan}, index=songs.index)
    monkeypatch.setattr(audio_features, "features_of", lambda *_: features)
    monkeypatch.setattr(audio_features, "measure_songs", lambda *_: [])
    monkeypatch.setattr(audio_features, "measured_by_others", lambda *_: measured)
    table = predicted_by_others(SimpleNamespace(without_extra=songs, spectrograms=None), CONFIG)
    names = [*PREDICTED, "loudness", "tempo"]
    assert [*table] == [*(f"{name}_true" for name in names), *names]
    assert (table["loudness_true"] == -7).all() and (table["loudness"] == -6).all() and table["tempo"].isna().all()
    expected, _ = ranks_by_others(features, songs, CONFIG)
    for name in PREDICTED:
        assert table[name].to_numpy() == pytest.approx(expected[f"{name}_value"].to_numpy(), abs=1e-6)
        assert table[f"{name}_true"].to_numpy() == pytest.approx(songs[name].to_numpy(), abs=1e-6)
