"""Serves the page and its interface, in little memory."""

import ctypes
import gc
import logging
import mmap
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from music_learning.errors import UserError
from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.web.api import make_app
from music_learning.web.desk import Desk
from music_learning.web.guard import Connection, Guard
from music_learning.web.uploads import AT_ONCE

M_ARENA_MAX = -8  # as in glibc's malloc.h
FILE_PAGES = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9].*(?:\n\w+:.*)*\nAnonymous: +0 kB")
SETTINGS = {  # uvicorn's
    **{"http": Connection, "ws": "none", "lifespan": "off", "proxy_headers": False, "server_header": False},
    **{"log_level": "critical", "timeout_graceful_shutdown": 1},
}


def serve(models: Path, data: Path, index: Path | None, *, host: str, port: int, public_host: Sequence[str]) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises UserError where something is missing, damaged or taken."""
    with (
        open_socket(host, port) as listening,
        tempfile.TemporaryDirectory(prefix="music-learning-", ignore_cleanup_errors=True) as folder,
    ):
        for ending in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # Windows lacks the latter
            signal.signal(getattr(signal, ending), lambda *_: sys.exit())  # else the temporary files stay
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # of each malformed form
        app = make_app(Desk(Predictor.load(models, index=index), DataPaths(data), Path(folder)))
        names = {"localhost", "127.0.0.1", "[::1]", *map(str.lower, (host, *public_host))}
        guard = Guard(app, names, any_address=host in ("0.0.0.0", "::"))
        spare_memory()
        host, port = listening.getsockname()[:2]
        print(f"open http://{f'[{host}]' if ':' in host else host}:{port} in a browser; Ctrl-C ends it", flush=True)
        uvicorn.Server(uvicorn.Config(guard, **SETTINGS)).run(sockets=[listening])


def open_socket(host: str, port: int) -> socket.socket:
    """A socket to serve the page at; port 0 takes any that is free. Raises UserError where there is none."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the page can't be served at {host}, port {port}: {reason}; try another --port") from None


def spare_memory() -> None:
    """Keep little in memory at rest.

    Of the libraries' files, loading has read much that nothing needs again: 240 MB with PyTorch's build for CUDA. Pages
    that nobody has changed can be dropped at any time; where one is needed after all, it is read again.
    """
    gc.collect()
    gc.freeze()  # what is there now stays, and need not be looked through after each recording
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, AT_ONCE)  # else each thread has a heap of its own, which keeps some of what is free
        for start, end in FILE_PAGES.findall(Path("/proc/self/smaps").read_text()):
            start, end = int(start, 16), int(end, 16)
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
