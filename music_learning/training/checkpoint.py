"""The state of a network in training, and its checkpoints."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.files import atomic
from music_learning.model.cnn import MoodNetwork
from music_learning.training.config import TrainingConfig


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
            temporary.write_bytes(to_safetensors(tensors, {"progress": json.dumps(progress)}))

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
