"""What a recording is turned into: the JSON of its analysis, and of the explanation that may follow."""

import ctypes
import gc
import sys
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
from music_learning.columns import TAGS, TARGETS
from music_learning.decoder import length_s
from music_learning.errors import AudioError
from music_learning.library.tags import read_tags
from music_learning.predict.analysis import Analysis, clock, warnings_of_losses
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of

SCHEMA = 1
MAX_LENGTH_S = 2 * 3600
MAX_WORK_S = 60  # for one recording: no file may occupy the server for longer
MAX_EXPLAINED_S = 600
N_LOUDNESS = 200  # points of the drawing
OUTLINES = (0.9, 0.5)  # of Spotify's own values, how many in ten lie within

Windows = list[tuple[Tensor | None, float]]


class Stopped(Exception):
    """Nobody waits for the result any more."""


class Hearing:
    """One recording's way through the models, in a thread that another one can stop."""

    def __init__(self, predictor: Predictor, *, explain: bool, progress: Callable[[float, float | None], None]) -> None:
        """
        Args:
            predictor: the models.
            explain: keep what an explanation needs.
            progress: is told, in the thread, the seconds that were heard, and of how many if that is known.
        """
        self.predictor, self.explain, self.progress = predictor, explain, progress
        self.stopped = threading.Event()
        self.kept: Windows = []

    def file(self, path: Path, name: str) -> dict:
        """The JSON of a file's analysis. Raises AudioError where it can't be used."""
        losses, pipeline = Losses(), self.predictor.pipeline
        tags, duration_s = read_tags(path), length_s(path)
        waveforms = self._bounded(pipeline.waveforms(path, losses), duration_s)
        analysis = self.predictor.analyse(self._keeping(pipeline.windows(waveforms)))
        cut = (f"Only the first {clock(MAX_LENGTH_S)} hours were analysed.",) * (analysis.duration_s >= MAX_LENGTH_S)
        warnings = (*analysis.warnings, *warnings_of_losses(losses.lost_s), *cut)
        analysis = replace(analysis, lost_s=losses.lost_s, warnings=warnings)
        return self._json(analysis, name=tags["title"] or Path(name).stem, file=name, tags=tags)

    def example(self, saved: SavedSongs, song: dict[str, str]) -> dict:
        """The same of a saved song, with Spotify's values beside."""
        windows = [saved.window(song)]
        analysis = self.predictor.analyse(self._keeping(windows))
        tags = dict.fromkeys(TAGS) | {"title": song["title"], "artist": song["artist"] or None}
        json = self._json(analysis, name=song["title"], file=None, tags=tags)
        return json | {"spotify": labels_of(song)}

    def explanation(self, may_go_on: Callable[[], bool]) -> dict:
        """The JSON of the explanation of what was heard, whose windows are looked at while `may_go_on` says so."""
        if not self.kept:
            reason = f"Only recordings of up to {MAX_EXPLAINED_S // 60} minutes are explained."
            return {"sentences": None, "reason": reason}

        def patient() -> Iterator[tuple[Tensor | None, float]]:
            for window in self.kept:
                while not may_go_on() and not self.stopped.is_set():
                    time.sleep(0.05)
                self._go_on()
                yield window

        explanation = self.predictor.analyse(patient(), explain=True).explanation
        self.kept = []
        sentences = {target: [explanation.sentence(target)] for target in TARGETS}
        return {"sentences": sentences} | explanation.to_dict()

    def _go_on(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def _bounded(
        self, windows: Iterable[tuple[Tensor, float]], duration_s: float | None
    ) -> Iterator[tuple[Tensor, float]]:
        """The windows of a recording, up to what is analysed. Raises AudioError where that takes too long."""
        start, heard_s = time.monotonic(), 0.0
        for waveform, window_s in windows:
            self._go_on()
            if time.monotonic() - start > MAX_WORK_S:
                raise AudioError(f"it takes longer than {MAX_WORK_S} s to analyse; cut it or save it as mp3")
            yield waveform, window_s
            heard_s += window_s
            self.progress(heard_s, duration_s)
            if heard_s >= MAX_LENGTH_S:
                return

    def _keeping(self, windows: Iterable[tuple[Tensor | None, float]]) -> Iterator[tuple[Tensor | None, float]]:
        """The same windows, kept for an explanation unless they are too many."""
        kept_s, keep = 0.0, self.explain
        for window in windows:
            kept_s += window[1]
            if keep and (keep := kept_s <= MAX_EXPLAINED_S):
                self.kept.append(window)
            else:
                self.kept = []
            yield window

    def _json(self, analysis: Analysis, *, name: str, file: str | None, tags: dict[str, str | None]) -> dict:
        mood = analysis.mood
        outlines = [mood.outline(share).round(4).tolist() for share in OUTLINES] if mood.has_intervals else []
        return {
            "schema": SCHEMA,
            "name": name,
            "file": file,
            "analysed_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "program": __version__,
            "models": self.predictor.version,
            "tags": tags,
            **analysis.to_dict(),
            "drawing": {"loudness": loudness(analysis.spectrogram), "mood_outlines": outlines},
        }


def loudness(spectrogram: Tensor) -> list[float]:
    """How loud a recording is over its length, as amplitude from 0 to 1, its loudest: (n_mels, frames) in dB."""
    power = (10 ** (spectrogram / 10)).sum(dim=0)
    amplitude = torch.nn.functional.interpolate(
        torch.nn.functional.adaptive_max_pool1d(power[None, None], min(N_LOUDNESS, power.numel())), N_LOUDNESS
    )[0, 0].sqrt()
    return [round(value, 3) for value in (amplitude / amplitude.max()).tolist()]


def give_back_memory() -> None:
    """Return to the system what analysing a recording has left behind, which glibc keeps for later."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
