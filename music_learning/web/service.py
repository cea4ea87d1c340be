"""What the page's events call: an upload or an example in, what its outputs show out."""

import ctypes
import gc
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr
from torch import Tensor

from music_learning.audio import Losses
from music_learning.errors import AudioError, unexpected
from music_learning.files import write_json
from music_learning.paths import DataPaths
from music_learning.plots.analysis import draw_analysis
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of, title_of
from music_learning.predict.words import clock
from music_learning.web.page import Page

MAX_LENGTH_S = 2 * 3600
MAX_WORK_S = 60  # for one recording: no file may occupy the page for longer
HINT = '<p class="hint">Your result will stand here. mp3, wav, flac, ogg, opus, m4a; 3 seconds to 2 hours.</p>'


class Service:
    """What the page's events call, and the folder in which their files lie for some minutes."""

    def __init__(self, predictor: Predictor, data: DataPaths, folder: Path) -> None:
        self.predictor = predictor
        self.page = Page(predictor)
        self.folder = folder
        self.saved = None
        demo = DataPaths(data.demo)
        if demo.songs.exists():
            self.saved = SavedSongs.open(demo)
            self.saved.check_pipeline(predictor.pipeline.config)

    def predict_file(self, path: str | None) -> tuple:
        """What the page's outputs show of an uploaded or recorded file."""
        if path is None:
            return self.no_file()
        start = time.perf_counter()
        try:
            losses = Losses()
            windows = bounded(self.predictor.pipeline.waveforms(path, losses))
            analysis = self.predictor.predict_waveforms(windows, losses=losses)
        except AudioError as error:
            return self.refusal(str(error))
        except Exception as error:  # whatever one file causes costs that file
            return self.refusal(unexpected(error, "an upload"))
        if analysis.duration_s >= MAX_LENGTH_S:
            cut = f"Only the first {clock(MAX_LENGTH_S)} hours were analysed."
            analysis = replace(analysis, warnings=(*analysis.warnings, cut))
        return self.outputs(analysis, title=Path(path).stem, took_s=time.perf_counter() - start)

    def predict_example(self, number: int) -> tuple:
        """The same of a saved song, with Spotify's values."""
        song, start = self.saved.songs[number], time.perf_counter()
        analysis = self.saved.analyse(song, self.predictor)
        took_s = time.perf_counter() - start
        return self.outputs(analysis, title=title_of(song), took_s=took_s, true=labels_of(song))

    def outputs(self, analysis: Analysis, *, title: str, took_s: float, true: dict[str, float] | None = None) -> tuple:
        html = self.page.render(analysis, title=title, took_s=took_s, true=true)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        name = re.sub(r"[^\w -]+", "_", title)[:60] or "song"
        picture, numbers = folder / f"{name}.png", folder / f"{name}.json"
        draw_analysis(analysis, self.predictor.charts, title=title, path=picture, true=true)
        values = analysis.to_dict()
        write_json(numbers, values)
        give_back_memory()
        return (
            html,
            gr.update(value=str(picture), visible=True),
            gr.update(value=str(numbers), visible=True),
            values,
        )

    def refusal(self, reason: str) -> tuple:
        give_back_memory()
        sentence = f"This can't be used: {reason}."
        html = f'<p class="trouble" role="alert" tabindex="-1">{escape(sentence)}</p>'
        return html, *([gr.update(visible=False)] * 2), {"error": reason}

    def no_file(self) -> tuple:
        return HINT, *([gr.update(visible=False)] * 2), None


def give_back_memory() -> None:
    """Return to the system what analysing a recording has left behind; fifty would leave some hundred MB.

    A picture's 5 MB refer to one another, so that only the collector frees them, which comes by itself after dozens of
    pictures. And glibc keeps what is free for later.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def bounded(windows: Iterable[tuple[Tensor, float]]) -> Iterator[tuple[Tensor, float]]:
    """The windows of a recording, up to what the page analyses. Raises AudioError where that takes too long."""
    start, analysed_s = time.monotonic(), 0.0
    for waveform, duration_s in windows:
        if time.monotonic() - start > MAX_WORK_S:
            raise AudioError(f"it takes longer than {MAX_WORK_S} s to analyse; cut it or save it as mp3")
        yield waveform, duration_s
        analysed_s += duration_s
        if analysed_s >= MAX_LENGTH_S:
            return
