"""The web page and its HTTP interface: drop a song, or record one, and see what the models predict.

    music-learning serve                     then open http://127.0.0.1:7860, or:
    curl -F file=@song.mp3 http://127.0.0.1:7860/api/analyses
    music-learning serve --index mine/index  look for similar songs among your own: music-learning index

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach it unless `--host` says otherwise.
"""

import argparse
import ctypes
import gc
import mmap
import re
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
from music_learning.web.guard import Connection, Guard
from music_learning.web.uploads import AT_ONCE

M_ARENA_MAX = -8  # as in glibc's malloc.h
EVERYWHERE = ("0.0.0.0", "::")  # all of this machine's addresses


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "music-learning serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds demo/ (default: data)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    parser.add_argument(
        "--public-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that others call it by, such as songs.example.org; may be given again",
    )
    return parser.parse_args(argv)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket to serve the page at; port 0 takes any that is free. Raises UserError where there is none."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the page can't be served at {host}, port {port}: {reason}; try another --port") from None


def give_back_pages() -> None:
    """Drop from memory what only loading the libraries has read of their files.

    PyTorch's build for CUDA reads 120 MB of libraries that nothing uses without a GPU. Pages that are the file's own can
    be dropped at any time: where one is needed after all, it is read again.
    """
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        found = re.match(
            r"([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]", mapping
        )  # of a file, and not to be written to
        if found and re.search(r"^Anonymous: +0 kB$", mapping, re.MULTILINE):
            start, end = (int(place, 16) for place in found.groups())
            libc.madvise(start, end - start, mmap.MADV_DONTNEED)


def spare_memory() -> None:
    """Have little in memory at rest."""
    gc.collect()
    gc.freeze()  # what is there now stays, and need not be looked through after each recording
    if sys.platform == "linux":
        # glibc would give each thread a heap of its own, each of which keeps some of what is free.
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, AT_ONCE)
        give_back_pages()


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    with (
        open_socket(arguments.host, arguments.port) as listening,
        tempfile.TemporaryDirectory(prefix="music-learning-", ignore_cleanup_errors=True) as folder,
    ):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # else the temporary files stay
        predictor = Predictor.load(arguments.models, index=arguments.index)
        app = make_app(Desk(predictor, DataPaths(arguments.data), Path(folder)))
        names = {"localhost", "127.0.0.1", "[::1]", *map(str.lower, (arguments.host, *arguments.public_host))}
        guard = Guard(app, names, any_address=arguments.host in EVERYWHERE)
        spare_memory()
        host, port = listening.getsockname()[:2]
        print(f"open http://{f'[{host}]' if ':' in host else host}:{port} in a browser; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(
            guard,
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="critical",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listening])
    return 0
