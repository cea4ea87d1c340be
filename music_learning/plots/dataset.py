"""Pictures of the songs: their spectrograms and their labels."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from music_learning.columns import SPLITS, TARGETS
from music_learning.plots.style import SERIES_COLORS, SPECTROGRAM, save_figure, shorten
from music_learning.songs.spectrograms import SpectrogramSet


def draw_spectrograms(songs: pd.DataFrame, spectrograms: SpectrogramSet, path: Path) -> None:
    """A grid of up to 12 songs, from the least to the most energetic, with their titles and labels."""
    songs = songs.sort_values("energy", kind="stable")
    songs = songs.iloc[np.unique(np.linspace(0, len(songs) - 1, 12).round().astype(int))]
    config = spectrograms.config
    figure = Figure(figsize=(15, 10), layout="constrained")
    for axes, (song_id, song) in zip(figure.subplots(3, 4, squeeze=False).flat, songs.iterrows(), strict=False):
        spectrogram = spectrograms.spectrogram(song_id)[: config.n_mels].astype(np.float32)
        image = axes.imshow(
            spectrogram,
            **SPECTROGRAM,
            extent=(0, spectrogram.shape[1] / config.frames_per_s, 0, config.n_mels),
        )
        labels = "   ".join(f"{target} {song[target]:.2f}" for target in TARGETS)
        title, artist = (shorten(text, 34) for text in song[["title", "artist"]].fillna(""))
        axes.set_title(f"{title}\n{artist}\n{labels}", fontsize=9, parse_math=False)
        axes.set_xlabel("seconds", fontsize=8)
        axes.set_ylabel("mel band", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.colorbar(image, ax=figure.axes, label="dB relative to a full-scale sine", shrink=0.6)
    figure.suptitle("Log-mel spectrograms, from the least to the most energetic song")
    save_figure(figure, path)


def draw_labels(songs: pd.DataFrame, path: Path) -> None:
    """Histograms of the three labels in each split, as shares of the split; songs have it as a column."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, target in zip(figure.subplots(1, 3, sharey=True), TARGETS, strict=True):
        for split, color in zip(SPLITS, SERIES_COLORS, strict=True):
            values = songs.loc[songs["split"] == split, target]
            axes.hist(
                values,
                bins=np.linspace(0, 1, 21),
                weights=np.full(len(values), 100 / max(len(values), 1)),
                histtype="step",
                linewidth=1.8,
                color=color,
                label=f"{split} ({len(values):,})",
            )
        axes.set_title(target)
        axes.set_xlabel("Spotify's label")
    figure.axes[0].set_ylabel("% of the split's songs")
    figure.axes[0].legend(loc="upper left")
    save_figure(figure, path)
