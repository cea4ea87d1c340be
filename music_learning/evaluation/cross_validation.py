"""Artist-disjoint cross-validation: every song is predicted by models that never heard its artists."""

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from music_learning.columns import TARGETS
from music_learning.evaluation.baselines import predict_with_baseline
from music_learning.evaluation.mixing import cross_mixed, mixed
from music_learning.evaluation.predictions import PARTS, read_parts, write_predictions
from music_learning.paths import ModelPaths
from music_learning.songs.corpus import Corpus
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.training.config import TrainingConfig
from music_learning.training.fingerprint import fingerprint
from music_learning.training.fit import checkpoint_paths, train_ensembles
from music_learning.training.loop import predict

VALIDATION_SHARE = 0.08  # of the training artists' groups


def make_folds(corpus: Corpus, *, n_folds: int, seed: int) -> list[Corpus]:
    """Cut the songs into folds, no group of artists in two of them.

    Extra songs join the training of each fold, but for those by artists of its other songs.

    Returns:
        The corpus once for each fold, with other splits: the fold's songs are its test split.
    """
    songs = corpus.without_extra
    groups = songs["group"].to_numpy()
    folds = []
    for others, held_out in GroupKFold(n_folds, shuffle=True, random_state=seed).split(groups, groups=groups):
        inner = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed)
        _, validation = next(inner.split(others, groups=groups[others]))
        splits = pd.Series("train", index=songs.index, dtype="string")
        splits.iloc[others[validation]] = "validation"
        splits.iloc[held_out] = "test"
        folds.append(corpus.with_splits(splits))
    return folds


def fold_numbers(folds: list[Corpus]) -> np.ndarray:
    """In which fold each song is held out, (songs,)."""
    numbers = pd.concat([pd.Series(number, index=fold.test.index) for number, fold in enumerate(folds)])
    return numbers.loc[folds[0].without_extra.index].to_numpy()


def predict_folds(
    folds: list[Corpus], config: TrainingConfig, *, device: torch.device, paths: ModelPaths
) -> dict[str, pd.DataFrame]:
    """Train on each fold and predict its held-out songs.

    Returns:
        For each target a table (songs, `predicted` and PARTS), where the networks' share in `predicted` is what the
        other folds' songs teach.
    """
    by_fold = [
        _predict_fold(fold, config, device=device, paths=paths, name=f"fold{number}of{len(folds)}")
        for number, fold in enumerate(folds, 1)
    ]
    songs, numbers = folds[0].without_extra, fold_numbers(folds)
    tables = {target: pd.concat([fold[target] for fold in by_fold]).loc[songs.index] for target in TARGETS}
    return {
        target: table.assign(predicted=cross_mixed(songs[target].to_numpy(), table, numbers))
        for target, table in tables.items()
    }


def predict_folds_with_baseline(name: str, folds: list[Corpus]) -> pd.DataFrame:
    """Fit a baseline to each fold and predict its held-out songs: (songs, TARGETS)."""
    predicted = []
    for fold in folds:
        others = fold.without_extra[fold.without_extra["split"].isin(("train", "validation"))]
        predicted.append(predict_with_baseline(name, others, fold.test, fold.spectrograms))
    return pd.concat(predicted).loc[folds[0].without_extra.index]


def _predict_fold(
    fold: Corpus, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> dict[str, pd.DataFrame]:
    """target -> (songs, `predicted` and PARTS) for the test songs of one fold, trained for or from an earlier run."""
    known = {
        target: paths.predictions(target, f"{name}-{fingerprint(fold, config)[:16]}", cached=True) for target in TARGETS
    }
    test = fold.test
    if not all(path.exists() for path in known.values()):
        models, _ = train_ensembles(fold, config, device=device, paths=paths, name=name)
        for target, path in known.items():
            dataset = SpectrogramDataset(fold.spectrograms, test, (target,))
            parts = pd.DataFrame(predict(models[target].parts, dataset, device), index=test.index, columns=[*PARTS])
            predicted = mixed(parts, models[target].config.networks_share)
            write_predictions(path, test[target], predicted, parts)
    for checkpoint in checkpoint_paths(fold, config, paths, name):
        checkpoint.unlink(missing_ok=True)
    return {target: read_parts(path, test) for target, path in known.items()}
