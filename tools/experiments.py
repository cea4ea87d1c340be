"""Laboratory: cross-validate a named experiment, and note what came of it.

    python tools/experiments.py                                      lists the experiments
    python tools/experiments.py long --extra data/more --seeds 0 1   runs one, twice with other folds and seeds
    python tools/experiments.py songs-100 songs-400 --extra data/more

Reads data/ as model_train.py does. Appends a row per target to docs/experiments.csv and, when experiments with fewer
songs are in there, draws docs/learning_curve.png. A stopped run goes on where it was. Each fold takes minutes.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from music_learning.columns import TARGETS
from music_learning.errors import UserError, printable, run
from music_learning.evaluation.cross_validation import make_folds, predict_folds
from music_learning.evaluation.metrics import Metrics, evaluate
from music_learning.features.config import FeatureConfig
from music_learning.files import check_output, read_table, write_table
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.paths import DataPaths, ModelPaths
from music_learning.plots.style import TARGET_COLORS, save_figure
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.training.augmentation import AugmentationConfig
from music_learning.training.config import KernelConfig, TrainingConfig
from music_learning.training.device import select_device

N_FOLDS = 5
METRICS = tuple(f.name for f in fields(Metrics))
COLUMNS = ("date", "experiment", "target", "seeds", "songs", *METRICS, "minutes", "weights", "settings")


@dataclass(frozen=True)
class Experiment:
    """What is tried: training settings, and how many songs each fold's networks learn from (None: all)."""

    config: TrainingConfig = field(default_factory=TrainingConfig)
    n_songs: int | None = None


EXPERIMENTS = {
    "released": Experiment(),
    "one-network": Experiment(TrainingConfig(n_members=1)),
    "four-networks": Experiment(TrainingConfig(n_members=4)),
    "long": Experiment(TrainingConfig(epochs=88)),
    "crop-15-s": Experiment(TrainingConfig(crop_frames=468)),
    "gain-1-db": Experiment(TrainingConfig(augmentation=AugmentationConfig(gain_db=1.0))),
    "wide": Experiment(TrainingConfig(network=NetworkConfig(channels=128))),
    "groups-alike": Experiment(TrainingConfig(kernel=KernelConfig(relevance_prior_std=0.01))),
    **{f"songs-{n}": Experiment(n_songs=n) for n in (100, 200, 400, 800)},
}


def limited(fold: Corpus, n_songs: int | None, seed: int) -> Corpus:
    """The same songs with `n_songs` of those that the networks learn from, drawn by the seed."""
    if n_songs is None:
        return fold
    training = fold.train_and_extra.index
    left_out = training[np.random.default_rng(seed).permutation(len(training))[n_songs:]]
    songs = fold.songs.drop(left_out.intersection(fold.extra.index))
    songs.loc[left_out.intersection(fold.train.index), "split"] = "unused"
    return replace(fold, songs=songs)


def run_experiment(
    name: str, corpus: Corpus, *, seeds: list[int], device: torch.device, paths: ModelPaths
) -> list[dict[str, str]]:
    """Cross-validate with each seed. Returns a row of COLUMNS per target: means over the seeds."""
    experiment, start = EXPERIMENTS[name], time.perf_counter()
    measured, n_training = {target: [] for target in TARGETS}, []
    for seed in seeds:
        config = replace(experiment.config, seed=seed, features=FeatureConfig(corpus.spectrograms.config))
        folds = [limited(fold, experiment.n_songs, seed) for fold in make_folds(corpus, n_folds=N_FOLDS, seed=seed)]
        n_training += [len(fold.train_and_extra) for fold in folds]
        predicted = predict_folds(folds, config, device=device, paths=paths)
        for target in TARGETS:
            metrics = evaluate(
                corpus.without_extra[target], predicted[target]["predicted"], corpus.without_extra["group"]
            )
            print(f"{name}, seed {seed}: {target} {metrics}", flush=True)
            measured[target].append(metrics)
    network = MoodNetwork(replace(experiment.config.network, outputs=TARGETS[:1]))
    common = {
        "date": datetime.now(UTC).date().isoformat(),
        "experiment": name,
        "seeds": " ".join(map(str, seeds)),
        "songs": str(round(np.mean(n_training))),
        "minutes": f"{(time.perf_counter() - start) / 60:.0f}",
        "weights": str(experiment.config.n_members * sum(weight.numel() for weight in network.parameters())),
        "settings": json.dumps(differences(asdict(experiment.config), asdict(TrainingConfig()))),
    }
    return [{"target": target, **common, **means(measured[target])} for target in TARGETS]


def means(measured: list[Metrics]) -> dict[str, str]:
    """The mean of each metric, as text."""
    values = {name: np.mean([getattr(metrics, name) for metrics in measured]) for name in METRICS}
    return {name: f"{value:.0f}" if name == "n" else f"{value:.4f}" for name, value in values.items()}


def differences(settings: dict, default: dict) -> dict:
    """The settings that aren't the default, nested as they are."""
    return {
        name: differences(value, default[name]) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value != default[name]
    }


def draw_learning_curve(rows: list[dict], path: Path) -> None:
    """R2 over the number of training songs; the newest row of each experiment counts."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for target, color in TARGET_COLORS.items():
        newest = {row["experiment"]: row for row in rows if row["target"] == target}
        curve = sorted(
            [int(row["songs"]), *(float(row[end]) for end in ("r2", "r2_low", "r2_high"))]
            for name, row in newest.items()
            if name == "released" or name.startswith("songs-")
        )
        n, r2, low, high = np.array(curve).T
        axes.errorbar(n, r2, [r2 - low, high - r2], marker="o", capsize=2, color=color, label=target)
    axes.set(xscale="log", xlabel="training songs", ylabel="R2, artists never heard", title="More data helps")
    axes.set_xticks(n, [f"{count:.0f}" for count in n], minor=False)
    axes.minorticks_off()
    axes.legend()
    save_figure(figure, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="experiments to run, one after the other")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of folds and training (default: 0)")
    parser.add_argument("--extra", type=Path, action="append", default=[], help="as for model_train.py")
    parser.add_argument("--device", choices=["auto", "cuda", "mps", "cpu"], default="auto", help="default: auto")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("trained"), help="for checkpoints (default: trained)")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the results (default: docs)")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(EXPERIMENTS)):
        raise UserError(f"there is no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    if not arguments.names:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:14} {differences(asdict(experiment.config), asdict(TrainingConfig())) or ''}")
        return 0
    table = arguments.docs / "experiments.csv"
    check_output(table)
    device = select_device(arguments.device)
    corpus = read_corpus(DataPaths(arguments.data), arguments.extra)
    for name in arguments.names:
        new = run_experiment(name, corpus, seeds=arguments.seeds, device=device, paths=ModelPaths(arguments.models))
        rows = [*(read_table(table, COLUMNS, "tools/experiments.py") if table.exists() else []), *new]
        write_table(table, COLUMNS, rows)
        if any(row["experiment"].startswith("songs-") for row in rows):
            draw_learning_curve(rows, arguments.docs / "learning_curve.png")
    print(printable(f"results in {table}"))
    return 0


if __name__ == "__main__":
    run(main)
