"""How networks and kernel model are mixed: by a share that is learned from predictions of songs that neither heard."""

import numpy as np
import pandas as pd


def learn_share(truth: np.ndarray, parts: pd.DataFrame) -> float:
    """The networks' share in [0, 1] with which a weighted mean of both is least off, by least squares.

    It is stacked regression (Breiman, "Stacked regressions", Machine Learning 24, 1996) of two predictions whose
    weights sum to 1.

    Args:
        truth: (songs,) in [0, 1].
        parts: (songs, ...) with the columns `networks` and `kernel`; by models that never heard the song's artists.
    """
    difference = parts["networks"].to_numpy() - parts["kernel"].to_numpy()
    missing = np.asarray(truth) - parts["kernel"].to_numpy()
    power = float(difference @ difference)
    return float(np.clip(difference @ missing / power, 0, 1)) if power > 0 else 0.5


def mixed(parts: pd.DataFrame, share: float) -> np.ndarray:
    """Both, with this share of the networks: (songs,)"""
    return share * parts["networks"].to_numpy() + (1 - share) * parts["kernel"].to_numpy()


def cross_mixed(truth: np.ndarray, parts: pd.DataFrame, folds: np.ndarray) -> np.ndarray:
    """Both, each fold's songs with the share that the other folds' songs teach: (songs,)

    Args:
        truth: (songs,); parts: as for `learn_share`.
        folds: (songs,) which fold each song is in; no artist is in two. At least two folds.
    """
    truth, predicted = np.asarray(truth), np.empty(len(truth))
    for fold in np.unique(folds):
        out = folds == fold
        predicted[out] = mixed(parts[out], learn_share(truth[~out], parts[~out]))
    return predicted
