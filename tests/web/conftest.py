"""Songs as people send them, and a server in this process, whose limits can be changed."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import chord, tone, write_audio, write_with_ffmpeg

from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor

collect_ignore_glob = []
try:
    import uvicorn

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


@pytest.fixture
def served(desk, temporary) -> Iterator[str]:
    """The address of a server in this process, of the desk's recordings. What nobody foresaw fails the test."""
    listening = open_socket("127.0.0.1", 0)
    guard = Guard(make_app(desk), {"127.0.0.1", "localhost"}, any_address=False)
    server = uvicorn.Server(uvicorn.Config(guard, **SETTINGS))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    host, port = listening.getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(timeout=30)
    listening.close()
    assert list(temporary.iterdir()) == []  # a log of it
