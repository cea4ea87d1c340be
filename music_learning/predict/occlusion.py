"""Which cells of a spectrogram raised or lowered each value: mask one after the other, and see how the values change.

Occlusion (Zeiler & Fergus, 2014, https://arxiv.org/abs/1311.2901). What is masked becomes the training songs' mean
level of its bands, as it does under the masks of training, and no tone stands out there; the waveform's peaks move as
the level of all bands does. Of the replacements of the bands that need no other song, this one says best what happens
where another song's bands take the place (benchmarks/occlusion.py), as Mishra et al. found for singing (2020,
https://arxiv.org/abs/2005.07788).
"""

from itertools import pairwise

import torch
from torch import Tensor

from music_learning.features.clip import clip_features
from music_learning.features.harmony import octave_mean
from music_learning.features.levels import DB
from music_learning.model.ensemble import Ensemble, cut, segment_starts
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.analysis import even_edges

N_BANDS = 6  # groups of mel bands; with more, two networks of different seeds agree less on them


@torch.inference_mode()
def occlusion_attributions(models: dict[str, Ensemble], spectrogram: Tensor, fill_db: Tensor | None = None) -> Tensor:
    """How much each cell of a clip raises the values: each value minus the value with the cell masked.

    A cell is one of 6 groups of mel bands during one of as many stretches of time as the clip has segments, 3 to 4 s.
    Above 0 it raises the value, below 0 it lowers it. The attributions don't add up to the value.

    Args:
        models: a model per target.
        spectrogram: (n_rows, frames) as the models' pipeline makes it, at least 16 frames.
        fill_db: (n_mels, 1) or (n_mels, frames), what masked cells become; by default the training songs' mean.

    Returns:
        (targets, bands, times)
    """
    model = next(iter(models.values()))
    features_config, segment_frames = model.config.features, model.config.network.segment_frames
    n_mels, frames = model.config.network.n_mels, spectrogram.shape[1]
    if fill_db is None:
        fill_db = model.members[0].band_mean_db
    fill_db = fill_db.expand(n_mels, frames)
    starts = segment_starts(frames, segment_frames)
    segment_frames = min(frames, segment_frames)
    bands, times = grid(n_mels, frames, len(starts))

    segments, features = cut(spectrogram[None], segment_frames), clip_features(spectrogram[None], features_config)
    by_networks = {target: x[None] for target, x in _by_networks(models, segments).items()}
    values = {target: model.mix(by_networks[target], model.kernel(features)).mean() for target, model in models.items()}
    result = torch.empty(len(models), len(bands), len(times))
    masked = spectrogram.repeat(len(bands), 1, 1)  # in each of them other bands are masked, for a stretch at a time
    for time, (start, end) in enumerate(times):
        for clip, (low, high) in zip(masked, bands, strict=True):
            mask(clip, slice(low, high), slice(start, end), features_config.pipeline, fill_db)
        features = clip_features(masked, features_config)
        # The other segments sound as before.
        touched = [k for k, first in enumerate(starts) if first < end and first + segment_frames > start]
        segments = torch.cat([masked[:, :, starts[k] : starts[k] + segment_frames] for k in touched])
        masked_by_networks = _by_networks(models, segments)
        for row, (target, model) in enumerate(models.items()):
            changed = by_networks[target].repeat(len(bands), 1)
            changed[:, touched] = masked_by_networks[target].view(len(touched), -1).T
            result[row, :, time] = values[target] - model.mix(changed, model.kernel(features)).mean(dim=1)
        masked[:, :, start:end] = spectrogram[:, start:end]
    return result


def grid(n_mels: int, frames: int, n_times: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where the groups of mel bands and the stretches of time begin and end that make up the cells of a clip."""
    bands, times = (even_edges(n, parts) for n, parts in ((n_mels, N_BANDS), (frames, n_times)))
    return list(pairwise(bands)), list(pairwise(times))


def above_usual(models: dict[str, Ensemble], spectrogram: Tensor, n_times: int) -> Tensor:
    """By how many dB each cell of a clip is louder than the training songs are in its bands, which it is masked by.

    Args:
        models, spectrogram: as for `occlusion_attributions`.
        n_times: how many stretches of time there are.

    Returns:
        (bands, times)
    """
    usual_db = next(iter(models.values())).members[0].band_mean_db
    above = spectrogram[: len(usual_db)] - usual_db
    bands, times = grid(*above.shape, n_times)
    return torch.stack([torch.stack([above[slice(*b), slice(*t)].mean() for t in times]) for b in bands])


def mask(clip: Tensor, bands: slice, frames: slice, config: PipelineConfig, fill_db: Tensor) -> None:
    """Mask a cell of a clip (n_rows, frames): bands become the fill (n_mels, frames), tones stand out no more.

    The peaks move with the level of the frames, as far as the masked bands make it up: else they would tell it.
    """
    levels = clip[: config.n_mels, frames]
    before = (levels / DB).logsumexp(dim=0)
    clip[bands, frames] = fill_db[bands, frames]
    clip[-1, frames] += DB * ((levels / DB).logsumexp(dim=0) - before)
    pitches = clip[config.n_mels : config.n_mels + config.n_pitches, frames]
    masked = config.pitches_between(bands.start, bands.stop)
    pitches[masked] = octave_mean(pitches.T[None])[0].T[masked]


def _by_networks(models: dict[str, Ensemble], segments: Tensor) -> dict[str, Tensor]:
    """What each model's CNNs predict of each segment on average: (B, n_rows, frames) -> for each target (B,)"""
    known: dict[int, Tensor] = {}
    return {target: model.by_networks(segments, known) for target, model in models.items()}
