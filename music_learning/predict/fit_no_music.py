"""Fits the detector of what is no music: to songs, and to sounds that are synthesised for it."""

from collections.abc import Sequence
from itertools import accumulate
from math import exp, log

import numpy as np
import torch
from torch import Tensor

from music_learning.audio import AudioPipeline
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.parallel import cpu_count, ordered_map
from music_learning.predict.no_music import CLASSES, NoMusicDetector
from music_learning.predict.synthetic_music import SPARSE
from music_learning.predict.synthetic_sounds import KINDS, RATE_HZ, at_some_level
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets

N_SOUNDS = 16  # synthesised of each kind, times its weight
LENGTHS_S = (3.0, 30.0)  # of clips
SPARSE_SHARE = 0.25  # of what counts as music, in place of songs
SOFTER_DB = 40.0  # how much softer a song may be made
TREBLE_HZ = (1500.0, 9000.0)  # above which it may lose its treble, by 48 dB an octave
C = 1e-3  # the inverse strength of regularisation; ten times as much changes little
MIN_STD = 1e-3
SOUNDS = (*(("music", *sparse) for sparse in SPARSE), *((name, *kind) for name in KINDS for kind in KINDS[name]))


def fit_no_music_detector(
    song_ids: Sequence[str], spectrograms: SpectrogramSet | SpectrogramSets, config: FeatureConfig, *, seed: int = 0
) -> NoMusicDetector:
    """Fit a multinomial logistic regression: every class counts the same, and within one every sound.

    Each song is taken twice, cut to a random length: as it is, and softer and without some treble, since it is the
    training songs' loudness that tells them from noise too easily. The same seed fits the same detector.

    Args:
        song_ids: the training songs'.
        config: of the features, for the spectrograms' pipeline.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second that predicting need not wait for

    def song(item: int) -> Tensor:
        rng = np.random.default_rng([seed, 0, item])
        clip = cut(rng, spectrograms.tensor(song_ids[item // 2]), config)
        return clip_features((softened(rng, clip, config) if item % 2 else clip)[None], config)

    ends = [*accumulate(N_SOUNDS * weight for _, _, weight in SOUNDS)]
    pipeline = AudioPipeline(config.pipeline)

    def sound(item: int) -> Tensor:
        rng = np.random.default_rng([seed, 1, item])
        make = SOUNDS[np.searchsorted(ends, item, side="right")][1]
        samples = at_some_level(rng, make(rng, 1600 * int(10 * random_length_s(rng))))
        waveform, _ = next(pipeline.waveforms_of(samples, RATE_HZ))
        return clip_features(pipeline(waveform)[None], config)

    with torch.inference_mode():
        parts = {"unit": "sound", "workers": cpu_count(), "description": "what is no music"}
        songs = [*ordered_map(song, range(2 * len(song_ids)), **parts | {"description": "what is music"})]
        sounds = [*ordered_map(sound, range(ends[-1]), **parts)]
    classes = ["music"] * len(songs) + [name for name, _, weight in SOUNDS for _ in range(N_SOUNDS * weight)]
    features = torch.cat(songs + sounds)
    mean = features.nanmean(dim=0).nan_to_num()  # what no clip tells, none will be asked for
    std = (features - mean).square().nanmean(dim=0).nan_to_num().sqrt() + MIN_STD
    detector = NoMusicDetector(config, mean, std, torch.zeros(len(CLASSES), len(mean)), torch.zeros(len(CLASSES)))
    numbers = np.array([CLASSES.index(name) for name in classes])
    regression = LogisticRegression(C=C, max_iter=1000)
    inputs = detector.standardised(features).numpy()
    regression.fit(inputs, numbers, sample_weight=sample_weights(numbers, len(songs)))
    detector.coef = torch.from_numpy(regression.coef_).float()
    detector.intercept = torch.from_numpy(regression.intercept_).float()
    return detector


def sample_weights(numbers: np.ndarray, n_songs: int) -> np.ndarray:
    """What each sound counts: of sum 1 in each class, whose `numbers` (sounds,) has; of mean 1 in all.

    The first `n_songs` are songs.
    """
    weights = 1.0 / np.bincount(numbers)[numbers]
    is_song = np.arange(len(numbers)) < n_songs
    is_sparse = (numbers == CLASSES.index("music")) & ~is_song
    weights[is_song], weights[is_sparse] = (1 - SPARSE_SHARE) / n_songs, SPARSE_SHARE / is_sparse.sum()
    return weights * len(numbers) / len(CLASSES)


def random_length_s(rng: np.random.Generator) -> float:
    shortest, longest = LENGTHS_S
    return exp(rng.uniform(log(shortest), log(longest)))


def cut(rng: np.random.Generator, spectrogram: Tensor, config: FeatureConfig) -> Tensor:
    """A random stretch, of a random length, of (n_rows, frames)."""
    n = min(spectrogram.shape[1], round(random_length_s(rng) * config.pipeline.frames_per_s))
    start = int(rng.integers(spectrogram.shape[1] - n + 1))
    return spectrogram[:, start : start + n]


def softened(rng: np.random.Generator, spectrogram: Tensor, config: FeatureConfig) -> Tensor:
    """(n_rows, frames) in dB, softer and without some treble, down to the front end's floors."""
    pipeline = config.pipeline
    softer_db, treble_hz = rng.uniform(0, SOFTER_DB), exp(rng.uniform(*np.log(TREBLE_HZ)))
    octaves = torch.tensor([max(0.0, log(pipeline.hz_at(band) / treble_hz, 2)) for band in range(pipeline.n_mels)])
    levels, rest = (spectrogram - softer_db).tensor_split([pipeline.n_mels])
    levels = levels - 48 * octaves[:, None].clamp(max=1.25)
    levels = levels.clamp(min=float(levels.max()) - pipeline.range_db)
    return torch.cat([levels, rest]).clamp(min=pipeline.floor_db)
