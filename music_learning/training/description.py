"""What is written down of a trained model, and whether a saved one is what a run would train."""

import json
import platform
from datetime import UTC, datetime

import numpy as np
import safetensors
import torch
import torchaudio

from music_learning.columns import SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.files import read_json
from music_learning.model.ensemble import Ensemble, load_model
from music_learning.paths import ModelPaths
from music_learning.songs.corpus import EXTRA, Corpus
from music_learning.training.checkpoint import TrainingRun
from music_learning.training.config import TrainingConfig
from music_learning.training.fingerprint import fingerprint

IN_MODEL = ("network", "features", "n_members", "networks_share")  # settings that a model's own config has


def describe(target: str, corpus: Corpus, config: TrainingConfig, runs: list[TrainingRun], test_metrics: dict) -> dict:
    """What a model's JSON says besides its config and the hash of its weights."""
    labels = corpus.train_and_extra[target].to_numpy()
    return {
        "training": settings(config),
        "best_epochs": [training.best_epoch[target] for training in runs],
        "best_validation_losses": [training.best_loss[target] for training in runs],
        "data": {"sha256": corpus.fingerprint, **{part: len(getattr(corpus, part)) for part in (*SPLITS, EXTRA)}},
        "training_labels": {"mean": labels.mean(), "std": labels.std()},
        "metrics": {"test": test_metrics},
        "fingerprint": fingerprint(corpus, config),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchaudio": torchaudio.__version__,
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def settings(config: TrainingConfig) -> dict:
    """The settings that a model's JSON keeps as `training`."""
    return {name: value for name, value in config.to_dict().items() if name not in IN_MODEL}


def trained_model(target: str, corpus: Corpus, config: TrainingConfig, paths: ModelPaths) -> Ensemble | None:
    """The saved model of a target if it was trained with this config on these songs, and is whole."""
    try:
        model, description = load_model(paths, target)
    except UserError:
        return None
    return model if description.get("fingerprint") == fingerprint(corpus, config) else None


def weights_trained_with(corpus: Corpus, config: TrainingConfig, paths: ModelPaths) -> dict[str, str]:
    """target -> the hash of its saved weights, for those trained on these songs with these settings, the seed aside.

    A cross-validation with the same settings says how to mix what they predict, and how far that is off.
    """
    weights = {}
    for target in TARGETS:
        if paths.description(target).exists():
            description = read_json(paths.description(target), "model_train.py")
            expected = {
                "pipeline": config.features.pipeline.to_dict(),
                "features": config.features.to_dict(),
                "network": config.network.to_dict() | {"outputs": [target]},
                "n_members": config.n_members,
                "training": settings(config) | {"seed": None},
            }
            said = {name: description.get(name) for name in expected}
            for name in ("training", "data"):
                said[name] = description[name] if isinstance(description.get(name), dict) else {}
            same_songs = said.pop("data").get("sha256") == corpus.fingerprint
            said["training"] = {**said["training"], "seed": None}
            sha256 = description.get("weights_sha256")
            if (
                same_songs and isinstance(sha256, str) and said == json.loads(json.dumps(expected))
            ):  # which has no tuples
                weights[target] = sha256
    return weights
