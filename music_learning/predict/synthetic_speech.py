"""Speech-like sounds, synthesised: voices that nobody understands, but with speech's rhythm, pitch and resonances."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.signal import fftconvolve

RATE_HZ = 16_000
HOP, N_FFT = 192, 384  # 12 ms and 24 ms
Rng = np.random.Generator

# The first three resonances of vowels in Hz, of a man (Peterson & Barney, 1952), and of nasals and glides.
VOWELS_HZ = (
    *((270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440)),
    *((570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690)),
)
SONORANTS_HZ = ((250, 1200, 2200), (250, 1700, 2600), (360, 1300, 2700), (310, 1060, 1380), (290, 610, 2150))
FRICATIVES_HZ = ((5500, 1500), (3200, 1200), (4500, 4000), (1800, 1500), (6500, 1500))  # centre and width of the noise
FOURTH_HZ, FIFTH_HZ = 3500, 4500
WIDTHS_HZ = (70, 100, 140, 220, 300)


@dataclass
class Speaker:
    """What makes one voice differ from another, and one way of speaking."""

    pitch_hz: float
    liveliness: float  # of the pitch, in semitones
    size: float  # of the resonances to a man's
    rate: float  # syllables per second
    tilt: float  # how fast the source falls, in powers of the frequency
    breath: float  # of the noise in the voice
    pause_s: float
    phrase_s: float

    @classmethod
    def random(cls, rng: Rng) -> Self:
        pitch_hz = float(np.exp(rng.uniform(np.log(75), np.log(280))))
        return cls(
            pitch_hz=pitch_hz,
            liveliness=rng.uniform(1, 4.5),
            size=1 + 0.2 * np.log2(pitch_hz / 110) + rng.normal(0, 0.06),
            rate=rng.uniform(2.8, 7),
            tilt=rng.uniform(0.6, 1.6),
            breath=10 ** (rng.uniform(-45, -15) / 20) if rng.random() < 0.95 else 3.0,
            pause_s=rng.uniform(0.1, 0.9),
            phrase_s=rng.uniform(1, 4),
        )


@dataclass
class Score:
    """What is spoken, in steps of 12 ms: each (steps,), the resonances (steps, 5)."""

    voiced: np.ndarray
    aspired: np.ndarray
    fricative: np.ndarray
    noise_hz: np.ndarray
    noise_width_hz: np.ndarray
    resonances_hz: np.ndarray
    pitch_hz: np.ndarray


def speech(rng: Rng, n: int) -> np.ndarray:
    """One voice (n,), near or in a room."""
    voice = spoken(rng, Speaker.random(rng), n)
    return voice if rng.random() < 0.4 else in_room(rng, voice)


def babble(rng: Rng, n: int) -> np.ndarray:
    """Several voices at once (n,), or two that answer one another."""
    voices = [spoken(rng, Speaker.random(rng), n) for _ in range(rng.integers(2, 5))]
    voices = [voice / max(voice.std(), 1e-9) for voice in voices]
    if rng.random() < 0.5:
        turn = np.repeat(rng.random(n // RATE_HZ // 3 + 1) < 0.5, 3 * RATE_HZ)[:n]
        return in_room(rng, np.where(turn, voices[0], voices[1]))
    return in_room(rng, sum(10 ** (rng.uniform(-12, 0) / 20) * voice for voice in voices))


def in_room(rng: Rng, sound: np.ndarray) -> np.ndarray:
    """A sound (n,) with the reverberation of a room: noise that decays by 60 dB within 0.1 to 1 s."""
    decay_s, wet = rng.uniform(0.1, 1.0), 10 ** (rng.uniform(-20, 0) / 20)
    length = round(decay_s * RATE_HZ)
    response = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    response *= wet / np.sqrt((response**2).sum())
    response[0] += 1
    return fftconvolve(sound, response)[: sound.size]


def spoken(rng: Rng, speaker: Speaker, n: int) -> np.ndarray:
    """One voice (n,)."""
    return sounded(rng, speaker, written(rng, speaker, n // HOP + N_FFT // HOP))[:n]


def sounded(rng: Rng, speaker: Speaker, score: Score) -> np.ndarray:
    """Each step's pulses and noise through the resonances of that step, overlapped and added: (about steps * 192,)"""
    n_steps = score.pitch_hz.size
    size = n_steps * HOP + N_FFT
    pitch_hz = np.repeat(score.pitch_hz, HOP)
    turns = np.cumsum(pitch_hz / RATE_HZ)
    pulses, noise = np.zeros(size), rng.standard_normal(size)
    pulses[np.flatnonzero(np.diff(np.floor(turns)) > 0)] = 1
    pulses *= np.sqrt(RATE_HZ / speaker.pitch_hz)  # of power 1, as the noise is
    window = np.hanning(N_FFT + 1)[:-1]
    frames = np.arange(n_steps)[:, None] * HOP + np.arange(N_FFT)
    spectra = [np.fft.rfft(source[frames] * window) for source in (pulses, noise)]
    frequency_hz = np.fft.rfftfreq(N_FFT, 1 / RATE_HZ)
    tract = resonant(frequency_hz, score.resonances_hz) * (1 + frequency_hz / 300) ** -speaker.tilt
    band = np.exp(-0.5 * ((frequency_hz - score.noise_hz[:, None]) / score.noise_width_hz[:, None]) ** 2)
    spectrum = tract * (spectra[0] * score.voiced[:, None] + spectra[1] * score.aspired[:, None])
    spectrum += band * spectra[1] * score.fricative[:, None]
    parts, sound = np.fft.irfft(spectrum, N_FFT), np.zeros(size)
    for k in range(N_FFT // HOP):  # frames k, k + 2, ... don't overlap
        part = parts[k :: N_FFT // HOP].ravel()
        sound[k * HOP : k * HOP + part.size] += part
    return sound[N_FFT // 2 :]


def resonant(frequency_hz: np.ndarray, resonances_hz: np.ndarray) -> np.ndarray:
    """The gain of resonances in a row: (bins,) and (steps, 5) -> (steps, bins)"""
    power = np.ones((len(resonances_hz), len(frequency_hz)), np.float32)
    squares_hz = frequency_hz.astype(np.float32) ** 2
    for k, width_hz in enumerate(WIDTHS_HZ):
        centre = resonances_hz[:, k, None].astype(np.float32) ** 2
        # A pair of poles, 1 at 0 Hz: |H|^2 = c^2 / ((f^2 - c)^2 + (f w)^2), where c is the square of its frequency.
        power *= centre**2 / ((squares_hz - centre) ** 2 + squares_hz * width_hz**2)
    return np.sqrt(power)


def written(rng: Rng, speaker: Speaker, n_steps: int) -> Score:
    """Phones one after the other until the time is filled, with phrases and pauses; targets are reached gradually."""
    step_s = HOP / RATE_HZ
    rows, lengths = [], []  # of each phone: voiced, aspired, fricative, noise's centre and width, three resonances
    filled, phrase_left_s = 0, rng.uniform(0.3, 1) * speaker.phrase_s
    silence = [0, 0, 0, 3000, 2000, *VOWELS_HZ[8]]
    while filled < n_steps:
        if phrase_left_s <= 0:
            phones = [(silence, speaker.pause_s * rng.uniform(0.4, 1.8))]
            phrase_left_s = speaker.phrase_s * rng.uniform(0.4, 1.8)
        else:
            phones = syllable(rng, speaker)
            phrase_left_s -= sum(seconds for _, seconds in phones)
        for row, seconds in phones:
            rows.append(row)
            lengths.append(max(1, round(seconds / step_s)))
            filled += lengths[-1]
    track = np.repeat(np.array(rows, float), lengths, axis=0)[:n_steps]
    sounding = track[:, :3].any(axis=1)
    gains, places = smooth(track[:, :3], 3), smooth(track[:, 3:], 7)
    resonances = np.concatenate([places[:, 2:], np.full((n_steps, 1), FOURTH_HZ), np.full((n_steps, 1), FIFTH_HZ)], 1)
    return Score(
        *gains.T,
        noise_hz=places[:, 0],
        noise_width_hz=places[:, 1],
        resonances_hz=resonances * speaker.size,
        pitch_hz=melody(rng, speaker, sounding),
    )


def syllable(rng: Rng, speaker: Speaker) -> list[tuple[list[float], float]]:
    """The phones of a syllable: rows as in `written`, and their seconds."""
    length_s = rng.uniform(0.6, 1.5) / speaker.rate
    loud = 10 ** (rng.uniform(-8, 0) / 20)
    vowel = VOWELS_HZ[rng.integers(len(VOWELS_HZ))]
    phones = [([loud, speaker.breath * loud, 0, 3000, 2000, *vowel], length_s * 0.6)]
    for is_end in (False, True):
        if is_end and rng.random() < 0.6:
            continue
        share = length_s * rng.uniform(0.2, 0.4)
        kind, centre = rng.integers(4), FRICATIVES_HZ[rng.integers(len(FRICATIVES_HZ))]
        if kind == 0:  # a nasal or a glide
            row = [0.5 * loud, 0.5 * speaker.breath, 0, 3000, 2000, *SONORANTS_HZ[rng.integers(len(SONORANTS_HZ))]]
            consonant = [(row, share)]
        elif kind == 1:  # a fricative, at times voiced
            hiss, voiced = loud * 10 ** (rng.uniform(-22, -6) / 20), 0.3 * loud * (rng.random() < 0.4)
            consonant = [([voiced, 0, hiss, *centre, *vowel], share)]
        elif kind == 2:  # a stop: silence and a burst
            burst = loud * 10 ** (rng.uniform(-15, -3) / 20)
            consonant = [([0, 0, 0, *centre, *vowel], 0.6 * share), ([0, 0, burst, *centre, *vowel], 0.012)]
        else:
            continue
        phones = [*phones, *consonant] if is_end else [*consonant, *phones]
    return phones


def melody(rng: Rng, speaker: Speaker, sounding: np.ndarray) -> np.ndarray:
    """The pitch in Hz of each step (steps,): it falls over a phrase, with accents, and is never held."""
    n = sounding.size
    step_s = HOP / RATE_HZ
    accents = smooth(np.repeat(rng.standard_normal((n // 12 + 1, 1)), 12, axis=0)[:n], 15)[:, 0]
    quiet = np.flatnonzero(np.convolve(~sounding, np.ones(10), "same") >= 10)
    begins = np.zeros(n)
    begins[quiet] = quiet
    since_s = step_s * (np.arange(n) - np.maximum.accumulate(begins))
    semitones = speaker.liveliness * (accents * 1.3 - since_s / speaker.phrase_s) + 0.15 * rng.standard_normal(n)
    return np.clip(speaker.pitch_hz * 2 ** (semitones / 12), 50, 500)


def smooth(track: np.ndarray, width: int) -> np.ndarray:
    """The mean over `width` steps around each: (steps, columns) -> the same shape"""
    padded = np.pad(track, ((width // 2 + 1, width - width // 2 - 1), (0, 0)), mode="edge")
    total = padded.cumsum(axis=0)
    return (total[width:] - total[:-width])[: len(track)] / width
