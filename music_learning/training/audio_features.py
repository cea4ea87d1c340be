"""How the weights of loudness, tempo and key are learned from Spotify's values of songs.

Few weights for many songs: a line, and two conditional logits whose ridge keeps them small.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from music_learning.features import key, tempo
from music_learning.features.config import FeatureConfig
from music_learning.features.harmony import N_CLASSES
from music_learning.features.loudness import integrated_loudness
from music_learning.features.measurement import Measurement
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.songs.spectrograms import SpectrogramSet, SpectrogramSets

LABELS = ("loudness_db", "tempo_bpm", "key", "mode", "time_signature")
LEAST_SONGS = 100  # with a label; fewer teach nothing
SAME_TEMPO = 0.035  # what differs by less, relatively, is the same tempo
TEMPO_RIDGE, PRIOR_RIDGE, KEY_RIDGE = 3.0, 0.3, 10.0  # of weights for cues of standard deviation 1
BAR_C = 1.0  # of the logistic regression
MAX_ITERATIONS = 100


def fit_audio_features(measured: list[Measurement], songs: pd.DataFrame, config: FeatureConfig) -> AudioFeatureModel:
    """Learn what can be learned of the songs' labels.

    Args:
        measured: of each song's clip, in order.
        songs: with the columns loudness_db, tempo_bpm, key and mode, any of which may be missing.
    """
    lufs = np.array([integrated_loudness(one.loudness) for one in measured], float)  # NaN for None
    labels = {name: songs[name].to_numpy(float, na_value=np.nan) for name in LABELS}
    onsets = [one.onsets for one in measured]
    has_onsets = np.array([bool(sums[0, 0] > 0) for sums in onsets])
    has_tones = np.array([bool(one.pitches.any()) for one in measured])
    low, high = tempo.TEMPO_RANGE_BPM
    in_range = (labels["tempo_bpm"] >= low) & (labels["tempo_bpm"] <= high)
    lines = _known(np.isfinite(labels["loudness_db"]) & np.isfinite(lufs))
    tempi = _known(in_range & has_onsets)
    keys = _known((labels["key"] >= 0) & np.isfinite(labels["mode"]) & has_tones)
    tempo_weights = (
        None if tempi is None else _fit_tempo([onsets[k] for k in tempi], labels["tempo_bpm"][tempi], config)
    )
    bars = _known(np.isin(labels["time_signature"], (3, 4)) & has_onsets)
    return AudioFeatureModel(
        loudness=None if lines is None else _fit_line(lufs[lines], labels["loudness_db"][lines]),
        tempo=tempo_weights,
        key=None
        if keys is None
        else _fit_key([measured[k].pitches for k in keys], labels["key"][keys], labels["mode"][keys]),
        bar=None
        if bars is None or tempo_weights is None
        else _fit_bar([onsets[k] for k in bars], labels["time_signature"][bars], tempo_weights, config),
    )


def _known(is_known: np.ndarray) -> np.ndarray | None:
    """The places of the songs of which something is known, or None where they are too few."""
    known = np.flatnonzero(is_known)
    return known if len(known) >= LEAST_SONGS else None


def _fit_line(lufs: np.ndarray, loudness_db: np.ndarray) -> Tensor:
    """Slope and intercept (2,) of the line of least squares."""
    return torch.tensor(np.polyfit(lufs, loudness_db, 1), dtype=torch.float32)


def _fit_tempo(sums: list[Tensor], labels: np.ndarray, config: FeatureConfig) -> Tensor:
    """The weights (cues,) under which the candidates near Spotify's tempo are likeliest."""
    cues = torch.stack([tempo.tempo_cues(one, config) for one in sums])  # (songs, candidates, cues)
    ratio = tempo.candidates_bpm() / torch.tensor(labels, dtype=torch.float32)[:, None]
    is_right = (ratio - 1).abs() <= SAME_TEMPO
    scale = cues.std(dim=(0, 1))
    scale[len(tempo.BEATS) :] = 1  # the bumps are alike
    ridge = torch.full_like(scale, TEMPO_RIDGE)
    ridge[len(tempo.BEATS) :] = PRIOR_RIDGE

    def loss(weights: Tensor) -> Tensor:
        likelihoods = (cues / scale @ weights).log_softmax(dim=1)
        right = likelihoods.masked_fill(~is_right, -torch.inf).logsumexp(dim=1)
        return (ridge * weights.square()).sum() - right.sum()

    return _minimised(loss, torch.zeros(tempo.N_CUES)) / scale


def _fit_bar(
    sums: list[Tensor], time_signatures: np.ndarray, tempo_weights: Tensor, config: FeatureConfig
) -> Tensor | None:
    """The weights (cues + 1,) of a logistic regression of bars of three beats, by the tempi that are found.

    None where no bar, or each, has three.
    """
    if len(np.unique(time_signatures == 3)) < 2:
        return None
    tempi = [tempo.tempo_bpm(one, tempo_weights, config) for one in sums]
    cues = torch.stack([tempo.bar_cues(one, bpm, config) for one, bpm in zip(sums, tempi, strict=True)]).numpy()
    scaler = StandardScaler().fit(cues)
    regression = LogisticRegression(C=BAR_C, max_iter=1000).fit(scaler.transform(cues), time_signatures == 3)
    weights = regression.coef_[0] / scaler.scale_
    return torch.tensor([*weights, regression.intercept_[0] - weights @ scaler.mean_], dtype=torch.float32)


def _fit_key(sums: list[Tensor], keys: np.ndarray, modes: np.ndarray) -> Tensor:
    """The weights (cues + 1, 2) under which Spotify's key is likeliest."""
    cues = torch.stack([key.key_cues(one) for one in sums])  # (songs, 12 tonics, cues)
    tonics = (keys.astype(int) - key.LOWEST_CLASS) % N_CLASSES
    labels = torch.tensor(2 * tonics + 1 - modes.astype(int))
    scale = cues.unflatten(2, (len(key.KINDS), -1)).std(dim=(0, 1, 3)).repeat_interleave(N_CLASSES).clamp(min=1e-6)
    scaled = torch.nn.functional.pad(cues / scale, (0, 1), value=1.0)

    def loss(weights: Tensor) -> Tensor:
        scores = (scaled @ weights).flatten(1)
        return (
            torch.nn.functional.cross_entropy(scores, labels, reduction="sum") + KEY_RIDGE * weights[:-1].square().sum()
        )

    weights = _minimised(loss, torch.zeros(key.N_CUES + 1, 2))
    return torch.cat([weights[:-1] / scale[:, None], weights[-1:]])


def _minimised(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a convex function is least, from `start` on, by L-BFGS."""
    x = start.requires_grad_()
    optimiser = torch.optim.LBFGS([x], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(x)
        value.backward()
        return value

    optimiser.step(closure)
    return x.detach()


def measure_songs(
    spectrograms: SpectrogramSet | SpectrogramSets, song_ids: Iterable[str], config: FeatureConfig
) -> list[Measurement]:
    """What is measured of each song's clip."""
    return [Measurement.of(spectrograms.tensor(song_id), config) for song_id in song_ids]
