"""Fixed statistics of a clip's spectrogram: level, rhythm, timbre and harmony in a few hundred numbers."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline import N_PITCH_CLASSES

N_COARSE = 32  # groups of mel bands whose level and changes are described
LEVEL_COPIES = 4
N_RHYTHM = 8  # groups of mel bands whose rhythm is described
RHYTHM_FRAMES = 234  # 7.5 s at 32 ms: long enough for the slowest beat
RHYTHM_EDGES = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100, 117)  # in periods per 7.5 s: 0.13 to 15.6 Hz
N_CEPSTRA = 20
N_PEAKS = 16  # groups of mel bands in which tones that stand out are counted
SUSTAIN_FRAMES = 8  # 0.26 s: what lasts longer than this is a tone rather than a drum
N_MOVING = 13  # cepstral coefficients whose changes are compared with one another
LAGS = slice(4, 70, 2)  # in frames: 0.13 to 2.2 s from one onset to the next
BEAT_LAGS = slice(8, 64)  # 0.26 to 2 s: 30 to 230 beats per minute
FRAME_S = 0.032
TEMPO_EDGES_BPM = (40, 60, 80, 95, 110, 125, 140, 160, 180, 210, 260, 330, 420, 600)
USUAL_TEMPI_BPM = (60, 200)
TEMPO_POINTS = 2048  # of the Fourier transform: a bin is 0.9 beats per minute wide
PITCH_STEP = 4  # frames that share their pitch classes
CHORD_FRAMES = 5  # of pitch classes, 0.64 s: what sounds together that long is taken for a chord
# How well each pitch class fits into a key, from its tonic up, as listeners judged (Krumhansl & Kessler, 1982).
MAJOR_KEY = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_KEY = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MAJOR_CHORD, MINOR_CHORD = (0, 4, 7), (0, 3, 7)  # semitones from the root up
RELATIVE_MAJOR = 3  # semitones above a minor key's tonic lies that of the major key with the same notes


def n_statistics(n_mels: int) -> int:
    """How many numbers `clip_statistics` gives."""
    return clip_statistics(torch.zeros(1, n_mels + N_PITCH_CLASSES, RHYTHM_FRAMES)).shape[1]


@torch.no_grad()
def clip_statistics(spectrograms: Tensor) -> Tensor:
    """(B, n_rows, frames) as the pipeline makes them, n_mels a multiple of 32 -> (B, statistics)

    Clips shorter than 7.5 s are repeated to that length.
    """
    frames = spectrograms.shape[2]
    if frames < RHYTHM_FRAMES:
        spectrograms = spectrograms.repeat(1, 1, -(-RHYTHM_FRAMES // frames))[:, :, :RHYTHM_FRAMES]
    levels, pitches = spectrograms[:, :-N_PITCH_CLASSES], spectrograms[:, -N_PITCH_CLASSES:, ::PITCH_STEP]
    parts = (_levels, _rhythm, _cepstra, _peaks, _repetition, _tempo)
    return torch.cat([*(part(levels) for part in parts), _harmony(pitches)], dim=1)


def _grouped(x: Tensor, n_groups: int) -> Tensor:
    """The mean over groups of neighbouring bands: (B, n_mels, frames) -> (B, n_groups, frames)"""
    return x.unflatten(1, (n_groups, -1)).mean(dim=2)


def _deviation(x: Tensor) -> Tensor:
    return (x.var(dim=-1) + 1e-4).sqrt()


def _levels(x: Tensor) -> Tensor:
    """The bands' mean levels against that of all, their deviation, how much they change from frame to frame and rise.

    And the level of all, which would be in every band's otherwise: a song played more softly is hardly another song.
    It is there several times, since it counts for more than any other number.
    """
    bands = _grouped(x, N_COARSE)
    change = bands.diff(dim=-1)
    means = bands.mean(dim=-1)
    level = means.mean(dim=1, keepdim=True)
    rise = change.clamp(min=0).mean(dim=-1)
    return torch.cat([means - level, _deviation(bands), _deviation(change), rise, level.repeat(1, LEVEL_COPIES)], dim=1)


def _rhythm(x: Tensor) -> Tensor:
    """The modulation spectrum: how strongly each group of bands pulsates at which tempo, as a logarithm."""
    bands = _grouped(x, N_RHYTHM)
    windows = (bands - bands.mean(dim=-1, keepdim=True)).unfold(2, RHYTHM_FRAMES, RHYTHM_FRAMES // 2)
    window = torch.hann_window(RHYTHM_FRAMES, periodic=False, device=x.device)
    strength = torch.fft.rfft(windows * window).abs().mean(dim=2)
    tempi = [strength[:, :, low:high].mean(dim=2) for low, high in pairwise(RHYTHM_EDGES)]
    return torch.log(torch.stack(tempi, dim=2) + 1e-3).flatten(1)


def _cepstra(x: Tensor) -> Tensor:
    """Mean, deviation and change of the first cepstral coefficients (an orthonormal DCT over the bands): the timbre.

    The first one's mean, the level of all bands, is left out. And which of them change together from frame to frame,
    as correlations.
    """
    n_mels = x.shape[1]
    band = torch.arange(n_mels, device=x.device) + 0.5
    order = torch.arange(N_CEPSTRA, device=x.device)[:, None]
    basis = torch.cos(math.pi * band * order / n_mels) * math.sqrt(2 / n_mels)
    cepstra = basis @ x
    change = cepstra.diff(dim=-1)
    moving = change[:, :N_MOVING] - change[:, :N_MOVING].mean(dim=-1, keepdim=True)
    moving = F.normalize(moving, dim=-1, eps=1e-3)
    first, second = torch.triu_indices(N_MOVING, N_MOVING, offset=1)
    together = (moving @ moving.transpose(1, 2))[:, first, second]
    return torch.cat([cepstra[:, 1:].mean(dim=-1), _deviation(cepstra), _deviation(change), together], dim=1)


def _peaks(x: Tensor) -> Tensor:
    """How far bands stand out from those two above and below them, in each frame and in what is sustained."""
    padded = F.pad(x, (0, 0, 2, 2), mode="replicate")
    above = (x - (padded[:, :-4] + padded[:, 4:]) / 2).clamp(min=0).mean(dim=-1)
    sustained = F.avg_pool1d(x, SUSTAIN_FRAMES)
    contrast = (sustained[:, 2:-2] - (sustained[:, :-4] + sustained[:, 4:]) / 2).abs().mean(dim=-1)
    return torch.cat([above.unflatten(1, (N_PEAKS, -1)).mean(dim=2), F.avg_pool1d(contrast, 12, 8)], dim=1)


def _onsets(x: Tensor) -> Tensor:
    """How much each group of bands rises from frame to frame, without its mean: (B, groups, frames - 1)"""
    onsets = _grouped(x, N_RHYTHM).diff(dim=-1).clamp(min=0)
    return onsets - onsets.mean(dim=-1, keepdim=True)


def _repetition(x: Tensor) -> Tensor:
    """The autocorrelation of the onsets at each lag, and how well each group of bands keeps its best beat."""
    onsets = _onsets(x)
    power = torch.fft.rfft(onsets, 2 * onsets.shape[2]).abs().square()
    correlation = torch.fft.irfft(power)[:, :, : LAGS.stop]
    correlation = correlation / correlation[:, :, :1].clamp(min=1e-3)
    return torch.cat([correlation.mean(dim=1)[:, LAGS], correlation[:, :, BEAT_LAGS].amax(dim=2)], dim=1)


def _tempo(x: Tensor) -> Tensor:
    """How far the strongest pulse in each range of tempi stands out, and the strongest of the usual tempi / 100 bpm."""
    onsets = _onsets(x).sum(dim=1)
    window = torch.hann_window(onsets.shape[1], periodic=False, device=x.device)
    n_points = max(TEMPO_POINTS, onsets.shape[1])
    strength = torch.fft.rfft(onsets * window, n_points).abs()
    strength = strength / strength.mean(dim=1, keepdim=True).clamp(min=1e-3)
    bpm = 60 * torch.fft.rfftfreq(n_points, FRAME_S, device=x.device)
    ranges = [(bpm > low) & (bpm <= high) for low, high in pairwise(TEMPO_EDGES_BPM)]
    usual = (bpm > USUAL_TEMPI_BPM[0]) & (bpm < USUAL_TEMPI_BPM[1])
    strongest = bpm[usual][strength[:, usual].argmax(dim=1)] / 100
    return torch.stack([*(strength[:, inside].amax(dim=1) for inside in ranges), strongest], dim=1)


def _harmony(pitches: Tensor) -> Tensor:
    """Key, chords and intervals: (B, 12, pitch frames) -> (B, statistics)

    How far the piece is in major and in minor; how much of it the best chords explain, whether they are major ones and
    how often they change; which intervals sound together; how strong each pitch class is from the tonic up, or in minor
    from that of the relative major; how often each root is heard, from the tonic up; by how much the roots move; how
    much the pitch classes change and differ. Silence counts as the first of the chords.
    """
    frames = _standardised(pitches.transpose(1, 2))  # (B, frames, 12)
    mean = _standardised(pitches.mean(dim=2))
    in_major, in_minor = (mean @ _rotations(profile, mean) for profile in (MAJOR_KEY, MINOR_KEY))  # (B, 12 tonics)
    best_major, best_minor = in_major.amax(dim=1), in_minor.amax(dim=1)
    is_major = best_major >= best_minor
    tonic = torch.where(is_major, in_major.argmax(dim=1), in_minor.argmax(dim=1))
    relative = torch.where(is_major, tonic, tonic + RELATIVE_MAJOR)

    smooth = F.avg_pool1d(pitches, CHORD_FRAMES, 1, CHORD_FRAMES // 2)
    sounding = _standardised(smooth.transpose(1, 2))
    templates = [[float(step in chord) for step in range(12)] for chord in (MAJOR_CHORD, MINOR_CHORD)]
    fits = [sounding @ _rotations(template, sounding) for template in templates]
    as_major, as_minor = (fit.amax(dim=2) for fit in fits)
    chords = torch.cat(fits, dim=2).argmax(dim=2)  # (B, frames)
    roots = F.one_hot(chords % 12, 12).float()
    moves = F.one_hot(chords.diff(dim=1) % 12, 12).float().mean(dim=1)
    numbers = [
        best_major,
        best_minor,
        best_major - best_minor,
        (chords < 12).float().mean(dim=1),
        torch.maximum(as_major, as_minor).mean(dim=1),
        as_major.mean(dim=1),
        as_minor.mean(dim=1),
        (as_major - as_minor).mean(dim=1),
        (chords.diff(dim=1) != 0).float().mean(dim=1),
        smooth.diff(dim=2).abs().mean(dim=(1, 2)),
        pitches.mean(dim=2).std(dim=1),
    ]
    both = (mean[:, None], frames)
    intervals = [(x * x.roll(step, dims=2)).mean(dim=(1, 2)) for step in range(1, 7) for x in both]
    return torch.cat(
        [
            torch.stack(numbers + intervals, dim=1),
            _from(mean, relative),
            _from(roots.mean(dim=1), tonic),
            moves[:, 1:],
        ],
        dim=1,
    )


def _standardised(x: Tensor) -> Tensor:
    """Deviations from the mean over the last dimension."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, correction=0, keepdim=True) + 1e-3)


def _rotations(profile: Sequence[float], like: Tensor) -> Tensor:
    """A profile from each pitch class up, so that a product with it is a correlation: (12, 12 first classes)"""
    row = _standardised(torch.tensor(profile, device=like.device)) / 12
    return torch.stack([row.roll(first) for first in range(12)], dim=1)


def _from(x: Tensor, first: Tensor) -> Tensor:
    """(B, 12) with the pitch classes from `first` (B,) up."""
    return x.gather(1, (torch.arange(12, device=x.device) + first[:, None]) % 12)
