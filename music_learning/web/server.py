"""The web page and its HTTP interface: drop a song, or record one, and see what the models predict.

    music-learning serve                     then open http://127.0.0.1:7860
    music-learning serve --index mine/index  look for similar songs among your own: music-learning index
    curl -F file=@song.mp3 http://127.0.0.1:7860/api/analyses

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach it unless `--host` says otherwise.
"""

import argparse
import ctypes
import gc
import signal
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn

from music_learning.errors import UserError
from music_learning.paths import RELEASED_MODELS, DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.web.api import make_app
from music_learning.web.desk import Desk
from music_learning.web.guard import Guard
from music_learning.web.line import AT_ONCE

M_ARENA_MAX = -8  # as in glibc's malloc.h
EVERYWHERE = ("0.0.0.0", "::")


def open_socket(host: str, port: int) -> socket.socket:
    """A socket to serve the page at; port 0 takes any that is free. Raises UserError where there is none."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise UserError(
            f"the page can't be served at {host}, port {port}: {error.strerror}; try another --port"
        ) from None


def limit_heaps() -> None:
    """Have the threads share a few heaps: glibc gives each its own otherwise, and each keeps some of what is free."""
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, AT_ONCE)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "music-learning serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds demo/ (default: data)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    parser.add_argument("--public-host", action="append", default=[], metavar="NAME", help="what others call it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    limit_heaps()
    with (
        open_socket(arguments.host, arguments.port) as listening,
        tempfile.TemporaryDirectory(prefix="music-learning-", ignore_cleanup_errors=True) as folder,
    ):
        predictor = Predictor.load(arguments.models, index=arguments.index)
        app = make_app(Desk(predictor, DataPaths(arguments.data), Path(folder)))
        names = {"localhost", "127.0.0.1", "[::1]", arguments.host, *arguments.public_host}
        guard = Guard(app, names, any_address=arguments.host in EVERYWHERE)
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked through after each recording
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # else the temporary files stay
        host, port = listening.getsockname()[:2]
        print(f"open http://{host}:{port} in a browser; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(
            guard, log_level="error", http="h11", ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listening])
    return 0
