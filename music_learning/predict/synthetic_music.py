"""Sparse music, synthesised: a voice that sings alone, one instrument, held chords that change slowly, drums alone.

The training songs have hardly any of it. Without it, what tells speech from songs would be that nothing accompanies it,
and what tells tones from songs that nothing else sounds.
"""

from collections.abc import Callable

import numpy as np

from music_learning.predict.synthetic_speech import (
    HOP,
    N_FFT,
    RATE_HZ,
    VOWELS_HZ,
    Rng,
    Score,
    Speaker,
    in_room,
    sounded,
)

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


def notes(rng: Rng, n_notes: int, *, low: int, high: int) -> np.ndarray:
    """A melody of steps and leaps in a scale: MIDI numbers (n_notes,) from `low` to `high`."""
    scale, tonic = (MAJOR, MINOR)[rng.integers(2)], rng.integers(12)
    pitches = [pitch for pitch in range(low, high + 1) if (pitch - tonic) % 12 in scale]
    steps = rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4], n_notes)
    place = rng.integers(len(pitches)) + np.cumsum(steps)
    period = 2 * (len(pitches) - 1)
    place = np.abs((place % period + period // 2) % period - period // 2)  # turned back at both ends
    return np.array(pitches)[place[:n_notes]]


def lengths(rng: Rng, n: int) -> np.ndarray:
    """Where notes begin (notes,) in samples, on beats of a tempo, until n."""
    beat = RATE_HZ * 60 / rng.uniform(60, 160)
    steps = rng.choice([0.5, 0.5, 1, 1, 1, 2, 3], int(n / beat * 2) + 2)
    begins = np.concatenate([[0], np.cumsum(steps) * beat]).astype(int)
    return begins[begins < n]


def hz(midi: np.ndarray) -> np.ndarray:
    return 440 * 2 ** ((midi - 69) / 12)


def singing(rng: Rng, n: int) -> np.ndarray:
    """A voice that holds its notes, with vibrato, and reaches the next one quickly; in a room."""
    speaker = Speaker.random(rng)
    low = int(np.clip(69 + 12 * np.log2(speaker.pitch_hz / 440), 40, 64))
    begins = lengths(rng, n)
    n_steps = n // HOP + N_FFT // HOP
    which = np.searchsorted(begins, np.arange(n_steps) * HOP, side="right") - 1
    melody = notes(rng, begins.size, low=low, high=low + 14)[which].astype(float)
    glide = max(1, round(rng.uniform(0.02, 0.12) * RATE_HZ / HOP))
    melody = np.convolve(np.pad(melody, (glide, glide), mode="edge"), np.ones(glide) / glide, "same")[glide:-glide]
    t = np.arange(n_steps) * HOP / RATE_HZ
    melody += rng.uniform(0, 0.5) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * t) + 0.03 * rng.standard_normal(n_steps)
    vowels = np.array(VOWELS_HZ)[rng.integers(len(VOWELS_HZ), size=begins.size)][which]
    is_rest = rng.random(begins.size) < 0.12
    is_rest[0] = False
    rests = is_rest[which]
    since = np.arange(n_steps) * HOP - begins[which]
    consonant = (since < rng.uniform(0.02, 0.09) * RATE_HZ) & (rng.random(begins.size) < 0.6)[which]
    voiced = np.convolve(np.where(rests, 0, np.where(consonant, 0.15, 1.0)), np.ones(4) / 4, "same")
    tail = np.broadcast_to([3500.0, 4500.0], (n_steps, 2))
    score = Score(
        voiced=voiced,
        aspired=speaker.breath * voiced,
        fricative=0.1 * consonant * ~rests * rng.random(),
        noise_hz=np.full(n_steps, 5000.0),
        noise_width_hz=np.full(n_steps, 2000.0),
        resonances_hz=np.concatenate([vowels, tail], axis=1) * speaker.size,
        pitch_hz=hz(melody),
    )
    voice = sounded(rng, speaker, score)[:n]
    return in_room(rng, voice)


def choir(rng: Rng, n: int) -> np.ndarray:
    """Some voices, each with its melody in the same tempo and scale, more or less."""
    seed = int(rng.integers(2**31))
    parts = [singing(np.random.default_rng([seed, k]), n) for k in range(rng.integers(2, 4))]
    return sum(part / part.std() for part in parts)


def instrument(rng: Rng, n: int) -> np.ndarray:
    """Notes that are struck or blown, one after the other or with a bass: a piano, a guitar, a flute."""
    sound = np.zeros(n)
    decay_s, brightness = np.exp(rng.uniform(np.log(0.15), np.log(3))), rng.uniform(0.5, 2.5)
    attack_s = rng.choice([0.003, 0.05])
    for low, high in ((36, 55), (55, 80))[rng.integers(2) :]:
        begins = lengths(rng, n)
        for begin, midi in zip(begins, notes(rng, begins.size, low=low, high=high), strict=True):
            length = min(n - begin, round(3 * decay_s * RATE_HZ))
            t = np.arange(length) / RATE_HZ
            k = np.arange(1, max(2, min(12, int(7000 / hz(midi)))))[:, None]
            partials = k**-brightness * np.sin(2 * np.pi * k * hz(midi) * t) * np.exp(-t * k**0.5 / decay_s)
            sound[begin : begin + length] += rng.uniform(0.4, 1) * partials.sum(axis=0) * np.minimum(1, t / attack_s)
    return in_room(rng, sound)


def pads(rng: Rng, n: int) -> np.ndarray:
    """Chords of detuned tones that fade over into one another for seconds, as ambient music has them."""
    sound, t = np.zeros(n), np.arange(n) / RATE_HZ
    chord_s, brightness = rng.uniform(2, 10), rng.uniform(0.7, 2)
    scale, tonic = (MAJOR, MINOR)[rng.integers(2)], rng.integers(40, 52)
    for begin_s in np.arange(-chord_s, n / RATE_HZ, chord_s):
        degree = rng.integers(7)
        swell = np.clip(1 - np.abs(t - begin_s - chord_s) / chord_s, 0, 1)
        inside = swell > 0
        for step in (0, 2, 4, 6)[: rng.integers(2, 5)]:
            midi = tonic + scale[(degree + step) % 7] + 12 * ((degree + step) // 7 + rng.integers(2))
            for detune in rng.uniform(-0.1, 0.1, 2):
                phase = hz(midi + detune) * t[inside] + rng.random()
                wave = sum(k**-brightness * np.sin(2 * np.pi * k * phase) for k in range(1, 5))
                sound[inside] += swell[inside] * wave
    floor = np.convolve(rng.standard_normal(n), np.ones(8) / 8, "same")
    return in_room(rng, sound) + floor * sound.std() * 10 ** (rng.uniform(-50, -10) / 20)


def drums(rng: Rng, n: int) -> np.ndarray:
    """A pattern of three drums, repeated with small changes."""
    step = RATE_HZ * 60 / rng.uniform(70, 180) / 4
    t = np.arange(round(0.4 * RATE_HZ)) / RATE_HZ
    hiss = rng.standard_normal(t.size)
    kick = np.sin(2 * np.pi * (45 * t + 3 * (1 - np.exp(-t * 30)))) * np.exp(-t * rng.uniform(6, 20))
    snare = (np.diff(hiss, append=0) + np.sin(2 * np.pi * rng.uniform(150, 250) * t)) * np.exp(-t * rng.uniform(10, 30))
    hat = np.diff(hiss, n=3, append=[0, 0, 0]) * np.exp(-t * rng.uniform(20, 90))
    sound = np.zeros(n + t.size)
    for drum, loud, density in ((kick, 1, 0.25), (snare, 0.7, 0.2), (hat, 0.25, 0.6)):
        pattern = rng.random(16) < density
        pattern[0] |= drum is kick
        for k in range(int(n / step)):
            if pattern[k % 16] != (rng.random() < 0.04):
                begin = int(k * step)
                sound[begin : begin + t.size] += loud * rng.uniform(0.6, 1) * drum
    return in_room(rng, sound[:n])


SPARSE: tuple[tuple[Callable[[Rng, int], np.ndarray], int], ...] = (
    (singing, 3),
    (choir, 1),
    (instrument, 3),
    (pads, 3),
    (drums, 2),
)
