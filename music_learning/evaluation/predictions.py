"""Predictions of songs beside their labels, as they are kept on disk."""

from pathlib import Path

import numpy as np
import pandas as pd

from music_learning.files import damaged
from music_learning.songs.table import read_frame, write_frame

MADE_BY = "model_train.py"
PREDICTION_DTYPES = {"song_id": "string", "true": "float64", "predicted": "float64"}


def write_predictions(path: Path, labels: pd.Series, predicted: np.ndarray | pd.Series) -> None:
    """A row per song, with the label and the prediction, both (songs,)."""
    rows = pd.DataFrame({"true": labels, "predicted": [f"{value:.6f}" for value in predicted]}, index=labels.index)
    write_frame(path, rows)


def read_predictions(path: Path, songs: pd.DataFrame) -> pd.Series:
    """The predictions (songs,) that `write_predictions` wrote, in the order of the songs.

    Raises:
        UserError: the file is missing or damaged, or isn't of these songs.
    """
    predicted = read_frame(path, PREDICTION_DTYPES, MADE_BY)["predicted"]
    if sorted(predicted.index) != sorted(songs.index) or not predicted.between(0, 1).all():
        raise damaged(path, "it has no prediction from 0 to 1 for each of the songs", MADE_BY)
    return predicted.loc[songs.index]
