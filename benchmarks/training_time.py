"""Wall time of training the models beside the original recipe's, on the same songs.

    python benchmarks/training_time.py

Needs data/ as data_collection.py and data_loading.py leave it, and about four minutes. Both begin with spectrograms
already made. Our three models are trained in one run, which includes its validation and checkpoints; a target's part is
a third of it. The recipe is timed for three epochs, which all do the same work, and multiplied.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from music_learning.columns import TARGETS
from music_learning.errors import run
from music_learning.evaluation import baselines
from music_learning.parallel import cpu_count
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training.config import TrainingConfig
from music_learning.training.fit import train_ensembles

RECIPE_EPOCHS_TIMED = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    arguments = parser.parse_args()
    data = DataPaths(arguments.data)
    corpus = read_corpus(data)
    recipe_inputs = baselines.recipe_spectrograms(corpus.train, data, workers=cpu_count())
    print(f"{len(corpus.train)} training songs, {torch.get_num_threads()} threads")
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        train_ensembles(
            corpus, TrainingConfig(), device=torch.device("cpu"), paths=ModelPaths(Path(folder)), name="training"
        )
        ours = time.perf_counter() - start
    print(f"  ours          {ours:6.1f} s for the three targets, {ours / len(TARGETS):6.1f} s per target", flush=True)
    labels = torch.tensor(corpus.train[TARGETS[0]].to_numpy(np.float32))
    start = time.perf_counter()
    baselines.train_original_recipe(recipe_inputs, labels, epochs=RECIPE_EPOCHS_TIMED, seed=0)
    epoch = (time.perf_counter() - start) / RECIPE_EPOCHS_TIMED
    print(f"  original recipe {epoch:.1f} s per epoch")
    for target, epochs in baselines.RECIPE_EPOCHS.items():
        recipe = epochs * epoch
        faster = recipe / (ours / len(TARGETS))
        print(f"  original recipe, {target:13} {recipe:6.1f} s for {epochs} epochs, {faster:.1f} x ours per target")
    total = epoch * sum(baselines.RECIPE_EPOCHS.values())
    print(f"  original recipe {total:6.1f} s for the three targets, {total / ours:.1f} x ours")
    return 0


if __name__ == "__main__":
    run(main)
