"""Features of a clip's tones: key, chords, melody, bass, and how much of the sound is tones at all."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from music_learning.features.config import FeatureConfig
from music_learning.features.levels import DB, Features, stacked

N_CLASSES = 12  # from A up
# How well each pitch class fits into a key, from its tonic up, as listeners judged (Krumhansl & Kessler, 1982).
MAJOR_KEY = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_KEY = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MAJOR_CHORD, MINOR_CHORD = (0, 4, 7), (0, 3, 7)  # semitones from the root up
RELATIVE_MAJOR = 3  # semitones above a minor key's tonic lies that of the major key with the same notes


def harmony(pitches: Tensor, config: FeatureConfig) -> dict[str, Features]:
    """(B, 60, pitch frames) in dB, as the pipeline's `pitch_levels`, at least 33 frames -> groups of features"""
    levels = pitches.transpose(1, 2)  # (B, frames, 60)
    tones = tones_in(levels)
    peaks = peaks_in(tones, config)
    key, scale = _key_and_chords(tones, config)
    return {
        "key and intervals": key,
        "scale and chords": scale,
        "pitch self-similarity": _self_similarity(tones, config),
        "melody": _melody(tones, peaks, config),
        "pitch density": _pitch_density(peaks, config),
        "pitch salience": _pitch_salience(tones, config),
        "bass": _bass(tones[:, :, : config.n_bass_pitches], config),
        "tonal-to-noise ratio": _tonal_to_noise(levels, tones > config.tone_db),
    }


def tones_in(levels: Tensor) -> Tensor:
    """By how many dB each pitch stands out from the octave around it, 0 at least: (B, frames, 60) -> the same shape"""
    return (levels - octave_mean(levels)).clamp(min=0)


def octave_mean(levels: Tensor) -> Tensor:
    """The mean level of the octave around each pitch, as far as there are pitches: (B, frames, 60) in dB -> the same"""
    half = N_CLASSES // 2
    return F.avg_pool1d(levels.flatten(0, 1), 2 * half + 1, 1, half, count_include_pad=False).view_as(levels)


def peaks_in(tones: Tensor, config: FeatureConfig) -> Tensor:
    """Which pitches are tones, (B, frames, 60) -> the same in 0 and 1: those that stand out, also from both neighbours.

    One tone raises the pitches beside it, too: what a window of 256 ms makes of a sine is some semitones wide.
    """
    neighbours = F.max_pool1d(tones.flatten(0, 1), 3, 1, 1).view_as(tones)
    return ((tones > config.tone_db) & (tones == neighbours)).float()


def pitch_classes(tones: Tensor) -> Tensor:
    """How far each pitch class stands out, a chroma: (B, frames, 60) -> (B, frames, 12), of length 1 where tones are"""
    return F.normalize(tones.unflatten(2, (-1, N_CLASSES)).mean(dim=2), dim=2, eps=1e-3)


def _key_and_chords(tones: Tensor, config: FeatureConfig) -> tuple[Features, Features]:
    """Key and intervals; scale and chords, NaN for chords where there is no tone at all.

    A key is found by the correlation of the mean chroma with a profile of how well each pitch class fits into it
    (Krumhansl, 1990), from each of 12 tonics up; a chord by that of a chroma of 0.64 s with the chord's three pitch
    classes, from each of 12 roots up.
    """
    chroma = pitch_classes(tones)
    mean = _standardised(chroma.mean(dim=1))
    in_major, in_minor = (  # (B, 12 tonics)
        mean @ _rotations(profile, mean.device) for profile in (MAJOR_KEY, MINOR_KEY)
    )
    is_major = in_major.amax(dim=1) >= in_minor.amax(dim=1)
    tonic = torch.where(is_major, in_major.argmax(dim=1), in_minor.argmax(dim=1))

    smooth = smoothed(chroma, config)
    fits = chord_fits(smooth)
    as_major, as_minor = (fit.amax(dim=2) for fit in fits.split(N_CLASSES, dim=2))
    chords = fits.argmax(dim=2)  # (B, frames): major ones from A up, then minor ones
    sounds = (smooth.amax(dim=2) > 0).float()  # (B, frames): silence is no chord
    both_sound = sounds[:, 1:] * sounds[:, :-1]
    features = {
        "major key": in_major.amax(dim=1),
        "minor key": in_minor.amax(dim=1),
        "share of major chords": _mean_where(chords < N_CLASSES, sounds),
        "fit of chords": _mean_where(torch.maximum(as_major, as_minor), sounds),
        "fit of major chords": _mean_where(as_major, sounds),
        "fit of minor chords": _mean_where(as_minor, sounds),
        "chord changes": _mean_where(chords.diff(dim=1) != 0, both_sound),
        "change of chroma": smooth.diff(dim=1).abs().mean(dim=(1, 2)),
        "std of chroma": chroma.mean(dim=1).std(dim=1),
        **_intervals(chroma, mean),
    }
    relative = torch.where(is_major, tonic, tonic + RELATIVE_MAJOR)
    roots = F.one_hot(chords % N_CLASSES, N_CLASSES)
    moves = F.one_hot(chords.diff(dim=1) % N_CLASSES, N_CLASSES)
    return stacked(features), _scale(
        _from(mean, relative), _from(_mean_where(roots, sounds), tonic), _mean_where(moves, both_sound)
    )


def _mean_where(x: Tensor, sounds: Tensor) -> Tensor:
    """The mean over the frames in which something sounds: (B, frames, ...) and (B, frames) of 0 and 1 -> (B, ...)"""
    return torch.einsum("bf...,bf->b...", x.float(), sounds) / sounds.sum(dim=1).view(-1, *(1,) * (x.dim() - 2))


def smoothed(chroma: Tensor, config: FeatureConfig) -> Tensor:
    """The mean chroma of the 0.64 s around each frame: (B, frames, 12) -> the same shape"""
    width = config.chord_frames
    return F.avg_pool1d(chroma.transpose(1, 2), width, 1, width // 2, count_include_pad=False).transpose(1, 2)


def chord_fits(chroma: Tensor) -> Tensor:
    """How well each frame fits each chord, major ones from A up, then minor ones: (B, frames, 12) -> (B, frames, 24)"""
    sounding = _standardised(chroma)
    templates = [tuple(float(step in chord) for step in range(N_CLASSES)) for chord in (MAJOR_CHORD, MINOR_CHORD)]
    return torch.cat([sounding @ _rotations(template, sounding.device) for template in templates], dim=2)


def _intervals(chroma: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Which intervals there are in the clip as a whole, and which sound together.

    Args:
        chroma: (B, frames, 12); mean: (B, 12), standardised.
    """
    both = {"in all": mean[:, None], "at once": _standardised(chroma)}
    return {
        f"interval of {step} semitones {where}": (x * x.roll(step, dims=2)).mean(dim=(1, 2))
        for step in range(1, N_CLASSES // 2 + 1)
        for where, x in both.items()
    }


def _scale(steps: Tensor, roots: Tensor, moves: Tensor) -> Features:
    """How strong each step of the scale is, how often each root is heard, and by how much the roots move.

    Args:
        steps: (B, 12) of the chroma, standardised, from the tonic up, or in minor from that of the relative major: its
            notes are the same.
        roots: (B, 12) from the tonic up.
        moves: (B, 12) in semitones up.
    """
    names = [
        *(f"strength {step} semitones above the major tonic" for step in range(N_CLASSES)),
        *(f"roots {step} semitones above the tonic" for step in range(N_CLASSES)),
        *(f"roots moving by {step} semitones" for step in range(1, N_CLASSES)),
    ]
    return names, torch.cat([steps, roots, moves[:, 1:]], dim=1)


def _self_similarity(tones: Tensor, config: FeatureConfig) -> Features:
    """How far the tones are still those of a moment ago, as a cosine: its mean for each lag, its std for some."""
    unit = F.normalize(tones, dim=2, eps=1e-3)
    similarity = {}
    for lag_s in config.similarity_lag_s:
        lag = config.pitch_frames(lag_s)
        similarity[lag_s] = (unit[:, lag:] * unit[:, :-lag]).sum(dim=2)
    features = {f"mean at {lag_s:g} s": similarity[lag_s].mean(dim=1) for lag_s in config.similarity_lag_s}
    features |= {f"std at {lag_s:g} s": similarity[lag_s].std(dim=1) for lag_s in config.similarity_std_lag_s}
    return stacked(features)


def _melody(tones: Tensor, peaks: Tensor, config: FeatureConfig) -> Features:
    """Where the tones lie and the strongest one moves, how many there are, and whether few pitches make up the clip."""
    pitch = torch.arange(tones.shape[2], device=tones.device, dtype=torch.float32)
    centre = (tones @ pitch) / (tones.sum(dim=2) + 1e-3)
    strongest = tones.argmax(dim=2).float()
    melody = (tones * (pitch >= config.melody_from_pitch)).argmax(dim=2).float()
    steps = melody.diff(dim=1)
    count = peaks.sum(dim=2)
    profile = F.normalize(tones.mean(dim=1), dim=1, eps=1e-3)
    shares = profile.square()
    features = {
        "mean centre": centre.mean(dim=1),
        "std of centre": centre.std(dim=1),
        "mean strongest": strongest.mean(dim=1),
        "std of strongest": strongest.std(dim=1),
        "std of melody": melody.std(dim=1),
        "mean step": steps.abs().mean(dim=1),
        "share of held tones": (steps == 0).float().mean(dim=1),
        "mean count": count.mean(dim=1),
        "std of count": count.std(dim=1),
        "mean of strongest tone in dB": tones.amax(dim=2).mean(dim=1),
        "octaves in profile": (profile * profile.roll(N_CLASSES, dims=1)).sum(dim=1),
        "8 strongest of profile": profile.topk(8, dim=1).values.sum(dim=1),
        "entropy of profile": _entropy(shares),
    }
    return stacked(features)


def _pitch_density(peaks: Tensor, config: FeatureConfig) -> Features:
    """How many tones sound at once: the share of the frames with few, from none or one up, and quantiles."""
    count = peaks.sum(dim=2)
    few = [(count <= limit).float().mean(dim=1) for limit in config.tone_counts]
    quantiles = count.quantile(torch.tensor(config.count_quantiles, device=peaks.device), dim=1)
    names = [f"share of frames with {limit} or fewer" for limit in config.tone_counts]
    names += [f"quantile {quantile:g} of count" for quantile in config.count_quantiles]
    return names, torch.stack([*few, *quantiles], dim=1)


def _pitch_salience(tones: Tensor, config: FeatureConfig) -> Features:
    """How far the strongest tone stands out and how that changes; how the tones of a frame share their strength."""
    strongest, total = tones.amax(dim=2), tones.sum(dim=2)
    over_time = strongest.quantile(torch.tensor(config.salience_quantiles, device=tones.device), dim=1)
    # (quantiles, B, frames)
    of_frames = tones.quantile(torch.tensor(config.pitch_quantiles, device=tones.device), dim=2)
    numbers = [
        *over_time,
        strongest.diff(dim=1).abs().mean(dim=1),
        total.diff(dim=1).abs().mean(dim=1) / (total.mean(dim=1) + 1),
        *of_frames.mean(dim=2),
        *of_frames.std(dim=2),
    ]
    names = [
        *(f"quantile {quantile:g} of strongest" for quantile in config.salience_quantiles),
        "change of strongest",
        "change of sum / sum",
        *(f"mean of quantile {quantile:g} of a frame" for quantile in config.pitch_quantiles),
        *(f"std of quantile {quantile:g} of a frame" for quantile in config.pitch_quantiles),
    ]
    return names, torch.stack(numbers, dim=1)


def _bass(tones: Tensor, config: FeatureConfig) -> Features:
    """Where the strongest low tone lies, how it moves, and how clearly it is heard: (B, frames, low pitches)"""
    strength, pitch = tones.max(dim=2)
    pitch = pitch.float()
    steps = pitch.diff(dim=1)
    features = {
        "mean pitch": pitch.mean(dim=1),
        "std of pitch": pitch.std(dim=1),
        "mean step": steps.abs().mean(dim=1),
        "share of held tones": (steps == 0).float().mean(dim=1),
        "mean strength": strength.mean(dim=1),
        "std of strength": strength.std(dim=1),
        "share of frames with a tone": (strength > config.tone_db).float().mean(dim=1),
    }
    return stacked(features)


def _tonal_to_noise(levels: Tensor, is_tone: Tensor) -> Features:
    """Whether the power is in tones or spread over all pitches: distorted guitars, say, fill the gaps between tones."""
    shares = (levels / DB).softmax(dim=2)  # of the power, which the levels are dB of
    in_tones = (shares * is_tone).sum(dim=2)
    over_time = {"share in tones": in_tones, "entropy": _entropy(shares), "largest share": shares.amax(dim=2)}
    features = {f"mean {name}": x.mean(dim=1) for name, x in over_time.items()}
    features |= {f"std of {name}": x.std(dim=1) for name, x in over_time.items()}
    features["change of shares"] = shares.diff(dim=1).abs().sum(dim=2).mean(dim=1)
    return stacked(features)


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * (shares + 1e-9).log()).sum(dim=-1)


def _standardised(x: Tensor) -> Tensor:
    """Deviations from the mean over the last dimension."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, correction=0, keepdim=True) + 1e-3)


@lru_cache(maxsize=16)
def _rotations(profile: tuple[float, ...], device: torch.device) -> Tensor:
    """A profile from each pitch class up, so that a product with it is a correlation: (12, 12 first classes)"""
    row = _standardised(torch.tensor(profile, device=device)) / N_CLASSES
    return torch.stack([row.roll(first) for first in range(N_CLASSES)], dim=1)


def _from(x: Tensor, first: Tensor) -> Tensor:
    """(B, 12) with the pitch classes from `first` (B,) up."""
    return x.gather(1, (torch.arange(N_CLASSES, device=x.device) + first[:, None]) % N_CLASSES)
