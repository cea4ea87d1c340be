"""The web page: drop a song, or record one, and see what the models hear.

    python app.py                     then open http://127.0.0.1:7860
    python app.py --index mine/index  look for similar songs among your own, see build_index.py

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach the page unless `--host` says otherwise.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

# Read by Gradio when it is imported.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

import gradio as gr
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from torch import Tensor

from analysis import Analysis
from artifacts import SONG_COLUMNS, TARGETS, DataPaths, SpectrogramSet, read_table, write_json
from errors import AudioError, UserError, run
from picture import draw_analysis
from predictor import Predictor

PAGE = Path(__file__).parent / "page"
MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_HEARD_S = 2 * 3600
MAX_WORK_S = 60  # for one recording: no file may occupy the page for longer
MAX_FOLDER_MB = 3000  # of all uploads together
AT_ONCE = 2  # recordings; more wait
MAX_WAITING = 100
KEEP_S = 600  # uploads and downloads, on the disk
SWEEP_S = 30

COMPARISON = {"energy": "More energetic", "danceability": "More danceable", "valence": "More positive"}
COURSE_WIDTH, COURSE_HEIGHT, PLANE_SIZE = 600, 160, 200
N_TICKS = 5

# The page loads nothing from elsewhere, and can send nothing there.
CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: data: blob:; form-action 'self'; object-src 'none'"
)


def clock(seconds: float) -> str:
    """A length as people write it: 0:07, 3:45, 1:02:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def loudness_path(spectrogram: Tensor) -> str:
    """The outline of a recording's loudness, as the path of an SVG: amplitude against time, around the middle."""
    power = (10 ** (spectrogram / 10)).sum(dim=0)
    n_points = min(300, power.numel())
    amplitude = torch.nn.functional.adaptive_max_pool1d(power[None], n_points)[0].sqrt()
    heights = (amplitude / amplitude.max() * COURSE_HEIGHT / 2).tolist()
    x = np.linspace(0, COURSE_WIDTH, n_points) if n_points > 1 else [0]
    middle = COURSE_HEIGHT / 2
    upper = [f"{a:.1f} {middle - h:.1f}" for a, h in zip(x, heights, strict=True)]
    lower = [f"{a:.1f} {middle + h:.1f}" for a, h in zip(x, heights, strict=True)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def course_path(analysis: Analysis, target: str) -> str:
    """One target's timeline as the path of an SVG, level over each moment."""
    starts = [moment.start_s for moment in analysis.timeline] + [analysis.duration_s]
    points = []
    for moment, end_s in zip(analysis.timeline, starts[1:], strict=True):
        y = COURSE_HEIGHT * (1 - moment.values[target])
        points += [f"{COURSE_WIDTH * s / analysis.duration_s:.1f} {y:.1f}" for s in (moment.start_s, end_s)]
    return "M" + "L".join(points)


class Page:
    """What the page shows for a recording."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        songs = predictor.training_songs.songs
        self.dots = [
            (round(PLANE_SIZE * float(song["valence"])), round(PLANE_SIZE * (1 - float(song["energy"]))))
            for song in songs
        ]
        errors = {t: predictor.descriptions[t].get("metrics", {}).get("test", {}).get("mae") for t in TARGETS}
        known = ", ".join(f"{error:.2f} ({target})" for target, error in errors.items() if error is not None)
        self.how_sure = (
            f"How sure is this? For artists that they never heard, the models are off by {known} on average; very low "
            "and very high values come out less extreme than Spotify's."
        )
        environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True)
        self.template = environment.get_template("result.html")

    def render(self, analysis: Analysis, *, title: str, took_s: float, true: dict[str, float] | None = None) -> str:
        """The result as HTML."""
        overall = ", ".join(f"{target} {analysis.values[target]:.2f}" for target in TARGETS)
        spans = []
        for target in TARGETS:
            course = [moment.values[target] for moment in analysis.timeline]
            spans.append(f"{target} between {min(course):.2f} and {max(course):.2f}")
        songs = len(self.predictor.training_songs.songs)
        return self.template.render(
            analysis=analysis,
            title=title,
            took_s=took_s,
            true=true,
            targets=TARGETS,
            comparison=COMPARISON,
            n_songs=f"{songs:,}",
            n_indexed=f"{len(self.predictor.index.songs):,}",
            clock=clock,
            loudness_path=loudness_path(analysis.spectrogram),
            course_paths={target: course_path(analysis, target) for target in TARGETS},
            course_text=f"Over {clock(analysis.duration_s)}: {', '.join(spans)}.",
            plane_text=f"On the plane of valence and energy: {analysis.mood}, at {overall}.",
            ticks=[clock(analysis.duration_s * k / (N_TICKS - 1)) for k in range(N_TICKS)],
            dots=self.dots,
            how_sure=self.how_sure,
        )


class TooMuch:
    """Turns away what would fill the disk, and requests that would have the server fetch an address for somebody.

    Gradio limits each file, but not all together; and it hands on files from other servers, which nobody needs here.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self.app = app
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", CONTENT_POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        await (refusal or self.app)(scope, receive, send_with_policy)

    def refusal(self, scope: Scope) -> PlainTextResponse | None:
        if scope["path"].endswith("/upload"):
            size = int(dict(scope["headers"]).get(b"content-length", b"0") or 0)
            if size > 1.01 * MAX_FILE_MB * 1e6:
                return PlainTextResponse(f"The file is larger than {MAX_FILE_MB} MB.", 413)
            if size + folder_bytes(self.folder) > MAX_FOLDER_MB * 1e6:
                return PlainTextResponse("Too many files are being listened to; try again in some minutes.", 503)
        if re.search(r"/(file|proxy)=\s*[a-z+]+:/", scope["path"], re.IGNORECASE):
            return PlainTextResponse("Only files of this page can be fetched.", 403)
        return None


def folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # swept away in between
            continue
    return total


def sweep(folder: Path, older_than_s: float) -> None:
    """Delete the files in a folder that were last changed so long ago, and the folders left empty."""
    limit = time.time() - older_than_s
    for path in sorted(folder.rglob("*"), reverse=True):
        try:
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_mtime < limit:
                path.unlink()
        except OSError:  # not empty, or gone already
            continue


class LocalAudio(gr.Audio):
    """An audio input that takes uploads only: an address would have the server fetch it."""

    def get_block_name(self) -> str:
        return "audio"

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and "://" in str(url_or_file_path):
            raise gr.Error("Send a file, not an address.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)
