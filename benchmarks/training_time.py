"""Wall time of training one target's model beside the original recipe's, on the same songs.

    python benchmarks/training_time.py --target energy

Needs data/ as data_collection.py and data_loading.py leave it. Both begin with spectrograms already made; ours includes
its validation and early stopping, all networks of the ensemble, and its checkpoints.
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
from model_train import TrainingConfig, read_data, split_songs, train_ensemble
from parallel import cpu_count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=TARGETS, action="append", help="may be repeated (default: all three)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    arguments = parser.parse_args()
    data = DataPaths(arguments.data)
    songs = split_songs(*read_data(data))
    recipe_inputs = baselines.recipe_spectrograms(songs.train, data, workers=cpu_count())
    print(f"{len(songs.train)} training songs, {torch.get_num_threads()} threads")
    for target in arguments.target or TARGETS:
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            train_ensemble(
                target,
                songs,
                TrainingConfig(),
                device=torch.device("cpu"),
                paths=ModelPaths(Path(folder)),
                name=target,
            )
            ours = time.perf_counter() - start
        labels = torch.tensor([float(song[target]) for song in songs.train])
        start = time.perf_counter()
        baselines.train_original_recipe(target, recipe_inputs, labels, seed=0)
        recipe = time.perf_counter() - start
        print(f"  {target:13} ours {ours:6.1f} s   original recipe {recipe:6.1f} s   {recipe / ours:.1f} x faster")
    return 0


if __name__ == "__main__":
    run(main)
