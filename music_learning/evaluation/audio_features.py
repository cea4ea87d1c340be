"""How near the models of Spotify's other audio features come, for artists that they were not fitted to."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor

from music_learning.columns import PREDICTED
from music_learning.errors import UserError
from music_learning.evaluation.conformal import fit_interval, measure_interval
from music_learning.features.config import FeatureConfig
from music_learning.features.measurement import Measurement
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.songs.corpus import Corpus
from music_learning.training.audio_features import LEAST_SONGS, fit_audio_features, measure_songs
from music_learning.training.kernel import features_of
from music_learning.training.predicted_features import fit_predicted_features, ranks_of

N_FOLDS = 5
MEASURED = ("key", "loudness", "mode", "tempo", "time_signature")
LABELS = {
    **{name: name for name in PREDICTED},
    "loudness": "loudness_db",
    "tempo": "tempo_bpm",
}  # as songs.csv has them


def fit_all(corpus: Corpus, config: FeatureConfig) -> AudioFeatureModel:
    """What is measured, and what is predicted with its intervals, fitted to all songs but the extra ones.

    What fewer than LEAST_SONGS have a label of is left out.
    """
    songs = corpus.without_extra
    measured = fit_audio_features(measure_songs(corpus.spectrograms, songs.index, config), songs, config)
    labelled = songs.dropna(subset=[*PREDICTED])
    if len(labelled) < LEAST_SONGS:
        return measured
    if labelled["group"].nunique() < N_FOLDS:
        raise UserError(f"to say how sure they are takes songs by {N_FOLDS} artists; there are fewer with labels")
    features = features_of(corpus.spectrograms, labelled.index, config)
    intervals = rank_intervals(*ranks_by_others(features, labelled, config), labelled)
    predicted = fit_predicted_features(features, labelled, config)
    return replace(measured, predicted=predicted, intervals=intervals)


def artist_folds(groups: pd.Series, *, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each fold the places of the other songs and of its own; no group of artists is in two folds."""
    return GroupKFold(N_FOLDS, shuffle=True, random_state=seed).split(groups, groups=groups)


def measured_by_others(
    measured: list[Measurement], songs: pd.DataFrame, config: FeatureConfig, *, seed: int = 0
) -> pd.DataFrame:
    """MEASURED of each song, by weights fitted to songs by other artists; the seed draws the folds."""
    rows = pd.DataFrame(index=songs.index, columns=MEASURED, dtype=float)
    for others, held_out in artist_folds(songs["group"], seed=seed):
        model = fit_audio_features([measured[k] for k in others], songs.iloc[others], config)
        for k in held_out:
            rows.iloc[k] = pd.Series(model.features(measured[k], config)).astype(float)
    return rows


def predicted_by_others(corpus: Corpus, config: FeatureConfig) -> pd.DataFrame:
    """What models that were fitted to other artists' songs say of each song, all but the extra ones.

    Returns:
        By song_id, for each name of LABELS the columns `<name>_true`, which is Spotify's, and `<name>`.
    """
    songs = corpus.without_extra.dropna(subset=[*PREDICTED])
    ranks, _ = ranks_by_others(features_of(corpus.spectrograms, songs.index, config), songs, config)
    predicted = measured_by_others(measure_songs(corpus.spectrograms, songs.index, config), songs, config)
    predicted = predicted.assign(**{name: ranks[f"{name}_value"] for name in PREDICTED})
    columns = {f"{name}_true": songs[label] for name, label in LABELS.items()} | {n: predicted[n] for n in LABELS}
    return pd.DataFrame(columns).astype("float64").round(6)


@torch.no_grad()
def ranks_by_others(features: Tensor, songs: pd.DataFrame, config: FeatureConfig) -> tuple[pd.DataFrame, np.ndarray]:
    """The predicted ranks and values of songs, by models fitted to other artists' songs, and each song's fold.

    Args:
        features: (songs, features) of `clip_features`.
        songs: with the columns PREDICTED and `group`.
        config: what the features were made with.

    Returns:
        By song, the columns PREDICTED with ranks and `<name>_value` with values; (songs,) from 0 up.
    """
    predicted = pd.DataFrame(
        index=songs.index, columns=[*PREDICTED, *(f"{name}_value" for name in PREDICTED)], dtype=float
    )
    folds = np.empty(len(songs), int)
    for fold, (others, own) in enumerate(artist_folds(songs["group"])):
        model = fit_predicted_features(features[others], songs.iloc[others], config)
        ranks = model(features[own])
        values = [model.values_of(name, column) for name, column in zip(PREDICTED, ranks.T, strict=True)]
        predicted.iloc[own] = torch.cat([ranks, torch.stack(values, dim=1)], dim=1).numpy()
        folds[own] = fold
    return predicted, folds


def rank_intervals(predicted: pd.DataFrame, folds: np.ndarray, songs: pd.DataFrame) -> dict[str, dict]:
    """90 % intervals around predicted ranks, for each of PREDICTED as JSON has it, with what was measured of it.

    A rank and the value that it stands for rise together, so that the values between an interval's ends hold as often.
    """
    ranks = ranks_of(songs)
    intervals = {}
    for name in PREDICTED:
        truth, guess = ranks[name].to_numpy(), predicted[name].to_numpy()
        std = np.ones(len(truth))  # ranks are alike sure
        interval, measured = (fit(truth, guess, std, folds) for fit in (fit_interval, measure_interval))
        intervals[name] = interval.to_dict() | {"measured": measured}
    return intervals
