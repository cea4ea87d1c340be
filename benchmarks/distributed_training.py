"""Loss curves of two processes that train together, beside those of one process with twice the batch.

    python benchmarks/distributed_training.py

Needs data/ as data_collection.py and data_loading.py leave it, and about half an hour on two cores. Each way is trained
with several seeds, which say how far chance alone moves a curve; one process with the batch of each of the two stands
beside them, to show what another batch would do. The losses are squared errors as shares of the labels' variance, means
of the three targets; validation has the average weights. All ways start through torchrun, one thread to a process.
Beside the wall time stands the processor time of the first process, which other work on the machine hardly changes.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from music_learning.errors import UserError, run
from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.paths import DataPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training.config import TrainingConfig
from music_learning.training.device import select_device
from music_learning.training.distributed import rank, together
from music_learning.training.loop import train_network

BATCH = TrainingConfig().batch_size
WAYS = {  # name -> processes, batch of each
    "two processes": (2, BATCH),
    "one, twice the batch": (1, 2 * BATCH),
    "one, the same batch": (1, BATCH),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--extra", type=Path, action="append", default=[], help="another, for the training alone")
    parser.add_argument("--epochs", type=int, default=12, help="default: 12")
    parser.add_argument("--seeds", type=int, default=5, help="default: 5")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)  # given to the processes of one training
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def train(arguments: argparse.Namespace) -> None:
    """Train one network, in this process or with others, and write its losses, wall and processor seconds."""
    corpus = read_corpus(DataPaths(arguments.data), arguments.extra)
    pipeline = corpus.spectrograms.config
    config = TrainingConfig(
        features=FeatureConfig(pipeline),
        network=NetworkConfig(n_mels=pipeline.n_mels),
        epochs=arguments.epochs,
        batch_size=arguments.batch,
        validate_from=0.0,
        validate_every=1,
        patience=arguments.epochs,
        seed=arguments.seed,
    )
    start = time.perf_counter(), time.process_time()
    checkpoint = arguments.write.with_suffix(".safetensors")
    training = train_network(
        corpus, config, device=select_device("cpu"), checkpoint=checkpoint, progress=lambda training: None
    )
    if rank() == 0:
        losses = np.mean(training.history, axis=2).tolist()  # (epochs, 2): in training, in validation
        taken = time.perf_counter() - start[0], time.process_time() - start[1]
        arguments.write.write_text(json.dumps([losses, taken]))


def measure(arguments: argparse.Namespace, folder: Path, way: str, seed: int) -> tuple[np.ndarray, tuple[float, float]]:
    """The losses of one training (epochs, 2), and its wall and processor seconds."""
    processes, batch = WAYS[way]
    write = folder / f"{processes}-{batch}-{seed}.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, __file__]
    command += ["--data", arguments.data, "--epochs", arguments.epochs]
    command += [word for extra in arguments.extra for word in ("--extra", extra)]
    command += ["--batch", batch, "--seed", seed, "--write", write]
    if subprocess.run([*map(str, command)], check=False).returncode:
        raise UserError(f"the training of {way} failed; it has said why above")
    losses, seconds = json.loads(write.read_text())
    return np.array(losses), seconds


def main() -> int:
    arguments = parse_arguments()
    if arguments.write:
        with together():
            train(arguments)
        return 0
    curves, seconds = {way: [] for way in WAYS}, {way: [] for way in WAYS}
    with TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for way in WAYS:  # in turn, so that all meet the same load of the machine
                losses, taken = measure(arguments, Path(folder), way, seed)
                curves[way].append(losses)
                seconds[way].append(taken)
                print(f"seed {seed}, {way}: {taken[0]:.0f} s, last losses {losses[-1].round(4).tolist()}", flush=True)
    print_curves({way: np.array(all_losses) for way, all_losses in curves.items()})
    for way, taken in seconds.items():
        wall, processor = np.median(taken, axis=0)
        print(f"{way:21} {wall:6.1f} s, {processor:6.1f} s of the first process's processor (medians)")
    return 0


def print_curves(curves: dict[str, np.ndarray]) -> None:
    """Each way's curve, mean and std over the seeds, and how far it is from that of the first way.

    Args:
        curves: way -> (seeds, epochs, 2), the losses in training and in validation.
    """
    first = next(iter(curves))
    for part, name in enumerate(("training", "validation")):
        print(f"\n{name} loss, mean and std over the seeds\nepoch " + "".join(f"{way:>26}" for way in curves))
        for epoch in range(curves[first].shape[1]):
            values = [losses[:, epoch, part] for losses in curves.values()]
            print(f"{epoch + 1:5} " + "".join(f"{x.mean():19.4f} {x.std(ddof=1):.4f}" for x in values))
        # A training's level is its mean over the second half of the epochs.
        levels = {way: x[:, x.shape[1] // 2 :, part].mean(axis=1) for way, x in curves.items()}
        for way in [*curves][1:]:
            differences = levels[first] - levels[way]
            error = np.sqrt(sum(levels[w].var(ddof=1) / len(levels[w]) for w in (first, way)))
            print(f"second half, {first} less {way}: {differences.mean():+.4f}, standard error {error:.4f}")
    print()


if __name__ == "__main__":
    run(main)
