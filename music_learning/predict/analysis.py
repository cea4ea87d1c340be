"""What is predicted of one recording: its values, their timeline, a mood in words, similar songs and warnings."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from music_learning.columns import AUDIO_FEATURES, TARGETS
from music_learning.predict.explanation import Explanation
from music_learning.predict.markets import Market
from music_learning.predict.mood import Mood
from music_learning.predict.similarity import SimilarArtist, SimilarSong

DECIMALS = 4
FEATURE_DECIMALS = {"loudness": 3, "tempo": 3}  # as the endpoint has them
MAX_COLUMNS = 1024
LEAST_LOST_S = 0.1


@dataclass(frozen=True)
class Moment:
    """The values in [0, 1] of a stretch of a few seconds."""

    start_s: float
    values: dict[str, float]


@dataclass(frozen=True)
class Analysis:
    """What is predicted of one recording.

    The timeline has one moment for every 3 to 4 s that are not silent. Over each window, the mean of its moments is
    the value of that window; `pooling` says how a recording's values follow from its windows: for energy, loud windows
    count more.
    """

    duration_s: float
    values: dict[str, float]  # in [0, 1]
    intervals: dict[str, tuple[float, float]]  # holds Spotify's value for 9 of 10 songs; empty if the model lacks it
    percentiles: dict[str, float]  # % of the songs in the charts of 71 countries that have a lower value by Spotify
    mood: Mood
    warnings: tuple[str, ...]
    timeline: tuple[Moment, ...]
    similar_songs: tuple[SimilarSong, ...]
    similar_artists: tuple[SimilarArtist, ...]
    spectrogram: Tensor  # (n_mels, up to 1024 columns of equal length) in dB, for pictures
    embedding: Tensor  # (components,) as the training songs' index has them: near ones are of songs that are alike
    explanation: Explanation | None = None  # if it was asked for
    lost_s: float = 0.0  # that could not be decoded and are left out
    # Of AUDIO_FEATURES those that are no targets, under the same names and in the same units; what is unknown is None.
    other_features: dict[str, float | int | None] = field(default_factory=dict)
    # The countries whose charts sound most like it, the likest first; none of what is no music.
    markets: tuple[Market, ...] = ()

    def with_losses(self, lost_s: float) -> "Analysis":
        """The same, telling how much could not be decoded; a packet or two aren't worth a warning."""
        warning = (f"{lost_s:.1f} s of it are damaged and left out.",) * (lost_s >= LEAST_LOST_S)
        return replace(self, lost_s=lost_s, warnings=(*self.warnings, *warning))

    def audio_features(self) -> dict[str, float | int | None]:
        """Spotify's audio features object, AUDIO_FEATURES with its names, ranges and order.

        None stands for what can't be told: liveness always, since 30 s don't tell it; tempo where there is no onset;
        key, mode, tempo and time signature of what is no music. Of music in which no tone stands out the key is -1, as
        Spotify has it.
        """
        known = {"duration_ms": round(1000 * self.duration_s), **self.other_features, **self.values}
        features = {name: known.get(name) for name in AUDIO_FEATURES}
        return {
            name: round(value, FEATURE_DECIMALS.get(name, DECIMALS)) if isinstance(value, float) else value
            for name, value in features.items()
        }

    def to_dict(self) -> dict:
        """Everything but the spectrogram and the embedding, as JSON has it."""
        flat: dict = {"duration_s": round(self.duration_s, 2)}
        flat |= rounded(self.values) | self.audio_features()
        for target, (low, high) in self.intervals.items():
            flat |= rounded({f"{target}_low": low, f"{target}_high": high})
        return flat | {
            **{f"{target}_percentile": round(self.percentiles[target], 1) for target in TARGETS},
            "lost_s": round(self.lost_s, 2),
            "mood": self.mood.word,
            "mood_probability": None if self.mood.probability is None else round(self.mood.probability, DECIMALS),
            "moods": rounded(self.mood.probabilities),
            "warnings": list(self.warnings),
            "similar_songs": [song.to_dict() for song in self.similar_songs],
            "similar_artists": [artist.to_dict() for artist in self.similar_artists],
            "markets": [market.to_dict() for market in self.markets],
            "timeline": [{"start_s": round(m.start_s, 2)} | rounded(m.values) for m in self.timeline],
            **({} if self.explanation is None else {"explanation": self.explanation.to_dict()}),
        }


def even_edges(length: int, parts: int) -> list[int]:
    """Where parts of about the same length begin and end: parts + 1 places from 0 to `length`."""
    return [round(length * part / parts) for part in range(parts + 1)]


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, DECIMALS) for name, value in values.items()}


def warnings_about(kinds: Sequence[str | None]) -> tuple[str, ...]:
    """What to warn of where at least half of a recording's windows are no music.

    Noise and tones are named together: a hum may be either.

    Args:
        kinds: of each window, what it is, if it is no music: `speech`, `noise` or `tones`.
    """
    speech, other = kinds.count("speech"), sum(kind not in (None, "speech") for kind in kinds)
    if 2 * (speech + other) < len(kinds) or not speech + other:
        return ()
    like = " and ".join(["speech"] * bool(speech) + ["noise or tones"] * bool(other))
    what = "This sounds" if len(kinds) == 1 else f"{speech + other} of its {len(kinds)} windows sound"
    return (f"{what} like {like}, not like music. Don't rely on the numbers.",)


class Overview:
    """A spectrogram of bounded width, whatever the length of what is added.

    Whenever it has become too wide, each two neighbouring columns become one, their mean.
    """

    def __init__(self, n_mels: int) -> None:
        self.columns = torch.zeros(n_mels, 0)
        self.frames_per_column = 1
        self.rest = torch.zeros(n_mels, 0)  # frames too few for a column

    def add(self, spectrogram: Tensor) -> None:
        """Append (n_mels, frames) in dB."""
        frames = torch.cat([self.rest, spectrogram], dim=1)
        n = frames.shape[1] // self.frames_per_column * self.frames_per_column
        new = frames[:, :n].unflatten(1, (-1, self.frames_per_column)).mean(dim=2)
        self.columns, self.rest = torch.cat([self.columns, new], dim=1), frames[:, n:]
        while self.columns.shape[1] > MAX_COLUMNS:
            n = self.columns.shape[1] // 2 * 2
            odd = self.columns[:, n:].repeat_interleave(self.frames_per_column, dim=1)
            self.rest = torch.cat([odd, self.rest], dim=1)
            self.columns = self.columns[:, :n].unflatten(1, (-1, 2)).mean(dim=2)
            self.frames_per_column *= 2
