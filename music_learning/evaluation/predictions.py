"""Predictions of songs beside their labels, as they are kept on disk."""

from pathlib import Path

import numpy as np
import pandas as pd

from music_learning.files import damaged
from music_learning.songs.table import read_frame, write_frame

MADE_BY = "model_train.py"
PREDICTION_DTYPES = {"song_id": "string", "true": "float64", "predicted": "float64"}
# What a prediction is made of: what the networks and the kernel model predict, and how far off the kernel model expects
# to be, as a standard deviation.
PARTS = ("networks", "kernel", "std")


def write_predictions(
    path: Path, labels: pd.Series, predicted: np.ndarray | pd.Series, parts: pd.DataFrame | None = None
) -> None:
    """A row per song, with the label and the prediction, both (songs,), and where they are known its PARTS."""
    columns = {"predicted": predicted} | ({} if parts is None else {name: parts[name] for name in PARTS})
    texts = {name: [f"{value:.6f}" for value in values] for name, values in columns.items()}
    write_frame(path, pd.DataFrame({"true": labels, **texts}, index=labels.index))


def read_predictions(path: Path, songs: pd.DataFrame) -> pd.Series:
    """The predictions (songs,) that `write_predictions` wrote, in the order of the songs.

    Raises:
        UserError: the file is missing or damaged, or isn't of these songs.
    """
    return _read(path, songs, ("predicted",))["predicted"]


def read_parts(path: Path, songs: pd.DataFrame) -> pd.DataFrame:
    """The predictions with their parts, (songs, `predicted` and PARTS), as `read_predictions`."""
    return _read(path, songs, ("predicted", *PARTS))


def _read(path: Path, songs: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    dtypes = PREDICTION_DTYPES | dict.fromkeys(columns, "float64")
    values = read_frame(path, dtypes, MADE_BY)[[*columns]]
    inside = ((values >= 0) & (values <= 1)).all(axis=None)  # NaN is neither
    if sorted(values.index) != sorted(songs.index) or not inside:
        raise damaged(path, "it has no prediction from 0 to 1 for each of the songs", MADE_BY)
    return values.loc[songs.index].astype("float64")
