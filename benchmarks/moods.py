"""Whether the moods are as likely as it is said, and how many songs get which word.

    python benchmarks/moods.py
    python benchmarks/moods.py --models trained

Reads data/songs.csv and the predictions of `model_train.py --folds 5`. The moods of each fold's songs follow from
intervals and a correlation that were learned from the other folds alone; no artist is in two folds. A song's mood is
the quarter in which Spotify's own values of it lie. The brackets are 95 % intervals from a bootstrap over artists.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from music_learning.errors import run
from music_learning.evaluation.conformal import fit_interval
from music_learning.evaluation.predictions import read_parts
from music_learning.paths import DataPaths, ModelPaths
from music_learning.predict.mood import AXES, MOODS, Mood, deviations, error_correlation
from music_learning.songs.artists import artist_groups
from music_learning.songs.table import read_songs

N_FOLDS = 5
SAID = (0, 0.5, 0.55, 0.65, 0.75, 0.85, 0.95, 1.01)
PROBABLE = 0.65
SHARES = (0.5, 0.9)
N_RESAMPLES = 2000
WORDS = list(MOODS.values())


def moods_of_unseen(songs: pd.DataFrame, predicted: dict[str, pd.DataFrame], groups: np.ndarray) -> list[Mood]:
    """The mood of each song, from intervals and a correlation of other artists' songs."""
    folds = np.empty(len(songs), int)
    for number, (_, out) in enumerate(GroupKFold(N_FOLDS, shuffle=True, random_state=0).split(groups, groups=groups)):
        folds[out] = number
    moods: list[Mood | None] = [None] * len(songs)
    for number in range(N_FOLDS):
        known, out = folds != number, np.flatnonzero(folds == number)
        truth, values = songs.loc[known], {axis: predicted[axis].loc[known] for axis in AXES}
        intervals = {
            axis: fit_interval(
                truth[axis].to_numpy(), *(values[axis][name].to_numpy() for name in ("predicted", "std")), folds[known]
            )
            for axis in AXES
        }
        correlation = error_correlation(intervals, truth, values)
        print(f"fold {number + 1}: the errors of valence and energy correlate by {correlation:+.2f}")
        ends = {
            axis: np.transpose(
                intervals[axis].around(*(predicted[axis][name].iloc[out] for name in ("predicted", "std")))
            )
            for axis in AXES
        }
        for place, row in enumerate(out):
            around = {axis: tuple(ends[axis][place]) for axis in AXES}
            moods[row] = Mood({axis: predicted[axis]["predicted"].iloc[row] for axis in AXES}, around, correlation)
    return moods


def share_of(hits: np.ndarray, groups: np.ndarray) -> str:
    """A share in %, with its interval."""
    names, members = np.unique(groups, return_inverse=True)
    right, n = np.bincount(members, weights=hits), np.bincount(members)
    drawn = np.random.default_rng(0).integers(len(names), size=(N_RESAMPLES, len(names)))
    low, high = np.percentile(right[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return f"{100 * hits.mean():3.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def print_calibration(probabilities: np.ndarray, right: np.ndarray, groups: np.ndarray) -> None:
    """Whether the likeliest mood is right as often as it is said."""
    print("\nthe likeliest mood: how likely it is said to be, and for how many songs it is right")
    for low, high in pairwise(SAID):
        inside = (low <= probabilities) & (probabilities < high)
        if inside.any():
            said = 100 * probabilities[inside].mean()
            measured = share_of(right[inside], groups[inside])
            print(f"  {low:.2f} to {min(high, 1):.2f}: {inside.sum():4} songs, said {said:3.0f} %, right {measured}")


def print_scores(moods: list[Mood], truth: np.ndarray) -> None:
    """Log loss and Brier score (lower is better) of all four probabilities, beside the moods' shares of the songs."""
    said = np.array([[mood.probabilities[word] for word in WORDS] for mood in moods])
    is_true = truth[:, None] == np.array(WORDS)
    shares = np.broadcast_to(is_true.mean(axis=0), said.shape)
    for name, rows in (("moods", said), ("always the moods' shares", shares)):
        loss = -np.log(rows[is_true].clip(1e-6)).mean()
        print(f"  {name}: log loss {loss:.3f}, Brier score {((rows - is_true) ** 2).sum(axis=1).mean():.3f}")


def print_outlines(moods: list[Mood], songs: pd.DataFrame, groups: np.ndarray) -> None:
    """How many songs lie within the outlines."""
    first, second = (
        np.array(
            [
                deviations(true, mood.values[axis], *mood.intervals[axis])
                for true, mood in zip(songs[axis], moods, strict=True)
            ]
        )
        for axis in AXES
    )
    r = np.array([mood.correlation for mood in moods])
    distances = (first**2 - 2 * r * first * second + second**2) / (1 - r**2)
    for share in SHARES:
        measured = share_of(distances <= -2 * np.log(1 - share), groups)
        print(f"  the outline for {100 * share:.0f} % of the songs holds {measured}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    arguments = parser.parse_args()
    songs, paths = read_songs(DataPaths(arguments.data)), ModelPaths(arguments.models)
    predicted = {axis: read_parts(paths.predictions(axis, "5-fold"), songs) for axis in AXES}
    groups = artist_groups(songs).to_numpy()
    moods = moods_of_unseen(songs, predicted, groups)

    truth = np.array([Mood(dict(zip(AXES, values, strict=True)), {}).word for values in songs[[*AXES]].to_numpy()])
    points = np.array([Mood(mood.values, {}).word for mood in moods])
    likeliest = np.array([next(iter(mood.probabilities)) for mood in moods])
    probabilities = np.array([mood.probability for mood in moods])
    words = np.array([mood.word or "no word" for mood in moods])
    right = likeliest == truth
    print_calibration(probabilities, right, groups)
    print(f"\n{len(songs)} songs")
    print_scores(moods, truth)
    print_outlines(moods, songs, groups)
    print(f"  the quarter of the predicted point is right for {share_of(points == truth, groups)}")
    for name, chosen in (("with a word", words != "no word"), ("probable or surer", probabilities >= PROBABLE)):
        print(f"  {name}: {100 * chosen.mean():.0f} % of the songs, right {share_of(right[chosen], groups[chosen])}")
    for word in (*WORDS, "no word"):
        true = f", by Spotify's values {(truth == word).sum():3}" if word in WORDS else ""
        print(f"  {word:18} {(words == word).sum():3} songs{true}, by the predicted points {(points == word).sum():3}")


if __name__ == "__main__":
    run(main)
