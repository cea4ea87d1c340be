"""Predictor: one recording in, all that can be said of it out.

from music_learning import Predictor

analysis = Predictor.load().predict("song.mp3")
print(analysis.values["energy"], analysis.mood, analysis.similar_songs[0].title)
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from music_learning.audio import AudioPipeline
from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.evaluation.conformal import Interval, read_intervals
from music_learning.features.clip import clip_statistics
from music_learning.model.ensemble import Ensemble, Heard, load_model
from music_learning.paths import RELEASED_MODELS, ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.analysis import (
    Analysis,
    Explanation,
    Moment,
    Overview,
    even_edges,
    mood_words,
    percentile,
    warnings_about,
)
from music_learning.predict.novelty import Familiarity
from music_learning.predict.occlusion import N_BANDS, effects
from music_learning.predict.similarity import SongIndex, by_artist

N_SIMILAR_SONGS = 10
N_SIMILAR_ARTISTS = 5
N_SEARCHED = 50  # songs, among which to find the artists


class Predictor:
    """The models of all targets with what they need to judge a recording. One may serve many threads."""

    def __init__(
        self,
        models: dict[str, Ensemble],
        descriptions: dict[str, dict],
        pipeline: AudioPipeline,
        familiarity: Familiarity,
        training_songs: SongIndex,
        index: SongIndex,
        intervals: dict[str, Interval],
    ) -> None:
        self.models = models
        self.descriptions = descriptions
        self.pipeline = pipeline
        self.familiarity = familiarity
        self.training_songs = training_songs
        self.index = index
        self.intervals = intervals

    @classmethod
    def load(cls, models: str | Path = RELEASED_MODELS, *, index: str | Path | None = None) -> Self:
        """Read everything from the folder of the models.

        Args:
            models: the folder (default: the released models).
            index: the folder of another index to look for similar songs in (default: the training songs').

        Raises:
            UserError: something is missing or damaged, or does not belong together.
        """
        paths = ModelPaths(Path(models))
        ensembles, descriptions, config = load_models(paths)
        weights = weights_of(descriptions)
        training_songs = SongIndex.open(paths.index, weights, made_by="model_train.py")
        return cls(
            ensembles,
            descriptions,
            AudioPipeline(config),
            Familiarity.open(paths.familiarity),
            training_songs,
            training_songs if index is None else SongIndex.open(Path(index), weights),
            read_intervals(paths, weights),
        )

    def predict(
        self, source: str | Path | np.ndarray | Tensor, *, sample_rate_hz: int | None = None, explain: bool = False
    ) -> Analysis:
        """Listen to a recording of any length from 3 s of sound up, in memory that does not grow with its length.

        Args:
            source: an audio file, or a waveform (samples,) or (channels, samples) of floats in [-1, 1].
            sample_rate_hz: of the waveform; a file knows its own.
            explain: also find what raised or lowered the values, about a second for each half-minute.

        Raises:
            AudioError: it can't be used; the message says why.
        """
        if isinstance(source, str | Path):
            return self.listen(self.pipeline.waveforms(source), explain=explain)
        if sample_rate_hz is None:
            raise UserError("a waveform needs its sample_rate_hz")
        return self.listen(self.pipeline.waveforms_of(source, sample_rate_hz), explain=explain)

    def listen(self, waveforms: Iterable[tuple[Tensor, float]], *, explain: bool = False) -> Analysis:
        """As `predict`, from windows as `AudioPipeline.waveforms` gives them."""
        return self.analyse(self.pipeline.windows(waveforms), explain=explain)

    @torch.inference_mode()
    def analyse(self, windows: Iterable[tuple[Tensor | None, float]], *, explain: bool = False) -> Analysis:
        """As `predict`, from spectrograms (n_rows, frames) and their length in seconds; None stands for silence."""
        overview = Overview(self.pipeline.config.n_mels)
        timeline: list[Moment] = []
        stretches_s: list[tuple[float, float]] = []
        effects_by_window: list[tuple[int, Tensor]] = []
        totals, embedding = torch.zeros(len(TARGETS)), torch.zeros_like(self.index.mean)
        n_frames, n_windows, n_unfamiliar, start_s = 0, 0, 0, 0.0
        for spectrogram, duration_s in windows:
            if spectrogram is None:
                n_silent = round(duration_s * self.pipeline.config.frames_per_s)
                overview.add(torch.full((self.pipeline.config.n_mels, n_silent), self.pipeline.config.floor_db))
                start_s += duration_s
                continue
            statistics = clip_statistics(spectrogram[None])
            heard = hear(self.models, spectrogram, statistics)
            frames = spectrogram.shape[1]
            totals += frames * heard.values
            embedding += frames * heard.embedding.flatten()
            n_pieces = heard.timeline.shape[1]
            edges_s = [start_s + piece * duration_s / n_pieces for piece in range(n_pieces + 1)]
            for moment_s, values in zip(edges_s[:-1], heard.timeline.T.tolist(), strict=True):
                timeline.append(Moment(moment_s, dict(zip(self.models, values, strict=True))))
            if explain:
                stretches_s += pairwise(edges_s)
                effects_by_window.append((frames, effects(self.models, spectrogram, self.pipeline.config)))
            n_frames, n_windows = n_frames + frames, n_windows + 1
            n_unfamiliar += not self.familiarity.is_familiar(statistics, duration_s)
            overview.add(spectrogram[: self.pipeline.config.n_mels])
            start_s += duration_s
        values = dict(zip(self.models, (totals / n_frames).tolist(), strict=True))
        songs = self.index.nearest(embedding / n_frames, N_SEARCHED)
        return Analysis(
            duration_s=start_s,
            values=values,
            intervals={
                target: tuple(float(end) for end in interval.around(values[target]))
                for target, interval in self.intervals.items()
            },
            percentiles={t: percentile(value, self.training_labels[t]) for t, value in values.items()},
            mood=mood_words(valence=values["valence"], energy=values["energy"]),
            warnings=warnings_about(n_unfamiliar, n_windows),
            timeline=tuple(timeline),
            similar_songs=tuple(songs[:N_SIMILAR_SONGS]),
            similar_artists=tuple(by_artist(songs, N_SIMILAR_ARTISTS)),
            spectrogram=overview.columns,
            explanation=self.explanation_of(effects_by_window, stretches_s) if explain else None,
        )

    def explanation_of(
        self, by_window: list[tuple[int, Tensor]], stretches_s: list[tuple[float, float]]
    ) -> Explanation:
        """One explanation of all windows' effects (targets, bands, moments), which come with each one's frames.

        In a short window, such as a song's last, a place is a larger part of what is heard. All are put on the scale of
        the longest window, so that effects are alike where the sound is.
        """
        config = self.pipeline.config
        edges_hz = tuple(config.hz_at(band) for band in even_edges(config.n_mels, N_BANDS))
        longest = max(frames for frames, _ in by_window)
        scaled = [frames / longest * effects_of_window for frames, effects_of_window in by_window]
        return Explanation(edges_hz, tuple(stretches_s), torch.cat(scaled, dim=2))

    @cached_property
    def training_labels(self) -> dict[str, list[float]]:
        """Spotify's values for the training songs, in order."""
        return {target: sorted(float(song[target]) for song in self.training_songs.songs) for target in TARGETS}


def hear(models: dict[str, Ensemble], spectrogram: Tensor, statistics: Tensor) -> Heard:
    """What all models make of one clip.

    Args:
        models: a model per target.
        spectrogram: (n_rows, frames) as the pipeline makes it.
        statistics: (1, statistics), its `clip_statistics`.

    Returns:
        As for a batch of as many clips as there are models: the timeline is (targets, pieces), for instance.
    """
    parts = [model.hear(spectrogram[None], statistics) for model in models.values()]
    return Heard(torch.cat([part.timeline for part in parts]), torch.cat([part.embedding for part in parts]))


@torch.inference_mode()
def embed(models: dict[str, Ensemble], spectrogram: Tensor) -> Tensor:
    """What a song index keeps of a clip: (n_rows, frames) -> (embedding,)"""
    return hear(models, spectrogram, clip_statistics(spectrogram[None])).embedding.flatten()


def weights_of(descriptions: dict[str, dict]) -> dict[str, str]:
    """The hash of each target's weights: what an index of songs belongs to."""
    return {target: description["weights_sha256"] for target, description in descriptions.items()}


def load_models(paths: ModelPaths) -> tuple[dict[str, Ensemble], dict[str, dict], PipelineConfig]:
    """The model of each target, their descriptions, and the pipeline config they share.

    Raises UserError where they don't share one.
    """
    models, descriptions, configs = {}, {}, {}
    for target in TARGETS:
        models[target], descriptions[target] = load_model(paths, target)
        configs[target] = PipelineConfig.from_dict(descriptions[target]["pipeline"])
    config = configs[TARGETS[0]]
    for target in TARGETS[1:]:
        if difference := config.differences(configs[target]):
            raise UserError(
                f"the models of {TARGETS[0]} and {target} were trained with different pipeline settings: {difference}; "
                "run model_train.py for all targets"
            )
    return models, descriptions, config
