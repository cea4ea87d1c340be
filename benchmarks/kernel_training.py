"""Seconds and peak memory of fitting one kernel model to 1,000, 5,000 and 50,000 songs, on one thread.

    python benchmarks/kernel_training.py

The features of up to 300 songs of data/ (made by data_collection.py and data_loading.py) are repeated, each time a
little changed, since songs that equal each other would be learned from otherwise than others. Each fit has a process of
its own, whose peak includes Python with torch and the songs' features. Takes about five minutes.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from music_learning.columns import TARGETS
from music_learning.errors import run
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths
from music_learning.songs.corpus import read_corpus
from music_learning.songs.dataset import SpectrogramDataset
from music_learning.training.kernel import fit_gaussian_process

COUNTS = (1_000, 5_000, 50_000)
N_REPEATED = 300
CHANGE = 0.5  # of a repeated feature, in standard deviations; of a label, a tenth of that


def features_and_labels(data: DataPaths) -> tuple[torch.Tensor, torch.Tensor]:
    """(songs, features) and (songs,) of the folder's first songs, with the last target's labels."""
    corpus = read_corpus(data)
    dataset = SpectrogramDataset(corpus.spectrograms, corpus.fitted[:N_REPEATED], TARGETS)
    config = FeatureConfig(corpus.spectrograms.config)
    return torch.cat([clip_features(clip[None], config) for clip, _ in dataset]), dataset.labels[:, -1]


def fit(path: Path, count: int) -> None:
    """Fit a model to `count` songs, and print the seconds."""
    torch.set_num_threads(1)
    features, labels = torch.load(path, weights_only=True)
    generator, repeated = torch.Generator().manual_seed(0), torch.arange(count) % len(features)
    many = torch.randn(count, features.shape[1], generator=generator)
    many.mul_(CHANGE * features.std(dim=0)).add_(features[repeated])
    labels = labels[repeated] + CHANGE / 10 * torch.randn(count, generator=generator)
    start = time.perf_counter()
    fit_gaussian_process(many, labels.clamp(0, 1), FeatureConfig())
    print(f"{count:6,} songs: {time.perf_counter() - start:5.1f} s", end=", ", flush=True)


def peak_mb(path: Path, count: int) -> float:
    """The largest resident set of a process that fits a model, in MB."""
    command = [sys.executable, __file__, "--features", str(path), "--count", str(count)]
    _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
    if status != 0:
        sys.exit("error: fitting failed")
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--features", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.features:
        fit(arguments.features, arguments.count)
        return 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "features.pt"
        torch.save(features_and_labels(DataPaths(arguments.data)), path)
        for count in COUNTS:
            print(f"peak {peak_mb(path, count):5.0f} MB", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
