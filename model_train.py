"""Stage 3: spectrograms -> a trained model per target -> models/.

    python model_train.py                            train all three targets and measure them
    python model_train.py --epochs 2 --members 1 --baselines mean ridge --models build/look      a look in a minute
    python model_train.py --folds 5                  artist-disjoint cross-validation; leaves the models alone

Reads data/songs.csv, data/splits.csv and data/spectrograms/ (and data/previews/ for the original recipe). Writes for
each target models/<target>.safetensors and .json, pictures in models/pictures/, the test split's predictions in
models/predictions/, and everything measured in models/results.csv.

A checkpoint is kept after each epoch: a stopped run goes on where it was and ends with the same models. A target that
was trained with the same settings on the same data is not trained again.
"""

import argparse
import platform
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import safetensors
import torch
import torchaudio
from torch import Tensor
from tqdm import tqdm

from music_learning.columns import SPLITS, TARGETS
from music_learning.errors import UserError, run
from music_learning.evaluation import baselines
from music_learning.evaluation.conformal import fit_interval, measure_interval
from music_learning.evaluation.cross_validation import (
    Fold,
    make_folds,
    predict_folds,
    read_predictions,
    write_predictions,
)
from music_learning.evaluation.metrics import Metrics, evaluate
from music_learning.features.config import FeatureConfig
from music_learning.files import read_json, read_table, write_json, write_table
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, load_model, save_model
from music_learning.parallel import cpu_count
from music_learning.paths import DataPaths, ModelPaths
from music_learning.plots.training import draw_calibration, draw_losses, draw_predictions
from music_learning.predict.novelty import fit_novelty_detector
from music_learning.predict.predictor import embed, load_models, weights_of
from music_learning.predict.similarity import build_index
from music_learning.songs.artists import groups_of
from music_learning.songs.corpus import Songs, read_data, read_extra, split_songs
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.training.config import TrainingConfig
from music_learning.training.loop import (
    TrainingRun,
    checkpoint_paths,
    fingerprint,
    predict,
    select_device,
    train_ensembles,
)

RESULT_COLUMNS = ("target", "model", "split", *(f.name for f in fields(Metrics)))
BASELINES = ("mean", "ridge", "original")
IN_MODEL = ("network", "features", "n_members", "networks_share")  # settings that a model's own config has


def describe(target: str, songs: Songs, config: TrainingConfig, runs: list[TrainingRun], metrics: Metrics) -> dict:
    """What a model's JSON says besides its config and the hash of its weights."""
    labels = np.array([float(song[target]) for song in songs.taught])
    return {
        "training": {name: value for name, value in asdict(config).items() if name not in IN_MODEL},
        "best_epochs": [training.best_epoch[target] for training in runs],
        "best_validation_losses": [training.best_loss[target] for training in runs],
        "data": {"sha256": songs.fingerprint, **{part: len(getattr(songs, part)) for part in (*SPLITS, "extra")}},
        "training_labels": {"mean": labels.mean(), "std": labels.std()},
        "metrics": {"test": metrics.to_dict()},
        "fingerprint": fingerprint(songs, config),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchaudio": torchaudio.__version__,
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def train_targets(
    targets: list[str],
    songs: Songs,
    config: TrainingConfig,
    groups: dict[str, str],
    *,
    device: torch.device,
    paths: ModelPaths,
) -> list[dict]:
    """Train, measure, save and draw the models of these targets, where the saved ones are not the same already.

    Returns:
        Result rows.
    """
    saved = {target: saved_model(target, songs, config, paths) for target in targets}
    models, runs, rows = saved, [], []
    if None in saved.values():
        models, runs = train_ensembles(songs, config, device=device, paths=paths, name="training")
    else:
        print(f"{', '.join(targets)}: trained already with these settings on these songs")
    for target in targets:
        model = models[target].to(device)
        predicted = predict(model, SpectrogramDataset(songs.spectrograms, songs.test, (target,)), device)
        metrics = measure(target, songs.test, predicted, groups)
        rows.append(result_row(target, "ours", "test", metrics))
        write_predictions(paths.predictions(target, "test"), target, songs.test, predicted)
        draw_predictions(target, songs.test, predicted, metrics, paths.picture(f"{target}_test"))
        if saved[target] is None:
            draw_losses(target, runs, paths.picture(f"{target}_loss"))
            save_model(paths, target, model, describe(target, songs, config, runs, metrics))
        print(f"{target}: test {metrics}")
    for checkpoint in checkpoint_paths(songs, config, paths, "training"):
        checkpoint.unlink(missing_ok=True)
    return rows


def describe_training_songs(songs: Songs, paths: ModelPaths) -> None:
    """Write what a recording is compared with: the index of the songs learned from, and how near they are."""
    models, descriptions = load_models(paths)
    learned = songs.taught + songs.validation
    index = build_index(learned, songs.spectrograms, partial(embed, models))
    index.save(paths.index, weights_of(descriptions))
    features = next(iter(models.values())).config.features
    detector = fit_novelty_detector(learned, songs.spectrograms, groups_of(learned), features)
    detector.save(paths.novelty)


def saved_model(target: str, songs: Songs, config: TrainingConfig, paths: ModelPaths) -> Ensemble | None:
    """The saved model of a target if it was trained with this config on these songs."""
    try:
        model, description = load_model(paths, target)
    except UserError:
        return None
    return model if description.get("fingerprint") == fingerprint(songs, config) else None


def measure(target: str, songs: list[dict[str, str]], predicted: np.ndarray, groups: dict[str, str]) -> Metrics:
    truth = np.array([float(song[target]) for song in songs])
    return evaluate(truth, predicted, [groups[song["song_id"]] for song in songs])


def result_row(target: str, model: str, split: str, metrics: Metrics) -> dict:
    return {"target": target, "model": model, "split": split, **metrics.rounded()}


def measure_baselines(
    targets: list[str],
    songs: Songs,
    names: list[str],
    groups: dict[str, str],
    *,
    paths: ModelPaths,
    data: DataPaths,
    seed: int,
) -> list[dict]:
    """Train the named baselines on the training songs and measure them on the test songs. Returns result rows."""
    train, test = (
        baselines.statistics(songs.spectrograms, [song["song_id"] for song in part])
        for part in (songs.train, songs.test)
    )

    @cache
    def recipe_inputs() -> Tensor:
        return baselines.recipe_spectrograms(songs.train + songs.test, data, workers=cpu_count())

    rows = []
    for target in targets:
        labels = np.array([float(song[target]) for song in songs.train])
        for name in names:
            if name == "mean":
                predicted = baselines.predict_mean(labels, len(songs.test))
            elif name == "ridge":
                predicted = baselines.predict_ridge(train, labels, test)
            else:
                predicted = original_recipe_predictions(target, songs, recipe_inputs, paths=paths, seed=seed)
            metrics = measure(target, songs.test, predicted, groups)
            print(f"{target}: {name} baseline, test {metrics}", flush=True)
            rows.append(result_row(target, name, "test", metrics))
    return rows


def original_recipe_predictions(
    target: str, songs: Songs, recipe_inputs: Callable[[], Tensor], *, paths: ModelPaths, seed: int
) -> np.ndarray:
    """Train the original recipe, or read what it predicted before for the same songs and seed."""
    known = paths.predictions(target, f"original-{songs.fingerprint[:16]}-{seed}", cached=True)
    if known.exists():
        return read_predictions(known, songs.test)
    n_train, epochs = len(songs.train), baselines.RECIPE_EPOCHS[target]
    labels = torch.tensor([float(song[target]) for song in songs.train])
    spectrograms = recipe_inputs()
    with tqdm(total=epochs, desc=f"original recipe, {target}", unit="epoch", disable=None) as bar:
        model = baselines.train_original_recipe(
            spectrograms[:n_train], labels, epochs=epochs, seed=seed, after_epoch=bar.update
        )
    predicted = baselines.predict_original_recipe(model, spectrograms[n_train:])
    write_predictions(known, target, songs.test, predicted)
    return predicted


def cross_validate(
    targets: list[str],
    songs: list[dict[str, str]],
    folds: list[Fold],
    config: TrainingConfig,
    groups: dict[str, str],
    *,
    names: list[str],
    device: torch.device,
    paths: ModelPaths,
) -> list[dict]:
    """Predict each song by models, and baselines of these names, that never heard its artists.

    The models' residuals also tell how wide an interval around a prediction has to be: see models/intervals.json.

    Returns:
        Result rows, over all songs together.
    """
    truth = np.array([[float(song[target]) for target in TARGETS] for song in songs])
    predictions = {"ours": predict_folds(folds, config, device=device, paths=paths)}
    predictions |= {name: np.zeros(truth.shape) for name in names}
    features = baselines.statistics(folds[0].songs.spectrograms, [song["song_id"] for song in songs])
    fold_of_song = np.zeros(len(songs), int)
    for number, fold in enumerate(folds):
        fold_of_song[fold.held_out] = number
        for column in range(len(TARGETS)):
            labels = truth[fold.others, column]
            if "mean" in names:
                predictions["mean"][fold.held_out, column] = baselines.predict_mean(labels, len(fold.held_out))
            if "ridge" in names:
                by_ridge = baselines.predict_ridge(features[fold.others], labels, features[fold.held_out])
                predictions["ridge"][fold.held_out, column] = by_ridge
    split, rows, intervals = f"{len(folds)}-fold", [], {}
    for target in targets:
        column = TARGETS.index(target)
        for model, values in predictions.items():
            metrics = measure(target, songs, values[:, column], groups)
            print(f"{target}: {model}, {split} cross-validation {metrics}")
            rows.append(result_row(target, model, split, metrics))
            if model == "ours":
                write_predictions(paths.predictions(target, split), target, songs, values[:, column])
                draw_predictions(target, songs, values[:, column], metrics, paths.picture(f"{target}_{split}"))
        ours = truth[:, column], predictions["ours"][:, column], fold_of_song
        interval, measured = fit_interval(*ours), measure_interval(*ours)
        intervals[target] = interval.to_dict() | {"measured": measured}
        draw_calibration(target, *ours[:2], interval, measured, paths.picture(f"{target}_calibration"))
        print(f"{target}: 90 % intervals hold {measured['coverage']:.1%}, mean width {measured['width']:.2f}")
    known = read_json(paths.intervals, "model_train.py --folds 5") if paths.intervals.exists() else {}
    write_json(paths.intervals, known | intervals)
    return rows


def update_results(path: Path, rows: list[dict]) -> None:
    """Put result rows in place of those with the same target, model and split."""

    def key(row: dict) -> tuple[str, ...]:
        return row["target"], row["split"], row["model"]

    old = read_table(path, RESULT_COLUMNS, "model_train.py") if path.exists() else []
    replaced = {key(row) for row in rows}
    write_table(path, RESULT_COLUMNS, sorted([row for row in old if key(row) not in replaced] + rows, key=key))


def parse_arguments() -> argparse.Namespace:
    default = TrainingConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--target",
        choices=TARGETS,
        action="append",
        help="which to save and measure; may be repeated (default: all; they are always learned together)",
    )
    parser.add_argument("--folds", type=int, help="cross-validate with this many folds instead of training the models")
    parser.add_argument(
        "--extra",
        type=Path,
        action="append",
        default=[],
        help="another data folder, whose songs only join the training; may be repeated",
    )
    parser.add_argument("--epochs", type=int, default=default.epochs, help=f"at most (default: {default.epochs})")
    parser.add_argument(
        "--members", type=int, default=default.n_members, help=f"networks per target (default: {default.n_members})"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help=f"default: {default.seed}")
    parser.add_argument("--device", choices=["auto", "cuda", "mps", "cpu"], default="auto", help="default: auto")
    parser.add_argument(
        "--baselines",
        choices=BASELINES,
        nargs="*",
        default=list(BASELINES),
        help="what to compare with (default: all; original: not with --folds)",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder to write (default: models)")
    arguments = parser.parse_args()
    if arguments.epochs < 1 or arguments.members < 1:
        parser.error("--epochs and --members must be at least 1")
    if arguments.folds is not None and arguments.folds < 2:
        parser.error("--folds must be at least 2")
    if not 0 <= arguments.seed < 2**32:
        parser.error("--seed must be from 0 to 4294967295")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    data, paths = DataPaths(arguments.data), ModelPaths(arguments.models)
    targets = arguments.target or list(TARGETS)
    device = select_device(arguments.device)
    songs, splits, spectrograms = read_data(data)
    extra, spectrograms = read_extra(arguments.extra, songs, spectrograms)
    groups = groups_of(songs)
    try:
        features = FeatureConfig(spectrograms.config)
    except ValueError as error:
        raise UserError(f"{data.spectrograms} can't be learned from: {error}; run data_loading.py again") from None
    config = TrainingConfig(
        features=features,
        network=NetworkConfig(n_mels=spectrograms.config.n_mels),
        epochs=arguments.epochs,
        n_members=arguments.members,
        seed=arguments.seed,
    )
    if arguments.folds is not None:
        n_groups = len(set(groups.values()))
        if n_groups < 2 * arguments.folds:
            raise UserError(f"--folds {arguments.folds} needs twice as many artists; there are {n_groups}")
        folds = make_folds(songs, spectrograms, groups, n_folds=arguments.folds, seed=arguments.seed, extra=extra)
        rows = cross_validate(
            targets,
            songs,
            folds,
            config,
            groups,
            names=[name for name in arguments.baselines if name != "original"],
            device=device,
            paths=paths,
        )
        update_results(paths.results, rows)
        return 0

    placed = split_songs(songs, splits, spectrograms, extra)
    update_results(paths.results, train_targets(targets, placed, config, groups, device=device, paths=paths))
    rows = measure_baselines(targets, placed, arguments.baselines, groups, paths=paths, data=data, seed=arguments.seed)
    update_results(paths.results, rows)
    if all(paths.description(target).exists() for target in TARGETS):
        describe_training_songs(placed, paths)
    print(f"models in {paths.root}, results in {paths.results}")
    return 0


if __name__ == "__main__":
    run(main)
