"""Whether a clip sounds like the songs that the models learned from; of what does not, they can say little."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor
from tqdm import tqdm

from music_learning.errors import UserError
from music_learning.features.clip import clip_statistics
from music_learning.files import atomic
from music_learning.songs.spectrograms import SpectrogramSet

FALSE_ALARMS = 0.02  # share of songs that may be taken for unfamiliar
LENGTHS_S = (3, 5, 10, 30)  # the shorter a clip, the farther its statistics are from those of any song
MAX_DEVIATION = 4.0  # as in the kernel regression: a statistic far off counts no more than this
MIN_DEVIATION = 1e-3
POSITIVE_SHARE = 0.99  # of the songs, for which a statistic that is compared by its ratio is above 0
MIN_POSITIVE = 1e-3  # what such a statistic counts for where it is not
MADE_BY = "model_train.py"
TENSORS = ("songs", "positive", "mean", "deviation", "limits")


class Familiarity:
    """Tells by a clip's statistics how far it is from the nearest song learned from."""

    def __init__(self, songs: Tensor, positive: Tensor, mean: Tensor, deviation: Tensor, limits: Tensor) -> None:
        """
        Args:
            songs: (songs, statistics), standardised.
            positive: (statistics,) of booleans: which are above 0 for nearly all songs and compared by logarithms.
            mean, deviation: (statistics,), what they are standardised with.
            limits: (lengths,) the distance that a clip of each of `LENGTHS_S` may have.
        """
        self.songs, self.positive, self.mean, self.deviation, self.limits = songs, positive, mean, deviation, limits

    def standardised(self, statistics: Tensor) -> Tensor:
        """(B, statistics) -> the same as deviations from the songs' mean, 4 at the most."""
        scaled = by_ratio(statistics, self.positive)
        return ((scaled - self.mean) / self.deviation).clamp(-MAX_DEVIATION, MAX_DEVIATION)

    def distances(self, statistics: Tensor) -> Tensor:
        """The distance to each song: (B, statistics) of `clip_statistics` -> (B, songs)"""
        return torch.cdist(self.standardised(statistics), self.songs)

    def is_familiar(self, statistics: Tensor, duration_s: float) -> bool:
        """Whether a clip is as near to a song learned from as nearly all songs are.

        Args:
            statistics: (1, statistics) of `clip_statistics`.
            duration_s: the clip's length, which decides how near is near.
        """
        length = max((k for k, length_s in enumerate(LENGTHS_S) if duration_s >= 0.95 * length_s), default=0)
        return bool(self.distances(statistics).min() <= self.limits[length])

    def save(self, path: Path) -> None:
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        with atomic(path) as temporary:
            temporary.write_bytes(to_safetensors(tensors | {"songs": tensors["songs"].half()}))

    @classmethod
    def open(cls, path: Path) -> "Familiarity":
        """Raises UserError where the file is missing, damaged or of another version."""
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in TENSORS}
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run {MADE_BY} first") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is damaged ({error}); make it again with {MADE_BY}") from None
        return cls(**tensors | {"songs": tensors["songs"].float()})


def by_ratio(statistics: Tensor, positive: Tensor) -> Tensor:
    """(B, statistics) with logarithms in place of those that are nearly always positive: how much a band changes, say.

    So half counts as much as double. Noise differs from songs by far too little change, which is a small difference
    but a large ratio.
    """
    return torch.where(positive, statistics.clamp(min=MIN_POSITIVE).log(), statistics)


def fit_familiarity(songs: list[dict[str, str]], spectrograms: SpectrogramSet, groups: dict[str, str]) -> Familiarity:
    """Learn how near songs are to one another: each to the nearest by other artists, since new ones will be such.

    A clip of some length is too far off where it is farther than all but 2 % of the songs cut to that length are.

    Args:
        songs: those that the models learned from, by at least two groups of artists.
        groups: song_id -> the group of its artists.
    """
    by_length = []
    for length_s in LENGTHS_S:
        crops = []
        for song in tqdm(songs, desc=f"familiarity of {length_s} s", unit="song", disable=None):
            spectrogram = spectrograms.spectrogram(song["song_id"]).astype(np.float32)
            n = min(spectrogram.shape[1], round(length_s * spectrograms.config.frames_per_s))
            start = (spectrogram.shape[1] - n) // 2
            crop = torch.from_numpy(spectrogram[None, :, start : start + n])
            crops.append(clip_statistics(crop))
        by_length.append(torch.cat(crops))
    whole = by_length[-1]
    positive = (whole > 0).float().mean(dim=0) >= POSITIVE_SHARE
    scaled = by_ratio(whole, positive)
    mean, deviation = scaled.mean(dim=0), scaled.std(dim=0) + MIN_DEVIATION
    familiarity = Familiarity(whole, positive, mean, deviation, torch.zeros(len(LENGTHS_S)))
    familiarity.songs = familiarity.standardised(whole)
    names = [groups[song["song_id"]] for song in songs]
    related = torch.tensor([[first == second for second in names] for first in names])
    for k, statistics in enumerate(by_length):
        to_others = familiarity.distances(statistics).masked_fill(related, torch.inf).amin(dim=1)
        familiarity.limits[k] = to_others.quantile(1 - FALSE_ALARMS)
    return familiarity
