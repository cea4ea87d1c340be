"""Clips per second when model_demo.py predicts a folder of 1,000 clips of 30 s into a CSV, after start.

python benchmarks/folder.py                      on synthetic mp3 clips
python benchmarks/folder.py --audio data/previews

Tells also how far the numbers are from those of each file alone.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from synthetic import make_clips

from music_learning.columns import TARGETS
from music_learning.library.files import find_files
from music_learning.library.hearing import hear
from music_learning.library.outputs import Output
from music_learning.library.processes import Processes
from music_learning.library.rows import AudioFile, Listener
from music_learning.library.tables import CSV, Table
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor

MODELS = Path(__file__).parents[1] / "models"
N_CLIPS = 1000
N_DIFFERENT = 100  # synthetic clips, each heard ten times
N_ALONE = 50


class Rows(Output):
    """Keeps the rows."""

    path = "memory"

    def __init__(self) -> None:
        self.rows = []

    def append(self, row: dict, analysis: Analysis | None) -> None:
        self.rows.append(row)

    def finish(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder whose clips to use (default: synthetic clips)")
    arguments = parser.parse_args()
    predictor = Predictor.load(MODELS)
    with TemporaryDirectory() as folder, TemporaryDirectory() as results:
        if arguments.audio is None:
            make_clips(Path(folder), N_DIFFERENT)
        clips = find_files([arguments.audio or Path(folder)])
        clips = (clips * -(-N_CLIPS // len(clips)))[:N_CLIPS]
        rows = Rows()
        with Table(Path(results, "moods.csv"), CSV) as table:
            start = time.perf_counter()
            with Processes(predictor, MODELS) as processes:
                hear([AudioFile.at(clip) for clip in clips], Listener(processes), [rows, table])
            took_s = time.perf_counter() - start
        alone = [predictor.predict(clip).values for clip in clips[:N_ALONE]]
    apart = max(
        abs(row[target] - values[target])
        for row, values in zip(rows.rows, alone, strict=False)
        if row["error"] is None
        for target in TARGETS
    )
    failed = sum(row["error"] is not None for row in rows.rows)
    print(f"{len(clips) / took_s:.1f} clips per second ({len(clips)} clips, {failed} failed)")
    print(f"at most {apart:.1e} from what {N_ALONE} of them give alone (rows are rounded to 5e-5)")


if __name__ == "__main__":
    main()
