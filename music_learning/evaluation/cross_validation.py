"""Artist-disjoint cross-validation: every song is predicted by models that never heard its artists."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from music_learning.columns import TARGETS
from music_learning.files import read_table, write_table
from music_learning.paths import ModelPaths
from music_learning.songs.corpus import Songs, by_other_artists
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets
from music_learning.training.config import TrainingConfig
from music_learning.training.loop import checkpoint_paths, fingerprint, predict, train_ensembles

VALIDATION_SHARE = 0.08  # of the training artists' groups
PREDICTION_COLUMNS = ("song_id", "true", "predicted")


@dataclass(frozen=True)
class Fold:
    """A fold's songs, its held-out ones as `test`; and which of all songs (indices) are held out, and which not."""

    songs: Songs
    held_out: np.ndarray
    others: np.ndarray


def make_folds(
    songs: list[dict[str, str]],
    spectrograms: SpectrogramSet | SpectrogramSets,
    groups: dict[str, str],
    *,
    n_folds: int,
    seed: int,
    extra: list[dict[str, str]] | None = None,
) -> list[Fold]:
    """Cut the songs into folds, no group of artists in two of them.

    Args:
        groups: song_id -> name of its group of artists.
        extra: songs that join the training of each fold, but for those by artists of its other songs.
    """
    song_groups = np.array([groups[song["song_id"]] for song in songs])
    folds = []
    for others, held_out in GroupKFold(n_folds, shuffle=True, random_state=seed).split(songs, groups=song_groups):
        inner = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed)
        train, validation = next(inner.split(others, groups=song_groups[others]))
        parts = [[songs[i] for i in part] for part in (others[train], others[validation], held_out)]
        allowed = by_other_artists(extra or [], parts[1] + parts[2])
        folds.append(Fold(Songs(spectrograms, *parts, allowed), held_out, others))
    return folds


def predict_folds(folds: list[Fold], config: TrainingConfig, *, device: torch.device, paths: ModelPaths) -> np.ndarray:
    """Train on each fold and predict its held-out songs: (songs, targets), in the order that `make_folds` was given."""
    predicted = np.zeros((sum(len(fold.held_out) for fold in folds), len(TARGETS)))
    for number, fold in enumerate(folds, 1):
        name = f"fold{number}of{len(folds)}"
        by_target = _fold_predictions(fold.songs, config, device=device, paths=paths, name=name)
        predicted[fold.held_out] = np.stack([by_target[target] for target in TARGETS], axis=1)
    return predicted


def _fold_predictions(
    songs: Songs, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> dict[str, np.ndarray]:
    """Each target's predictions for the test songs of one fold, trained for or read from an earlier run."""
    known = {
        target: paths.predictions(target, f"{name}-{fingerprint(songs, config)[:16]}", cached=True)
        for target in TARGETS
    }
    if not all(path.exists() for path in known.values()):
        models, _ = train_ensembles(songs, config, device=device, paths=paths, name=name)
        for target, path in known.items():
            dataset = SpectrogramDataset(songs.spectrograms, songs.test, (target,))
            write_predictions(path, target, songs.test, predict(models[target], dataset, device))
    for checkpoint in checkpoint_paths(songs, config, paths, name):
        checkpoint.unlink(missing_ok=True)
    return {target: read_predictions(path, songs.test) for target, path in known.items()}


def write_predictions(path: Path, target: str, songs: list[dict[str, str]], predicted: np.ndarray) -> None:
    """A row per song, with the label and the prediction (songs,)."""
    rows = (
        {"song_id": song["song_id"], "true": song[target], "predicted": f"{value:.6f}"}
        for song, value in zip(songs, predicted, strict=True)
    )
    write_table(path, PREDICTION_COLUMNS, rows)


def read_predictions(path: Path, songs: list[dict[str, str]]) -> np.ndarray:
    """The predictions (songs,) that `write_predictions` wrote, in the order of the songs."""
    rows = read_table(path, PREDICTION_COLUMNS, "model_train.py")
    by_id = {row["song_id"]: float(row["predicted"]) for row in rows}
    return np.array([by_id[song["song_id"]] for song in songs])
