"""Every constant that a feature depends on. Part of what decides a model: it travels in the model's JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from typing import Self

from music_learning.pipeline_config import PipelineConfig, is_number, shown

# What the features take the rows of a spectrogram to be: with other bands or pitches they would mean something else.
FIXED = {"n_mels": 96, "f_min_hz": 30.0, "f_max_hz": 8_000.0, "n_pitches": 60, "lowest_midi": 33} | {
    "semitone_width": 0.35,
    "floor_db": -120.0,
    "range_db": 80.0,
}
FIXED_LENGTH = ("onset_lag_s", "beat_lag_s", "usual_tempo_bpm", "pulse_bpm")  # each number means something else
WINDOW_S, PITCH_WINDOW_S = 0.064, 0.256  # of the Fourier transforms
TOLERANCE = 0.002  # of a stretch of time: at 44,100 Hz no hop makes 32 ms exactly
MAX_LENGTH, MAX_RATIO = 100, 16  # of a list of settings, and of a setting to its default
FORMULAS = 2  # the version of the formulas themselves; raise it when one of them changes
FRAME_S = 0.032  # from frame to frame, as the formulas are made for
PITCH_FRAME_S = 0.128  # melodies and chords are described in steps of this


@dataclass(frozen=True)
class FeatureConfig:
    """Settings of the features of a clip, in seconds, Hz, beats per minute, semitones and dB.

    Times become numbers of frames here and nowhere else, so that a feature means the same with any hop: 100 clicks a
    minute are 100 beats per minute. Frames must lie 32 ms apart, or a whole part of that, of which those are taken that
    do, or 64 ms. Of the last, what they are too coarse for, such as a modulation above half their rate, is left out,
    which `feature_names` shows. A pipeline config that the features can't be computed from is refused when this config
    is made.

    Raises:
        ValueError: for such a pipeline config, naming the setting.
    """

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    formulas: int = FORMULAS

    # Groups of neighbouring mel bands.
    n_coarse_bands: int = 32  # whose level and flux are described
    n_rhythm_bands: int = 8  # whose rhythm is described
    n_contrast_bands: int = 16  # in which tones that stand out are counted
    range_edges: tuple[int, ...] = (0, 12, 40, 96)  # in mel bands: bass drum, voices, cymbals

    # Dynamics and timbre.
    level_quantiles: tuple[float, ...] = (0.95, 0.75, 0.5, 0.25, 0.1, 0.05)
    peak_quantile: float = 0.98  # a click isn't how loud a song was mastered
    short_level_s: float = 0.5
    long_level_s: float = 1.0
    n_mfcc: int = 20
    n_correlated_mfcc: int = 13  # whose changes are compared with one another
    sustain_s: float = 0.256  # what lasts longer than this is a tone rather than a drum
    sustain_bands: int = 12  # whose sustained contrast is averaged
    sustain_step_bands: int = 8  # from one such group to the next

    # Rhythm.
    rhythm_s: float = 7.5  # long enough for the slowest beat; a shorter clip is repeated to this length
    modulation_periods: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100, 117)  # in `rhythm_s`
    onset_lag_s: tuple[float, float, float] = (0.128, 2.24, 0.064)  # from one onset to the next: from, below, step
    beat_lag_s: tuple[float, float] = (0.256, 2.048)  # 30 to 230 beats per minute: from, below
    tempo_edges_bpm: tuple[int, ...] = (40, 60, 80, 95, 110, 125, 140, 160, 180, 210, 260, 330, 420, 600)
    usual_tempo_bpm: tuple[int, int] = (60, 200)
    highest_tempo_bpm: float = 937.5  # up to which the mean is taken that a tempo stands out from
    tempo_transform_s: float = 65.536  # length of the Fourier transform: a bin is 0.9 beats per minute wide
    pulse_bpm: tuple[int, int] = (48, 220)
    n_pulse_tempi: int = 28  # that are compared, evenly spaced as a logarithm
    pulse_hop_s: float = 1.856  # from one stretch of `rhythm_s` to the next
    pulse_beats: tuple[float, ...] = (1.0, 0.7, 0.5)  # how much the first, second, third beat after an onset count
    onset_quantiles: tuple[float, ...] = (0.99, 0.9, 0.5)
    onset_strength: float = 1.5  # times the mean rise: what is less is no onset

    # Harmony. A tone stands out from the octave around it.
    tone_db: float = 6.0  # by more than this
    tone_counts: tuple[int, ...] = (1, 2, 4, 6, 8, 10, 12)
    count_quantiles: tuple[float, ...] = (0.1, 0.9)
    salience_quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)  # of the strongest tone, over time
    pitch_quantiles: tuple[float, ...] = (0.5, 0.8, 0.9, 0.97)  # of the tones in a frame
    n_bass_pitches: int = 24  # 55 to 208 Hz
    melody_from_pitch: int = 12  # 110 Hz
    similarity_lag_s: tuple[float, ...] = (0.128, 0.256, 0.512, 1.024, 2.048, 4.096)
    similarity_std_lag_s: tuple[float, ...] = (0.128, 0.512, 2.048)
    chord_s: float = 0.64  # what sounds together that long is taken for a chord

    # Where clips are compared.
    max_deviation: float = 4.0  # standard deviations from the training songs' mean: what is farther off counts as this

    def __post_init__(self) -> None:
        if self.formulas != FORMULAS:
            raise ValueError(f"these are features of version {self.formulas}; this program computes {FORMULAS}")
        for name, expected in FIXED.items():
            if (value := getattr(self.pipeline, name)) != expected:
                raise ValueError(f"the features are made for {name} {expected:g}; the pipeline has {value:g}")
        if self.pipeline.pitch_hop_samples % (self.stride * self.pipeline.hop_samples):
            raise ValueError(
                f"pitch_hop_samples {self.pipeline.pitch_hop_samples} must be {self.stride} times a multiple of "
                f"hop_samples {self.pipeline.hop_samples}, so that the features can tell which frames share pitches"
            )
        self._check_length("n_fft", self.pipeline.n_fft / self.pipeline.sample_rate_hz, WINDOW_S, "one window")
        pitch_window_s = self.pipeline.pitch_n_fft / self.pipeline.sample_rate_hz
        self._check_length("pitch_n_fft", pitch_window_s, PITCH_WINDOW_S, "one window")
        self._check_length("pitch_hop_samples", self.pitch_frame_s, PITCH_FRAME_S, "one frame")
        lag_s = self.onset_lag_s[2]
        self._check_length("hop_samples", self.frames(lag_s) * self.frame_s, lag_s, "a whole number of frames")

    def _check_length(self, setting: str, length_s: float, expected_s: float, what: str) -> None:
        if abs(length_s - expected_s) > TOLERANCE * expected_s:
            raise ValueError(
                f"{setting} {getattr(self.pipeline, setting)} at sample_rate_hz {self.pipeline.sample_rate_hz} doesn't "
                f"fit the features, which need {what} in {1000 * expected_s:g} ms"
            )

    @property
    def stride(self) -> int:
        """Every so many frames one is taken: 1 with the defaults."""
        return max(1, round(FRAME_S * self.pipeline.sample_rate_hz / self.pipeline.hop_samples))

    @property
    def frame_s(self) -> float:
        """From one frame that is taken to the next: 0.032 s with the defaults."""
        return self.stride * self.pipeline.hop_samples / self.pipeline.sample_rate_hz

    @property
    def pitch_frame_s(self) -> float:
        """From one frame of pitches to the next: 0.128 s with the defaults."""
        return self.pipeline.pitch_hop_samples / self.pipeline.sample_rate_hz

    @property
    def change_per_32_ms(self) -> float:
        """What a change from one frame to the next is multiplied with to be one per 32 ms: 1 with the defaults."""
        return FRAME_S / self.frame_s

    @property
    def sum_per_32_ms(self) -> float:
        """What a sum over `rhythm_s` is multiplied with to be one over frames of 32 ms: 1 with the defaults."""
        return round(self.rhythm_s / FRAME_S) / self.rhythm_frames

    @property
    def rhythm_frames(self) -> int:
        """234 with the defaults."""
        return self.frames(self.rhythm_s)

    @property
    def modulation_bins(self) -> tuple[tuple[int, int], ...]:
        """Ranges [low, high) of bins of a Fourier transform over `rhythm_s`, up to half the rate of the frames."""
        return tuple(bins for bins in pairwise(self.modulation_periods) if bins[1] <= self.rhythm_frames // 2)

    @property
    def tempo_ranges_bpm(self) -> tuple[tuple[int, int], ...]:
        """Ranges (low, high] of tempi, up to half the rate of the frames."""
        return tuple(bpm for bpm in pairwise(self.tempo_edges_bpm) if bpm[1] <= 30 / self.frame_s)

    @property
    def onset_lags(self) -> slice:
        """In frames."""
        return slice(*(self.frames(seconds) for seconds in self.onset_lag_s))

    @property
    def beat_lags(self) -> slice:
        """In frames."""
        return slice(*(self.frames(seconds) for seconds in self.beat_lag_s))

    @property
    def chord_frames(self) -> int:
        """Of pitches, an odd number: 5 with the defaults."""
        return 2 * round((self.chord_s / self.pitch_frame_s - 1) / 2) + 1

    def frames(self, seconds: float) -> int:
        """The nearest number of frames to a stretch of time."""
        return round(seconds / self.frame_s)

    @property
    def rhythm_pitch_frames(self) -> int:
        """Frames of pitches in `rhythm_s`: 57 with the defaults."""
        return len(self.pipeline.pitch_starts(self.stride * self.rhythm_frames))

    def pitch_frames(self, seconds: float) -> int:
        """The nearest number of frames of pitches to a stretch of time."""
        return round(seconds / self.pitch_frame_s)

    def to_dict(self) -> dict:
        """As JSON has it, without the pipeline's settings, which stand beside it there."""
        return {name: value for name, value in asdict(self).items() if name != "pipeline"}

    @classmethod
    def from_dict(cls, values: object, pipeline: PipelineConfig) -> Self:
        """Rebuild a config from JSON.

        Raises:
            TypeError: a setting is missing, unknown or of the wrong type; ValueError: the pipeline's don't fit.
        """
        if not isinstance(values, dict):
            raise TypeError("feature settings are missing")
        default = cls()
        names = {f.name for f in fields(cls)} - {"pipeline"}
        if unequal := names ^ values.keys():
            raise TypeError(f"feature setting {min(unequal)[:60]} is missing or unknown")
        for name, value in values.items():
            usual = getattr(default, name)
            if not _alike(value, usual) or (name in FIXED_LENGTH and len(value) != len(usual)):
                raise TypeError(f"feature setting {name} is {shown(value)}, not like {usual!r}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(pipeline, **values)

    def differences(self, other: "FeatureConfig") -> str:
        """The settings in which two configs differ, as `tone_db 6.0 and 9.0`; empty when they are equal."""
        mine, theirs = self.to_dict(), other.to_dict()
        pairs = [f"{name} {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        return ", ".join(filter(None, [self.pipeline.differences(other.pipeline), *pairs]))


def _alike(value: object, usual: float | Sequence[float]) -> bool:
    """Whether a value from JSON is a number, or a list of numbers, of the kind and about the size of the usual ones.

    What is far larger would ask for gigabytes before it could be found wrong.
    """
    if isinstance(usual, tuple):
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_LENGTH:
            return False
        return all(_alike(number, max(usual, key=abs)) for number in value)
    is_kind = isinstance(value, int) or not isinstance(usual, int)
    return is_number(value) and is_kind and 0 <= value <= MAX_RATIO * usual
