"""Stage 2: previews -> log-mel spectrograms and an artist-disjoint split -> data/spectrograms/, data/splits.csv.

    python data_loading.py

Reads data/songs.csv and data/previews/. Writes, besides the above, data/demo/ (a few songs of the test split, for
model_demo.py) and pictures of what was made in data/pictures/. Spectrograms that are there already are kept, so that a
stopped run goes on where it was, and added songs cost only their own time.

Also home of the datasets and loaders that model_train.py uses.
"""

import argparse
import hashlib
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from music_learning.audio import AudioPipeline
from music_learning.columns import SONG_COLUMNS, SPLIT_COLUMNS, SPLITS
from music_learning.errors import AudioError, UserError, run
from music_learning.files import write_table
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.plots.dataset import draw_labels, draw_spectrograms
from music_learning.songs.artists import artist_groups, assign_splits, read_splits
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs

DEMO_SONGS = 24
SONGS_PER_WRITE = 32


def compute_spectrograms(
    songs: list[dict[str, str]], paths: DataPaths, config: PipelineConfig, *, workers: int
) -> SpectrogramSet:
    """Bring data/spectrograms/ up to date with the songs. A long clip is represented by its middle window.

    Raises:
        UserError: a clip is missing or broken (data_collection.py checked them all), or the set that is there was
            made with other settings.
    """
    spectrograms = SpectrogramSet.create(paths.spectrograms, config)
    missing = [song for song in songs if not spectrograms.has(song)]
    print(f"spectrograms: {len(songs) - len(missing):,} already here, {len(missing):,} to do")
    pipeline = AudioPipeline(config)
    batch = []
    try:
        middle_window = partial(_middle_window, paths=paths, pipeline=pipeline)
        for item in ordered_map(middle_window, missing, workers=workers, description="spectrograms", unit="song"):
            batch.append(item)
            if len(batch) == SONGS_PER_WRITE:
                spectrograms.append(batch)
                batch = []
    finally:
        if batch:
            spectrograms.append(batch)
    return spectrograms


def _middle_window(
    song: dict[str, str], *, paths: DataPaths, pipeline: AudioPipeline
) -> tuple[dict[str, str], np.ndarray]:
    clip = paths.preview(song)
    try:
        windows, _ = pipeline.log_mels(clip)
    except AudioError as error:
        raise UserError(f"{clip}: {error}; run data_collection.py again") from None
    return song, windows[(len(windows) - 1) // 2].numpy()


def write_demo(paths: DataPaths, songs: list[dict[str, str]], spectrograms: SpectrogramSet, *, seed: int) -> int:
    """Put up to 24 of the given test songs, each by another artist, in data/demo/. Returns their number."""
    chosen = [min(group, key=lambda song: _draw(song["song_id"], seed)) for group in artist_groups(songs)]
    chosen = sorted(sorted(chosen, key=lambda song: _draw(song["song_id"], seed))[:DEMO_SONGS], key=_song_id)
    demo = DataPaths(paths.demo)
    for name in ("pipeline.json", "index.csv", "spectrograms.f16"):
        (demo.spectrograms / name).unlink(missing_ok=True)
    demo_set = SpectrogramSet.create(demo.spectrograms, spectrograms.config)
    for song in chosen:
        demo_set.append([(song, spectrograms.spectrogram(song["song_id"]))])
    write_table(demo.songs, SONG_COLUMNS, chosen)
    return len(chosen)


def _song_id(song: dict[str, str]) -> str:
    return song["song_id"]


def _draw(song_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{song_id}".encode()).digest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read and write (default: data)")
    parser.add_argument("--seed", type=int, default=0, help="decides the split of artists not yet placed (default: 0)")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="clips at a time (default: all cores)")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")

    paths = DataPaths(arguments.data)
    songs = read_songs(paths)
    if not songs:
        raise UserError(f"{paths.songs} holds no song; run data_collection.py first")
    placed = read_splits(paths) if paths.splits.exists() else {}
    splits, unusable = assign_splits(songs, placed, seed=arguments.seed)
    for song in unusable:
        print(f"left out: {song['title']} by {song['artist']}, whose artists are in two splits already")
    songs = [song for song in songs if song["song_id"] in splits]
    write_table(paths.splits, SPLIT_COLUMNS, ({"song_id": s["song_id"], "split": splits[s["song_id"]]} for s in songs))
    counts = Counter(splits.values())
    print("split: " + ", ".join(f"{counts[split]:,} {split}" for split in SPLITS))

    spectrograms = compute_spectrograms(songs, paths, PipelineConfig(), workers=arguments.workers)
    test_songs = [song for song in songs if splits[song["song_id"]] == "test"]
    print(f"demo: {write_demo(paths, test_songs, spectrograms, seed=arguments.seed)} test songs in {paths.demo}")
    draw_spectrograms(songs, spectrograms, paths.picture("spectrograms"))
    draw_labels(songs, splits, paths.picture("labels"))
    print(f"pictures: {paths.picture('spectrograms')}, {paths.picture('labels')}")
    return 0


if __name__ == "__main__":
    run(main)
