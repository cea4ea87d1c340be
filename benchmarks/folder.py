"""Clips per second when model_demo.py predicts a folder of 100 clips of 30 s, after start.

python benchmarks/folder.py                      on synthetic mp3 clips
python benchmarks/folder.py --audio data/previews
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from synthetic import make_clips

from artifacts import ModelPaths
from model_demo import find_files, load_models, predict_files

N_CLIPS = 100
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose clips to use (default: synthetic clips)")
    arguments = parser.parse_args()
    models, config = load_models(ModelPaths(Path(__file__).parents[1] / "models"))
    with TemporaryDirectory() as folder:
        if arguments.audio is None:
            make_clips(Path(folder), N_CLIPS)
        clips = find_files([arguments.audio or Path(folder)])[:N_CLIPS]
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            rows = predict_files(clips, models, config)
            times.append(time.perf_counter() - start)
    failed = sum(row["error"] is not None for row in rows)
    print(
        f"{len(clips) / min(times):.1f} clips per second ({len(clips)} clips, {failed} failed, best of {REPEATS} runs)"
    )


if __name__ == "__main__":
    main()
