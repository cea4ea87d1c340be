"""How near the same recording is to itself in another form, how near different songs are, and what finds both apart.

    music-learning scan clips/ --library moods.sqlite
    python benchmarks/duplicates.py --library moods.sqlite --work duplicates/
    python benchmarks/duplicates.py --synthetic 1000000

The first two: some clips of the library are encoded anew (FORMS) into the work folder and scanned into a library of
their own; a second run finds them there. The distance below which recordings count as the same is chosen on half of the
clips, and counted on the other half: forms that are missed, and pairs of different songs, by the same artist as well,
that are taken for the same. The third: time and memory among random songs of random lengths.
"""

import argparse
import resource
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from robustness import RATE_HZ, read_stereo
from synthetic import encoded
from tqdm import tqdm

from music_learning.errors import run
from music_learning.library.database import Library
from music_learning.library.scan import LocalFiles, scan
from music_learning.predict.predictor import Predictor


def by_gain(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Louder or softer; what exceeds full scale is cut off."""
    return np.clip(audio * 10 ** (gain_db / 20), -1, 1)


def flac(audio: np.ndarray) -> bytes:
    return encoded(audio, "flac", "flac")


def mp3(audio: np.ndarray, kbit_s: int) -> bytes:
    return encoded(audio, "mp3", "libmp3lame", bit_rate=1000 * kbit_s)


FORMS = {
    "flac.flac": flac,
    **{f"mp3-{kbit_s}.mp3": lambda audio, kbit_s=kbit_s: mp3(audio, kbit_s) for kbit_s in (64, 128, 320)},
    "opus-96.opus": lambda audio: encoded(audio, "ogg", "libopus", rate_hz=48_000, bit_rate=96_000),
    "louder.flac": lambda audio: flac(by_gain(audio, 6)),
    "softer.flac": lambda audio: flac(by_gain(audio, -6)),
    "trimmed.flac": lambda audio: flac(audio[RATE_HZ // 2 :]),
    "louder-trimmed-mp3-128.mp3": lambda audio: mp3(by_gain(audio[RATE_HZ // 2 :], 6), 128),
}


def write_forms(clips: list[Path], folder: Path) -> None:
    """Every form of each clip, as `<folder>/<clip>/<form>`."""
    for clip in tqdm(clips, desc="encode"):
        into = folder / clip.stem
        if into.exists():
            continue
        audio = read_stereo(clip)
        unfinished = folder / ".unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        for name, form in FORMS.items():
            (unfinished / name).write_bytes(form(audio))
        unfinished.rename(into)
