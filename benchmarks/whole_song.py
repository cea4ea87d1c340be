"""How much of the models' error lies in what a clip doesn't hold: R2 if a number of the whole song were known as well.

    python benchmarks/whole_song.py

Needs data/songs.csv with Spotify's loudness, and the predictions of `model_train.py --folds 5`. A linear regression on
the predictions alone, and on them and the whole song's loudness, artist-disjoint over 5 folds.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from music_learning.columns import TARGETS
from music_learning.errors import UserError, run
from music_learning.evaluation.metrics import evaluate
from music_learning.evaluation.predictions import read_predictions
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.artists import artist_groups
from music_learning.songs.table import read_songs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    arguments = parser.parse_args()
    songs = read_songs(DataPaths(arguments.data)).dropna(subset=["loudness_db"])
    if songs.empty:
        raise UserError("no song in songs.csv has a loudness; collect songs with all of Spotify's numbers")
    groups = artist_groups(songs)
    loudness_db = songs["loudness_db"].to_numpy()
    print(f"{len(songs)} songs")
    for target in TARGETS:
        truth = songs[target].to_numpy()
        predicted = read_predictions(ModelPaths(arguments.models).predictions(target, "5-fold"), songs)
        for name, known in (("prediction", [predicted]), ("prediction and loudness", [predicted, loudness_db])):
            fitted = cross_val_predict(
                LinearRegression(), np.stack(known, axis=1), truth, groups=groups, cv=GroupKFold()
            )
            print(f"{target:12}  {name:24}  {evaluate(truth, fitted, groups)}")


if __name__ == "__main__":
    run(main)
