import dataclasses
import json
import math
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from music_learning.columns import TARGETS
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.training.checkpoint import TrainingRun, content_hash
from music_learning.training.config import TrainingConfig

CONFIG = TrainingConfig(network=NetworkConfig(outputs=TARGETS, stem_channels=(2, 3), channels=4, n_blocks=1, hidden=5))


def step(training):
    torch.manual_seed(0)  # decides the dropout
    training.network(torch.randn(2, 96, 64)).sum().backward()
    training.optimizer.step()
    training.history.append(([0.5, 0.25, 0.75], None))


def make_run(config=CONFIG, *, seed=0):
    torch.manual_seed(seed)
    return TrainingRun(MoodNetwork(config.network), config)


@pytest.fixture
def checkpoint(tmp_path):
    training = make_run()
    step(training)
    training.validated([0.4, 0.5, 0.6], 1)
    training.save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def contents(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["progress"])  # noqa: SIM118


def test_run_goes_on_from_its_checkpoint(checkpoint):
    training = make_run(seed=1)
    training.load(checkpoint)
    assert training.history == [([0.5, 0.25, 0.75], [0.4, 0.5, 0.6])]
    assert training.best_epoch == dict.fromkeys(TARGETS, 1)
    tensors, _ = contents(checkpoint)
    assert torch.equal(training.network.output.bias, tensors["network/output.bias"])
    training.save(checkpoint)
    again, _ = contents(checkpoint)
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())


def progress_with(**changes):
    return lambda tensors, progress: (tensors, progress | changes)


def tensor_with(name, tensor):
    return lambda tensors, progress: (tensors | {name: tensor}, progress)


def without(name):
    return lambda tensors, progress: ({key: tensor for key, tensor in tensors.items() if key != name}, progress)


EPOCH = [[0.5, 0.25, 0.75], [0.4, 0.5, 0.6]]
BEST = dict.fromkeys(TARGETS, 1)
DAMAGED = {
    "no progress": lambda tensors, progress: (tensors, None),
    "a list": lambda tensors, progress: (tensors, [1]),
    "no history": progress_with(history=None),
    "history of numbers": progress_with(history=[1, 2]),
    "one loss": progress_with(history=[[[0.5], None]]),
    "losses of text": progress_with(history=[[["0.5"] * 3, None]]),
    "losses of NaN": progress_with(history=[[[math.nan] * 3, None]]),
    "false validation": progress_with(history=[[EPOCH[0], False]]),
    "best of a later epoch": progress_with(best_epoch=BEST | {"valence": 2}),
    "best of no epoch": progress_with(best_epoch=BEST | {"valence": -1}),
    "best of true": progress_with(best_epoch=BEST | {"valence": True}),
    "best of two targets": progress_with(best_epoch={"energy": 1, "valence": 1}),
    "best of NaN": progress_with(best_loss=BEST | {"energy": math.nan}),
    "best of infinity": progress_with(best_loss=BEST | {"energy": math.inf}),
    "a tensor gone": without("network/output.bias"),
    "an average gone": without("average/output.bias"),
    "an optimizer gone": without("optimizer.0/exp_avg"),
    "a tensor more": tensor_with("more", torch.ones(1)),
    "another shape": tensor_with("network/output.bias", torch.ones(4)),
    "another type": tensor_with("network/output.bias", torch.ones(3).double()),
    "NaN": tensor_with("best.energy/output.bias", torch.tensor([math.nan])),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_checkpoint_is_none(checkpoint, case):
    tensors, progress = DAMAGED[case](*contents(checkpoint))
    metadata = {"progress": json.dumps(progress), "sha256": content_hash(tensors, progress)}
    save_file(tensors, checkpoint, metadata)
    assert_none(checkpoint)


def test_checkpoint_with_its_hash_is_one(checkpoint):
    """The damage in the tests around this one is found by what it is, not by the hash."""
    tensors, progress = contents(checkpoint)
    save_file(tensors, checkpoint, {"progress": json.dumps(progress), "sha256": content_hash(tensors, progress)})
    training = make_run()
    training.load(checkpoint)
    assert len(training.history) == 1


@pytest.mark.parametrize("place", [-1, -1000])
def test_checkpoint_with_another_number_is_none(checkpoint, place):
    content = bytearray(checkpoint.read_bytes())
    content[place] ^= 1
    checkpoint.write_bytes(content)
    assert_none(checkpoint)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "NaN", "9" * 5_000], ids=["empty", "deep", "NaN", "long"])
def test_damaged_progress_is_none(checkpoint, text):
    save_file(contents(checkpoint)[0], checkpoint, {"progress": text})
    assert_none(checkpoint)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), os.mkfifo], ids=["none", "folder", "pipe"]
)
def test_what_is_no_file_is_no_checkpoint(checkpoint, make):
    checkpoint.unlink()
    make(checkpoint)
    assert_none(checkpoint)


def test_checkpoint_of_another_network_is_none(checkpoint):
    wider = dataclasses.replace(CONFIG, network=dataclasses.replace(CONFIG.network, hidden=6))
    assert_none(checkpoint, wider)


def assert_none(checkpoint, config=CONFIG):
    """A run that is shown it trains as one that isn't."""
    shown, other = make_run(config), make_run(config)
    shown.load(checkpoint)
    assert shown.history == []
    for training in (shown, other):
        step(training)
    one, two = shown.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
