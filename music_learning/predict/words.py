"""What an explanation says, in musicians' words: which range of frequencies, when, makes a song what it is.

A sentence says no more than that the value would change if what sounds there were as loud as it is in most songs, and
without tones: `occlusion` says how that is found, and docs/accuracy.md how far to trust it. What a range does to nearly
every song is no news of this one: only what goes beyond it in the same direction is said.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

# Ranges as musicians and their mixers call them: up to which frequency in Hz the middle of a band lies, and what sounds
# there in most music.
RANGES = (
    (300.0, "lows", "bass, kick drum"),
    (1_000.0, "low mids", "body of voices and guitars"),
    (1_800.0, "mids", "voices, melody"),
    (3_000.0, "upper mids", "edge of voices and guitars"),
    (5_000.0, "presence range", "attack, consonants"),
    (math.inf, "highs", "cymbals, breath"),
)
DIRECTIONS = {  # what is raised, and what is lowered; a bright or a dark sound is something else than a mood
    "energy": ("it more energetic", "it calmer"),
    "danceability": ("it more danceable", "it less danceable"),
    "valence": ("its mood more positive", "its mood darker"),
}
# What the released models make of a cell of each range on average, the lowest first (benchmarks/occlusion.py).
USUAL = {
    "energy": (-0.051, -0.004, -0.002, 0.001, -0.002, -0.001),
    "danceability": (0.014, 0.009, 0.006, 0.002, 0.002, 0.002),
    "valence": (0.049, 0.005, 0.007, 0.002, 0.004, -0.003),
}
USUAL_MOMENTS = 8  # of the windows of which it is the average; a moment of a shorter recording makes up more of it
SMALLEST_ATTRIBUTION = 0.0005  # what is less shows as 0
# Of a range on a recording's value, beyond the usual one: what is less hardly shows in two decimals. A stretch of a
# recording of several windows is a smaller part of it, and more recordings have none that does so much.
LEAST_EFFECT = 0.02
LEAST_OF_SEVERAL = 0.01
SECOND_EFFECT = 0.6  # of the strongest range's, from which on another one is named beside it
SOFT_DB = -6.0  # below most songs' level of a range
N_PARTS = 3  # of a recording, in each of which that happens which happens throughout
EVEN_SHARE = 0.5  # of the mean, which each of the parts has then
NEAR_END_S = 1.0  # of a recording: what begins or ends within this does so with it
MOMENT_S = 8.0  # up to this long, a stretch is a moment


@dataclass(frozen=True)
class Finding:
    """Ranges of frequencies that raise (`sign` 1) or lower (-1) a target's value during a stretch of a recording."""

    target: str
    sign: int
    bands: tuple[int, ...]  # one or two, ascending
    first: int  # moment
    end: int  # the moment behind the last


def find(target: str, sign: int, attributions: Tensor, weight: float = 1.0) -> Finding | None:
    """The ranges that raise or lower a target's value most, and when; None where nothing shows.

    Args:
        target: which value.
        sign: 1 for what raises it, -1 for what lowers it.
        attributions: (bands, moments) of the target.
        weight: how much the window that counts most does in the recording's value: 1 where there is no other.
    """
    n = attributions.shape[1]
    usual = sign * np.array(USUAL[target])[:, None] * max(1.0, USUAL_MOMENTS / n)
    signed = sign * attributions.double().numpy() - usual.clip(min=0)
    stretches = [strongest_stretch(row) for row in signed]

    def effect(band: int, stretch: tuple[int, int]) -> float:
        """On the recording's value."""
        return weight * float(signed[band, slice(*stretch)].sum())

    effects = [effect(band, stretch) for band, stretch in enumerate(stretches)]
    strongest = int(np.argmax(effects))
    stretch = stretches[strongest]
    if effects[strongest] < (LEAST_EFFECT if weight == 1 else LEAST_OF_SEVERAL):
        return None
    whole = stretch == (0, n)
    others = {band: effect(band, stretch) for band in range(len(signed)) if band != strongest}
    others = {b: found for b, found in others.items() if found >= SECOND_EFFECT * effects[strongest]}
    if whole:
        others = {band: found for band, found in others.items() if stretches[band] == stretch}
    second = sorted(others, key=others.__getitem__)[-1:]
    return Finding(target, sign, tuple(sorted([strongest, *second])), *stretch)


def strongest_stretch(values: np.ndarray) -> tuple[int, int]:
    """Where values (moments,) are high: the first moment and the one behind the last.

    It is everything where the beginning, the middle and the end have enough of it each; else the stretch in which the
    values exceed the mean of those above 0 by the largest sum (the maximum subarray).
    """
    parts = np.array_split(values, min(N_PARTS, len(values)))
    if all(part.mean() >= EVEN_SHARE * max(values.mean(), 0.0) for part in parts):
        return 0, len(values)
    sums = np.concatenate([[0.0], np.cumsum(values - values.clip(min=0).mean())])
    lowest = np.minimum.accumulate(sums[:-1])  # before each end
    end = int((sums[1:] - lowest).argmax()) + 1
    return int(sums[:end].argmin()), end


def sentence(
    finding: Finding,
    edges_hz: Sequence[float],
    stretches_s: Sequence[tuple[float, float]],
    above_usual_db: Tensor,
    duration_s: float,
) -> str:
    """A finding in words, such as `The lows in the first half-minute make its mood darker (below 410 Hz: bass, ...).`

    Args:
        finding: what to say.
        edges_hz: (bands + 1,) between the bands.
        stretches_s: when each moment begins and ends.
        above_usual_db: (bands, moments), by how much each cell is louder than the same band of most songs.
        duration_s: of the recording, whose silence has no moments.
    """
    bands = list(pairwise(edges_hz))
    names, notes = [], []
    for band in finding.bands:
        name, note = range_name(*bands[band])
        soft = float(above_usual_db[band, finding.first : finding.end].mean()) <= SOFT_DB
        names.append(f"the {'soft ' if soft else ''}{name}")
        notes.append(f"{range_hz(band, edges_hz)}: {note}")
    subject = " and ".join(names)
    verb = "make" if len(names) > 1 or subject.endswith("s") else "makes"
    direction = DIRECTIONS[finding.target][finding.sign < 0]
    when = stretch_words(finding.first, finding.end, stretches_s, duration_s)
    return f"{subject[0].upper()}{subject[1:]} {when} {verb} {direction} ({'; '.join(notes)})."


def range_name(low_hz: float, high_hz: float) -> tuple[str, str]:
    """What musicians call a range of frequencies, by its middle on a logarithmic scale, and what sounds there."""
    middle_hz = math.sqrt(max(low_hz, 1.0) * high_hz)
    return next((name, note) for highest_hz, name, note in RANGES if middle_hz <= highest_hz)


def range_hz(band: int, edges_hz: Sequence[float]) -> str:
    """A band in Hz, such as `1.0 to 1.8 kHz`; the lowest has no lower end, and the highest no upper one."""
    low, high = map(hertz, edges_hz[band : band + 2])
    if band == 0:
        return f"below {high}"
    if band == len(edges_hz) - 2:
        return f"above {low}"
    return f"{low.removesuffix(' ' + high.split()[1])} to {high}"


def stretch_words(first: int, end: int, stretches_s: Sequence[tuple[float, float]], duration_s: float) -> str:
    """When the moments from `first` up to `end` are, such as `throughout`, `in the first half`, `around 1:15`.

    The halves and the ends are those of the recording; throughout is wherever there is sound.
    """
    start_s, end_s = stretches_s[first][0], stretches_s[end - 1][1]
    if (first, end) == (0, len(stretches_s)):
        return "throughout"
    is_half = 0.4 <= (end_s - start_s) / duration_s <= 0.6
    if start_s < NEAR_END_S:
        return "in the first half" if is_half else from_an_end(end_s, "in the first", f"up to {clock(end_s)}")
    if end_s > duration_s - NEAR_END_S:
        on = f"from {clock(start_s)} on"
        return "in the second half" if is_half else from_an_end(duration_s - start_s, "in the last", on)
    if end_s - start_s <= MOMENT_S:
        return f"around {clock((start_s + end_s) / 2)}"
    return f"from {clock(start_s)} to {clock(end_s)}"


def from_an_end(seconds: float, before: str, otherwise: str) -> str:
    """A length from an end of a recording as people say it: `in the last half-minute`; `otherwise` if it is long."""
    if abs(seconds - 30) <= 3:
        return f"{before} half-minute"
    return f"{before} {seconds:.0f} seconds" if seconds < 59.5 else otherwise


def clock(seconds: float) -> str:
    """A length as people write it: 0:07, 3:45, 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def hertz(frequency_hz: float) -> str:
    """A frequency in about two digits: 410 Hz, 2.9 kHz."""
    return f"{round(frequency_hz, -1):.0f} Hz" if frequency_hz < 995 else f"{frequency_hz / 1000:.1f} kHz"
