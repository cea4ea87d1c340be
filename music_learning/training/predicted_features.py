"""How the models of acousticness, speechiness and instrumentalness are fitted: seconds each, on the CPU."""

import pandas as pd
import torch
from torch import Tensor

from music_learning.columns import PREDICTED
from music_learning.features.config import FeatureConfig
from music_learning.model.predicted_features import N_QUANTILES, PredictedFeatures
from music_learning.training.kernel import fit_gaussian_process


def fit_predicted_features(features: Tensor, labels: pd.DataFrame, config: FeatureConfig) -> PredictedFeatures:
    """Fit all models to the same songs.

    Args:
        features: (songs, features) of `clip_features`.
        labels: of the same songs, with the columns PREDICTED, none of them missing.
        config: what the features were made with.
    """
    model = PredictedFeatures(config, len(features))
    for row, (name, ranks) in enumerate(ranks_of(labels).items()):
        model.processes[name] = fit_gaussian_process(features, torch.tensor(ranks.to_numpy()).float(), config)
        values = torch.tensor(labels[name].to_numpy(float))
        model.quantiles[row] = values.quantile(torch.linspace(0, 1, N_QUANTILES, dtype=torch.float64))
    return model.eval()


def ranks_of(labels: pd.DataFrame) -> pd.DataFrame:
    """The ranks of each column's values among them all, in (0, 1); equal values share their mean rank."""
    return (labels[[*PREDICTED]].rank() - 0.5) / len(labels)
