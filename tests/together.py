"""What test_distributed.py starts with torchrun: a network is trained on a data folder, without chance but the order.

Each process writes what it has to `<rank>.json` in the folder to write. The last argument names what happens in the
first process after the first epoch: nothing, an error, or its end without a word.
"""

import hashlib
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from music_learning.errors import UserError, run
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training import loop
from music_learning.training.augmentation import AugmentationConfig
from music_learning.training.config import TrainingConfig
from music_learning.training.distributed import own_seed, rank, together
from music_learning.training.loop import train_network

CLIP_FRAMES = 938  # no clip has more, so that none is cropped


def in_float32(device):
    """In place of `has_bfloat16`: no rounding but the smallest."""
    return False


def still_config(corpus, batch_size):
    """Settings under which nothing is drawn but the songs' order."""
    still = AugmentationConfig(gain_db=0, soften_db=0, tilt_db=0, shift_bands=0, mask_bands=0, mask_frames=0)
    config = TrainingConfig(features=FeatureConfig(corpus.spectrograms.config), augmentation=still, epochs=3)
    network = replace(config.network, dropout=0.0)
    return replace(
        config,
        network=network,
        batch_size=batch_size,
        learning_rate=5e-4,
        crop_frames=CLIP_FRAMES,
        validate_from=0.0,
        validate_every=1,
    )


def main():
    data, folder, event = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    written = []

    def progress(training):
        written.append(len(training.history))
        if event == "error":
            raise UserError("the disk is full")
        if event == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    loop.has_bfloat16 = in_float32
    with together():
        corpus = read_corpus(DataPaths(data))
        config = still_config(corpus, batch_size=5)
        checkpoint = folder / "checkpoint.safetensors"
        training = train_network(corpus, config, device=torch.device("cpu"), checkpoint=checkpoint, progress=progress)
    digest = hashlib.sha256()
    for module in (training.network, training.average):
        for tensor in module.state_dict().values():
            digest.update(tensor.numpy().tobytes())
    told = {"history": training.history, "weights": digest.hexdigest(), "written": written, "seed": own_seed(7)}
    (folder / f"{rank()}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    run(main)
