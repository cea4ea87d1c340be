"""The training of one network: epochs over the songs, and which weights are kept."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from music_learning.columns import TARGETS
from music_learning.errors import UserError, printable
from music_learning.model.cnn import MoodNetwork
from music_learning.songs.corpus import Corpus
from music_learning.songs.dataset import SpectrogramDataset, make_loader
from music_learning.training.augmentation import augment
from music_learning.training.checkpoint import TrainingRun
from music_learning.training.config import TrainingConfig
from music_learning.training.device import has_bfloat16
from music_learning.training.distributed import (
    from_first,
    in_step,
    mean_of_all,
    n_processes,
    own_seed,
    own_share,
    rank,
)

EVALUATION_BATCH = 16


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
    one. Each target then gets a network of its own, with one output, as it was at the epoch with the lowest validation
    loss of all targets: so they share all layers but the last one, which need to be run only once. Validation begins
    when the learning rate has fallen; training stops early when that loss has not become lower for a while.

    Random numbers come anew for each epoch from the seed and the epoch's number, so that a run that went on from a
    checkpoint ends as one that was never stopped.

    Of several processes the first validates, writes and calls `progress`; all have the same weights and history, and so
    decide the same.

    Args:
        checkpoint: written after each epoch.
        progress: called after each epoch.

    Raises:
        UserError: there are too few songs for the processes, or they read other checkpoints.

    Returns:
        The finished run; its `best` states are what to use.
    """
    train_set = SpectrogramDataset(corpus.spectrograms, corpus.train_and_extra, TARGETS, crop_frames=config.crop_frames)
    validation_set = SpectrogramDataset(corpus.spectrograms, corpus.validation, TARGETS)
    if len(train_set) < n_processes():
        raise UserError(f"{len(train_set)} training songs are too few for {n_processes()} processes; start fewer")
    variances = label_variances(train_set)
    torch.manual_seed(config.seed)
    network = MoodNetwork(replace(config.network, outputs=TARGETS))
    network.set_input_statistics(*corpus.band_statistics)
    network.set_output_means(train_set.labels.mean(dim=0))
    training = TrainingRun(network.to(device), config)
    training.load(checkpoint)
    history = [list(losses) for losses in training.history]
    if from_first(history) != history:
        raise UserError(printable(f"{checkpoint} is another file here; --models is a folder that all machines share"))
    in_training = in_step(training.network, device)
    validate_from = round(config.validate_from * config.epochs)
    while (epoch := len(training.history)) < config.epochs and not training.stalled(validate_from, config.patience):
        training.history.append((train_epoch(training, in_training, train_set, epoch, config, device), None))
        done = epoch + 1
        if done == config.epochs or (done >= validate_from and (done - validate_from) % config.validate_every == 0):
            losses = validate(training, validation_set, variances, device) if rank() == 0 else []
            training.validated(from_first(losses), config.smoothing)
        if rank() == 0:
            training.save(checkpoint)
            progress(training)
    return training


def validate(
    training: TrainingRun, validation_set: SpectrogramDataset, variances: Tensor, device: torch.device
) -> list[float]:
    """Each target's mean loss with the average weights: squared error as a share of the labels' variance."""
    predicted = torch.from_numpy(predict(training.average, validation_set, device))
    return ((predicted - validation_set.labels).square().mean(dim=0) / variances).tolist()


def label_variances(dataset: SpectrogramDataset) -> Tensor:
    """The variance of each target's labels, (targets,), or 1 where all are equal."""
    variances = dataset.labels.var(dim=0)
    return torch.where(variances > 0, variances, 1.0)


def train_epoch(
    training: TrainingRun,
    in_training: nn.Module,
    train_set: SpectrogramDataset,
    epoch: int,
    config: TrainingConfig,
    device: torch.device,
) -> list[float]:
    """Train on each song once. Returns each target's mean loss: squared error as a share of the labels' variance.

    Args:
        in_training: the network of the run, as `in_step` gives it.
    """
    seed = config.seed * 1_000_003 + epoch
    torch.manual_seed(own_seed(seed))  # decides the dropout
    generator = torch.Generator().manual_seed(own_seed(seed))
    train_set.generator = generator
    share = own_share(train_set, seed)
    loader = make_loader(train_set, batch_size=config.batch_size, shuffle=True, generator=generator, sampler=share)
    variances = label_variances(train_set).to(device)
    network, optimizer, losses = training.network.train(), training.optimizer, []
    floor_db = config.features.pipeline.floor_db
    for step, (spectrograms, labels) in enumerate(loader, start=epoch * len(loader)):
        rate = config.learning_rate * learning_rate_factor(step / (config.epochs * len(loader)), config.warmup_fraction)
        for group in optimizer.param_groups:
            group["lr"] = rate
        levels_db = spectrograms[:, : config.network.n_mels].to(device)
        x = augment(levels_db, network.band_mean_db, floor_db, config.augmentation, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            predicted = in_training(x)
        loss = (predicted.float() - labels.to(device)).square().mean(dim=0) / variances
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        losses.append(loss.detach())
        update_average(training.average, network, min(config.ema_decay, (1 + step) / (10 + step)))
    return mean_of_all(torch.stack(losses).mean(dim=0)).tolist()


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
