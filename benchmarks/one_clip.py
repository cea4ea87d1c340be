"""What Predictor takes for an mp3 of 30 s when it is warm: three values, timeline, neighbours and all.

    python benchmarks/one_clip.py                        one synthetic clip, again and again
    python benchmarks/one_clip.py --audio data/previews  all mp3 files of a folder

Milliseconds of CPU on one thread, beside those that decoding alone takes by soundfile.read; in each of the rounds both
hear the same files.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import soundfile
import torch
from synthetic import make_clip

from music_learning.predict.predictor import Predictor

ROOT = Path(__file__).parents[1]
N_CLIPS = 30  # times that the synthetic one is heard in a round
N_ROUNDS = 6
N_WARMUP = 3


def median_ms(hear: Callable[[Path], object], clips: list[Path]) -> float:
    times = []
    for clip in clips:
        start = time.process_time()
        hear(clip)
        times.append(1000 * (time.process_time() - start))
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder with mp3 files (default: a synthetic clip)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor.load(ROOT / "models")
    with TemporaryDirectory() as folder:
        if arguments.audio is None:
            make_clip(Path(folder, "clip.mp3"), seed=0)
            clips = [Path(folder, "clip.mp3")] * N_CLIPS
        else:
            clips = sorted(arguments.audio.glob("*.mp3"))
        if not clips:
            parser.error(f"there is no mp3 file in {arguments.audio}")
        median_ms(predictor.predict, clips[:N_WARMUP])
        rounds = [(median_ms(soundfile.read, clips), median_ms(predictor.predict, clips)) for _ in range(N_ROUNDS)]
    for decoding_ms, all_ms in rounds:
        print(f"{all_ms:.1f} ms of CPU, {all_ms / decoding_ms:.2f} times the {decoding_ms:.1f} ms of soundfile.read")
    print(f"median {median(all_ms for _, all_ms in rounds):.0f} ms, {median(b / a for a, b in rounds):.2f} times")


if __name__ == "__main__":
    main()
