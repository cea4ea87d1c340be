"""Wall time of training the models beside the original recipe's, on the same songs.

    python benchmarks/training_time.py

Needs data/ as data_collection.py and data_loading.py leave it, and about fifteen minutes. Both begin with spectrograms
already made. Our three models are trained in one run, which includes its validation and checkpoints; a target's part is
a third of it.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

import baselines
from artifacts import TARGETS, DataPaths, ModelPaths
from errors import run
from model_train import TrainingConfig, read_data, split_songs, train_ensembles
from parallel import cpu_count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    arguments = parser.parse_args()
    data = DataPaths(arguments.data)
    songs = split_songs(*read_data(data))
    recipe_inputs = baselines.recipe_spectrograms(songs.train, data, workers=cpu_count())
    print(f"{len(songs.train)} training songs, {torch.get_num_threads()} threads")
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        train_ensembles(
            songs, TrainingConfig(), device=torch.device("cpu"), paths=ModelPaths(Path(folder)), name="training"
        )
        ours = time.perf_counter() - start
    print(f"  ours          {ours:6.1f} s for the three targets, {ours / len(TARGETS):6.1f} s per target", flush=True)
    for target in TARGETS:
        labels = torch.tensor([float(song[target]) for song in songs.train])
        start = time.perf_counter()
        baselines.train_original_recipe(target, recipe_inputs, labels, seed=0)
        recipe = time.perf_counter() - start
        faster = recipe / (ours / len(TARGETS))
        print(f"  original recipe, {target:13} {recipe:6.1f} s, {faster:.1f} x ours per target", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
