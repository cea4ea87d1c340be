"""The settings of the audio front end. Needs neither torch nor a decoder."""

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

# The names by which a folder's audio files are known; what is in a file decides how it is decoded.
SUFFIXES = frozenset(
    {".mp3", ".mp2", ".wav", ".w64", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".m4b", ".mp4", ".aac", ".ac3", ".aif"}
    | {".aiff", ".aifc", ".caf", ".wma", ".ape", ".wv", ".tta", ".webm", ".mka", ".mkv"}
)
# FFmpeg also "plays" playlists and text; only real containers may be opened, so that no file can name another one.
PREVIEW_FORMATS = "aac,mov,mp4,m4a,mp3"  # what services send
FFMPEG_FORMATS = "aac,ac3,aiff,amr,ape,asf,caf,flac,matroska,webm,mov,mp4,m4a,mp3,ogg,tta,wav,w64,wv"

# From where to where each setting makes sense. What lies outside is of a damaged file, and might ask for gigabytes.
WHOLE = {
    "sample_rate_hz": (1_000, 1_000_000),
    **dict.fromkeys(("n_fft", "hop_samples", "pitch_n_fft", "pitch_hop_samples"), (1, 1_000_000)),
    "n_mels": (1, 1_000),
    "n_pitches": (1, 128),
    "lowest_midi": (0, 127),
}
REAL = {
    "semitone_width": (0.01, 12),
    "f_min_hz": (0, 500_000),
    "f_max_hz": (1, 500_000),
    "clip_s": (1, 600),
    "min_s": (2, 600),
    **dict.fromkeys(("floor_db", "silence_db"), (-1_000, 0)),
    "range_db": (1, 1_000),
    "silence_chunk_s": (0.001, 10),
}


def is_number(value: object) -> bool:
    """Whether a value from JSON is a finite number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value from JSON is a whole number from `low` to `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def shown(value: object) -> str:
    """A value from JSON as an error shows it, however long it is."""
    text = "a huge number" if isinstance(value, int) and not is_number(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of the front end. A spectrogram's rows are levels in dB relative to a full-scale sine."""

    sample_rate_hz: int = 16_000  # keeps what lies below 8 kHz; cheap to reach from 44.1 and 48 kHz
    n_fft: int = 1024  # 64 ms: narrow enough in frequency for the lowest mel bands
    hop_samples: int = 512  # 32 ms: fast enough for drums
    n_mels: int = 96
    pitch_n_fft: int = 4096  # 256 ms: fine enough to tell semitones apart from 110 Hz up
    pitch_hop_samples: int = 2048  # 128 ms: chords change more slowly
    n_pitches: int = 60  # five octaves of semitones
    lowest_midi: int = 33  # the A at 55 Hz
    semitone_width: float = 0.35  # standard deviation of the bell by which a pitch gathers the frequencies around it
    f_min_hz: float = 30.0
    f_max_hz: float = 8_000.0
    clip_s: float = 30.0  # longer audio is cut into windows of this length
    min_s: float = 3.0  # less sound than this is refused
    floor_db: float = -120.0  # of a mel band, a pitch and a peak
    range_db: float = 80.0  # below a clip's loudest band, and below its loudest pitch: what is softer counts as this
    silence_db: float = -60.0  # RMS, relative to full scale: silence at the ends of a window is cut off
    silence_chunk_s: float = 0.1  # what the level of sound and silence is taken over

    def __post_init__(self) -> None:
        for name, (low, high) in (WHOLE | REAL).items():
            value, kind = getattr(self, name), "whole number" if name in WHOLE else "number"
            if not low <= value <= high or (name in WHOLE and value != int(value)):
                raise ValueError(f"pipeline setting {name} is {shown(value)}, no {kind} from {low:,} to {high:,}")
        for low, high in (("min_s", "clip_s"), ("silence_chunk_s", "min_s"), ("f_min_hz", "f_max_hz")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"pipeline setting {low} is larger than {high}")
        if max(self.n_fft, self.pitch_n_fft) > self.min_s * self.sample_rate_hz:
            raise ValueError("pipeline settings n_fft and pitch_n_fft are longer than min_s")

    @property
    def clip_samples(self) -> int:
        return round(self.clip_s * self.sample_rate_hz)

    @property
    def clip_frames(self) -> int:
        """Frames of a full clip: only windows that lie wholly inside the audio (936 with the defaults)."""
        return 1 + (self.clip_samples - self.n_fft) // self.hop_samples

    @property
    def min_frames(self) -> int:
        """Frames of the shortest clip that isn't refused (92 with the defaults)."""
        return 1 + (round(self.min_s * self.sample_rate_hz) - self.n_fft) // self.hop_samples

    @property
    def n_rows(self) -> int:
        """Rows of a spectrogram: its mel bands, its pitches and its peak."""
        return self.n_mels + self.n_pitches + 1

    def pitch_of_frames(self, frames: int) -> tuple[int, ...]:
        """For each frame of a clip which frame of pitches lies nearest in time."""
        return _pitch_of_frames(self, frames)

    def pitch_starts(self, frames: int) -> tuple[int, ...]:
        """The frames of a clip at which another frame of pitches begins to be the nearest: where each is found once."""
        return _pitch_starts(self, frames)

    @property
    def frames_per_s(self) -> float:
        return self.sample_rate_hz / self.hop_samples

    def hz_at(self, band: float) -> float:
        """The frequency in Hz at a place among the mel bands: the k-th is centred at k + 0.5, counted from 0.

        The bands are evenly spaced on the mel scale of O'Shaughnessy (1987), as torchaudio has it by default.
        """
        lowest, highest = (math.log1p(f_hz / 700) for f_hz in (self.f_min_hz, self.f_max_hz))
        return 700 * math.expm1(lowest + (highest - lowest) * (band + 0.5) / (self.n_mels + 1))

    def pitches_between(self, low: int, high: int) -> list[int]:
        """The pitches, counted from 0, whose frequencies lie between the lower edges of two mel bands."""
        low_hz, high_hz = self.hz_at(low - 0.5), self.hz_at(high - 0.5)
        hz = [440 * 2 ** ((self.lowest_midi + pitch - 69) / 12) for pitch in range(self.n_pitches)]
        return [pitch for pitch, pitch_hz in enumerate(hz) if low_hz <= pitch_hz < high_hz]

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "PipelineConfig":
        """Rebuild a config from JSON.

        Raises:
            TypeError: a setting is missing, unknown or of the wrong type; ValueError: it has no such value.
        """
        values = values if isinstance(values, dict) else {}
        for name in (f.name for f in fields(cls)):
            if not is_number(values.get(name)):
                raise TypeError(f"pipeline setting {name} is missing or not a number")
        if unknown := values.keys() - {f.name for f in fields(cls)}:
            raise TypeError(f"pipeline setting {min(unknown)[:60]} is unknown")
        return cls(**values)

    def differences(self, other: "PipelineConfig") -> str:
        """The settings in which two configs differ, as `hop_samples 512 and 256`; empty when they are equal."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return ", ".join(f"{name} {mine} and {theirs}" for name, mine, theirs in pairs if mine != theirs)


@lru_cache(maxsize=64)
def _pitch_of_frames(config: PipelineConfig, frames: int) -> tuple[int, ...]:
    n_samples = config.n_fft + (frames - 1) * config.hop_samples
    last = max(0, (n_samples - config.pitch_n_fft) // config.pitch_hop_samples)
    # A frame lies as far from the first frame of pitches as the middles of their windows do.
    offset = (config.n_fft - config.pitch_n_fft) // 2 + config.pitch_hop_samples // 2
    nearest = ((frame * config.hop_samples + offset) // config.pitch_hop_samples for frame in range(frames))
    return tuple(min(max(pitch, 0), last) for pitch in nearest)


@lru_cache(maxsize=64)
def _pitch_starts(config: PipelineConfig, frames: int) -> tuple[int, ...]:
    nearest = config.pitch_of_frames(frames)
    return tuple(k for k in range(frames) if k == 0 or nearest[k] != nearest[k - 1])
