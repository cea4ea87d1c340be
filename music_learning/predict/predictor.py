"""Predictor: one recording in, all that can be said of it out.

from music_learning import Predictor

analysis = Predictor.load().predict("song.mp3")
print(analysis.values["energy"], analysis.mood, analysis.similar_songs[0].title)
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from music_learning import __version__
from music_learning.audio import AudioPipeline, Losses
from music_learning.columns import PREDICTED, TARGETS
from music_learning.errors import AudioError, UserError
from music_learning.evaluation.conformal import Interval, read_correlation, read_intervals
from music_learning.features.clip import clip_features
from music_learning.features.measurement import Measurement
from music_learning.files import damaged
from music_learning.model.audio_features import MADE_BY, AudioFeatureModel
from music_learning.model.ensemble import Ensemble, Prediction, load_model
from music_learning.paths import RELEASED_MODELS, ModelPaths
from music_learning.predict.analysis import (
    Analysis,
    Moment,
    Overview,
    even_edges,
    warnings_about,
)
from music_learning.predict.explanation import ExplainedWindow, Explanation, join, moment_edges
from music_learning.predict.markets import Charts
from music_learning.predict.mood import Mood
from music_learning.predict.no_music import TENSORS, NoMusicDetector
from music_learning.predict.occlusion import N_BANDS, above_usual, occlusion_attributions
from music_learning.predict.pooling import level_db, pool
from music_learning.predict.similarity import LABELLED_COLUMNS, YEAR, SongIndex, by_artist

N_SIMILAR_SONGS = 10
N_SIMILAR_ARTISTS = 5
OF_MUSIC = ("key", "mode", "tempo", "time_signature")
SILENT = "silent from beginning to end"
N_SEARCHED = 50  # songs, among which to find the artists


@dataclass(frozen=True)
class WindowPrediction:
    """What the models predict of one window of up to 30 s without silence at its ends."""

    start_s: float
    duration_s: float
    frames: int
    level_db: float  # of its mean power
    features: Tensor  # (1, features)
    prediction: (
        Prediction  # of all targets: the timeline is (targets, segments), the embedding (targets, members * hidden)
    )
    no_music: str | None  # what it is instead
    ranks: Tensor | None  # (1, PREDICTED) of acousticness and the like, if there is a model of them

    @property
    def edges_s(self) -> list[float]:
        """Where the segments of the timeline begin, and where the last one ends."""
        return moment_edges(self.start_s, self.duration_s, self.prediction.timeline.shape[1])


class Predictor:
    """The models of all targets with what they need to analyse a recording. One may serve many threads."""

    correlation = 0.0  # of the errors of valence and energy

    def __init__(
        self,
        models: dict[str, Ensemble],
        descriptions: dict[str, dict],
        *,
        no_music: NoMusicDetector,
        training_songs: SongIndex,
        index: SongIndex,
        intervals: dict[str, Interval],
    ) -> None:
        self.models = models
        self.descriptions = descriptions
        self.features = models[TARGETS[0]].config.features
        self.pipeline = AudioPipeline(self.features.pipeline)
        self.no_music = no_music
        self.training_songs = training_songs
        self.index = index
        index.pair_distances = training_songs.pair_distances  # a small index's own would call anything alike
        self.intervals = intervals
        self.audio_features = AudioFeatureModel()  # which knows nothing
        self.rank_intervals: dict[str, Interval] = {}
        self.charts = Charts.open()

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
        ensembles, descriptions = load_models(paths)
        weights = weights_of(descriptions)
        embedding = sum(model.config.embedding_size for model in ensembles.values())
        training_songs = SongIndex.open(
            paths.index, weights, columns=LABELLED_COLUMNS, embedding=embedding, made_by="model_train.py"
        )
        predictor = cls(
            ensembles,
            descriptions,
            no_music=NoMusicDetector.open(paths.no_music, ensembles[TARGETS[0]].config.features),
            training_songs=training_songs,
            index=training_songs if index is None else SongIndex.open(Path(index), weights, embedding=embedding),
            intervals=read_intervals(paths, weights),
        )
        predictor.correlation = read_correlation(paths)
        predictor.audio_features = AudioFeatureModel.load(paths, predictor.features)
        predictor.rank_intervals = read_rank_intervals(predictor.audio_features.intervals, paths)
        return predictor

    def predict(
        self, source: str | Path | np.ndarray | Tensor, *, sample_rate_hz: int | None = None, explain: bool = False
    ) -> Analysis:
        """Analyse a recording of any length from 3 s of sound up; its audio is never in memory as a whole.

        Args:
            source: an audio file, or a waveform (samples,) or (channels, samples) of floats in [-1, 1].
            sample_rate_hz: of the waveform; a file knows its own.
            explain: also find what raised or lowered the values, about a second for each window of 30 s.

        Raises:
            AudioError: it can't be used; the message says why.
        """
        if isinstance(source, str | Path):
            losses = Losses()
            return self.predict_waveforms(self.pipeline.waveforms(source, losses), losses=losses, explain=explain)
        if sample_rate_hz is None:
            raise UserError("a waveform needs its sample_rate_hz")
        return self.predict_waveforms(self.pipeline.waveforms_of(source, sample_rate_hz), explain=explain)

    def predict_waveforms(
        self, waveforms: Iterable[tuple[Tensor, float]], *, losses: Losses | None = None, explain: bool = False
    ) -> Analysis:
        """As `predict`, from windows as `AudioPipeline.waveforms` gives them, with what that tells of losses."""
        analysis = self.analyse(self.pipeline.windows(waveforms), explain=explain)
        return analysis if losses is None else analysis.with_losses(losses.lost_s)

    def analyse(self, windows: Iterable[tuple[Tensor | None, float]], *, explain: bool = False) -> Analysis:
        """As `predict`, from spectrograms (n_rows, frames) and their length in seconds; None stands for silence."""
        config = self.pipeline.config
        overview, start_s, predicted, explained, measured = Overview(config.n_mels), 0.0, [], [], None
        for spectrogram, duration_s in windows:
            if spectrogram is None:
                overview.add(torch.full((config.n_mels, round(duration_s * config.frames_per_s)), config.floor_db))
            else:
                overview.add(spectrogram[: config.n_mels])
                predicted.append(self._predict_window(spectrogram, start_s, duration_s))
                if explain:
                    explained.append(self._explain_window(spectrogram, start_s, duration_s))
                here = Measurement.of(spectrogram, self.features)
                measured = here if measured is None else measured + here
            start_s += duration_s
        if measured is None:
            raise AudioError(SILENT)
        analysis = self._analysis(predicted, overview.columns, start_s)
        other_features = self.audio_features.features(measured, self.features)
        if analysis.warnings:  # noise and speech have neither
            other_features |= dict.fromkeys(OF_MUSIC)
        values, intervals = self._predicted_features(predicted)
        other_features |= values
        return replace(
            analysis,
            other_features=other_features,
            intervals=analysis.intervals | intervals,
            markets=() if analysis.warnings else self.charts.markets(analysis.values | other_features),
            explanation=join(explained, self._edges_hz, start_s) if explained else None,
        )

    def explain(self, windows: Iterable[tuple[Tensor | None, float]]) -> Explanation:
        """Only the explanation that `analyse` would give of these windows, for those who show the values first.

        It takes about half a second for each window of 30 s. What the windows' source raises, between two of them, ends
        it.

        Raises:
            AudioError: there is no sound; and what the source raises.
        """
        explained, start_s = [], 0.0
        for spectrogram, duration_s in windows:
            if spectrogram is not None:
                explained.append(self._explain_window(spectrogram, start_s, duration_s))
            start_s += duration_s
        if not explained:
            raise AudioError(SILENT)
        return join(explained, self._edges_hz, start_s)

    @torch.inference_mode()
    def _explain_window(self, spectrogram: Tensor, start_s: float, duration_s: float) -> ExplainedWindow:
        attributions = occlusion_attributions(self.models, spectrogram)
        return ExplainedWindow(
            start_s,
            duration_s,
            level_db=level_db(spectrogram[: self.pipeline.config.n_mels]),
            attributions=attributions,
            above_usual_db=above_usual(self.models, spectrogram, attributions.shape[2]),
        )

    @property
    def _edges_hz(self) -> list[float]:
        """Between the groups of mel bands of an explanation."""
        config = self.pipeline.config
        return [config.hz_at(band) for band in even_edges(config.n_mels, N_BANDS)]

    def _predicted_features(
        self, windows: list[WindowPrediction]
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Acousticness, speechiness and instrumentalness of a recording, and their intervals; empty without a model.

        A recording's rank is the mean of its windows', weighted by their lengths.
        """
        model, values, intervals = self.audio_features.predicted, {}, {}
        if model is None:
            return values, intervals
        n_frames = sum(window.frames for window in windows)
        ranks = sum(window.frames * window.ranks[0] for window in windows) / n_frames
        for row, name in enumerate(PREDICTED):
            ends = self.rank_intervals[name].around(ranks[row], 1.0) if name in self.rank_intervals else ()
            value, *of_ends = model.values_of(name, torch.tensor([float(ranks[row]), *map(float, ends)])).tolist()
            values[name] = value
            if of_ends:
                intervals[name] = tuple(of_ends)
        return values, intervals

    @torch.inference_mode()
    def _predict_window(self, spectrogram: Tensor, start_s: float, duration_s: float) -> WindowPrediction:
        features = clip_features(spectrogram[None], self.features)
        return WindowPrediction(
            start_s,
            duration_s,
            frames=spectrogram.shape[1],
            level_db=level_db(spectrogram[: self.pipeline.config.n_mels]),
            features=features,
            prediction=predict_clip(self.models, spectrogram, features),
            no_music=self.no_music.kind(features),
            ranks=None if (model := self.audio_features.predicted) is None else model(features),
        )

    @torch.inference_mode()
    def _analysis(self, windows: list[WindowPrediction], spectrogram: Tensor, duration_s: float) -> Analysis:
        """Join the windows of a recording: its values as `pooling` says, and similar songs by their votes."""
        pooled = pool(
            self.models,
            torch.stack([window.prediction.values for window in windows], dim=1),
            torch.cat([window.features for window in windows]),
            levels_db=[window.level_db for window in windows],
            lengths_s=[window.duration_s for window in windows],
        )
        values = dict(zip(self.models, pooled.values.tolist(), strict=True))
        std = pooled.mean(torch.stack([window.prediction.std for window in windows], dim=1))
        stds = dict(zip(self.models, std.tolist(), strict=True))
        embeddings = [(window.prediction.embedding.flatten(), window.frames) for window in windows]
        songs = self.index.nearest_to_windows(embeddings, N_SEARCHED)
        mean = sum(frames * embedding for embedding, frames in embeddings) / sum(frames for _, frames in embeddings)
        intervals = {
            target: tuple(
                float(end)
                for end in (interval.around_song if len(windows) > 1 else interval.around)(values[target], stds[target])
            )
            for target, interval in self.intervals.items()
        }
        return Analysis(
            duration_s=duration_s,
            values=values,
            intervals=intervals,
            percentiles={target: self.charts.percentile(target, value) for target, value in values.items()},
            mood=Mood(values, intervals, self.correlation),
            warnings=warnings_about([window.no_music for window in windows]),
            timeline=tuple(
                Moment(moment_s, dict(zip(self.models, at_moment, strict=True)))
                for window in windows
                for moment_s, at_moment in zip(window.edges_s[:-1], window.prediction.timeline.T.tolist(), strict=True)
            ),
            similar_songs=tuple(songs[:N_SIMILAR_SONGS]),
            similar_artists=tuple(by_artist(songs, N_SIMILAR_ARTISTS)),
            spectrogram=spectrogram,
            embedding=self.training_songs.project(mean),
        )

    @cached_property
    def version(self) -> str:
        """What an analysis follows from, but the recording: the program, the models, the charts and the index."""
        index = hashlib.sha256((self.models_version + self.charts.sha256 + _state_of(self.index)).encode())
        return f"{__version__}-{index.hexdigest()[:12]}"

    @cached_property
    def models_version(self) -> str:
        """A hash of the models and the chart songs: what a library keeps of an analysis follows from them."""
        state = hashlib.sha256(json.dumps(weights_of(self.descriptions), sort_keys=True).encode())
        state.update(repr([model.config.networks_share for model in self.models.values()]).encode())
        state.update(repr((sorted(self.intervals.items()), self.correlation)).encode())
        for tensor in (getattr(self.no_music, name) for name in TENSORS):
            state.update(tensor.numpy().tobytes())
        others = self.audio_features
        state.update(repr((others.to_dict(), others.sha256, sorted(self.rank_intervals.items()))).encode())
        state.update(_state_of(self.training_songs, left_out=(YEAR,)).encode())
        state.update(self.charts.songs.sha256.encode())  # the percentiles
        return state.hexdigest()[:12]


def _state_of(index: SongIndex, left_out: Sequence[str] = ()) -> str:
    """A hash of an index, but for the columns of its songs that are left out."""
    state = hashlib.sha256()
    for row, song in enumerate(index.songs):  # one by one: there may be a million
        known = {name: text for name, text in song.items() if name not in left_out}
        state.update((", " if row else "[").encode() + json.dumps(known).encode())
    state.update(b"]")
    state.update(index.components.contiguous().numpy())
    return state.hexdigest()


def read_rank_intervals(intervals: dict[str, object], paths: ModelPaths) -> dict[str, Interval]:
    """The intervals around ranks. Raises UserError where they are damaged."""
    try:
        return {name: Interval.from_dict(intervals[name]) for name in PREDICTED if name in intervals}
    except ValueError as error:
        raise damaged(paths.audio_features, error, MADE_BY) from None


def predict_clip(models: dict[str, Ensemble], spectrogram: Tensor, features: Tensor) -> Prediction:
    """What all models predict of one clip.

    Args:
        models: a model per target.
        spectrogram: (n_rows, frames) as the pipeline makes it.
        features: (1, features), its `clip_features`.

    Returns:
        As for a batch of as many clips as there are models: the timeline is (targets, segments), for instance.
    """
    known: dict[int, Tensor] = {}
    parts = [model.predict(spectrogram[None], features, known) for model in models.values()]
    return Prediction(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Prediction)))


@torch.inference_mode()
def embed(models: dict[str, Ensemble], spectrogram: Tensor) -> Tensor:
    """What a song index keeps of a clip: (n_rows, frames) -> (embedding,)"""
    features = clip_features(spectrogram[None], next(iter(models.values())).config.features)
    return predict_clip(models, spectrogram, features).embedding.flatten()


def weights_of(descriptions: dict[str, dict]) -> dict[str, str]:
    """The hash of each target's weights: what an index of songs belongs to."""
    return {target: description["weights_sha256"] for target, description in descriptions.items()}


def load_models(paths: ModelPaths) -> tuple[dict[str, Ensemble], dict[str, dict]]:
    """The model of each target, and their descriptions.

    Raises UserError where they don't share the settings of the pipeline and of the features.
    """
    models, descriptions = {}, {}
    for target in TARGETS:
        models[target], descriptions[target] = load_model(paths, target)
    for first, second in combinations(models.values(), 2):
        for member, other in zip(second.members, first.members, strict=False):
            member.share(other)
    features = models[TARGETS[0]].config.features
    for target in TARGETS[1:]:
        if difference := features.differences(models[target].config.features):
            raise UserError(
                f"the models of {TARGETS[0]} and {target} were trained with different settings of the pipeline or the "
                f"features: {difference}; run model_train.py for all targets"
            )
    return models, descriptions
