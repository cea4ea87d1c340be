"""The state of a network in training, and its checkpoints."""

import copy
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import atomic
from music_learning.model.cnn import MoodNetwork
from music_learning.model.tensors import read_metadata, read_tensors
from music_learning.pipeline_config import is_number, is_whole
from music_learning.training.config import TrainingConfig

MADE_BY = "model_train.py"
N_LOSSES = len(TARGETS)


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
        means = np.mean(recent, axis=0).tolist()
        if sum(means) < sum(self.best_loss.values()):
            self.best_loss = dict(zip(TARGETS, means, strict=True))
            self.best_epoch = dict.fromkeys(TARGETS, len(self.history))
            self.best = {target: self.average.only(target).state_dict() for target in TARGETS}

    def stalled(self, validate_from: int, patience: int) -> bool:
        """Whether the best epoch is `patience` epochs ago; those before `validate_from` don't count."""
        return len(self.history) >= max(validate_from, *self.best_epoch.values()) + patience

    def save(self, path: Path) -> None:
        progress = {"history": self.history, "best_epoch": self.best_epoch, "best_loss": self.best_loss}
        tensors = self._tensors()
        metadata = {"progress": json.dumps(progress), "sha256": content_hash(tensors, progress)}
        with atomic(path) as temporary:
            temporary.write_bytes(to_safetensors(tensors, metadata))

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint, by the state that each belongs to: `average/output.bias`, say."""
        states = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        states |= {f"best.{target}": state for target, state in self.best.items()}
        for index, parameter in enumerate(self.network.parameters()):
            state = self.optimizer.state.get(parameter) or {
                "step": torch.zeros(()),
                **dict.fromkeys(("exp_avg", "exp_avg_sq"), torch.zeros_like(parameter)),
            }
            states[f"optimizer.{index}"] = state
        return {
            f"{prefix}/{name}": tensor.detach().clone().contiguous()
            for prefix, state in states.items()
            for name, tensor in state.items()
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; one that is missing or damaged is no checkpoint."""
        expected = {name: (tensor.dtype, tensor.shape) for name, tensor in self._tensors().items()}
        try:
            metadata = read_metadata(path, MADE_BY)
            progress = _progress(metadata.get("progress", ""))
            tensors = read_tensors(path, expected, MADE_BY)
            if metadata.get("sha256") != content_hash(tensors, progress):
                raise ValueError("a number has changed")
        except (RecursionError, UserError, ValueError):
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


def content_hash(tensors: dict[str, Tensor], progress: dict) -> str:
    """What tells whether any number of a checkpoint has changed."""
    state = hashlib.sha256(json.dumps(progress).encode())
    for name in sorted(tensors):
        state.update(name.encode() + tensors[name].cpu().numpy().tobytes())
    return state.hexdigest()


def _progress(text: str) -> dict:
    """What a checkpoint says of the epochs behind it. Raises ValueError or RecursionError where it is damaged."""
    progress = json.loads(text)
    if not isinstance(progress, dict) or progress.keys() != {"history", "best_epoch", "best_loss"}:
        raise ValueError("no progress")
    history, best_epoch, best_loss = progress["history"], progress["best_epoch"], progress["best_loss"]
    if not isinstance(history, list) or not all(isinstance(epoch, list) and len(epoch) == 2 for epoch in history):
        raise ValueError("no history")
    for losses in [*(training for training, _ in history), *(losses for _, losses in history if losses is not None)]:
        if not isinstance(losses, list) or len(losses) != N_LOSSES or not all(map(is_number, losses)):
            raise ValueError("no losses")
    for best in (best_epoch, best_loss):
        if not isinstance(best, dict) or list(best) != list(TARGETS):
            raise ValueError("not the best of each target")
    for epoch, loss in zip(best_epoch.values(), best_loss.values(), strict=True):
        if not is_whole(epoch, 0, len(history)) or not (is_number(loss) or (epoch == 0 and loss == math.inf)):
            raise ValueError("no epoch with its loss")
    return progress
