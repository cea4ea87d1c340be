"""Stage 2: previews -> log-mel spectrograms and an artist-disjoint split -> data/spectrograms/, data/splits.csv.

    python data_loading.py

Reads data/songs.csv and data/previews/. Writes, besides the above, data/demo/ (a few songs of the test split, for
model_demo.py) and pictures of what was made in data/pictures/. Spectrograms that are there already are kept, so that a
stopped run goes on where it was, and added songs cost only their own time. A song whose clip can't be used any more is
left out, which makes the exit status 1.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import argparse
from pathlib import Path

import pandas as pd

from music_learning.columns import SPLITS
from music_learning.errors import UserError, printable, report, run
from music_learning.files import missing_file, only_writer
from music_learning.parallel import cpu_count
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.plots.dataset import draw_labels, draw_spectrograms
from music_learning.songs.artists import assign_splits
from music_learning.songs.preparation import compute_spectrograms, write_demo
from music_learning.songs.table import read_songs, read_splits, write_frame


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read and write (default: data)")
    parser.add_argument("--seed", type=int, default=0, help="decides the split of artists not yet placed (default: 0)")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="clips at a time (default: all cores)")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    return arguments


def split_songs(paths: DataPaths, *, seed: int) -> pd.DataFrame:
    """The songs of songs.csv that can be used, with their split as one more column."""
    songs = read_songs(paths)
    if songs.empty:
        raise UserError(f"{paths.songs} holds no song; run data_collection.py first")
    placed = read_splits(paths) if paths.splits.exists() else {}
    songs["split"] = assign_splits(songs, placed, seed=seed)
    for title, artist in songs.loc[songs["split"].isna(), ["title", "artist"]].fillna("").itertuples(index=False):
        print(printable(f"left out: {title} by {artist}, whose artists are in two splits already"))
    return songs.dropna(subset=["split"])


def load(paths: DataPaths, *, seed: int, workers: int) -> int:
    """Split the songs, make their spectrograms, and draw them. Returns how many songs have none."""
    songs = split_songs(paths, seed=seed)
    spectrograms, failed = compute_spectrograms(songs, paths, PipelineConfig(), workers=workers)
    for reason in failed.values():
        print(printable(f"left out: {reason}"))
    songs = songs.drop(index=list(failed))
    if songs.empty:
        raise UserError("none of the clips can be used; run data_collection.py again")
    write_frame(paths.splits, songs[["split"]])
    print("split: " + ", ".join(f"{(songs['split'] == split).sum():,} {split}" for split in SPLITS))
    n_demo = write_demo(paths, songs[songs["split"] == "test"], spectrograms, seed=seed)
    print(printable(f"demo: {n_demo} test songs in {paths.demo}"))

    draw_spectrograms(songs, spectrograms, paths.picture("spectrograms"))
    draw_labels(songs, paths.picture("labels"))
    print(printable(f"pictures: {paths.picture('spectrograms')}, {paths.picture('labels')}"))
    return len(failed)


def main() -> int:
    arguments = parse_arguments()
    paths = DataPaths(arguments.data)
    if not paths.songs.exists():  # before anything is made, as in a folder where nothing belongs
        raise missing_file(paths.songs, "data_collection.py")
    with only_writer(paths.root, "data_loading.py"):
        n_failed = load(paths, seed=arguments.seed, workers=arguments.workers)
    if n_failed:
        report(f"{n_failed:,} of the clips can't be used, see above; run data_collection.py again")
    return 1 if n_failed else 0


if __name__ == "__main__":
    run(main, goes_on=True)
