"""Songs as people send them, a server in this process, whose limits can be changed, and the page in a real browser.

What needs the browser is skipped where Chromium or Playwright is missing: `make page-test` installs both.
"""

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import chord, start, tone, write_audio, write_with_ffmpeg

from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OFF = ("background-networking", "component-update", "dev-shm-usage", "sync")
FLAGS = ("--no-sandbox", *(f"--disable-{what}" for what in OFF))
DESKTOP = {"width": 1280, "height": 900}
PATIENCE_MS = 180_000
LONG_S = 300
RATE_HZ = 16_000
# The page's server. It hears two recordings slowly, so that they are heard for longer than other things take, however
# quick the machine is; and it gives up none, however slow that is.
PAGE = """
import runpy
from music_learning.web import hearing
SLOWLY = {100: (0, 2), 3600: (20, 2.5)}  # length: from which window on, and seconds for each
watched = hearing.Hearing._watched
def slowly(self, windows, duration_s):
    first, wait_s = SLOWLY.get(round(duration_s or 0), (0, 0))
    for n, window in enumerate(watched(self, windows, duration_s)):
        yield window
        if n >= first:
            self.stopped.wait(wait_s)
hearing.Hearing._watched = slowly
hearing.MAX_WORK_S = 3600
runpy.run_path("app.py", run_name="__main__")
"""
WATCH_CSP = "addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.blockedURI}`))"

collect_ignore_glob = []
try:
    import uvicorn

    from music_learning.web import guard, uploads
    from music_learning.web.api import make_app
    from music_learning.web.desk import Desk
    from music_learning.web.guard import Guard
    from music_learning.web.server import SETTINGS, open_socket
except ModuleNotFoundError:  # the page's packages: make test installs them
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def songs(tmp_path_factory) -> Path:
    """Files as people send them, good and bad. Read only."""
    folder = tmp_path_factory.mktemp("songs")
    samples = chord(seconds=8, rate_hz=44_100) + 0.01 * np.random.default_rng(0).standard_normal(8 * 44_100)
    write_audio(folder / "My Song.mp3", samples, 44_100)
    tags = {"title": "A Title", "artist": "An <b>Artist</b>"}
    write_with_ffmpeg(folder / "tagged.mp3", samples, 44_100, codec="libmp3lame", tags=tags)
    write_audio(folder / "long.wav", chord(seconds=95, rate_hz=8_000), 8_000)
    write_audio(folder / "silent.wav", 0 * tone(seconds=5))
    write_audio(folder / "short.wav", tone(seconds=1))
    (folder / "notes.mp3").write_text("no audio at all\n" * 100)
    return folder


@pytest.fixture(scope="session")
def predictor(trained) -> Predictor:
    return Predictor.load(trained)


@pytest.fixture
def desk(predictor, loaded, tmp_path) -> "Desk":
    (tmp_path / "uploads").mkdir()
    return Desk(predictor, DataPaths(loaded), tmp_path / "uploads")


class Clock(asyncio.SelectorEventLoop):
    """The event loop of a server, whose clock can be put forward instead of waiting."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s

    def put_forward(self, seconds: float) -> None:
        """Let the server take itself for so much later; what was due in between is done next."""

        def put() -> None:
            self.ahead_s += seconds

        self.call_soon_threadsafe(put)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The server's clock. Nothing but this comes to the ends of the server's patience, however slow the machine is."""
    monkeypatch.setattr(uploads, "PATIENCE_S", LONG_S)
    monkeypatch.setattr(guard, "HEADERS_S", LONG_S)
    return Clock()


@pytest.fixture
def served(desk, clock, temporary) -> Iterator[str]:
    """The address of a server in this process, of the desk's recordings. What nobody foresaw fails the test."""
    listening = open_socket("127.0.0.1", 0)
    guarded = Guard(make_app(desk), {"127.0.0.1", "localhost"}, any_address=False)
    server = uvicorn.Server(uvicorn.Config(guarded, **SETTINGS, timeout_keep_alive=10 * LONG_S))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: clock) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = Thread(target=run)
    thread.start()
    host, port = listening.getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(timeout=120)
    listening.close()
    assert list(temporary.iterdir()) == []  # a log of it


# --- the page in a real browser ---


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: make page-test")
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: make page-test")
    heard = tmp_path_factory.mktemp("microphone") / "chord.wav"  # what the browser takes for a recording
    write_audio(heard, chord(seconds=10, rate_hz=48_000), 48_000)
    microphone = ("device-for-media-stream", "ui-for-media-stream", f"file-for-fake-audio-capture={heard}")
    flags = [*FLAGS, *(f"--use-fake-{flag}" for flag in microphone[:2]), f"--use-{microphone[2]}"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page_address() -> Iterator[str]:
    """The address of a page with the released models and examples, which have all that a result shows."""
    with start("-c", PAGE, "--port", 0) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]
        finally:
            process.terminate()


@pytest.fixture
def visit(browser, page_address) -> Iterator[Callable]:
    """A function that opens the page in a browser of its own. In the end there was no error, and no request elsewhere.

    Its page has `requested`, the addresses of all requests so far; `errors` are emptied by who expects some.
    """
    contexts, pages = [], []

    def follow(page):
        page.set_default_timeout(PATIENCE_MS)
        page.requested, page.errors = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
        page.add_init_script(WATCH_CSP)
        pages.append(page)

    def open_it(path="/", *, viewport=DESKTOP, script="", **options):
        contexts.append(browser.new_context(viewport=viewport, accept_downloads=True, **options))
        contexts[-1].on("page", follow)
        page = contexts[-1].new_page()
        if script:
            page.add_init_script(script)
        page.goto(page_address + path)
        return page

    yield open_it
    errors = [error for page in pages for error in page.errors]
    requested = [url for page in pages for url in page.requested]
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requested if not url.startswith((f"{page_address}/", "data:", "blob:"))] == []


def music(seconds: float, *, gain: float = 1.0, overtones: int = 1) -> np.ndarray:
    """A beat, and chords over it, 20 seconds loud and 20 seconds soft; sad with four overtones. (samples,)"""
    beat = 2 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ  # 120 a minute
    drum = np.random.default_rng(0).standard_normal(len(beat)) * np.exp(-12 * (beat % 1))
    root_hz = 220 * 2 ** (np.array([0, -3, 5, 7])[(beat // 4).astype(int) % 4] / 12)
    chords = np.zeros_like(beat)
    for step in (0, 3, 7, 12):
        for overtone in range(1, overtones + 1):
            chords += np.sin(np.pi * overtone * root_hz * 2 ** (step / 12) * beat) / overtone
    return gain * np.where(beat // 40 % 2, 0.06, 0.15) * (drum + 0.6 * chords)


@pytest.fixture(scope="session")
def half_minute(tmp_path_factory) -> Path:
    """A song of 30 seconds whose name is no HTML, JavaScript or template."""
    path = tmp_path_factory.mktemp("song") / "My Song &amp; ${1+1} {{1+1}} <b>x.mp3"
    return write_audio(path, music(30), RATE_HZ)


@pytest.fixture(scope="session")
def five_minutes(tmp_path_factory) -> Path:
    """A song of 5 minutes with tags."""
    tags = {"title": "Five <i>Minutes</i>", "artist": "أغنية الصباح", "album": "An Album", "date": "1999"}
    path = tmp_path_factory.mktemp("song") / "track 05.mp3"
    return write_with_ffmpeg(path, music(300, overtones=4), RATE_HZ, codec="libmp3lame", tags=tags)


@pytest.fixture(scope="session")
def slow_song(tmp_path_factory) -> Path:
    """A recording that takes longer than another, and comes to its end: see PAGE."""
    return write_audio(tmp_path_factory.mktemp("song") / "A Slow Song.flac", music(100), RATE_HZ)


@pytest.fixture(scope="session")
def hour(tmp_path_factory) -> Path:
    """A recording that is still heard when a test ends: see PAGE."""
    path = tmp_path_factory.mktemp("song") / "An Hour.flac"
    return write_audio(path, np.tile(music(80), 45), RATE_HZ)


@pytest.fixture(scope="session")
def album(tmp_path_factory) -> list[Path]:
    """Three songs of different loudness and length; one is named as a formula of a spreadsheet."""
    folder = tmp_path_factory.mktemp("album")
    for name, seconds, gain in (("Beta 10", 6, 1.0), ('alpha, "2"', 12, 0.1), ("=1+1", 8, 0.5)):
        path, tags = folder / f"{seconds:02}.mp3", {"title": name, "artist": "@artist"}
        write_with_ffmpeg(path, music(seconds, gain=gain), RATE_HZ, codec="libmp3lame", tags=tags)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def copies(tmp_path_factory) -> list[Path]:
    """The same music twice, with and without loss."""
    folder = tmp_path_factory.mktemp("copies")
    return [write_audio(folder / name, music(30), RATE_HZ) for name in ("one.mp3", "two.flac")]
