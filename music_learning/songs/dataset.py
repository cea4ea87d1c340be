"""Spectrograms with their labels, as training takes them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets


class SpectrogramDataset(Dataset):
    """Spectrograms with the labels of the given targets.

    An item is (spectrogram, labels): float32 (n_rows, frames), and float32 (targets,) in [0, 1].
    """

    def __init__(
        self,
        spectrograms: SpectrogramSet | SpectrogramSets,
        songs: pd.DataFrame,
        targets: Sequence[str],
        *,
        crop_frames: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """
        Args:
            spectrograms: an opened set that holds all the songs.
            songs: those to use, as `read_songs` gives them.
            targets: the columns that hold the labels.
            crop_frames: cut a random stretch of this length out of each item; None gives each item whole.
            generator: draws the crops.
        """
        self.song_ids = list(songs.index)
        self.labels = torch.tensor(songs[[*targets]].to_numpy(np.float32))
        self.spectrograms = spectrograms
        self.frames = [spectrograms.frames(song_id) for song_id in self.song_ids]
        self.crop_frames = crop_frames
        self.generator = generator

    def __len__(self) -> int:
        return len(self.song_ids)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        start, stop = 0, self.frames[item]
        if self.crop_frames is not None:
            start = int(torch.randint(max(stop - self.crop_frames, 0) + 1, (), generator=self.generator))
            stop = min(stop, start + self.crop_frames)
        spectrogram = self.spectrograms.spectrogram(self.song_ids[item])[:, start:stop]
        return torch.from_numpy(spectrogram.astype(np.float32)), self.labels[item]


def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stack items to (B, n_rows, frames) and (B, targets). A shorter item is repeated to the longest's length."""
    frames = max(spectrogram.shape[1] for spectrogram, _ in items)
    spectrograms = [s if s.shape[1] == frames else s.repeat(1, -(-frames // s.shape[1]))[:, :frames] for s, _ in items]
    return torch.stack(spectrograms), torch.stack([labels for _, labels in items])


def make_loader(
    dataset: SpectrogramDataset,
    *,
    batch_size: int,
    shuffle: bool = False,
    generator: torch.Generator | None = None,
    sampler: Sampler | None = None,
) -> DataLoader:
    """A loader of (B, n_rows, frames) float32 and labels (B, targets).

    When shuffled, `generator` decides the order, and a last batch of one song is left out: it has no standard deviation
    for batch normalisation to learn from.

    Args:
        sampler: decides which songs and their order instead; that of one process among several, say, whose last batch
            of one song is not the only one.
    """
    shuffle = shuffle and sampler is None
    drop_last = shuffle and len(dataset) > batch_size and len(dataset) % batch_size == 1
    return DataLoader(
        dataset,
        batch_size,
        shuffle=shuffle,
        sampler=sampler,
        generator=generator,
        collate_fn=collate,
        drop_last=drop_last,
    )
