"""CPU time of the front end per 30 s stereo mp3, beside decoding alone and beside librosa, on one thread.

    python benchmarks/front_end.py                      on synthetic clips
    python benchmarks/front_end.py --audio data/previews

The three are timed in turn on each clip, and the ratios are medians of the clips' own ratios, so that what else the
machine does falls on all alike.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import librosa
import numpy as np
import soundfile
import torch
from synthetic import make_clips
from threadpoolctl import threadpool_limits

from music_learning.audio import AudioPipeline

N_CLIPS = 20
REPEATS = 5


def with_librosa(path: Path) -> np.ndarray:
    samples, rate_hz = librosa.load(path)
    return librosa.feature.melspectrogram(y=samples, sr=rate_hz)


def cpu_ms(function, path: Path) -> float:
    """The least CPU time of several calls, in ms."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function(path)
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose mp3 files to use (default: synthetic clips)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, threadpool_limits(1):  # numpy's threads count, too, when they only wait
        clips = (
            sorted(arguments.audio.glob("*.mp3"))[:N_CLIPS] if arguments.audio else make_clips(Path(folder), N_CLIPS)
        )
        if not clips:
            sys.exit(f"error: no .mp3 file in {arguments.audio}")
        functions = {
            "decoding alone": lambda path: soundfile.read(path, dtype="float32"),
            "our front end": AudioPipeline().log_mels,
            "librosa.load + melspectrogram": with_librosa,
        }
        for function in functions.values():  # caches and compiled code
            function(clips[0])
        times = {name: np.array([cpu_ms(function, clip) for clip in clips]) for name, function in functions.items()}
    decoding, ours, _ = times.values()
    print(f"CPU time per clip, one thread, median of {len(clips)} mp3 clips")
    for name, values in times.items():
        print(
            f"  {name:30} {np.median(values):7.1f} ms   {np.median(values / decoding):5.2f} x decoding"
            f"   {np.median(values / ours):5.2f} x ours"
        )


if __name__ == "__main__":
    main()
