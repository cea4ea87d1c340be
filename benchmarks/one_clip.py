"""Milliseconds that Predictor takes for an mp3 of 30 s when it is warm: three values, timeline, neighbours and all.

python benchmarks/one_clip.py
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from synthetic import make_clip

from music_learning.predict.predictor import Predictor

ROOT = Path(__file__).parents[1]
REPEATS = 30


def main() -> None:
    predictor = Predictor.load(ROOT / "models")
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp3"
        make_clip(clip, seed=0)
        times = []
        for _ in range(REPEATS + 3):
            start = time.perf_counter()
            predictor.predict(clip)
            times.append(1000 * (time.perf_counter() - start))
    times = times[3:]
    print(f"one 30 s mp3: median {median(times):.0f} ms, fastest {min(times):.0f} ms of {REPEATS} runs")


if __name__ == "__main__":
    main()
