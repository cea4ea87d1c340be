"""What is measured of models and baselines: printed as it comes, and kept in results.csv."""

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd

from music_learning.evaluation.metrics import Metrics, evaluate
from music_learning.songs.table import read_frame, write_frame

KEY = ["target", "split", "model"]
RESULT_COLUMNS = ("target", "model", "split", *(f.name for f in fields(Metrics)))
RESULT_DTYPES = {
    **dict.fromkeys(RESULT_COLUMNS, "float64"),
    **dict.fromkeys(KEY, "string"),
    "n": "Int64",
}
FEW_SONGS = 50  # with fewer, the 95 % interval of an R2 around 0.6 is wider than 0.25


class Report:
    """The measurements of one run on one set of songs, `split`: the test split, or the folds of a cross-validation."""

    def __init__(self, split: str, songs: pd.DataFrame) -> None:
        """`songs` are those that are predicted, with their labels and groups as a `Corpus` has them."""
        self.split = split
        self.songs = songs
        self.rows: list[dict] = []

    def add(self, target: str, model: str, predicted: np.ndarray | pd.Series) -> Metrics:
        """Measure predictions (songs,), print the metrics, and keep them for `save`."""
        metrics = evaluate(self.songs[target], predicted, self.songs["group"])
        print(f"{target}: {model}, {self.split} {metrics}", flush=True)
        self.rows.append({"target": target, "model": model, "split": self.split, **asdict(metrics)})
        return metrics

    def save(self, path: Path) -> None:
        """Write the rows in place of earlier ones with the same target, model and split."""
        if self.rows:
            update_results(path, self.rows)


def warn_of_few_songs(split: str, songs: pd.DataFrame) -> None:
    """Say so where the songs are too few for figures to mean much."""
    if (n := len(songs)) < FEW_SONGS:
        print(f"{split}: only {n} songs; figures from fewer than {FEW_SONGS} mean little: collect more songs")


def update_results(path: Path, rows: list[dict]) -> None:
    """Put rows of results.csv in place of those with the same target, model and split."""
    results = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    if path.exists():
        old = read_frame(path, RESULT_DTYPES, "model_train.py").reset_index()
        results = pd.concat([old, results]).drop_duplicates(KEY, keep="last")
    results = results.sort_values(KEY).set_index("target")
    metrics = [name for name in RESULT_COLUMNS if RESULT_DTYPES[name] == "float64"]
    results[metrics] = results[metrics].map("{:.4f}".format)
    write_frame(path, results)
