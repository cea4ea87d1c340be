"""How networks are trained: the settings, the loop, and an ensemble for each target."""

import copy
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import atomic
from music_learning.model.cnn import MoodNetwork
from music_learning.model.ensemble import Ensemble, EnsembleConfig
from music_learning.paths import ModelPaths
from music_learning.songs.corpus import Corpus
from music_learning.songs.dataset import SpectrogramDataset, make_loader
from music_learning.training.augmentation import augment
from music_learning.training.config import TrainingConfig
from music_learning.training.kernel import fit_kernel_models

EVALUATION_BATCH = 16


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

    def stalled(self, validate_from: int, patience: int) -> bool:
        """Whether no target has improved for `patience` epochs; those before `validate_from` don't count."""
        return len(self.history) >= max(validate_from, *self.best_epoch.values()) + patience

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
    corpus: Corpus,
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

    Random numbers come anew for each epoch from the seed and the epoch's number, so that a run that went on from a
    checkpoint ends as one that was never stopped.

    Args:
        checkpoint: written after each epoch.
        progress: called after each epoch.

    Returns:
        The finished run; its `best` states are what to use.
    """
    train_set = SpectrogramDataset(corpus.spectrograms, corpus.training, TARGETS, crop_frames=config.crop_frames)
    validation_set = SpectrogramDataset(corpus.spectrograms, corpus.validation, TARGETS)
    variances = label_variances(train_set)
    torch.manual_seed(config.seed)
    network = MoodNetwork(replace(config.network, outputs=TARGETS))
    network.set_input_statistics(*corpus.band_statistics)
    network.set_output_means(train_set.labels.mean(dim=0))
    training = TrainingRun(network.to(device), config)
    training.load(checkpoint)
    validate_from = round(config.validate_from * config.epochs)
    while (epoch := len(training.history)) < config.epochs and not training.stalled(validate_from, config.patience):
        training.history.append((train_epoch(training, train_set, epoch, config, device), None))
        done = epoch + 1
        if done == config.epochs or (done >= validate_from and (done - validate_from) % config.validate_every == 0):
            predicted = torch.from_numpy(predict(training.average, validation_set, device))
            losses = (predicted - validation_set.labels).square().mean(dim=0) / variances
            training.validated(losses.tolist(), config.smoothing)
        training.save(checkpoint)
        progress(training)
    return training


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
        rate = config.learning_rate * learning_rate_factor(step / (config.epochs * len(loader)), config.warmup_fraction)
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
        update_average(training.average, network, min(config.ema_decay, (1 + step) / (10 + step)))
    return torch.stack(losses).mean(dim=0).tolist()


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device calculates in bfloat16 by itself, which makes training half as fast again."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def learning_rate_factor(done: float, warmup_fraction: float) -> float:
    """The learning rate as a share of its maximum, after a share `done` of all steps."""
    if done < warmup_fraction:
        return done / warmup_fraction
    return 0.5 * (1 + math.cos(math.pi * (done - warmup_fraction) / (1 - warmup_fraction)))


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
    """What a model predicts of whole clips, in the dataset's order: (songs, ...) as its forward gives (B, ...)."""
    alike = len(set(dataset.frames)) == 1  # clips of other lengths would have to be filled up
    batches = make_loader(dataset, batch_size=EVALUATION_BATCH if alike else 1)
    return torch.cat([model(spectrograms.to(device)).cpu() for spectrograms, _ in batches]).numpy()


def train_ensembles(
    corpus: Corpus, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> tuple[dict[str, Ensemble], list[TrainingRun]]:
    """Train the networks of all targets. Returns each target's model, and the training runs.

    Raises UserError where the spectrograms are of another pipeline than the features of the config.
    """
    if difference := corpus.spectrograms.config.differences(config.features.pipeline):
        raise UserError(f"the spectrograms and the features have different pipeline settings: {difference}")
    runs = []
    with tqdm(total=config.n_members * config.epochs, desc=name, unit="epoch", disable=None) as bar:
        for member, checkpoint in enumerate(checkpoint_paths(corpus, config, paths, name)):

            def progress(training: TrainingRun, member: int = member) -> None:
                bar.n = member * config.epochs + len(training.history)
                bar.set_postfix({target: f"{loss:.3f}" for target, loss in training.best_loss.items()})

            member_config = replace(config, seed=config.seed * 100 + member)
            runs.append(train_network(corpus, member_config, device=device, checkpoint=checkpoint, progress=progress))
        bar.n = bar.total
    models = {}
    for target, svr in fit_kernel_models(corpus, config).items():
        model = Ensemble(
            EnsembleConfig(
                features=config.features,
                network=replace(config.network, outputs=(target,)),
                n_members=config.n_members,
                n_support=len(svr.support_vectors),
                kernel=svr.kernel,
                networks_share=config.networks_share,
            )
        )
        for member, training in zip(model.members, runs, strict=True):
            member.load_state_dict(training.best[target])
        model.svr = svr
        models[target] = model.to(device).eval()
    return models, runs


def checkpoint_paths(corpus: Corpus, config: TrainingConfig, paths: ModelPaths, name: str) -> list[Path]:
    """Where each member's checkpoint lies; other songs or settings have others."""
    return [
        paths.checkpoint(f"{name}-{member}-{fingerprint(corpus, config)[:16]}") for member in range(config.n_members)
    ]


def fingerprint(corpus: Corpus, config: TrainingConfig) -> str:
    """A hash of everything that decides a model."""
    return hashlib.sha256(json.dumps([asdict(config), corpus.fingerprint]).encode()).hexdigest()


def select_device(name: str) -> torch.device:
    """The device of this name; `auto` takes the first there is of cuda, mps and cpu. Raises UserError without it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise UserError(f"there is no {name} device here; use --device auto")
    return torch.device(name)
