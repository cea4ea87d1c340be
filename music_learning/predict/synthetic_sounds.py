"""Sounds that are no music, synthesised: speech, noise and tones of many kinds, for a detector to learn from.

Each kind is a function of a random generator and a number of samples at 16 kHz, whose every parameter is drawn anew:
what is learned shall hold for the next voice, filter and rate of drops, too. Voices are made by a source and filters:
pulses or noise, through the resonances of a vocal tract that moves from target to target (G. Fant, "Acoustic Theory of
Speech Production", 1960; D. H. Klatt, "Software for a cascade/parallel formant synthesizer", 1980). Nothing here is to
be understood as words.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve

from music_learning.predict.synthetic_speech import RATE_HZ, Rng, babble, speech

Sound = Callable[[Rng, int], np.ndarray]
PEAK_DB = (-40.0, 0.0)  # how loud a sound's largest sample may be
DTMF_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


def times(n: int) -> np.ndarray:
    """In seconds: (n,)"""
    return np.arange(n) / RATE_HZ


def log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def filtered(sound: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A sound (n,) whose spectrum is multiplied by a gain for each frequency in Hz."""
    frequency_hz = np.fft.rfftfreq(sound.size, 1 / RATE_HZ)
    return np.fft.irfft(np.fft.rfft(sound) * gain(frequency_hz), sound.size)


def slow_curve(rng: Rng, n: int, rate_hz: float) -> np.ndarray:
    """A smooth random curve (n,) of about that many turns per second, of standard deviation 1."""
    n_points = max(4, round(n / RATE_HZ * rate_hz) + 2)
    points = rng.standard_normal(n_points)
    places = np.linspace(0, n_points - 1, n)
    left = np.minimum(places.astype(int), n_points - 2)
    share = (1 - np.cos(np.pi * (places - left))) / 2
    return points[left] * (1 - share) + points[left + 1] * share


def random_spectrum(rng: Rng) -> Callable[[np.ndarray], np.ndarray]:
    """A gain over frequency: a slope from blue to brown, a few broad bumps, and at times a band's limits."""
    slope = rng.uniform(-0.3, 1.1)  # of the amplitude: 0.5 is pink, 1 is brown
    bumps = [(log_uniform(rng, 60, 7000), rng.uniform(0.2, 1.5), rng.uniform(-8, 12)) for _ in range(rng.integers(4))]
    is_band, centre_hz, octaves = rng.random() < 0.4, log_uniform(rng, 60, 6000), rng.uniform(0.2, 4)

    def gain(frequency_hz: np.ndarray) -> np.ndarray:
        octave = np.log2(np.maximum(frequency_hz, 20))
        level_db = sum(height * np.exp(-0.5 * ((octave - np.log2(hz)) / width) ** 2) for hz, width, height in bumps)
        amplitude = 2.0 ** (-slope * octave) * 10 ** (level_db / 20)
        if is_band:
            beyond = np.abs(octave - np.log2(centre_hz)) - octaves / 2
            amplitude = amplitude * 10 ** (-np.clip(beyond * 96, 0, 60) / 20)
        return amplitude

    return gain


def colour(rng: Rng) -> Callable[[np.ndarray], np.ndarray]:
    """A gain over frequency as equipment has it: a tilt, a few bumps, and at times no bass or no treble."""
    tilt = rng.normal(0, 0.25)
    bumps = [(log_uniform(rng, 80, 7000), rng.uniform(0.3, 1.5), rng.normal(0, 4)) for _ in range(3)]
    low_hz = log_uniform(rng, 80, 400) if rng.random() < 0.5 else 20
    high_hz = log_uniform(rng, 2500, 7500) if rng.random() < 0.4 else 9000

    def gain(frequency_hz: np.ndarray) -> np.ndarray:
        octave = np.log2(np.maximum(frequency_hz, 20) / 500)
        level_db = sum(
            height * np.exp(-0.5 * ((octave - np.log2(hz / 500)) / width) ** 2) for hz, width, height in bumps
        )
        beyond = np.maximum(np.log2(low_hz / 500) - octave, 0) + np.maximum(octave - np.log2(high_hz / 500), 0)
        return 2.0 ** (tilt * octave) * 10 ** ((level_db - np.minimum(24 * beyond, 60)) / 20)

    return gain


def noise(rng: Rng, n: int) -> np.ndarray:
    """Steady noise of some spectrum: a fan, a vent, a waterfall, hiss."""
    return filtered(rng.standard_normal(n), random_spectrum(rng))


def weather(rng: Rng, n: int) -> np.ndarray:
    """Noise that swells and fades, regularly or not: surf, wind, cars that pass."""
    swell_db = rng.uniform(3, 15)
    if rng.random() < 0.4:
        turns = rng.uniform(0.05, 0.7) * times(n) + rng.random()
        curve = np.sin(2 * np.pi * (turns + 0.03 * slow_curve(rng, n, 0.3)))
    else:
        curve = slow_curve(rng, n, log_uniform(rng, 0.2, 4))
    bright, dark = noise(rng, n), noise(rng, n)
    if rng.random() < 0.5:  # the wind whistles higher where it is louder
        dark = dark * 10 ** (-curve * rng.uniform(0, 6) / 20)
        bright = bright + dark * bright.std() / dark.std()
    return bright * 10 ** (swell_db * curve / 20)


def drops(rng: Rng, n: int) -> np.ndarray:
    """Clicks, drops or claps at random or regular times, over faint noise: rain, crackle, applause."""
    per_s = log_uniform(rng, 0.7, 3000)
    if rng.random() < 0.15:
        places = np.arange(rng.uniform(0, 0.5) * RATE_HZ, n, RATE_HZ / min(per_s, 12)).astype(int)
        strengths = np.ones(places.size)
    else:
        places = rng.integers(0, n, max(1, rng.poisson(per_s * n / RATE_HZ)))
        strengths = np.exp(rng.uniform(0, 1.2) * rng.standard_normal(places.size))
    impulses = np.zeros(n)
    np.add.at(impulses, places, strengths * rng.choice([-1, 1], places.size))
    length = round(log_uniform(rng, 0.0005, 0.08) * RATE_HZ)
    tail = rng.standard_normal(6 * length) * np.exp(-np.arange(6 * length) / length)
    tail[0] = 3
    sound = filtered(fftconvolve(impulses, tail)[:n], random_spectrum(rng))
    floor = noise(rng, n)
    return sound / np.abs(sound).max() + floor / np.abs(floor).max() * 10 ** (rng.uniform(-70, -15) / 20)


def hum(rng: Rng, n: int) -> np.ndarray:
    """Harmonics of one low frequency: of the mains, of an engine whose speed wavers, with noise."""
    base_hz = rng.choice([50, 60]) if rng.random() < 0.5 else log_uniform(rng, 35, 400)
    wavering = rng.choice([0, rng.uniform(0, 0.08)])
    speed = 1 + wavering * slow_curve(rng, n, log_uniform(rng, 0.1, 3))
    turns = np.cumsum(base_hz * speed) / RATE_HZ
    n_harmonics = int(min(rng.integers(1, 40), 7500 / base_hz / speed.max()))
    decay = rng.uniform(0, 1.5)
    sound = np.zeros(n)
    for k in range(1, max(n_harmonics, 1) + 1):
        weight = k**-decay * np.exp(0.7 * rng.standard_normal()) * (k % 2 or rng.random() < 0.7)
        sound += weight * np.sin(2 * np.pi * (k * turns + rng.random()))
    floor = noise(rng, n)
    return sound / sound.std() + floor / floor.std() * 10 ** (rng.uniform(-60, 0) / 20)


def tones(rng: Rng, n: int) -> np.ndarray:
    """Up to five tones that last: pure, or with harmonics, or beating."""
    sound = np.zeros(n)
    for _ in range(rng.integers(1, 6) if rng.random() < 0.6 else 1):
        frequency_hz, strength = log_uniform(rng, 50, 6000), np.exp(0.5 * rng.standard_normal())
        phase = frequency_hz * times(n) + rng.random()
        shape = rng.integers(4)
        wave = np.sin(2 * np.pi * phase)
        if shape == 0 and frequency_hz < 2000:
            wave = wave + 0.5 * np.sin(4 * np.pi * phase) + 0.3 * np.sin(6 * np.pi * phase)
        sound += strength * wave
    return with_floor(rng, sound)


def with_floor(rng: Rng, sound: np.ndarray) -> np.ndarray:
    """A sound (n,) with the noise of a recording, faint or none."""
    if rng.random() < 0.4:
        return sound
    floor = noise(rng, sound.size)
    return sound + floor / floor.std() * sound.std() * 10 ** (rng.uniform(-70, -15) / 20)


def sweeps(rng: Rng, n: int) -> np.ndarray:
    """A tone that glides: once from end to end, or again and again as a siren's."""
    low_hz, high_hz = np.sort([log_uniform(rng, 30, 7500), log_uniform(rng, 30, 7500)])
    place = times(n) / (n / RATE_HZ) if rng.random() < 0.4 else times(n) * log_uniform(rng, 0.1, 4)
    place = place % 1 if rng.random() < 0.6 else 1 - np.abs(1 - 2 * (place % 1))
    place = 1 - place if rng.random() < 0.3 else place
    is_linear = rng.random() < 0.5
    frequency_hz = low_hz + (high_hz - low_hz) * place if is_linear else low_hz * (high_hz / low_hz) ** place
    wave = np.sin(2 * np.pi * np.cumsum(frequency_hz) / RATE_HZ)
    return with_floor(rng, wave if rng.random() < 0.7 else np.tanh(3 * wave))


def beeps(rng: Rng, n: int) -> np.ndarray:
    """A tone that comes and goes: an alarm, a busy line, Morse; or two of them in turn; or the tones of a telephone."""
    on_s, off_s = log_uniform(rng, 0.04, 0.8), log_uniform(rng, 0.03, 1.2)
    kind = rng.integers(4)
    step = np.floor(times(n) / (on_s + off_s)).astype(int)
    within = times(n) - step * (on_s + off_s)
    n_steps = step[-1] + 1
    rows, columns = (np.array(hz) for hz in DTMF_HZ)
    if kind == 0:  # one pitch
        pairs = np.repeat([[log_uniform(rng, 200, 4000), 0]], n_steps, axis=0)
    elif kind == 1:  # two pitches in turn
        first, second = log_uniform(rng, 200, 3000), log_uniform(rng, 200, 3000)
        pairs = np.array([[first if k % 2 else second, 0] for k in range(n_steps)])
    elif kind == 2:  # a telephone's keys
        pairs = np.stack([rng.choice(rows, n_steps), rng.choice(columns, n_steps)], axis=1)
    else:  # Morse: one pitch, long and short
        pairs = np.repeat([[log_uniform(rng, 400, 1500), 0]], n_steps, axis=0)
        on_s = np.where(rng.random(n_steps) < 0.5, on_s, on_s / 3)[step]
    gate = np.minimum(1, np.minimum(within, on_s - within).clip(0) / 0.004)
    sound = gate * sum(np.sin(2 * np.pi * pairs[step, k] * times(n)) for k in (0, 1))
    return with_floor(rng, sound)


def mixture(rng: Rng, n: int) -> np.ndarray:
    """Two of the other kinds of noise and tones at once."""
    first, second = rng.choice(len(MIXED), 2, replace=False)
    parts = [MIXED[k](rng, n) for k in (first, second)]
    first, second = (part / part.std() for part in parts)
    return first + second * 10 ** (rng.uniform(-25, 0) / 20)


def recorded_speech(rng: Rng, n: int) -> np.ndarray:
    """A voice as a microphone, a line or a broadcast colours it."""
    return filtered(speech(rng, n), colour(rng))


def speech_in_noise(rng: Rng, n: int) -> np.ndarray:
    """A voice before other sounds: from 3 dB louder than it to 27 dB softer."""
    voice, behind = recorded_speech(rng, n), (noise, weather, hum, drops)[rng.integers(4)](rng, n)
    return voice / voice.std() + behind / behind.std() * 10 ** (-rng.uniform(-3, 27) / 20)


def several_voices(rng: Rng, n: int) -> np.ndarray:
    """Two to four voices, in turn or at once."""
    return filtered(babble(rng, n), colour(rng))


MIXED: tuple[Sound, ...] = (noise, weather, drops, hum, tones, sweeps)
# What is made, and how it is called where a clip sounds like it; a kind that varies more is made more often.
KINDS: dict[str, tuple[tuple[Sound, int], ...]] = {
    "speech": ((speech, 2), (recorded_speech, 4), (speech_in_noise, 7), (several_voices, 1)),
    "noise": ((noise, 3), (weather, 2), (drops, 4), (hum, 3), (mixture, 1)),
    "tones": ((tones, 3), (sweeps, 3), (beeps, 3)),
}


def at_some_level(rng: Rng, sound: np.ndarray) -> np.ndarray:
    """A sound (n,) as float32, its largest sample somewhere in `PEAK_DB`."""
    return (sound * 10 ** (rng.uniform(*PEAK_DB) / 20) / max(np.abs(sound).max(), 1e-9)).astype(np.float32)
