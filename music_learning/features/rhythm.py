"""Features of a clip's rhythm: modulation spectrum, tempogram, how clear its pulse is, its onsets."""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.config import FeatureConfig
from music_learning.features.levels import Features, grouped, numbered


def rhythm(levels: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """(B, n_mels, frames) in dB, at least `rhythm_frames` -> groups of features"""
    change = config.change_per_32_ms * levels.diff(dim=-1)
    rises, falls = (_in_ranges(x.clamp(min=0), config.range_edges) for x in (change, -change))
    onsets = grouped(levels, config.n_rhythm_bands).diff(dim=-1).clamp(min=0)
    onsets = onsets - onsets.mean(dim=-1, keepdim=True)
    ranges = [*(f"bands {low} to {high}" for low, high in pairwise(config.range_edges)), "all bands"]
    return {
        "modulation spectrum": _modulation_spectrum(levels, config),
        "onset autocorrelation": _onset_autocorrelation(onsets, config),
        "tempogram": _tempogram(onsets, config),
        "pulse clarity": _pulse_clarity(rises, ranges, config),
        **_onsets(_in_ranges(levels, config.range_edges), rises, falls, ranges, config),
    }


def _in_ranges(x: Tensor, edges: tuple[int, ...]) -> Tensor:
    """The mean over ranges of bands between the edges, and over all: (B, n_mels, frames) -> (B, ranges + 1, frames)"""
    return torch.stack([*(x[:, low:high].mean(dim=1) for low, high in pairwise(edges)), x.mean(dim=1)], dim=1)


def _modulation_spectrum(levels: Tensor, config: FeatureConfig) -> Features:
    """How strongly each group of bands pulsates at which rate, as a logarithm, on average over stretches of 7.5 s."""
    frames = config.rhythm_frames
    bands = grouped(levels, config.n_rhythm_bands)
    stretches = (bands - bands.mean(dim=-1, keepdim=True)).unfold(2, frames, frames // 2)
    window = torch.hann_window(frames, periodic=False, device=levels.device)
    strength = config.sum_per_32_ms * torch.fft.rfft(stretches * window).abs().mean(dim=2)
    rates = [strength[:, :, low:high].mean(dim=2) for low, high in config.modulation_bins]
    names = [
        f"{band}, {low / config.rhythm_s:.2f} to {high / config.rhythm_s:.2f} Hz"
        for band in numbered("band", config.n_rhythm_bands)
        for low, high in config.modulation_bins
    ]
    return names, torch.log(torch.stack(rates, dim=2) + 1e-3).flatten(1)


def _onset_autocorrelation(onsets: Tensor, config: FeatureConfig) -> Features:
    """How well rises agree with those some time later: on average, and of each group of bands at its best beat.

    Args:
        onsets: (B, groups of bands, frames - 1), how much each rises from frame to frame, without the mean.
    """
    correlation = autocorrelation(onsets)[:, :, : config.onset_lags.stop]
    correlation = correlation / correlation[:, :, :1].clamp(min=1e-3)
    by_lag, best = correlation.mean(dim=1)[:, config.onset_lags], correlation[:, :, config.beat_lags].amax(dim=2)
    lags_s = [frames * config.frame_s for frames in range(correlation.shape[2])[config.onset_lags]]
    names = [*(f"lag {lag_s:.3f} s" for lag_s in lags_s), *numbered("best beat of band", config.n_rhythm_bands)]
    return names, torch.cat([by_lag, best], dim=1)


def _tempogram(onsets: Tensor, config: FeatureConfig) -> Features:
    """How far the strongest pulse in each range of tempi stands out, and the strongest of the usual tempi / 100 bpm.

    From the Fourier transform of the whole clip's onsets, (B, groups of bands, frames - 1).
    """
    onsets = onsets.sum(dim=1)
    window = torch.hann_window(onsets.shape[1], periodic=False, device=onsets.device)
    n_points = max(config.frames(config.tempo_transform_s), onsets.shape[1])
    bpm = 60 * torch.fft.rfftfreq(n_points, config.frame_s, device=onsets.device)
    bpm = bpm[bpm <= config.highest_tempo_bpm]
    strength = torch.fft.rfft(onsets * window, n_points).abs()[:, : len(bpm)]
    strength = strength / strength.mean(dim=1, keepdim=True).clamp(min=1e-3)
    ranges = [(bpm > low) & (bpm <= high) for low, high in config.tempo_ranges_bpm]
    usual = (bpm > config.usual_tempo_bpm[0]) & (bpm < config.usual_tempo_bpm[1])
    strongest = bpm[usual][strength[:, usual].argmax(dim=1)] / 100
    names = [*(f"{low} to {high} bpm" for low, high in config.tempo_ranges_bpm), "strongest usual tempo / 100 bpm"]
    return names, torch.stack([*(strength[:, inside].amax(dim=1) for inside in ranges), strongest], dim=1)


def _pulse_clarity(rises: Tensor, ranges: list[str], config: FeatureConfig) -> Features:
    """How clear the beat is, how steady, and how fast, from how much each range of bands rises (B, ranges, frames - 1).

    From their autocorrelation in stretches of 7.5 s: at each of 28 tempi, how well the rises agree with those one, two
    and three beats later, the later ones counting less. Autocorrelation falls off with the lag, since less and less of
    a stretch overlaps with itself: it is divided by the overlap. The best tempo of each stretch tells how fast the beat
    is, the agreement of the stretches how steady.
    """
    n = config.rhythm_frames - 1
    stretches = rises.unfold(2, n, config.frames(config.pulse_hop_s))  # (B, ranges, stretches, n)
    stretches = stretches - stretches.mean(dim=-1, keepdim=True)
    correlation = autocorrelation(stretches)
    overlap = torch.arange(n, 0, -1, device=rises.device) / n
    correlation = correlation / overlap.clamp(min=0.2) / (correlation[..., :1] + 1e-6)

    low, high = (math.log(bpm) for bpm in config.pulse_bpm)
    log_bpm = torch.linspace(low, high, config.n_pulse_tempi, device=rises.device)
    beat = 60 / config.frame_s / log_bpm.exp()  # in frames
    clarity = sum(
        weight * interpolated(correlation, count * beat) for count, weight in enumerate(config.pulse_beats, start=1)
    ) / sum(config.pulse_beats)  # (B, ranges, stretches, tempi)
    mean = clarity.mean(dim=2)
    centred = F.normalize(clarity - clarity.mean(dim=-1, keepdim=True), dim=-1, eps=1e-6)
    tempo = log_bpm[clarity.argmax(dim=-1)]
    features = {
        "of the mean over stretches": mean.amax(dim=-1),
        "mean of the stretches'": clarity.amax(dim=-1).mean(dim=-1),
        "steadiness": _mean_cosine(centred),
        "log tempo": log_bpm[mean.argmax(dim=-1)],
        "std of log tempo": tempo.std(dim=-1, correction=0)
        if tempo.shape[-1] > 1
        else torch.full_like(tempo[..., 0], torch.nan),
        "std of rises / mean rise": stretches.std(dim=(2, 3)) / (rises.mean(dim=-1) + 1e-3),
    }
    return [f"{name}, {bands}" for name in features for bands in ranges], torch.cat([*features.values()], dim=1)


def _mean_cosine(unit: Tensor) -> Tensor:
    """Between any two of the stretches' vectors of length 1, (B, ranges, stretches, n) -> (B, ranges); NaN of one"""
    n = unit.shape[2]
    return (
        (unit.sum(dim=2).square().sum(dim=-1) - n) / (n * (n - 1))
        if n > 1
        else unit.new_full(unit.shape[:2], torch.nan)
    )


def _onsets(
    levels: Tensor, rises: Tensor, falls: Tensor, ranges: list[str], config: FeatureConfig
) -> dict[str, Features]:
    """What is struck, from the level of each range of bands, (B, ranges, frames), and how much it rises and falls.

    How far onsets stand out and how many there are; the skewness of rises, falls and levels; how far onsets are apart,
    in units of 32 ms as a logarithm, and how unevenly. An onset is a local maximum of the rises that is well above
    their mean.
    """
    mean = rises.mean(dim=-1, keepdim=True)
    at = torch.tensor(config.onset_quantiles, device=rises.device)
    quantiles = rises.quantile(at, dim=-1) / (mean[..., 0] + 1e-3)
    here, before, after = rises[..., 1:-1], rises[..., :-2], rises[..., 2:]
    is_onset = (here > before) & (here > after) & (here > config.onset_strength * mean)
    rate = config.change_per_32_ms * is_onset.float().mean(dim=-1)

    # The latest onset up to each frame, moved on by one: the onset before the frame, or -1 where there is none.
    place = torch.arange(is_onset.shape[-1], device=rises.device).expand_as(is_onset)
    latest = torch.where(is_onset, place, -1).cummax(dim=-1).values.roll(1, dims=-1)
    latest[..., 0] = -1
    apart = torch.where(is_onset & (latest >= 0), place - latest, torch.nan)  # a whole number of frames, or nothing
    mean_apart = apart.nanmean(dim=-1)
    variance = apart.square().nanmean(dim=-1) - mean_apart.square()
    median_apart = apart.nanmedian(dim=-1).values
    intervals = {
        "log mean": (mean_apart / config.change_per_32_ms).log(),
        "std / mean": variance.clamp(min=0).sqrt() / mean_apart,
        "log median": (median_apart / config.change_per_32_ms).log(),
    }
    skewness = {"rises": _skewness(rises), "falls": _skewness(falls), "levels": _skewness(levels)}
    strengths = [f"quantile {quantile:g} of rises / mean rise" for quantile in config.onset_quantiles]
    return {
        "onset strength": (
            [f"{name}, {bands}" for name in (*strengths, "onsets per 32 ms") for bands in ranges],
            torch.cat([*quantiles, rate], dim=1),
        ),
        "skewness": (
            [f"{name}, {bands}" for name in skewness for bands in ranges],
            torch.cat([*skewness.values()], dim=1),
        ),
        "inter-onset intervals": (
            [f"{name}, {bands}" for name in intervals for bands in ranges],
            torch.cat([*intervals.values()], dim=1).nan_to_num(),
        ),
    }


def autocorrelation(x: Tensor) -> Tensor:
    """The sum of the products of what is each lag apart: (..., n) -> (..., n lags from 0 up)"""
    n = x.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(x, 2 * n).abs().square())[..., :n]  # padded: not circular


def _skewness(x: Tensor) -> Tensor:
    """The third standardised moment over the last dimension."""
    deviations = x - x.mean(dim=-1, keepdim=True)
    return (deviations**3).mean(dim=-1) / (x.var(dim=-1) + 1e-3) ** 1.5


def interpolated(x: Tensor, places: Tensor) -> Tensor:
    """x (..., n) between its entries, interpolated linearly: at places (k,), or of more dimensions -> (..., k)"""
    before = places.long().clamp(max=x.shape[-1] - 2)
    share = places - before
    return x[..., before] * (1 - share) + x[..., before + 1] * share
