"""Fixed statistics of a clip's spectrogram: dynamics, timbre, rhythm and tones in a few hundred numbers.

A change of gain leaves them as they are, but where a soft clip reaches the floors of the front end (-100 dB in a band,
-90 dB at a pitch).
"""

import math
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.harmony import DB, tone_statistics
from music_learning.pipeline_config import N_PITCHES

N_COARSE = 32  # groups of mel bands whose level and changes are described
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
PULSE_BPM = (48, 220)
N_PULSES = 28  # tempi that are compared, evenly spaced as a logarithm
PULSE_HOP_FRAMES = 58  # 1.9 s from one stretch of 7.5 s to the next
RANGES = (0, 12, 40, 96)  # edges in mel bands, out of 96: bass drum, voices, cymbals
PULSE_BEATS = (1.0, 0.7, 0.5)  # how much the second and the third beat from an onset count beside the first
ONSET_QUANTILES = (0.99, 0.9, 0.5)
ONSET_STRENGTH = 1.5  # times the mean rise: what is less is no onset
LEVEL_QUANTILES = (0.95, 0.75, 0.5, 0.25, 0.1, 0.05)
PEAK_QUANTILE = 0.98  # a click isn't how loud a song was mastered
HALF_SECOND, SECOND = 16, 31  # frames
PITCH_STEP = 4  # frames that share their pitches


def statistic_weights(n_mels: int, group_weights: dict[str, float] | None = None) -> Tensor:
    """What each number of `clip_statistics` counts where clips are compared: (statistics,), of sum 1.

    Every group of statistics counts as much as any other, however many numbers it has, unless it has a weight. Raises
    ValueError for a weight of a group that there is not.
    """
    sizes = group_sizes(n_mels)
    of_group = dict.fromkeys(sizes, 1.0) | (group_weights or {})
    if unknown := of_group.keys() - sizes.keys():
        raise ValueError(f"there is no group of statistics called {', '.join(sorted(unknown))}")
    weights = torch.cat([torch.full((size,), of_group[name] / size) for name, size in sizes.items()])
    return weights / weights.sum()


@cache
def group_sizes(n_mels: int) -> dict[str, int]:
    """How many numbers each of the `statistic_groups` has. Every model that is made or loaded asks for it."""
    groups = statistic_groups(torch.zeros(1, n_mels + N_PITCHES + 1, RHYTHM_FRAMES))
    return {name: numbers.shape[1] for name, numbers in groups.items()}


@torch.no_grad()
def clip_statistics(spectrograms: Tensor) -> Tensor:
    """(B, n_rows, frames) as the pipeline makes them, n_mels a multiple of 32 -> (B, statistics)

    Clips shorter than 7.5 s are repeated to that length.
    """
    frames = spectrograms.shape[2]
    if frames < RHYTHM_FRAMES:
        spectrograms = spectrograms.repeat(1, 1, -(-RHYTHM_FRAMES // frames))[:, :, :RHYTHM_FRAMES]
    return torch.cat([*statistic_groups(spectrograms).values()], dim=1)


def statistic_groups(spectrograms: Tensor) -> dict[str, Tensor]:
    """The statistics by what they describe: (B, n_rows, frames), at least 234 frames -> (B, numbers) for each name."""
    levels, pitches, peaks = spectrograms.split([spectrograms.shape[1] - N_PITCHES - 1, N_PITCHES, 1], dim=1)
    change = levels.diff(dim=-1)
    rises, onsets = _ranges(change.clamp(min=0)), _onsets(levels)
    return {
        "dynamics": _dynamics(levels, peaks[:, 0]),
        **_levels(levels),
        **_cepstra(levels),
        "peaks": _peaks(levels),
        "modulation": _modulation(levels),
        "repetition": _repetition(onsets),
        "tempo": _tempo(onsets),
        "pulse": _pulse(rises),
        **_accents(_ranges(levels), rises, _ranges((-change).clamp(min=0))),
        **tone_statistics(pitches[:, :, ::PITCH_STEP]),
    }


def _grouped(x: Tensor, n_groups: int) -> Tensor:
    """The mean over groups of neighbouring bands: (B, n_mels, frames) -> (B, n_groups, frames)"""
    return x.unflatten(1, (n_groups, -1)).mean(dim=2)


def _deviation(x: Tensor) -> Tensor:
    return (x.var(dim=-1) + 1e-4).sqrt()


def _dynamics(x: Tensor, peaks: Tensor) -> Tensor:
    """How far the level stays below the peaks, and how much it varies, over frames, half seconds and seconds.

    How densely a song was mastered tells more of its energy than its level does, and a change of gain leaves it.
    """
    peak = peaks.quantile(PEAK_QUANTILE, dim=1)
    level = _power_mean(x, dim=1)
    whole = _power_mean(level, dim=1)
    quantiles = level.quantile(torch.tensor(LEVEL_QUANTILES, device=x.device), dim=1).T - whole[:, None]
    halves, seconds = (_power_mean(level.unfold(1, frames, frames), dim=2) for frames in (HALF_SECOND, SECOND))
    numbers = [
        whole - peak,
        x.mean(dim=(1, 2)) - peak,
        _deviation(level),
        _deviation(seconds),
        seconds.amax(dim=1) - seconds.amin(dim=1),
        halves.diff(dim=1).abs().mean(dim=1),
        level.diff(dim=1).abs().mean(dim=1),
    ]
    return torch.cat([torch.stack(numbers, dim=1), quantiles], dim=1)


def _power_mean(levels: Tensor, dim: int) -> Tensor:
    """The level of the mean power, in dB as the levels are."""
    return ((levels / DB).logsumexp(dim=dim) - math.log(levels.shape[dim])) * DB


def _levels(x: Tensor) -> dict[str, Tensor]:
    """The bands' mean levels against that of all, their deviation, how much they change between frames and rise."""
    bands = _grouped(x, N_COARSE)
    change = bands.diff(dim=-1)
    means = bands.mean(dim=-1)
    return {
        "balance": means - means.mean(dim=1, keepdim=True),
        "deviation": _deviation(bands),
        "change": _deviation(change),
        "rise": change.clamp(min=0).mean(dim=-1),
    }


def _modulation(x: Tensor) -> Tensor:
    """The modulation spectrum: how strongly each group of bands pulsates at which tempo, as a logarithm."""
    bands = _grouped(x, N_RHYTHM)
    windows = (bands - bands.mean(dim=-1, keepdim=True)).unfold(2, RHYTHM_FRAMES, RHYTHM_FRAMES // 2)
    window = torch.hann_window(RHYTHM_FRAMES, periodic=False, device=x.device)
    strength = torch.fft.rfft(windows * window).abs().mean(dim=2)
    tempi = [strength[:, :, low:high].mean(dim=2) for low, high in pairwise(RHYTHM_EDGES)]
    return torch.log(torch.stack(tempi, dim=2) + 1e-3).flatten(1)


def _cepstra(x: Tensor) -> dict[str, Tensor]:
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
    return {
        "timbre": cepstra[:, 1:].mean(dim=-1),
        "timbre deviation": _deviation(cepstra),
        "timbre change": _deviation(change),
        "timbre together": together,
    }


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


def _repetition(onsets: Tensor) -> Tensor:
    """The autocorrelation of the onsets at each lag, and how well each group of bands keeps its best beat."""
    power = torch.fft.rfft(onsets, 2 * onsets.shape[2]).abs().square()
    correlation = torch.fft.irfft(power)[:, :, : LAGS.stop]
    correlation = correlation / correlation[:, :, :1].clamp(min=1e-3)
    return torch.cat([correlation.mean(dim=1)[:, LAGS], correlation[:, :, BEAT_LAGS].amax(dim=2)], dim=1)


def _tempo(onsets: Tensor) -> Tensor:
    """How far the strongest pulse in each range of tempi stands out, and the strongest of the usual tempi / 100 bpm."""
    onsets = onsets.sum(dim=1)
    window = torch.hann_window(onsets.shape[1], periodic=False, device=onsets.device)
    n_points = max(TEMPO_POINTS, onsets.shape[1])
    strength = torch.fft.rfft(onsets * window, n_points).abs()
    strength = strength / strength.mean(dim=1, keepdim=True).clamp(min=1e-3)
    bpm = 60 * torch.fft.rfftfreq(n_points, FRAME_S, device=onsets.device)
    ranges = [(bpm > low) & (bpm <= high) for low, high in pairwise(TEMPO_EDGES_BPM)]
    usual = (bpm > USUAL_TEMPI_BPM[0]) & (bpm < USUAL_TEMPI_BPM[1])
    strongest = bpm[usual][strength[:, usual].argmax(dim=1)] / 100
    return torch.stack([*(strength[:, inside].amax(dim=1) for inside in ranges), strongest], dim=1)


def _pulse(rises: Tensor) -> Tensor:
    """How clear the beat is, how steady, and how fast, from how much each of the `_ranges` rises (B, 4, frames - 1).

    From their autocorrelation in stretches of 7.5 s: at each of 28 tempi, how well the rises agree with those one, two
    and three beats later.
    """
    n = RHYTHM_FRAMES - 1
    stretches = rises.unfold(2, n, PULSE_HOP_FRAMES)  # (B, ranges, stretches, n)
    stretches = stretches - stretches.mean(dim=-1, keepdim=True)
    correlation = torch.fft.irfft(torch.fft.rfft(stretches, 2 * n).abs().square())[..., :n]
    overlap = torch.arange(n, 0, -1, device=rises.device) / n
    correlation = correlation / overlap.clamp(min=0.2) / (correlation[..., :1] + 1e-6)

    log_bpm = torch.linspace(math.log(PULSE_BPM[0]), math.log(PULSE_BPM[1]), N_PULSES, device=rises.device)
    beat = 60 / FRAME_S / log_bpm.exp()  # in frames
    clarity = sum(
        weight * _between(correlation, count * beat) for count, weight in enumerate(PULSE_BEATS, start=1)
    ) / sum(PULSE_BEATS)  # (B, ranges, stretches, tempi)
    mean = clarity.mean(dim=2)
    centred = F.normalize(clarity - clarity.mean(dim=-1, keepdim=True), dim=-1, eps=1e-6)
    tempo = log_bpm[clarity.argmax(dim=-1)]
    numbers = [
        mean.amax(dim=-1),
        clarity.amax(dim=-1).mean(dim=-1),
        centred.mean(dim=2).square().sum(dim=-1),  # of any two stretches, each with itself too: 1 if there is one
        log_bpm[mean.argmax(dim=-1)],
        tempo.std(dim=-1, correction=0),
        stretches.std(dim=(2, 3)) / (rises.mean(dim=-1) + 1e-3),
    ]
    return torch.cat(numbers, dim=1)


def _ranges(x: Tensor) -> Tensor:
    """The mean over three ranges of bands and over all: (B, n_mels, frames) -> (B, 4, frames)"""
    edges = [edge * x.shape[1] // RANGES[-1] for edge in RANGES]
    return torch.stack([*(x[:, low:high].mean(dim=1) for low, high in pairwise(edges)), x.mean(dim=1)], dim=1)


def _accents(levels: Tensor, rises: Tensor, falls: Tensor) -> dict[str, Tensor]:
    """What is struck, from the level of each of the `_ranges`, (B, 4, frames), and how much it rises and falls.

    How far onsets stand out and how many there are; how lopsided rises, falls and levels are; how far onsets are apart,
    in frames as a logarithm, and how unevenly.
    """
    mean = rises.mean(dim=-1, keepdim=True)
    quantiles = rises.quantile(torch.tensor(ONSET_QUANTILES, device=rises.device), dim=-1) / (mean[..., 0] + 1e-3)
    here, before, after = rises[..., 1:-1], rises[..., :-2], rises[..., 2:]
    is_onset = (here > before) & (here > after) & (here > ONSET_STRENGTH * mean)
    rate = is_onset.float().mean(dim=-1)

    place = torch.arange(is_onset.shape[-1], device=rises.device).expand_as(is_onset)
    latest = torch.where(is_onset, place, -1).cummax(dim=-1).values.roll(1, dims=-1)  # onset before each frame
    latest[..., 0] = -1
    apart = torch.where(is_onset & (latest >= 0), place - latest, torch.nan)
    mean_apart = apart.nanmean(dim=-1)
    variance = apart.square().nanmean(dim=-1) - mean_apart.square()
    median_apart = apart.nanmedian(dim=-1).values
    spacing = torch.cat([mean_apart.log(), variance.clamp(min=0).sqrt() / mean_apart, median_apart.log()], dim=1)
    return {
        "onsets": torch.cat([*quantiles, rate], dim=1),
        "lopsidedness": torch.cat([_skewness(series) for series in (rises, falls, levels)], dim=1),
        "spacing": spacing.nan_to_num(),
    }


def _skewness(x: Tensor) -> Tensor:
    deviations = x - x.mean(dim=-1, keepdim=True)
    return (deviations**3).mean(dim=-1) / (x.var(dim=-1) + 1e-3) ** 1.5


def _between(x: Tensor, places: Tensor) -> Tensor:
    """x (..., n) at places (k,) between its entries, interpolated: (..., k)"""
    before = places.long()
    share = places - before
    return x[..., before] * (1 - share) + x[..., before + 1] * share
