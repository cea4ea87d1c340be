"""Novelty detection: whether a clip sounds unlike the training songs; of what does, the models can say little."""

import json
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor
from tqdm import tqdm

from music_learning.errors import UserError
from music_learning.features.clip import clip_features, feature_names
from music_learning.features.config import FeatureConfig
from music_learning.files import atomic, damaged, remedy
from music_learning.model.tensors import Expected, check_weights, read_metadata, read_tensors
from music_learning.pipeline_config import PipelineConfig, shown
from music_learning.songs.spectrograms import SpectrogramSet

FALSE_POSITIVE_RATE = 0.02  # share of songs that may be taken for novel
LENGTHS_S = (3, 5, 10, 30)  # the shorter a clip, the farther its features are from those of any song
MIN_STD = 1e-3
POSITIVE_SHARE = 0.99  # of the songs, for which a feature that is compared by its ratio is above 0
MIN_POSITIVE = 1e-3  # what such a feature counts for where it is not
MADE_BY = "model_train.py"
TENSORS = ("songs", "positive", "mean", "std", "limits")


class NoveltyDetector:
    """Tells by a clip's features how far it is from the nearest training song."""

    def __init__(
        self, features: FeatureConfig, songs: Tensor, positive: Tensor, mean: Tensor, std: Tensor, limits: Tensor
    ) -> None:
        """
        Args:
            features: of which settings the features are.
            songs: (songs, features), standardised.
            positive: (features,) of booleans: which are above 0 for nearly all songs and compared by logarithms.
            mean, std: (features,), what they are standardised with.
            limits: (lengths,) the distance that a clip of each of `LENGTHS_S` may have.
        """
        self.features = features
        self.songs, self.positive, self.mean, self.std, self.limits = songs, positive, mean, std, limits

    def standardised(self, features: Tensor) -> Tensor:
        """(B, features) -> the same in standard deviations from the songs' mean, `max_deviation` at the most."""
        limit = self.features.max_deviation
        return ((by_ratio(features, self.positive) - self.mean) / self.std).clamp(-limit, limit)

    def distances(self, features: Tensor) -> Tensor:
        """The distance to each song: (B, features) of `clip_features` -> (B, songs)"""
        return torch.cdist(self.standardised(features), self.songs)

    def is_novel(self, features: Tensor, duration_s: float) -> bool:
        """Whether a clip is farther from every training song than nearly all songs are from others.

        Args:
            features: (1, features) of `clip_features`.
            duration_s: the clip's length, which decides how near is near.
        """
        length = max((k for k, length_s in enumerate(LENGTHS_S) if duration_s >= 0.95 * length_s), default=0)
        return bool(self.distances(features).min() > self.limits[length])

    def save(self, path: Path, weights: dict[str, str]) -> None:
        """Write the detector. `weights` has the hash of each target's weights, which were trained on its songs."""
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        data = to_safetensors(tensors | {"songs": tensors["songs"].half()}, settings_of(self.features, weights))
        with atomic(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def open(cls, path: Path, features: FeatureConfig, weights: dict[str, str]) -> Self:
        """Read a detector for features of these settings, and of the songs that these weights were trained on.

        Raises:
            UserError: the file is missing, damaged, of another version, or for other features or weights.
        """
        metadata = read_metadata(path, MADE_BY)
        try:
            pipeline = PipelineConfig.from_dict(json.loads(metadata["pipeline"]))
            saved = FeatureConfig.from_dict(json.loads(metadata["features"]), pipeline)
            if json.loads(metadata["lengths_s"]) != list(LENGTHS_S):
                raise ValueError(f"its limits are for clips of {shown(metadata['lengths_s'])} s")
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise damaged(path, error, MADE_BY) from None
        if difference := saved.differences(features):
            raise UserError(
                f"{path} and the models have different feature settings: {difference}; "
                f"{remedy(path, f'make it again with {MADE_BY}')}"
            )
        check_weights(path, metadata, weights, MADE_BY)
        tensors = read_tensors(path, expected_tensors(features), MADE_BY)
        if not (tensors["std"] > 0).all():
            raise damaged(path, "std is not above 0", MADE_BY)
        if tensors["songs"].abs().max() > features.max_deviation:
            raise damaged(path, f"songs are farther off than {features.max_deviation:g}", MADE_BY)
        return cls(features, **tensors | {"songs": tensors["songs"].float()})


def settings_of(features: FeatureConfig, weights: dict[str, str]) -> dict[str, str]:
    """All that a detector belongs to, as its file keeps it."""
    return {
        "pipeline": json.dumps(features.pipeline.to_dict()),
        "features": json.dumps(features.to_dict()),
        "lengths_s": json.dumps(LENGTHS_S),
        **weights,
    }


def expected_tensors(features: FeatureConfig) -> Expected:
    """The type and the shape of each tensor that a detector's file holds."""
    n_features = len(feature_names(features))
    return {
        "songs": (torch.float16, ("songs", n_features)),
        "positive": (torch.bool, (n_features,)),
        **dict.fromkeys(("mean", "std"), (torch.float32, (n_features,))),
        "limits": (torch.float32, (len(LENGTHS_S),)),
    }


def by_ratio(features: Tensor, positive: Tensor) -> Tensor:
    """(B, features) with logarithms in place of those that are nearly always positive: how much a band changes, say.

    So half counts as much as double. Noise differs from songs by far too little change, which is a small difference
    but a large ratio.
    """
    return torch.where(positive, features.clamp(min=MIN_POSITIVE).log(), features)


def fit_novelty_detector(
    songs: list[dict[str, str]], spectrograms: SpectrogramSet, groups: dict[str, str], config: FeatureConfig
) -> NoveltyDetector:
    """Learn how near songs are to one another: each to the nearest by other artists, since new ones will be such.

    A clip of some length is novel where it is farther off than all but 2 % of the songs cut to that length are.

    Args:
        songs: the training songs, by at least two groups of artists.
        groups: song_id -> the group of its artists.
        config: of the features, for the spectrograms' pipeline.
    """
    by_length = []
    for length_s in LENGTHS_S:
        crops = []
        for song in tqdm(songs, desc=f"novelty at {length_s} s", unit="song", disable=None):
            spectrogram = spectrograms.tensor(song["song_id"])
            n = min(spectrogram.shape[1], round(length_s * spectrograms.config.frames_per_s))
            start = (spectrogram.shape[1] - n) // 2
            crops.append(clip_features(spectrogram[None, :, start : start + n], config))
        by_length.append(torch.cat(crops))
    whole = by_length[-1]
    positive = (whole > 0).float().mean(dim=0) >= POSITIVE_SHARE
    scaled = by_ratio(whole, positive)
    mean, std = scaled.mean(dim=0), scaled.std(dim=0) + MIN_STD
    detector = NoveltyDetector(config, whole, positive, mean, std, torch.zeros(len(LENGTHS_S)))
    detector.songs = detector.standardised(whole)
    names = [groups[song["song_id"]] for song in songs]
    related = torch.tensor([[first == second for second in names] for first in names])
    for k, features in enumerate(by_length):
        to_others = detector.distances(features).masked_fill(related, torch.inf).amin(dim=1)
        detector.limits[k] = to_others.quantile(1 - FALSE_POSITIVE_RATE)
    return detector
