"""How the models of all targets are fitted: the networks' members one after the other, then the kernel models."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from music_learning.errors import UserError
from music_learning.model.cnn import MoodNetwork
from music_learning.model.ensemble import Ensemble, EnsembleConfig
from music_learning.paths import ModelPaths
from music_learning.songs.corpus import Corpus
from music_learning.training.checkpoint import TrainingRun
from music_learning.training.config import TrainingConfig
from music_learning.training.distributed import from_first, rank
from music_learning.training.fingerprint import fingerprint
from music_learning.training.kernel import fit_kernel_models
from music_learning.training.loop import train_network


def train_ensembles(
    corpus: Corpus, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> tuple[dict[str, Ensemble], list[TrainingRun]]:
    """Train the models of all targets. Returns each target's, and the training runs.

    Other processes train the networks with this one, the first: their `jobs` have the name, what they train and on
    which device.

    Raises UserError where the spectrograms are of another pipeline than the features of the config.
    """
    if difference := corpus.spectrograms.config.differences(config.features.pipeline):
        raise UserError(f"the spectrograms and the features have different pipeline settings: {difference}")
    from_first((name, fingerprint(corpus, config), device.type))
    runs = train_networks(corpus, config, device=device, paths=paths, name=name)
    models = {}
    for target, kernel in fit_kernel_models(corpus, config).items():
        model = Ensemble(
            EnsembleConfig(
                features=config.features,
                network=replace(config.network, outputs=(target,)),
                n_members=config.n_members,
                n_songs=len(kernel.songs),
                networks_share=config.networks_share,
            )
        )
        model.members = nn.ModuleList(trained_network(training, target).folded() for training in runs)
        model.kernel = kernel
        models[target] = model.to(device).eval()
    return models, runs


def train_networks(
    corpus: Corpus, config: TrainingConfig, *, device: torch.device, paths: ModelPaths, name: str
) -> list[TrainingRun]:
    """Train each member's network of all targets, with a progress bar."""
    runs = []
    hidden = None if rank() == 0 else True  # None: where there is no terminal
    with tqdm(total=config.n_members * config.epochs, desc=name, unit="epoch", disable=hidden) as bar:
        for member, checkpoint in enumerate(checkpoint_paths(corpus, config, paths, name)):

            def progress(training: TrainingRun, member: int = member) -> None:
                bar.n = member * config.epochs + len(training.history)
                bar.set_postfix({target: f"{loss:.3f}" for target, loss in training.best_loss.items()})

            member_config = replace(config, seed=config.seed * 100 + member)
            runs.append(train_network(corpus, member_config, device=device, checkpoint=checkpoint, progress=progress))
        bar.n = bar.total
    return runs


def trained_network(training: TrainingRun, target: str) -> MoodNetwork:
    """The network of one target, as it was at its best epoch."""
    network = training.network.only(target)
    network.load_state_dict(training.best[target])
    return network


def checkpoint_paths(corpus: Corpus, config: TrainingConfig, paths: ModelPaths, name: str) -> list[Path]:
    """Where each member's checkpoint lies; other songs or settings have others."""
    run = fingerprint(corpus, config)[:16]
    return [paths.checkpoint(f"{name}-{member}-{run}") for member in range(config.n_members)]
