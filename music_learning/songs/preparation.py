"""Making the spectrograms of many songs, and the demo's songs with theirs."""

import hashlib
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from music_learning.audio import AudioPipeline
from music_learning.errors import AudioError, UserError, unexpected
from music_learning.parallel import ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.artists import artist_groups
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import text_rows, write_songs

DEMO_SONGS = 24
SONGS_PER_WRITE = 32


def compute_spectrograms(
    songs: pd.DataFrame, paths: DataPaths, config: PipelineConfig, *, workers: int
) -> tuple[SpectrogramSet, dict[str, str]]:
    """Bring data/spectrograms/ up to date with the songs. A long clip is represented by its middle window.

    Returns:
        The spectrograms, and why a song has none, by its id: its clip has gone or was damaged since stage 1.

    Raises:
        UserError: the set that is there was made with other settings.
    """
    spectrograms = SpectrogramSet.create(paths.spectrograms, config)
    rows = text_rows(songs[["preview_file", "preview_sha256"]])
    missing = [row for row in rows if not spectrograms.has(row)]
    print(f"spectrograms: {len(songs) - len(missing):,} already here, {len(missing):,} to do")
    middle_window = partial(_middle_window, paths=paths, pipeline=AudioPipeline(config))
    batch, failed = [], {}
    try:
        mapped = ordered_map(middle_window, missing, workers=workers, description="spectrograms", unit="song")
        for row, made in zip(missing, mapped, strict=True):
            if isinstance(made, str):
                failed[row["song_id"]] = made
                continue
            batch.append((row, made))
            if len(batch) == SONGS_PER_WRITE:
                full, batch = batch, []  # before it is written: where that stops in the middle, it isn't tried again
                spectrograms.append(full)
    finally:
        if batch:
            spectrograms.append(batch)
    return spectrograms, failed


def _middle_window(row: Mapping[str, str], *, paths: DataPaths, pipeline: AudioPipeline) -> np.ndarray | str:
    """The spectrogram of a song, or why there is none."""
    clip = paths.preview(row)
    try:
        windows, _ = pipeline.log_mels(clip)
    except AudioError as error:
        return f"{clip}: {error}"
    except Exception as error:  # whatever one song causes costs that song
        return unexpected(error, str(clip))
    return windows[(len(windows) - 1) // 2].numpy()


def write_demo(paths: DataPaths, songs: pd.DataFrame, spectrograms: SpectrogramSet, *, seed: int) -> int:
    """Put up to 24 of the given test songs, each by another artist, in data/demo/. Returns their number.

    A hash of each song's id and the seed draws the songs, so that the same seed draws the same ones.
    """
    drawn = songs.iloc[
        np.argsort([hashlib.sha256(f"{seed}:{song_id}".encode()).hexdigest() for song_id in songs.index])
    ]
    chosen = drawn[~artist_groups(songs).reindex(drawn.index).duplicated()][:DEMO_SONGS].sort_index()
    demo = DataPaths(paths.demo)
    try:
        for name in ("pipeline.json", "index.csv", "spectrograms.f16"):
            (demo.spectrograms / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{demo.spectrograms} can't be written: {error.strerror}") from None
    demo_set = SpectrogramSet.create(demo.spectrograms, spectrograms.config)
    for row in text_rows(chosen[["preview_sha256"]]):
        demo_set.append([(row, spectrograms.spectrogram(row["song_id"]))])
    write_songs(demo, chosen)
    return len(chosen)
