"""Time and peak memory of Predictor on long mp3s, each in a process of its own.

python benchmarks/long_mix.py
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from synthetic import RATE_HZ, make_clip

ROOT = Path(__file__).parents[1]
MINUTES = (1, 60, 120)


def make_mix(path: Path, clip: np.ndarray, minutes: int) -> None:
    """Write a stereo mp3 that repeats a clip (samples, 2) of half a minute, each time at another level."""
    with soundfile.SoundFile(path, "w", RATE_HZ, 2) as file:
        for level in np.linspace(0.2, 1, 2 * minutes):
            file.write(level * clip)


def measure(path: Path) -> None:
    from music_learning.predict.predictor import Predictor

    predictor = Predictor.load(ROOT / "models")
    start = time.perf_counter()
    analysis = predictor.predict(path)
    took_s = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{analysis.duration_s / 60:.0f} minutes: {took_s:.1f} s, {analysis.duration_s / took_s:.0f} x faster than it "
        f"plays, {peak_mb:.0f} MB at the most, {len(analysis.timeline)} moments",
        flush=True,
    )


def main() -> None:
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        make_clip(clip, seed=0)
        samples, _ = soundfile.read(clip)
        for minutes in MINUTES:
            mix = Path(folder) / "mix.mp3"
            make_mix(mix, samples, minutes)
            subprocess.run([sys.executable, __file__, mix], check=True)


if __name__ == "__main__":
    main()
