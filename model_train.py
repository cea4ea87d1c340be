"""Stage 3: spectrograms -> a trained model per target -> trained/.

    python model_train.py                            train all three targets and measure them
    python model_train.py --folds 5                  artist-disjoint cross-validation; leaves the models alone
    python model_train.py --epochs 2 --members 1 --baselines mean ridge --models build/quick      a quick run: a minute
    torchrun --nproc-per-node 4 model_train.py       four processes, a GPU each where there are some (docs/library.md)

Reads data/songs.csv, data/splits.csv and data/spectrograms/ (and data/previews/ for the original recipe). Writes to the
folder of the models, for each target <target>.safetensors and .json; pictures/; predictions/ of the test split;
results.csv with everything measured; and what predictions are compared with. A cross-validation also tells how much of
a value is the networks', which it writes to the JSON of the models that are there, and how wide an interval around a
prediction has to be, which it writes to intervals.json.

The released models in models/ stay as they are; `python model_demo.py --models trained` uses the new ones.

A checkpoint is kept after each epoch: a stopped run goes on where it was and ends with the same models. A target that
was trained with the same settings on the same data is not trained again.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from music_learning.columns import TARGETS
from music_learning.errors import UserError, printable, run
from music_learning.evaluation.baselines import BASELINES, predict_with_baseline, predict_with_original_recipe
from music_learning.evaluation.conformal import fit_interval, measure_interval, without_interval, write_intervals
from music_learning.evaluation.cross_validation import (
    fold_numbers,
    make_folds,
    predict_folds,
    predict_folds_with_baseline,
)
from music_learning.evaluation.metrics import Metrics
from music_learning.evaluation.mixing import learn_share
from music_learning.evaluation.predictions import write_predictions
from music_learning.evaluation.report import Report, warn_of_few_songs
from music_learning.features.config import FeatureConfig
from music_learning.files import missing_file, only_writer, read_json, write_json
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, load_model, save_model
from music_learning.paths import DataPaths, ModelPaths
from music_learning.plots.training import draw_calibration, draw_losses, draw_predictions
from music_learning.predict.fit_no_music import fit_no_music_detector
from music_learning.predict.mood import AXES, error_correlation
from music_learning.predict.predictor import embed, load_models, weights_of
from music_learning.predict.similarity import build_index
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.songs.table import text_rows
from music_learning.training.config import TrainingConfig
from music_learning.training.description import describe, trained_model, weights_trained_with
from music_learning.training.device import select_device
from music_learning.training.distributed import from_first, jobs, only_first_prints, rank, together
from music_learning.training.fingerprint import fingerprint
from music_learning.training.fit import checkpoint_paths, train_ensembles, train_networks
from music_learning.training.loop import predict


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
    parser.add_argument("--models", type=Path, default=Path("trained"), help="folder to write (default: trained)")
    arguments = parser.parse_args()
    if arguments.epochs < 1 or arguments.members < 1:
        parser.error("--epochs and --members must be at least 1")
    if arguments.folds is not None and arguments.folds < 3:  # an interval is measured without one and fitted by others
        parser.error("--folds must be at least 3")
    if not 0 <= arguments.seed < 2**32:
        parser.error("--seed must be from 0 to 4294967295")
    return arguments


def training_config(arguments: argparse.Namespace, corpus: Corpus) -> TrainingConfig:
    """What the arguments say, for the spectrograms that there are."""
    pipeline = corpus.spectrograms.config
    try:
        features = FeatureConfig(pipeline)
    except ValueError as error:
        raise UserError(f"the spectrograms can't be learned from: {error}; run data_loading.py again") from None
    return TrainingConfig(
        features=features,
        network=NetworkConfig(n_mels=pipeline.n_mels),
        epochs=arguments.epochs,
        n_members=arguments.members,
        seed=arguments.seed,
    )


def train(
    targets: list[str], corpus: Corpus, config: TrainingConfig, *, device: torch.device, paths: ModelPaths
) -> dict[str, Ensemble]:
    """Train, measure, save and draw the models of these targets, where the saved ones are not the same already.

    Returns:
        Each target's model, on the CPU.
    """
    report = Report("test", corpus.test)
    models = {target: trained_model(target, corpus, config, paths) for target in targets}
    outdated = [target for target in targets if models[target] is None]
    if outdated:
        trained, runs = train_ensembles(corpus, config, device=device, paths=paths, name="training")
        models |= {target: trained[target] for target in outdated}  # the others stay those on disk
    else:
        print(f"{', '.join(targets)}: trained already with these settings on these songs")
    for target in targets:
        model = models[target].to(device)
        metrics = measure_test(target, model, corpus, report, device=device, paths=paths)
        if target in outdated:
            draw_losses(target, runs, paths.picture(f"{target}_loss"))
            save_model(paths, target, model, describe(target, corpus, config, runs, metrics.to_dict()))
    report.save(paths.results)
    for checkpoint in checkpoint_paths(corpus, config, paths, "training"):
        checkpoint.unlink(missing_ok=True)
    return {target: models[target].cpu() for target in targets}


def measure_test(
    target: str, model: Ensemble, corpus: Corpus, report: Report, *, device: torch.device, paths: ModelPaths
) -> Metrics:
    """Measure, write and draw a model's predictions of the test songs."""
    labels, dataset = corpus.test[target], SpectrogramDataset(corpus.spectrograms, corpus.test, (target,))
    predicted = predict(model, dataset, device)
    metrics = report.add(target, "ours", predicted)
    write_predictions(paths.predictions(target, "test"), labels, predicted)
    draw_predictions(target, labels, predicted, metrics, paths.picture(f"{target}_test"))
    return metrics


def mix_anew(
    shares: dict[str, float], corpus: Corpus, weights: dict[str, str], *, device: torch.device, paths: ModelPaths
) -> None:
    """Give saved models the shares that a cross-validation has learned for such as them, and measure them again.

    Args:
        shares: the networks' share of each target's value.
        weights: of the targets whose saved models were trained as those of the folds were.
    """
    report = Report("test", corpus.test)
    for target in weights:
        model, description = load_model(paths, target)
        model.config = replace(model.config, networks_share=shares[target])
        metrics = measure_test(target, model.to(device), corpus, report, device=device, paths=paths)
        changed = {"networks_share": shares[target], "metrics": {"test": metrics.to_dict()}}
        write_json(paths.description(target), description | changed)
    report.save(paths.results)


def measure_baselines(
    targets: list[str], names: list[str], corpus: Corpus, *, data: DataPaths, paths: ModelPaths, seed: int
) -> None:
    """Train the named baselines on the training songs and measure them on the test songs."""
    report = Report("test", corpus.test)
    for name in names:
        if name == "original":
            predicted = predict_with_original_recipe(targets, corpus, data, paths=paths, seed=seed)
        else:
            predicted = predict_with_baseline(name, corpus.train, corpus.test, corpus.spectrograms)
        for target in targets:
            report.add(target, name, predicted[target])
    report.save(paths.results)


def descriptions(paths: ModelPaths) -> dict[str, dict]:
    """What the JSON of each target's saved model says."""
    return {target: read_json(paths.description(target), "model_train.py") for target in TARGETS}


def describe_known_songs(models: dict[str, Ensemble], corpus: Corpus, paths: ModelPaths) -> None:
    """Write what a recording is compared with: the index of the songs that the models know, and what is no music.

    Args:
        models: those of this run; other targets' are read.
    """
    if set(models) != set(TARGETS):
        saved, _ = load_models(paths)
        models = {target: models.get(target, saved[target]) for target in TARGETS}
    weights = weights_of(descriptions(paths))
    build_index(text_rows(corpus.fitted), corpus.spectrograms, partial(embed, models)).save(paths.index, weights)
    features = models[TARGETS[0]].config.features
    fit_no_music_detector(list(corpus.fitted.index), corpus.spectrograms, features).save(paths.no_music)


def measure_folds(
    targets: list[str], names: list[str], folds: list[Corpus], predicted: dict[str, pd.DataFrame], *, paths: ModelPaths
) -> None:
    """Measure, write and draw predictions of all songs by models that never heard their artists, beside baselines."""
    split, songs = f"{len(folds)}-fold", folds[0].without_extra
    report = Report(split, songs)
    for target in targets:
        table = predicted[target]
        metrics = report.add(target, "ours", table["predicted"])
        for part in ("networks", "kernel"):
            report.add(target, part, table[part])
        write_predictions(paths.predictions(target, split), songs[target], table["predicted"], table)
        draw_predictions(target, songs[target], table["predicted"], metrics, paths.picture(f"{target}_{split}"))
    for name in names:
        if name != "original":  # which would take hours
            by_baseline = predict_folds_with_baseline(name, folds)
            for target in targets:
                report.add(target, name, by_baseline[target])
    report.save(paths.results)
    warn_of_few_songs(split, songs)


def fit_intervals(
    targets: list[str],
    folds: list[Corpus],
    predicted: dict[str, pd.DataFrame],
    weights: dict[str, str],
    *,
    paths: ModelPaths,
) -> None:
    """Learn from the errors of such predictions how wide an interval has to be, and write and draw it.

    Args:
        weights: the hash of each target's saved weights that were trained as those of the folds were.
    """
    songs, numbers = folds[0].without_extra, fold_numbers(folds)
    intervals, measured = {}, {}
    for target in targets:
        truth, (values, std) = songs[target].to_numpy(), predicted[target][["predicted", "std"]].to_numpy().T
        intervals[target] = interval = fit_interval(truth, values, std, numbers)
        measured[target] = measure_interval(truth, values, std, numbers)
        draw_calibration(
            target, truth, predicted[target], interval, measured[target], paths.picture(f"{target}_calibration")
        )
        coverage, width = (measured[target][name] for name in ("coverage", "width"))
        print(f"{target}: 90 % intervals hold {coverage:.1%}, mean width {width:.2f}")
        if target not in weights:
            print(
                f"{target}: there is no model in {printable(str(paths.root))} that was trained with these settings, "
                "for which alone the interval holds; train it, then run this again, which takes seconds"
            )
    correlation = error_correlation(intervals, songs, predicted) if set(AXES) <= set(targets) else None
    write_intervals(paths, intervals, measured, weights, correlation=correlation)


def prepare(arguments: argparse.Namespace, data: DataPaths) -> tuple[Corpus, list[Corpus], TrainingConfig]:
    """The songs, the folds if they are cross-validated, and the settings."""
    corpus = read_corpus(data, arguments.extra)
    n_groups = corpus.without_extra["group"].nunique()
    if arguments.folds is not None and n_groups < 2 * arguments.folds:
        raise UserError(f"--folds {arguments.folds} needs twice as many artists; there are {n_groups}")
    folds = []
    if arguments.folds is not None:
        folds = make_folds(corpus, n_folds=arguments.folds, seed=arguments.seed)
    return corpus, folds, training_config(arguments, corpus)


def join_training(arguments: argparse.Namespace, data: DataPaths, paths: ModelPaths) -> None:
    """What the processes beside the first do: train the networks with it, whenever it begins with some."""
    device = select_device(arguments.device)
    corpus, folds, config = prepare(arguments, data)
    parts = {fingerprint(part, config): part for part in folds or [corpus]}
    for name, wanted, device_type in jobs():
        if wanted not in parts or device_type != device.type:
            raise UserError(
                f"process {rank()} has other songs, settings or another kind of device than the first; start all with "
                "the same command, on machines that have the same folders"
            )
        train_networks(parts[wanted], config, device=device, paths=paths, name=name)


def train_or_cross_validate(arguments: argparse.Namespace, data: DataPaths, paths: ModelPaths) -> None:
    targets = arguments.target or list(TARGETS)
    device = select_device(arguments.device)
    corpus, folds, config = prepare(arguments, data)
    if folds:
        predicted = predict_folds(folds, config, device=device, paths=paths)
        measure_folds(targets, arguments.baselines, folds, predicted, paths=paths)
        songs, weights = corpus.without_extra, weights_trained_with(corpus, config, paths)
        shares = {target: learn_share(songs[target].to_numpy(), table) for target, table in predicted.items()}
        print("share of the networks: " + ", ".join(f"{target} {share:.2f}" for target, share in shares.items()))
        mix_anew(
            shares,
            corpus,
            {target: weights[target] for target in targets if target in weights},
            device=device,
            paths=paths,
        )
        fit_intervals(targets, folds, predicted, weights, paths=paths)
        return

    models = train(targets, corpus, config, device=device, paths=paths)
    measure_baselines(targets, arguments.baselines, corpus, data=data, paths=paths, seed=arguments.seed)
    warn_of_few_songs("test", corpus.test)
    print(printable(f"models in {paths.root}, results in {paths.results}"))
    if missing := [target for target in TARGETS if not paths.description(target).exists()]:
        print(f"to predict with them, train those of {', '.join(missing)} as well")
        return
    describe_known_songs(models, corpus, paths)
    if without_interval(paths, weights_of(descriptions(paths))):
        print(
            "to mix their parts by what songs tell, and for intervals, run the same command again with --folds 5 added"
        )
    if not paths.audio_features.exists():
        print("for tempo, key, loudness and the like, run tools/fit_audio_features.py with the same folders")
    print(printable(f"to predict with them: python model_demo.py --models {paths.root}"))


def main() -> int:
    with only_first_prints():
        arguments = parse_arguments()
    data, paths = DataPaths(arguments.data), ModelPaths(arguments.models)
    with together():
        if not data.splits.exists():  # before anything is made, as in a folder where nothing belongs
            raise missing_file(data.splits, "data_loading.py")
        if rank() > 0:
            join_training(arguments, data, paths)
        else:
            with only_writer(paths.root, "model_train.py"):
                train_or_cross_validate(arguments, data, paths)
            from_first(None)  # ends the others' jobs
    return 0


if __name__ == "__main__":
    run(main, goes_on=True)
