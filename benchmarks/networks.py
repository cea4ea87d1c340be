"""CPU time that the released networks of all targets take for a clip of 30 s on one thread, beside those in training.

    python benchmarks/networks.py

The released ones are folded: their convolutions do the batch normalisation; and layers that networks share run once.
Beside them stand as many networks of the same shape in the form in which training has them, each on its own, with
random weights, which take as long as any others.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from music_learning.model.cnn import MoodNetwork
from music_learning.model.ensemble import cut
from music_learning.paths import ModelPaths
from music_learning.predict.predictor import load_models

ROOT = Path(__file__).parents[1]
REPEATS = 40


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    models, _ = load_models(ModelPaths(ROOT / "models"))
    as_trained = [MoodNetwork(member.config).eval() for model in models.values() for member in model.members]

    def run_released(segments: Tensor) -> None:
        known: dict[int, Tensor] = {}
        for model in models.values():
            model.by_networks(segments, known)

    def run_as_trained(segments: Tensor) -> None:
        for network in as_trained:
            network(segments)

    first = next(iter(models.values())).config
    pipeline = first.features.pipeline
    clip = -50 + 15 * torch.randn(1, pipeline.n_rows, pipeline.clip_frames, generator=torch.Generator().manual_seed(0))

    times: dict[Callable, list[float]] = {run_released: [], run_as_trained: []}
    for _ in range(REPEATS + 3):
        for run, taken in times.items():  # in turn, so that both meet others
            start = time.process_time()
            run(cut(clip, first.network.segment_frames))
            taken.append(1000 * (time.process_time() - start))
    ours, theirs = (median(taken[3:]) for taken in times.values())
    print(f"{len(as_trained)} networks, one clip of {pipeline.clip_s:g} s: {ours:.1f} ms,", end=" ")
    print(f"{ours / theirs:.2f} times what they take as trained ({theirs:.1f} ms)")


if __name__ == "__main__":
    main()
