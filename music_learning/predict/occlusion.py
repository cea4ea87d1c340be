"""What in a spectrogram raised or lowered each value: hide one place after the other, and hear how the values change.

Occlusion (Zeiler & Fergus, 2014, https://arxiv.org/abs/1311.2901). What is hidden becomes the training songs' mean
level of its bands, as it does under the masks of training, and no tone stands out there; the waveform's peaks stay. Of
the replacements of the bands that need no other song, this one says best what happens where another song's bands take
the place (benchmarks/occlusion.py), as Mishra et al. found for singing (2020, https://arxiv.org/abs/2005.07788).
"""

from itertools import pairwise

import torch
from torch import Tensor

from music_learning.features.clip import clip_statistics
from music_learning.features.harmony import octave_mean
from music_learning.model.ensemble import Ensemble, cut, piece_starts
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.analysis import even_edges

N_BANDS = 6  # groups of mel bands; with more, two networks of different seeds agree less on them


@torch.inference_mode()
def effects(
    models: dict[str, Ensemble], spectrogram: Tensor, config: PipelineConfig, fill_db: Tensor | None = None
) -> Tensor:
    """How much each place of a clip raises the values: each value minus the value with the place hidden.

    A place is one of 6 groups of mel bands during one of as many stretches of time as the clip has pieces, 3 to 4 s.
    Above 0 it raises the value, below 0 it lowers it. The effects don't add up to the value.

    Args:
        models: a model per target.
        spectrogram: (n_rows, frames) as the pipeline makes it, at least 16 frames.
        config: the pipeline's settings.
        fill_db: (n_mels, 1) or (n_mels, frames), what hidden places become; by default the training songs' mean.

    Returns:
        (targets, bands, times)
    """
    network = next(iter(models.values())).members[0]
    n_mels, frames = network.config.n_mels, spectrogram.shape[1]
    if fill_db is None:
        fill_db = network.band_mean_db
    fill_db = fill_db.expand(n_mels, frames)
    starts = piece_starts(frames, network.config.piece_frames)
    piece_frames = min(frames, network.config.piece_frames)
    bands, times = (list(pairwise(even_edges(n, parts))) for n, parts in ((n_mels, N_BANDS), (frames, len(starts))))

    pieces, statistics = cut(spectrogram[None], piece_frames), clip_statistics(spectrogram[None])
    by_networks = {target: _by_networks(model, pieces)[None] for target, model in models.items()}
    values = {target: model.timeline(by_networks[target], statistics).mean() for target, model in models.items()}
    result = torch.empty(len(models), len(bands), len(times))
    hidden = spectrogram.repeat(len(bands), 1, 1)  # in each of them other bands are hidden, for a stretch at a time
    for time, (start, end) in enumerate(times):
        for clip, (low, high) in zip(hidden, bands, strict=True):
            hide(clip, slice(low, high), slice(start, end), config, fill_db)
        statistics = clip_statistics(hidden)
        # The other pieces sound as before.
        touched = [piece for piece, first in enumerate(starts) if first < end and first + piece_frames > start]
        pieces = torch.cat([hidden[:, :, starts[piece] : starts[piece] + piece_frames] for piece in touched])
        for row, (target, model) in enumerate(models.items()):
            changed = by_networks[target].repeat(len(bands), 1)
            changed[:, touched] = _by_networks(model, pieces).view(len(touched), -1).T
            result[row, :, time] = values[target] - model.timeline(changed, statistics).mean(dim=1)
        hidden[:, :, start:end] = spectrogram[:, start:end]
    return result


def hide(clip: Tensor, bands: slice, frames: slice, config: PipelineConfig, fill_db: Tensor) -> None:
    """Hide a place of a clip (n_rows, frames): bands become the fill (n_mels, frames), tones stand out no more."""
    clip[bands, frames] = fill_db[bands, frames]
    pitches = clip[config.n_mels : config.n_mels + config.n_pitches, frames]
    hidden = config.pitches_between(bands.start, bands.stop)
    pitches[hidden] = octave_mean(pitches.T[None])[0].T[hidden]


def _by_networks(model: Ensemble, pieces: Tensor) -> Tensor:
    """What a model's networks say of each piece on average: (B, n_rows, frames) -> (B,)"""
    return torch.stack([member(pieces)[:, 0] for member in model.members]).mean(dim=0)
