"""Predictions of songs beside their labels, as they are kept on disk."""

from pathlib import Path

import numpy as np
import pandas as pd

from music_learning.songs.table import read_frame, write_frame

PREDICTION_DTYPES = {"song_id": "string", "true": "float64", "predicted": "float64"}


def write_predictions(path: Path, labels: pd.Series, predicted: np.ndarray | pd.Series) -> None:
    """A row per song, with the label and the prediction, both (songs,)."""
    rows = pd.DataFrame({"true": labels, "predicted": [f"{value:.6f}" for value in predicted]}, index=labels.index)
    write_frame(path, rows)


def read_predictions(path: Path, songs: pd.DataFrame) -> pd.Series:
    """The predictions (songs,) that `write_predictions` wrote, in the order of the songs."""
    return read_frame(path, PREDICTION_DTYPES, "model_train.py")["predicted"].loc[songs.index]
