"""What a recording is turned into: the JSON of its analysis, and of the explanation that may follow."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from music_learning import __version__
from music_learning.audio import Losses
from music_learning.columns import TAGS
from music_learning.decoder import length_s
from music_learning.errors import AudioError
from music_learning.library.outputs import key_name
from music_learning.library.tags import read_tags
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of
from music_learning.predict.words import clock

MAX_LENGTH_S = 2 * 3600
MAX_WORK_S = 60  # for one recording: no file may occupy the server for longer
MAX_EXPLAINED_S = 600
N_LOUDNESS = 200  # points of the drawing
OUTLINES = (0.9, 0.5)  # of Spotify's own values, the share that lies within

Windows = Iterable[tuple[Tensor | None, float]]  # spectrograms and their length in seconds, as the predictor takes them


class Stopped(Exception):
    """Nobody waits for the result any more."""


class Hearing:
    """One recording's way through the models, in a thread that another one can stop between two windows."""

    def __init__(self, predictor: Predictor, *, explain: bool, progress: Callable[[dict], None]) -> None:
        """`progress` is told in the thread how much was heard, and of how much if that is known."""
        self.predictor, self.explain, self.progress = predictor, explain, progress
        self.stopped, self.until = threading.Event(), math.inf
        self.kept: list[tuple[Tensor | None, float]] = []  # what an explanation looks at again

    def file(self, path: Path, name: str) -> dict:
        """The JSON of a file's analysis. Raises AudioError where it can't be used."""
        self.until = time.monotonic() + MAX_WORK_S
        losses, pipeline, tags = Losses(before_packet=self._check), self.predictor.pipeline, read_tags(path)
        windows = pipeline.windows(pipeline.waveforms(path, losses))
        analysis = self.predictor.analyse(self._watched(windows, length_s(path)))
        analysis = analysis.with_losses(losses.lost_s)
        cut = (f"Only the first {clock(MAX_LENGTH_S)} were analysed.",) * (analysis.duration_s >= MAX_LENGTH_S)
        analysis = replace(analysis, warnings=(*analysis.warnings, *cut))
        return self._json(analysis, tags, name=tags["title"] or Path(name).stem, file=name)

    def example(self, saved: SavedSongs, song: dict[str, str]) -> dict:
        """The same of a saved song, with Spotify's values beside."""
        analysis = self.predictor.analyse(self._watched([saved.window(song)], None))
        tags = dict.fromkeys(TAGS) | {"title": song["title"], "artist": song["artist"] or None}
        return self._json(analysis, tags, name=song["title"], file=None) | {"spotify": labels_of(song)}

    def explanation(self, may_go_on: Callable[[], bool]) -> dict:
        """The JSON of the explanation of what was heard. Between two windows it waits until it may go on."""
        if not self.kept:
            return no_explanation(f"Only recordings of up to {MAX_EXPLAINED_S // 60} minutes are explained.")
        self.until = math.inf

        def patient() -> Iterator[tuple[Tensor | None, float]]:
            for window in self.kept:
                while not (self.stopped.is_set() or may_go_on()):
                    time.sleep(0.05)
                self._check()
                yield window

        return self.predictor.explain(patient()).to_dict()

    def _check(self) -> None:
        """Raises Stopped, and AudioError where it takes too long."""
        if self.stopped.is_set():
            raise Stopped
        if time.monotonic() > self.until:
            raise AudioError(f"it takes longer than {MAX_WORK_S} s to analyse; cut it or save it as mp3")

    def _watched(self, windows: Windows, duration_s: float | None) -> Iterator[tuple[Tensor | None, float]]:
        """The windows of a recording, up to what is analysed. Raises as `_check`."""
        heard_s = 0.0
        for window in windows:
            self._check()
            heard_s += window[1]
            self.kept = [*self.kept, window] if self.explain and heard_s <= MAX_EXPLAINED_S else []
            yield window
            self.progress({"heard_s": round(heard_s, 2), "duration_s": duration_s})
            if heard_s >= MAX_LENGTH_S:
                return

    def _json(self, analysis: Analysis, tags: dict[str, str | None], *, name: str, file: str | None) -> dict:
        mood = analysis.mood
        outlines = [mood.outline(share).round(4).tolist() for share in OUTLINES] if mood.has_intervals else []
        return {
            "schema": 1,
            "name": name,
            "file": file,
            "analysed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "program": __version__,
            "models": self.predictor.version,
            "tags": tags,
            **analysis.to_dict(),
            "mood_words": str(mood),
            "key_name": key_name(analysis.audio_features()),
            "drawing": {"loudness": loudness(analysis.spectrogram), "mood_outlines": outlines},
        }


def no_explanation(reason: str) -> dict:
    return {"sentences": None, "reason": reason}


def loudness(spectrogram: Tensor) -> list[float]:
    """How loud a recording is over its length, as amplitude from 0 to 1, its loudest: (n_mels, frames) in dB."""
    power = (10 ** (spectrogram / 10)).sum(dim=0, keepdim=True)
    amplitude = torch.nn.functional.adaptive_max_pool1d(power, N_LOUDNESS)[0].sqrt()
    return [round(value, 3) for value in (amplitude / amplitude.max()).tolist()]
