"""Statistics of a clip's tones: harmony, melody, bass, and how much of the sound is tones at all."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

N_CLASSES = 12  # from A up
DB = 10 / math.log(10)  # decibels of a natural logarithm of power
TONE_DB = 6.0  # what stands out by more than this is counted as a tone
FEW_TONES = (1, 2, 4, 6, 8, 10, 12)
COUNT_QUANTILES = (0.1, 0.9)
STRENGTH_QUANTILES = (0.1, 0.5, 0.9)  # of the strongest tone, over time
PITCH_QUANTILES = (0.5, 0.8, 0.9, 0.97)  # of the tones in a frame
BASS = slice(0, 24)  # pitches: 55 to 208 Hz
MELODY_FROM = 12  # pitches from 110 Hz up
PITCH_LAGS = (1, 2, 4, 8, 16, 32)  # in pitch frames: 0.13 to 4 s
LAGS_WITH_DEVIATION = (1, 4, 16)
CHORD_FRAMES = 5  # of pitches, 0.64 s: what sounds together that long is taken for a chord
# How well each pitch class fits into a key, from its tonic up, as listeners judged (Krumhansl & Kessler, 1982).
MAJOR_KEY = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_KEY = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MAJOR_CHORD, MINOR_CHORD = (0, 4, 7), (0, 3, 7)  # semitones from the root up
RELATIVE_MAJOR = 3  # semitones above a minor key's tonic lies that of the major key with the same notes


def tone_statistics(pitches: Tensor) -> dict[str, Tensor]:
    """(B, 60, pitch frames) in dB, as the pipeline's `pitch_levels`, at least 33 frames -> groups of (B, statistics)"""
    levels = pitches.transpose(1, 2)  # (B, frames, 60)
    tones = tones_in(levels)
    intervals, chords = _harmony(tones)
    return {
        "intervals": intervals,
        "chords": chords,
        "persistence": _persistence(tones),
        "melody": _melody(tones),
        "polyphony": _polyphony(tones),
        "tone strength": _tone_strength(tones),
        "bass": _bass(tones[:, :, BASS]),
        "tonality": _tonality(levels, tones),
    }


def tones_in(levels: Tensor) -> Tensor:
    """By how many dB each pitch stands out from the octave around it, 0 at least: (B, frames, 60) -> the same shape"""
    return (levels - octave_mean(levels)).clamp(min=0)


def octave_mean(levels: Tensor) -> Tensor:
    """The mean level of the octave around each pitch: (B, frames, 60) in dB -> the same shape"""
    half = N_CLASSES // 2
    padded = F.pad(levels.flatten(0, 1)[:, None], (half, half), mode="replicate")
    return F.avg_pool1d(padded, 2 * half + 1, 1).view_as(levels)


def pitch_classes(tones: Tensor) -> Tensor:
    """How far each pitch class stands out, a chroma: (B, frames, 60) -> (B, frames, 12), of length 1 where tones are"""
    return F.normalize(tones.unflatten(2, (-1, N_CLASSES)).mean(dim=2), dim=2, eps=1e-3)


def _harmony(tones: Tensor) -> tuple[Tensor, Tensor]:
    """Key and intervals; scale and chords. Where there is no tone, the first of the chords is counted.

    The first: how far the piece is in major and in minor; how much of it the best chords explain, whether they are
    major ones and how often they change; how much the pitch classes change and differ; which intervals sound together.
    The second: how strong each pitch class is from the tonic up, or in minor from that of the relative major; how often
    each root is heard, from the tonic up; by how much the roots move.
    """
    classes = pitch_classes(tones)
    frames = _standardised(classes)
    mean = _standardised(classes.mean(dim=1))
    in_major, in_minor = (mean @ _rotations(profile, mean) for profile in (MAJOR_KEY, MINOR_KEY))  # (B, 12 tonics)
    best_major, best_minor = in_major.amax(dim=1), in_minor.amax(dim=1)
    is_major = best_major >= best_minor
    tonic = torch.where(is_major, in_major.argmax(dim=1), in_minor.argmax(dim=1))
    relative = torch.where(is_major, tonic, tonic + RELATIVE_MAJOR)

    smooth = F.avg_pool1d(classes.transpose(1, 2), CHORD_FRAMES, 1, CHORD_FRAMES // 2, count_include_pad=False)
    sounding = _standardised(smooth.transpose(1, 2))
    templates = [[float(step in chord) for step in range(N_CLASSES)] for chord in (MAJOR_CHORD, MINOR_CHORD)]
    fits = [sounding @ _rotations(template, sounding) for template in templates]
    as_major, as_minor = (fit.amax(dim=2) for fit in fits)
    chords = torch.cat(fits, dim=2).argmax(dim=2)  # (B, frames)
    roots = F.one_hot(chords % N_CLASSES, N_CLASSES).float()
    moves = F.one_hot(chords.diff(dim=1) % N_CLASSES, N_CLASSES).float().mean(dim=1)
    numbers = [
        best_major,
        best_minor,
        (chords < N_CLASSES).float().mean(dim=1),
        torch.maximum(as_major, as_minor).mean(dim=1),
        as_major.mean(dim=1),
        as_minor.mean(dim=1),
        (chords.diff(dim=1) != 0).float().mean(dim=1),
        smooth.diff(dim=2).abs().mean(dim=(1, 2)),
        classes.mean(dim=1).std(dim=1),
    ]
    both = (mean[:, None], frames)
    intervals = [(x * x.roll(step, dims=2)).mean(dim=(1, 2)) for step in range(1, 7) for x in both]
    scale = [_from(mean, relative), _from(roots.mean(dim=1), tonic), moves[:, 1:]]
    return torch.stack(numbers + intervals, dim=1), torch.cat(scale, dim=1)


def _persistence(tones: Tensor) -> Tensor:
    """How far the tones are still those of a moment ago, as a cosine: its mean for each lag, its deviation for some."""
    unit = F.normalize(tones, dim=2, eps=1e-3)
    alike = {lag: (unit[:, lag:] * unit[:, :-lag]).sum(dim=2) for lag in PITCH_LAGS}
    means = [alike[lag].mean(dim=1) for lag in PITCH_LAGS]
    return torch.stack([*means, *(alike[lag].std(dim=1) for lag in LAGS_WITH_DEVIATION)], dim=1)


def _melody(tones: Tensor) -> Tensor:
    """Where the tones lie and the strongest one moves, how many there are, and whether few pitches make up the clip."""
    pitch = torch.arange(tones.shape[2], device=tones.device, dtype=torch.float32)
    centre = (tones @ pitch) / (tones.sum(dim=2) + 1e-3)
    strongest = tones.argmax(dim=2).float()
    melody = (tones * (pitch >= MELODY_FROM)).argmax(dim=2).float()
    steps = melody.diff(dim=1)
    count = (tones > TONE_DB).float().sum(dim=2)
    profile = F.normalize(tones.mean(dim=1), dim=1, eps=1e-3)
    shares = profile.square()
    numbers = [
        centre.mean(dim=1),
        centre.std(dim=1),
        strongest.mean(dim=1),
        strongest.std(dim=1),
        melody.std(dim=1),
        steps.abs().mean(dim=1),
        (steps == 0).float().mean(dim=1),
        count.mean(dim=1),
        count.std(dim=1),
        tones.amax(dim=2).mean(dim=1),
        (profile * profile.roll(N_CLASSES, dims=1)).sum(dim=1),
        profile.topk(8, dim=1).values.sum(dim=1),
        _entropy(shares),
    ]
    return torch.stack(numbers, dim=1)


def _polyphony(tones: Tensor) -> Tensor:
    """How many pitches stand out at once, a tone's neighbours among them.

    The share of the frames with few, from none or one up, and quantiles.
    """
    count = (tones > TONE_DB).float().sum(dim=2)
    few = [(count <= limit).float().mean(dim=1) for limit in FEW_TONES]
    return torch.stack([*few, *count.quantile(torch.tensor(COUNT_QUANTILES, device=tones.device), dim=1)], dim=1)


def _tone_strength(tones: Tensor) -> Tensor:
    """How far the strongest tone stands out and how that changes; how the tones of a frame share their strength."""
    strongest, total = tones.amax(dim=2), tones.sum(dim=2)
    over_time = strongest.quantile(torch.tensor(STRENGTH_QUANTILES, device=tones.device), dim=1)
    of_frames = tones.quantile(torch.tensor(PITCH_QUANTILES, device=tones.device), dim=2)  # (quantiles, B, frames)
    numbers = [
        *over_time,
        strongest.diff(dim=1).abs().mean(dim=1),
        total.diff(dim=1).abs().mean(dim=1) / (total.mean(dim=1) + 1),
        *of_frames.mean(dim=2),
        *of_frames.std(dim=2),
    ]
    return torch.stack(numbers, dim=1)


def _bass(tones: Tensor) -> Tensor:
    """Where the strongest low tone lies, how it moves, and how clearly it is heard: (B, frames, low pitches)"""
    strength, pitch = tones.max(dim=2)
    pitch = pitch.float()
    steps = pitch.diff(dim=1)
    numbers = [
        pitch.mean(dim=1),
        pitch.std(dim=1),
        steps.abs().mean(dim=1),
        (steps == 0).float().mean(dim=1),
        strength.mean(dim=1),
        strength.std(dim=1),
        (strength > TONE_DB).float().mean(dim=1),
    ]
    return torch.stack(numbers, dim=1)


def _tonality(levels: Tensor, tones: Tensor) -> Tensor:
    """Whether the power is in tones or spread over all pitches: distorted guitars, say, fill the gaps between tones."""
    shares = (levels / DB).softmax(dim=2)  # of the power, which the levels are dB of
    in_tones = (shares * (tones > TONE_DB)).sum(dim=2)
    spread, largest = _entropy(shares), shares.amax(dim=2)
    means = [x.mean(dim=1) for x in (in_tones, spread, largest)]
    deviations = [x.std(dim=1) for x in (in_tones, spread, largest)]
    return torch.stack([*means, *deviations, shares.diff(dim=1).abs().sum(dim=2).mean(dim=1)], dim=1)


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * (shares + 1e-9).log()).sum(dim=-1)


def _standardised(x: Tensor) -> Tensor:
    """Deviations from the mean over the last dimension."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, correction=0, keepdim=True) + 1e-3)


def _rotations(profile: Sequence[float], like: Tensor) -> Tensor:
    """A profile from each pitch class up, so that a product with it is a correlation: (12, 12 first classes)"""
    row = _standardised(torch.tensor(profile, device=like.device)) / N_CLASSES
    return torch.stack([row.roll(first) for first in range(N_CLASSES)], dim=1)


def _from(x: Tensor, first: Tensor) -> Tensor:
    """(B, 12) with the pitch classes from `first` (B,) up."""
    return x.gather(1, (torch.arange(N_CLASSES, device=x.device) + first[:, None]) % N_CLASSES)
