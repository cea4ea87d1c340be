"""Clips made by arithmetic, so that the benchmarks run without anybody's music."""

from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 44_100


def make_clip(path: Path, *, seed: int, duration_s: float = 30.0) -> None:
    """Write chords, a beat and noise as stereo audio at 44.1 kHz; the suffix decides the format."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * f * time) / f for f in generator.uniform(80, 4000, size=12)) * 30
    beat = np.exp(-((time * generator.uniform(1, 3)) % 1) * 8)
    noise = generator.normal(scale=0.1, size=(time.size, 2))
    stereo = (chord * (0.3 + beat))[:, None] * generator.uniform(0.5, 1, size=2) + beat[:, None] * noise
    soundfile.write(path, 0.7 * stereo / np.abs(stereo).max(), RATE_HZ)


def make_clips(folder: Path, n: int) -> list[Path]:
    """Write n mp3 clips of 30 s."""
    paths = [folder / f"clip{seed:04}.mp3" for seed in range(n)]
    for seed, path in enumerate(paths):
        make_clip(path, seed=seed)
    return paths
