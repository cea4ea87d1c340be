"""The web page: drop a song, or record one, and see what the models hear.

    python app.py                     then open http://127.0.0.1:7860
    python app.py --index mine/index  look for similar songs among your own, see music_learning/library/build_index.py

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach the page unless `--host` says otherwise.
"""

import argparse
import ctypes
import gc
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from threading import Thread

# Read by Gradio when it is imported.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

import gradio as gr
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from torch import Tensor

from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.errors import AudioError, UserError, run
from music_learning.files import read_table, write_json
from music_learning.paths import RELEASED_MODELS, DataPaths
from music_learning.plots.analysis import draw_analysis
from music_learning.predict.analysis import Analysis, clock
from music_learning.predict.predictor import Predictor
from music_learning.songs.spectrograms import SpectrogramSet

PAGE = Path(__file__).parent / "page"
MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_HEARD_S = 2 * 3600
MAX_WORK_S = 60  # for one recording: no file may occupy the page for longer
MAX_FOLDER_MB = 3000  # of all uploads together
AT_ONCE = 2  # recordings; more wait
MAX_WAITING = 100
M_ARENA_MAX = -8  # as in glibc's malloc.h
KEEP_S = 600  # uploads and downloads, on the disk
SWEEP_S = 30

COMPARISON = {"energy": "More energetic", "danceability": "More danceable", "valence": "More positive"}
MEANING = {
    "energy": "0 calm and quiet, 1 fast, loud and noisy",
    "danceability": "0 hardly, 1 a steady beat to move to",
    "valence": "0 sad or angry, 1 happy",
}
COURSE_WIDTH, COURSE_HEIGHT, PLANE_SIZE = 600, 160, 200
N_TICKS = 5

# Tells a screen reader where the result is, and brings it into view on a phone.
GO_TO_RESULT = "() => document.querySelector('#result [tabindex]')?.focus({preventScroll: innerWidth > 700})"

# The page loads nothing from elsewhere, and can send nothing there.
CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: data: blob:; form-action 'self'; object-src 'none'"
)

INTRO = """
<div class="intro">
  <h1>What does my song sound like?</h1>
  <p>Drop a song, or record one, and see how energetic, danceable and positive it sounds, and what it resembles.</p>
  <p class="quiet">Nothing leaves this machine: the song is heard right here, and deleted after ten minutes.</p>
</div>
"""
HINT = '<p class="hint">Your result will stand here. mp3, wav, flac, ogg, opus, m4a; 3 seconds to 2 hours.</p>'


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
            spotify=true,
            targets=TARGETS,
            comparison=COMPARISON,
            meaning=MEANING,
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


class Guard:
    """Turns away what would fill the disk, and requests that would have the server fetch an address for somebody.

    Gradio limits each file, but not all together; and it hands on files from other servers, which nobody needs here.
    The page's own answers get headers with which a browser loads nothing from elsewhere.
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
        """The answer to a request that is turned away, or None."""
        if scope["path"].endswith("/upload"):
            length = dict(scope["headers"]).get(b"content-length", b"")
            if not length.isdigit():
                return PlainTextResponse("The upload must say how long it is.", 411)
            if int(length) > 1.01 * MAX_FILE_MB * 1e6:
                return PlainTextResponse(f"The file is larger than {MAX_FILE_MB} MB.", 413)
            if int(length) + folder_bytes(self.folder) > MAX_FOLDER_MB * 1e6:
                return PlainTextResponse("Too many songs are being listened to; try again in some minutes.", 503)
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
    """Delete what was last changed so long ago in a folder: files, and the folders that they leave empty."""
    limit = time.time() - older_than_s
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder comes behind what is in it
        try:
            if path.stat().st_mtime < limit:
                path.rmdir() if path.is_dir() else path.unlink()
        except OSError:  # not empty, or gone already
            continue


def uploads_only(move: Callable[[str], Awaitable[str]], folder: Path) -> Callable[[str], Awaitable[str]]:
    """Wrap the method with which a component takes a file, so that it takes nothing but uploads.

    A program could name any file of the server, or an address for it to fetch.
    """

    async def move_upload(path: str) -> str:
        if not Path(path).resolve().is_relative_to(folder.resolve()):
            raise gr.Error("Upload the file first.")
        return await move(path)

    return move_upload


class Service:
    """What the page's events call, and the folder in which their files lie for some minutes."""

    def __init__(self, predictor: Predictor, data: DataPaths, folder: Path) -> None:
        self.predictor = predictor
        self.page = Page(predictor)
        self.folder = folder
        self.demo = DataPaths(data.demo)
        self.songs: list[dict[str, str]] = []
        if self.demo.songs.exists():
            self.songs = read_table(self.demo.songs, SONG_COLUMNS, "data_loading.py")
            self.spectrograms = SpectrogramSet.open(self.demo.spectrograms)

    def hear_file(self, path: str | None) -> tuple:
        """What the page's outputs show of an uploaded or recorded file."""
        if path is None:
            return self.nothing()
        start = time.perf_counter()
        try:
            analysis = self.predictor.predict_waveforms(bounded(self.predictor.pipeline.waveforms(path)))
        except AudioError as error:
            return self.trouble(str(error))
        if analysis.duration_s >= MAX_HEARD_S:
            cut = f"Only the first {clock(MAX_HEARD_S)} hours were listened to."
            analysis = replace(analysis, warnings=(*analysis.warnings, cut))
        return self.outputs(analysis, title=Path(path).stem, took_s=time.perf_counter() - start)

    def hear_example(self, number: int) -> tuple:
        """The same of a saved song, with Spotify's values."""
        song, start = self.songs[number], time.perf_counter()
        spectrogram = torch.from_numpy(self.spectrograms.spectrogram(song["song_id"]).astype(np.float32))
        duration_s = spectrogram.shape[1] / self.spectrograms.config.frames_per_s
        analysis = self.predictor.analyse([(spectrogram, duration_s)])
        true = {target: float(song[target]) for target in TARGETS}
        title = f"{song['title']} by {song['artist']}"
        return self.outputs(analysis, title=title, took_s=time.perf_counter() - start, true=true)

    def outputs(self, analysis: Analysis, *, title: str, took_s: float, true: dict[str, float] | None = None) -> tuple:
        html = self.page.render(analysis, title=title, took_s=took_s, true=true)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        name = re.sub(r"[^\w -]+", "_", title)[:60] or "song"
        picture, numbers = folder / f"{name}.png", folder / f"{name}.json"
        draw_analysis(analysis, self.predictor.training_songs.songs, title=title, path=picture, true=true)
        values = analysis.to_dict()
        write_json(numbers, values)
        give_back_memory()
        return (
            html,
            gr.update(value=str(picture), visible=True),
            gr.update(value=str(numbers), visible=True),
            values,
        )

    def trouble(self, reason: str) -> tuple:
        give_back_memory()
        sentence = f"This can't be used: {reason}."
        html = f'<p class="trouble" role="alert" tabindex="-1">{escape(sentence)}</p>'
        return html, *([gr.update(visible=False)] * 2), {"error": reason}

    def nothing(self) -> tuple:
        return HINT, *([gr.update(visible=False)] * 2), None


def give_back_memory() -> None:
    """Return to the system what hearing a recording has left behind; fifty would leave some hundred MB.

    A picture's 5 MB refer to one another, so that only the collector frees them, which comes by itself after dozens of
    pictures. And glibc keeps what is free for later.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def bounded(windows: Iterable[tuple[Tensor, float]]) -> Iterator[tuple[Tensor, float]]:
    """The windows of a recording, up to what the page listens to. Raises AudioError where that takes too long."""
    start, heard_s = time.monotonic(), 0.0
    for waveform, duration_s in windows:
        if time.monotonic() - start > MAX_WORK_S:
            raise AudioError(f"it takes longer than {MAX_WORK_S} s to listen to; cut it or save it as mp3")
        yield waveform, duration_s
        heard_s += duration_s
        if heard_s >= MAX_HEARD_S:
            return


def build_page(service: Service) -> gr.Blocks:
    """The page with its events."""
    with gr.Blocks(title="What does my song sound like?", analytics_enabled=False) as page:
        gr.HTML(INTRO)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                audio = gr.Audio(
                    sources=["upload", "microphone"],
                    type="filepath",
                    label="Your song",
                    editable=False,
                    buttons=[],
                    elem_id="song",
                )
                take_file = uploads_only(audio.async_move_resource_to_block_cache, service.folder)
                audio.async_move_resource_to_block_cache = take_file
                if service.songs:
                    samples = [[f"{song['title']} by {song['artist']}"] for song in service.songs]
                    examples = gr.Dataset(
                        components=[gr.Textbox(visible=False)],
                        samples=samples,
                        type="index",
                        label="Or a song that the models never heard",
                        samples_per_page=8,
                        elem_id="examples",
                    )
            with gr.Column(scale=5, min_width=320):
                result = gr.HTML(HINT, elem_id="result")
                with gr.Row():
                    picture = gr.DownloadButton("Download the picture", visible=False, elem_id="picture")
                    numbers = gr.DownloadButton("Download the numbers (JSON)", visible=False, elem_id="numbers")
                values = gr.JSON(visible=False)
        outputs = [result, picture, numbers, values]
        queued = {"outputs": outputs, "concurrency_limit": AT_ONCE, "concurrency_id": "listening"}
        heard = [gr.on([audio.upload, audio.stop_recording], service.hear_file, audio, api_name="hear", **queued)]
        audio.clear(service.nothing, outputs=outputs, api_visibility="private")
        if service.songs:
            heard.append(examples.click(service.hear_example, examples, api_name="hear_example", **queued))
        for event in heard:
            event.then(None, js=GO_TO_RESULT, api_visibility="private")
    return page.queue(max_size=MAX_WAITING)


def make_server(page: gr.Blocks, folder: Path) -> FastAPI:
    """The page as a web application whose files lie in `folder`."""
    theme = gr.themes.Soft(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(block_label_text_color="*primary_800", body_text_color_subdued="*neutral_600")  # enough contrast
    page.has_launched = True  # else Gradio does not check which files a mounted page takes and gives
    page.state_session_capacity = MAX_WAITING  # Gradio keeps the last results of 10,000 visitors otherwise, 0.2 MB each
    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    server.add_middleware(Guard, folder=folder)
    return gr.mount_gradio_app(
        server,
        page,
        path="/",
        max_file_size=f"{MAX_FILE_MB}mb",
        footer_links=["api"],
        ssr_mode=False,
        theme=theme,
        css_paths=PAGE / "page.css",
    )


def open_socket(host: str, port: int) -> socket.socket:
    """A socket to serve the page at; port 0 takes any that is free. Raises UserError where there is none."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise UserError(
            f"the page can't be served at {host}, port {port}: {error.strerror}; try another --port"
        ) from None


def sweep_forever(folder: Path) -> None:
    while True:
        time.sleep(SWEEP_S)
        sweep(folder, KEEP_S)


def limit_heaps() -> None:
    """Have the threads share a few heaps: glibc gives each its own otherwise, and each keeps some of what is free."""
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, AT_ONCE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds demo/ (default: data)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    arguments = parser.parse_args()
    limit_heaps()
    with (
        open_socket(arguments.host, arguments.port) as listening,
        tempfile.TemporaryDirectory(prefix="music-learning-", ignore_cleanup_errors=True) as name,
    ):
        predictor, folder = Predictor.load(arguments.models, index=arguments.index), Path(name)
        os.environ["GRADIO_TEMP_DIR"] = name
        server = make_server(build_page(Service(predictor, DataPaths(arguments.data), folder)), folder)
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked through after each recording
        Thread(target=sweep_forever, args=(folder,), daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # else the temporary files stay
        host, port = listening.getsockname()[:2]
        print(f"open http://{host}:{port} in a browser; Ctrl-C ends it", flush=True)
        uvicorn.Server(uvicorn.Config(server, log_level="warning")).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    run(main)
