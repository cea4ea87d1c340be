"""How networks are trained: the settings, the loop, and an ensemble for each target."""

import copy
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.svm import SVR
from torch import Tensor, nn
from tqdm import tqdm

from data_loading import SpectrogramDataset, artist_names, make_loader, read_splits
from music_learning.errors import UserError
from music_learning.features.clip import clip_statistics, statistic_weights
from music_learning.files import (
    SPLITS,
    TARGETS,
    DataPaths,
    ModelPaths,
    SpectrogramSet,
    SpectrogramSets,
    atomic,
    read_songs,
)
from music_learning.model.cnn import Ensemble, KernelRegression, MoodNetwork, NetworkConfig
from music_learning.training.augmentation import AugmentationConfig, augment

EVALUATION_BATCH = 16
MIN_DEVIATION = 1e-3  # of a statistic


@dataclass(frozen=True)
class KernelConfig:
    """Settings of one target's `KernelRegression`."""

    gamma: float  # how near songs must be to be alike
    exponent: float  # of the distance
    cost: float  # of errors, against smoothness
    group_weights: dict[str, float]  # of the groups of statistics that count more or less than the others


def less(*groups: str) -> dict[str, float]:
    """Weights of groups that count half as much as others."""
    return dict.fromkeys(groups, 0.5)


# Of the TARGETS in order; what was tried is in docs/experiments.md.
KERNELS = (
    KernelConfig(
        gamma=0.25,
        exponent=2.0,
        cost=0.3,
        group_weights={"tonality": 4} | less("deviation", "change", "rise", "timbre deviation", "chords"),
    ),
    KernelConfig(
        gamma=0.1,
        exponent=1.0,
        cost=0.5,
        group_weights={"dynamics": 4, "tempo": 4, "modulation": 2, "pulse": 2, "onsets": 2, "lopsidedness": 2}
        | less("intervals", "chords", "bass", "persistence", "tone strength", "timbre", "spacing"),
    ),
    KernelConfig(
        gamma=0.1,
        exponent=1.0,
        cost=1.2,
        group_weights={"persistence": 6, "chords": 5, "peaks": 3, "lopsidedness": 3}
        | {"tone strength": 2, "tonality": 2, "spacing": 2, "rise": 2}
        | less("dynamics", "modulation", "tempo", "pulse", "repetition", "bass", "timbre deviation", "timbre change"),
    ),
)


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
    kernels: tuple[KernelConfig, ...] = KERNELS
    kernel_tolerance: float = 0.02  # errors up to this cost nothing
    seed: int = 0


@dataclass(frozen=True)
class Songs:
    """Rows of songs.csv with their spectrograms, and the split they are in; `extra` ones join the training."""

    spectrograms: SpectrogramSet | SpectrogramSets
    train: list[dict[str, str]]
    validation: list[dict[str, str]]
    test: list[dict[str, str]]
    extra: list[dict[str, str]] = field(default_factory=list)

    @property
    def taught(self) -> list[dict[str, str]]:
        """All songs that the networks are trained on."""
        return self.train + self.extra

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the songs, their labels and clips, the split and the pipeline's settings."""
        digest = hashlib.sha256(json.dumps(self.spectrograms.config.to_dict()).encode())
        for split in (*SPLITS, "extra"):
            for song in getattr(self, split):
                line = [split, song["song_id"], song["preview_sha256"], *(song[target] for target in TARGETS)]
                digest.update("\t".join(line).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def band_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each mel band over the training songs, in dB, both (n_mels,)."""
        total, squares, n_frames, n_mels = 0.0, 0.0, 0, self.spectrograms.config.n_mels
        for song in self.taught:
            clip = self.spectrograms.spectrogram(song["song_id"])[:n_mels].astype(np.float64)
            total, squares = total + clip.sum(axis=1), squares + (clip**2).sum(axis=1)
            n_frames += clip.shape[1]
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
    train_set = SpectrogramDataset(songs.spectrograms, songs.taught, TARGETS, crop_frames=config.crop_frames)
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
    dataset = SpectrogramDataset(songs.spectrograms, songs.taught + songs.validation, TARGETS)
    statistics = torch.cat([clip_statistics(spectrogram[None]) for spectrogram, _ in dataset])
    regressions = {}
    for target, labels, kernel in zip(TARGETS, dataset.labels.T.numpy(), config.kernels, strict=True):
        regression = KernelRegression(config.network.n_mels, len(statistics))
        regression.input_mean.copy_(statistics.mean(dim=0))
        regression.input_deviation.copy_(statistics.std(dim=0) + MIN_DEVIATION)
        regression.input_scale.copy_(statistic_weights(config.network.n_mels, kernel.group_weights).sqrt())
        regression.gamma.fill_(kernel.gamma)
        regression.exponent.fill_(kernel.exponent)
        inputs = regression.scaled(statistics)
        machine = SVR(kernel="precomputed", C=kernel.cost, epsilon=config.kernel_tolerance)
        machine.fit(regression.likeness(inputs, inputs).numpy(), labels)
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
        x = augment(
            spectrograms[:, : config.network.n_mels].to(device), network.band_mean_db, config.augmentation, generator
        )
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


def select_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first there is of cuda, mps and cpu. Raises UserError without it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"there is no {name} device here; use --device auto")
    return torch.device(name)


def by_other_artists(songs: list[dict[str, str]], taken: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of the songs that share no artist with the songs that are taken."""
    names = {name for song in taken for name in artist_names(song)}
    return [song for song in songs if names.isdisjoint(artist_names(song))]


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


def read_extra(
    roots: list[Path], songs: list[dict[str, str]], spectrograms: SpectrogramSet
) -> tuple[list[dict[str, str]], SpectrogramSets]:
    """The songs of other data folders that aren't among `songs`, and the spectrograms of all."""
    extra, known, sets = [], {song["song_id"] for song in songs}, [spectrograms]
    for root in roots:
        others, _, other_set = read_data(DataPaths(root))
        extra += [song for song in others if song["song_id"] not in known]
        known |= {song["song_id"] for song in others}
        sets.append(other_set)
    return extra, SpectrogramSets(sets)


def split_songs(
    songs: list[dict[str, str]],
    splits: dict[str, str],
    spectrograms: SpectrogramSet | SpectrogramSets,
    extra: list[dict[str, str]],
) -> Songs:
    """Sort the songs into their splits; the extra ones by artists of validation or test songs are left out."""
    train, validation, test = ([song for song in songs if splits[song["song_id"]] == split] for split in SPLITS)
    return Songs(spectrograms, train, validation, test, by_other_artists(extra, validation + test))
