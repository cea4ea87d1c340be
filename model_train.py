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
import copy
import hashlib
import json
import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import safetensors
import torch
import torchaudio
from matplotlib.figure import Figure
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.svm import SVR
from torch import Tensor, nn
from tqdm import tqdm

import baselines
from artifacts import (
    SPLITS,
    TARGETS,
    DataPaths,
    ModelPaths,
    SpectrogramSet,
    atomic,
    read_songs,
    read_table,
    save_figure,
    write_table,
)
from augmentation import AugmentationConfig, augment
from data_loading import SpectrogramDataset, artist_groups, make_loader, read_splits
from errors import UserError, run
from evaluation import Metrics, evaluate
from network import Ensemble, KernelRegression, MoodNetwork, NetworkConfig, load_model, save_model
from parallel import cpu_count
from statistics_layer import clip_statistics

RESULT_COLUMNS = ("target", "model", "split", *(f.name for f in fields(Metrics)))
PREDICTION_COLUMNS = ("song_id", "true", "predicted")
BASELINES = ("mean", "ridge", "original")
VALIDATION_SHARE = 0.08  # of the training artists' groups, in cross-validation
EVALUATION_BATCH = 16
MIN_DEVIATION = 1e-3  # of a statistic


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run besides the data."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    n_members: int = 2  # networks per target, from different seeds
    epochs: int = 44  # at most, each over all training songs; the learning rate's schedule spans them
    batch_size: int = 24
    crop_frames: int = 256  # 8 s out of each song, another stretch in each epoch
    learning_rate: float = 2e-3  # at its highest
    warm_up: float = 0.15  # share of the steps in which the learning rate rises; a half cosine brings it down
    weight_decay: float = 0.02
    averaging: float = 0.99  # decay of the running average of the weights, which is what is kept
    settled: float = 0.75  # share of the epochs before validation: until then chance decides which seems best
    validate_every: int = 2  # epochs
    smoothing: int = 3  # up to so many validations, whose mean loss decides: one is noisy with so few songs
    patience: int = 8  # stop when no target has improved for so many epochs
    kernel_cost: float = 0.3  # of the kernel regression: how much an error weighs against smoothness
    kernel_tolerance: float = 0.02  # errors up to this cost nothing
    seed: int = 0


@dataclass(frozen=True)
class Songs:
    """Rows of songs.csv with their spectrograms, and the split they are in."""

    spectrograms: SpectrogramSet
    train: list[dict[str, str]]
    validation: list[dict[str, str]]
    test: list[dict[str, str]]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the songs, their labels and clips, the split and the pipeline's settings."""
        digest = hashlib.sha256(json.dumps(self.spectrograms.config.to_dict()).encode())
        for split in SPLITS:
            for song in getattr(self, split):
                line = [split, song["song_id"], song["preview_sha256"], *(song[target] for target in TARGETS)]
                digest.update("\t".join(line).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def band_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each mel band over the training songs, in dB, both (n_mels,)."""
        data = self.spectrograms.memory_map()
        total, squares, n_frames = 0.0, 0.0, 0
        for song in self.train:
            frames = self.spectrograms.frames(song["song_id"])
            clip = data[self.spectrograms.rows[song["song_id"]], :, :frames].astype(np.float64)
            total, squares, n_frames = total + clip.sum(axis=1), squares + (clip**2).sum(axis=1), n_frames + frames
        mean = total / n_frames
        deviation = np.sqrt(np.maximum(squares / n_frames - mean**2, 0))
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)


class TrainingRun:
    """A network in training: its weights, their running average, the optimizer, and the best so far for each target.

    `history` has for each epoch the losses of all targets, in training and, where it was measured, in validation.
    """

    def __init__(self, network: MoodNetwork, config: TrainingConfig) -> None:
        self.network = network
        self.average = copy.deepcopy(network).eval()
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.history: list[tuple[list[float], list[float] | None]] = []
        self.best = {target: network.only(target).state_dict() for target in TARGETS}
        self.best_epoch = dict.fromkeys(TARGETS, 0)  # counted from 1
        self.best_loss = dict.fromkeys(TARGETS, math.inf)

    def validated(self, losses: list[float], smoothing: int) -> None:
        """Take note of the newest epoch's validation losses, and of the average weights where they are the best yet."""
        self.history[-1] = self.history[-1][0], losses
        recent = [validation for _, validation in self.history if validation is not None][-smoothing:]
        for target, mean in zip(TARGETS, np.mean(recent, axis=0).tolist(), strict=True):
            if mean < self.best_loss[target]:
                self.best_loss[target], self.best_epoch[target] = mean, len(self.history)
                self.best[target] = self.average.only(target).state_dict()

    def stalled(self, settled: int, patience: int) -> bool:
        """Whether no target has improved for `patience` epochs; those before `settled` don't count."""
        return len(self.history) >= max(settled, *self.best_epoch.values()) + patience

    def save(self, path: Path) -> None:
        tensors = {}
        states = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        states |= {f"best.{target}": state for target, state in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            states[f"optimizer.{index}"] = state
        for prefix, state in states.items():
            tensors |= {f"{prefix}/{name}": tensor.detach().clone().contiguous() for name, tensor in state.items()}
        progress = {"history": self.history, "best_epoch": self.best_epoch, "best_loss": self.best_loss}
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"progress": json.dumps(progress)})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; one that is missing or damaged is no checkpoint."""
        try:
            with safe_open(path, "pt") as file:
                progress = json.loads(file.metadata()["progress"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
            return
        states: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            prefix, key = name.split("/", 1)
            states.setdefault(prefix, {})[key] = tensor
        self.network.load_state_dict(states.pop("network"))
        self.average.load_state_dict(states.pop("average"))
        self.best = {target: states.pop(f"best.{target}") for target in TARGETS}
        groups = self.optimizer.state_dict()["param_groups"]
        by_index = {int(prefix.removeprefix("optimizer.")): state for prefix, state in states.items()}
        self.optimizer.load_state_dict({"state": by_index, "param_groups": groups})
        for parameter, state in self.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):  # the fused step takes them to lie in memory as the parameter does
                state[name] = torch.empty_like(parameter).copy_(state[name])
        self.history = [tuple(losses) for losses in progress["history"]]
        self.best_epoch, self.best_loss = progress["best_epoch"], progress["best_loss"]


def train_network(
    songs: Songs,
    config: TrainingConfig,
    *,
    device: torch.device,
    checkpoint: Path,
    progress: Callable[[TrainingRun], None],
) -> TrainingRun:
    """Train a network on all targets at once, going on from its checkpoint if there is one.

    What sounds danceable also says something of how positive it sounds: three labels teach more about each song than
    one. Each target then gets a network of its own, as it was at the epoch with its lowest validation loss. Validation
    begins when the learning rate has fallen; training stops early when no target's loss has become lower for a while.

    Chance is drawn anew for each epoch from the seed and the epoch's number, so that a run that went on from a
    checkpoint ends as one that was never stopped.

    Args:
        checkpoint: written after each epoch.
        progress: called after each epoch.

    Returns:
        The finished run; its `best` states are what to use.
    """
    train_set = SpectrogramDataset(songs.spectrograms, songs.train, TARGETS, crop_frames=config.crop_frames)
    validation_set = SpectrogramDataset(songs.spectrograms, songs.validation, TARGETS)
    variances = label_variances(train_set)
    torch.manual_seed(config.seed)
    network = MoodNetwork(replace(config.network, outputs=TARGETS))
    network.set_input_statistics(*songs.band_statistics)
    network.set_output_means(train_set.labels.mean(dim=0))
    training = TrainingRun(network.to(device), config)
    training.load(checkpoint)
    settled = round(config.settled * config.epochs)
    while (epoch := len(training.history)) < config.epochs and not training.stalled(settled, config.patience):
        training.history.append((train_epoch(training, train_set, epoch, config, device), None))
        done = epoch + 1
        if done == config.epochs or (done >= settled and (done - settled) % config.validate_every == 0):
            predicted = torch.from_numpy(predict(training.average, validation_set, device))
            losses = (predicted - validation_set.labels).square().mean(dim=0) / variances
            training.validated(losses.tolist(), config.smoothing)
        training.save(checkpoint)
        progress(training)
    return training


def fit_kernel_regressions(songs: Songs, config: TrainingConfig) -> dict[str, KernelRegression]:
    """Fit each target's regression on statistics of whole clips. Takes seconds, on the CPU.

    It has no epoch to choose, so the validation songs teach it, too.
    """
    dataset = SpectrogramDataset(songs.spectrograms, songs.train + songs.validation, TARGETS)
    statistics = torch.cat([clip_statistics(spectrogram[None]) for spectrogram, _ in dataset])
    regressions = {}
    for target, labels in zip(TARGETS, dataset.labels.T.numpy(), strict=True):
        regression = KernelRegression(config.network, len(statistics))
        regression.input_mean.copy_(statistics.mean(dim=0))
        regression.input_deviation.copy_(statistics.std(dim=0) + MIN_DEVIATION)
        inputs = regression.standardised(statistics)
        machine = SVR(gamma=regression.gamma, C=config.kernel_cost, epsilon=config.kernel_tolerance)
        machine.fit(inputs.numpy(), labels)
        regression.support = inputs[torch.from_numpy(machine.support_).long()]
        regression.weights = torch.from_numpy(machine.dual_coef_[0]).float()
        regression.offset.fill_(machine.intercept_[0])
        regressions[target] = regression
    return regressions


def label_variances(dataset: SpectrogramDataset) -> Tensor:
    """The variance of each target's labels, (targets,), or 1 where all are equal."""
    variances = dataset.labels.var(dim=0)
    return torch.where(variances > 0, variances, 1.0)


def train_epoch(
    training: TrainingRun, train_set: SpectrogramDataset, epoch: int, config: TrainingConfig, device: torch.device
) -> list[float]:
    """Train on each song once. Returns each target's mean loss: squared error as a share of the labels' variance."""
    seed = config.seed * 1_000_003 + epoch
    torch.manual_seed(seed)  # decides the dropout
    generator = torch.Generator().manual_seed(seed)
    train_set.generator = generator
    loader = make_loader(train_set, batch_size=config.batch_size, shuffle=True, generator=generator)
    variances = label_variances(train_set).to(device)
    network, optimizer, losses = training.network.train(), training.optimizer, []
    for step, (spectrograms, labels) in enumerate(loader, start=epoch * len(loader)):
        rate = config.learning_rate * learning_rate_factor(step / (config.epochs * len(loader)), config.warm_up)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = augment(spectrograms.to(device), network.band_mean_db, config.augmentation, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            predicted = network(x)
        loss = (predicted.float() - labels.to(device)).square().mean(dim=0) / variances
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        losses.append(loss.detach())
        update_average(training.average, network, min(config.averaging, (1 + step) / (10 + step)))
    return torch.stack(losses).mean(dim=0).tolist()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device calculates in bfloat16 by itself, which makes training half as fast again."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def learning_rate_factor(done: float, warm_up: float) -> float:
    """The learning rate as a share of its maximum, after a share `done` of all steps."""
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average of weights and batch statistics towards the network's."""
    for mean, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(new, 1 - decay)
        else:
            mean.copy_(new)


@torch.inference_mode()
def predict(model: nn.Module, dataset: SpectrogramDataset, device: torch.device) -> np.ndarray:
    """What a model says of whole clips, in the dataset's order: (songs, ...) as its forward gives (B, ...)."""
    alike = len(set(dataset.frames)) == 1  # clips of other lengths would have to be filled up
    batches = make_loader(dataset, batch_size=EVALUATION_BATCH if alike else 1)
    return torch.cat([model(spectrograms.to(device)).cpu() for spectrograms, _ in batches]).numpy()


def train_ensembles(
    songs: Songs, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> tuple[dict[str, Ensemble], list[TrainingRun]]:
    """Train the networks of all targets. Returns each target's model, and the training runs."""
    runs = []
    with tqdm(total=config.n_members * config.epochs, desc=name, unit="epoch", disable=None) as bar:
        for member, checkpoint in enumerate(checkpoint_paths(songs, config, paths, name)):

            def progress(training: TrainingRun, member: int = member) -> None:
                bar.n = member * config.epochs + len(training.history)
                bar.set_postfix({target: f"{loss:.3f}" for target, loss in training.best_loss.items()})

            member_config = replace(config, seed=config.seed * 100 + member)
            runs.append(train_network(songs, member_config, device=device, checkpoint=checkpoint, progress=progress))
        bar.n = bar.total
    models = {}
    for target, regression in fit_kernel_regressions(songs, config).items():
        network = replace(config.network, outputs=(target,))
        model = Ensemble(network, config.n_members, len(regression.support))
        for member, training in zip(model.members, runs, strict=True):
            member.load_state_dict(training.best[target])
        model.kernel_regression = regression
        models[target] = model.to(device).eval()
    return models, runs


def checkpoint_paths(songs: Songs, config: TrainingConfig, paths: ModelPaths, name: str) -> list[Path]:
    """Where each member's checkpoint lies; other songs or settings have others."""
    return [
        paths.checkpoint(f"{name}-{member}-{fingerprint(songs, config)[:16]}") for member in range(config.n_members)
    ]


def fingerprint(songs: Songs, config: TrainingConfig) -> str:
    """A hash of everything that decides a model."""
    return hashlib.sha256(json.dumps([asdict(config), songs.fingerprint]).encode()).hexdigest()


def describe(target: str, songs: Songs, config: TrainingConfig, runs: list[TrainingRun], metrics: Metrics) -> dict:
    """What a model's JSON says besides its network and the hash of its weights."""
    labels = np.array([float(song[target]) for song in songs.train])
    return {
        "pipeline": songs.spectrograms.config.to_dict(),
        "training": {name: value for name, value in asdict(config).items() if name != "network"},
        "best_epochs": [training.best_epoch[target] for training in runs],
        "best_validation_losses": [training.best_loss[target] for training in runs],
        "data": {"sha256": songs.fingerprint, **{split: len(getattr(songs, split)) for split in SPLITS}},
        "training_labels": {"mean": labels.mean(), "deviation": labels.std()},
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


def write_predictions(path: Path, target: str, songs: list[dict[str, str]], predicted: np.ndarray) -> None:
    rows = (
        {"song_id": song["song_id"], "true": song[target], "predicted": f"{value:.6f}"}
        for song, value in zip(songs, predicted, strict=True)
    )
    write_table(path, PREDICTION_COLUMNS, rows)


def read_predictions(path: Path, songs: list[dict[str, str]]) -> np.ndarray:
    rows = read_table(path, PREDICTION_COLUMNS, "model_train.py")
    by_id = {row["song_id"]: float(row["predicted"]) for row in rows}
    return np.array([by_id[song["song_id"]] for song in songs])


def cross_validate(
    targets: list[str],
    songs: list[dict[str, str]],
    spectrograms: SpectrogramSet,
    config: TrainingConfig,
    groups: dict[str, str],
    *,
    n_folds: int,
    names: list[str],
    device: torch.device,
    paths: ModelPaths,
) -> list[dict]:
    """Predict each song by models, and baselines of these names, that never heard its artists.

    Returns:
        Result rows, over all songs together.
    """
    song_groups = np.array([groups[song["song_id"]] for song in songs])
    truth = np.array([[float(song[target]) for target in TARGETS] for song in songs])
    features = baselines.statistics(spectrograms, [song["song_id"] for song in songs])
    predictions = {model: np.zeros(truth.shape) for model in ("ours", *names)}
    folds = GroupKFold(n_folds, shuffle=True, random_state=config.seed).split(songs, groups=song_groups)
    for fold, (others, held_out) in enumerate(folds, 1):
        inner = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=config.seed)
        train, validation = next(inner.split(others, groups=song_groups[others]))
        parts = ([songs[i] for i in part] for part in (others[train], others[validation], held_out))
        fold_songs = Songs(spectrograms, *parts)
        ours = fold_predictions(fold_songs, config, device=device, paths=paths, name=f"fold{fold}of{n_folds}")
        for column, target in enumerate(TARGETS):
            predictions["ours"][held_out, column] = ours[target]
            labels = truth[others, column]
            if "mean" in names:
                predictions["mean"][held_out, column] = baselines.predict_mean(labels, len(held_out))
            if "ridge" in names:
                by_ridge = baselines.predict_ridge(features[others], labels, features[held_out])
                predictions["ridge"][held_out, column] = by_ridge
    split, rows = f"{n_folds}-fold", []
    for target in targets:
        for model, values in predictions.items():
            predicted = values[:, TARGETS.index(target)]
            metrics = measure(target, songs, predicted, groups)
            print(f"{target}: {model}, {split} cross-validation {metrics}")
            rows.append(result_row(target, model, split, metrics))
            if model == "ours":
                write_predictions(paths.predictions(target, split), target, songs, predicted)
                draw_predictions(target, songs, predicted, metrics, paths.picture(f"{target}_{split}"))
    return rows


def fold_predictions(
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


def update_results(path: Path, rows: list[dict]) -> None:
    """Put result rows in place of those with the same target, model and split."""

    def key(row: dict) -> tuple[str, ...]:
        return row["target"], row["split"], row["model"]

    old = read_table(path, RESULT_COLUMNS, "model_train.py") if path.exists() else []
    replaced = {key(row) for row in rows}
    write_table(path, RESULT_COLUMNS, sorted([row for row in old if key(row) not in replaced] + rows, key=key))


def draw_losses(target: str, runs: list[TrainingRun], path: Path) -> None:
    """Training and validation loss over the epochs, the epoch that was kept marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    column = TARGETS.index(target)
    for member, training in enumerate(runs):
        train = [losses[column] for losses, _ in training.history]
        validation = {epoch: losses[column] for epoch, (_, losses) in enumerate(training.history, 1) if losses}
        label = {"label": None} if member else {}
        axes.plot(range(1, len(train) + 1), train, color="#4c72b0", **({"label": "training, augmented"} | label))
        axes.plot(
            *zip(*validation.items(), strict=True), color="#dd8452", marker=".", **({"label": "validation"} | label)
        )
        axes.axvline(training.best_epoch[target], color="#55a868", linewidth=0.8, **({"label": "kept"} | label))
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":", label="predicting the mean")
    axes.set(xlabel="epoch", ylabel="squared error / variance of the labels", title=f"{target}: loss", ylim=(0, 1.3))
    axes.legend()
    save_figure(figure, path)


def draw_predictions(
    target: str, songs: list[dict[str, str]], predicted: np.ndarray, metrics: Metrics, path: Path
) -> None:
    """Predicted against true values, a point per song."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    axes.scatter([float(song[target]) for song in songs], predicted, s=14, alpha=0.5, color="#4c72b0", linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Spotify's value", ylabel="predicted")
    axes.set_title(
        f"{target}, {metrics.n} songs by artists never heard in training\n"
        f"R2 {metrics.r2:.2f}, MAE {metrics.mae:.3f}, rho {metrics.rho:.2f}",
        fontsize=10,
    )
    save_figure(figure, path)


def select_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first there is of cuda, mps and cpu. Raises UserError without it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"there is no {name} device here; use --device auto")
    return torch.device(name)


def read_data(paths: DataPaths) -> tuple[list[dict[str, str]], dict[str, str], SpectrogramSet]:
    """The songs that have a split and a spectrogram, their splits, and the spectrograms."""
    splits = read_splits(paths)
    songs = [song for song in read_songs(paths) if song["song_id"] in splits]
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    if missing := [song["song_id"] for song in songs if not spectrograms.has(song)]:
        raise UserError(
            f"{len(missing)} songs, {missing[0]} first, lack an up-to-date spectrogram; run data_loading.py first"
        )
    for split in SPLITS:
        if (count := sum(splits[song["song_id"]] == split for song in songs)) < 2:
            raise UserError(f"only {count} songs in the {split} split, at least 2 are needed; collect more songs")
    return songs, splits, spectrograms


def split_songs(songs: list[dict[str, str]], splits: dict[str, str], spectrograms: SpectrogramSet) -> Songs:
    """Sort the songs into their splits."""
    return Songs(spectrograms, *([song for song in songs if splits[song["song_id"]] == split] for split in SPLITS))


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
    groups = {song["song_id"]: group[0]["song_id"] for group in artist_groups(songs) for song in group}
    network = NetworkConfig(n_mels=spectrograms.config.n_mels)
    config = TrainingConfig(network=network, epochs=arguments.epochs, n_members=arguments.members, seed=arguments.seed)
    if arguments.folds is not None:
        n_groups = len(set(groups.values()))
        if n_groups < 2 * arguments.folds:
            raise UserError(f"--folds {arguments.folds} needs twice as many artists; there are {n_groups}")
        rows = cross_validate(
            targets,
            songs,
            spectrograms,
            config,
            groups,
            n_folds=arguments.folds,
            names=[name for name in arguments.baselines if name != "original"],
            device=device,
            paths=paths,
        )
        update_results(paths.results, rows)
        return 0

    placed = split_songs(songs, splits, spectrograms)
    update_results(paths.results, train_targets(targets, placed, config, groups, device=device, paths=paths))
    rows = measure_baselines(targets, placed, arguments.baselines, groups, paths=paths, data=data, seed=arguments.seed)
    update_results(paths.results, rows)
    print(f"models in {paths.root}, results in {paths.results}")
    return 0


if __name__ == "__main__":
    run(main)
