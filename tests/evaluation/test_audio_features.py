import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from music_learning.columns import PREDICTED
from music_learning.evaluation.audio_features import N_FOLDS, artist_folds, rank_intervals, ranks_by_others
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
