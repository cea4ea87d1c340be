"""Whether a clip sounds like the songs that the models learned from; of what does not, they can say little."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor
from tqdm import tqdm

from artifacts import SpectrogramSet, atomic
from errors import UserError
from statistics_layer import clip_statistics

FALSE_ALARMS = 0.02  # share of songs that may be taken for unfamiliar
LENGTHS_S = (3, 10, 30)  # the shorter a clip, the farther its statistics are from those of any song
MAX_DEVIATION = 4.0  # as in the kernel regression: a statistic far off counts no more than this
MIN_DEVIATION = 1e-3
MADE_BY = "model_train.py"


class Familiarity:
    """Tells by a clip's statistics how far it is from the nearest song learned from."""

    def __init__(self, songs: Tensor, mean: Tensor, deviation: Tensor, limits: Tensor) -> None:
        """
        Args:
            songs: (songs, statistics), standardised.
            mean, deviation: (statistics,), what they are standardised with.
            limits: (lengths,) the distance that a clip of each of `LENGTHS_S` may have.
        """
        self.songs, self.mean, self.deviation, self.limits = songs, mean, deviation, limits

    def standardised(self, statistics: Tensor) -> Tensor:
        """(B, statistics) -> the same as deviations from the songs' mean, 4 at the most."""
        return ((statistics - self.mean) / self.deviation).clamp(-MAX_DEVIATION, MAX_DEVIATION)

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
        tensors = {name: getattr(self, name).contiguous() for name in ("songs", "mean", "deviation", "limits")}
        with atomic(path) as temporary:
            temporary.write_bytes(to_safetensors(tensors | {"songs": tensors["songs"].half()}))

    @classmethod
    def open(cls, path: Path) -> "Familiarity":
        """Raises UserError where the file is missing, damaged or of another version."""
        try:
            with safe_open(path, "pt") as file:
                tensors = [file.get_tensor(name).float() for name in ("songs", "mean", "deviation", "limits")]
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run {MADE_BY} first") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is damaged ({error}); make it again with {MADE_BY}") from None
        return cls(*tensors)


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
    familiarity = Familiarity(whole, whole.mean(dim=0), whole.std(dim=0) + MIN_DEVIATION, torch.zeros(len(LENGTHS_S)))
    familiarity.songs = familiarity.standardised(whole)
    names = [groups[song["song_id"]] for song in songs]
    related = torch.tensor([[first == second for second in names] for first in names])
    for k, statistics in enumerate(by_length):
        to_others = familiarity.distances(statistics).masked_fill(related, torch.inf).amin(dim=1)
        familiarity.limits[k] = to_others.quantile(1 - FALSE_ALARMS)
    return familiarity
