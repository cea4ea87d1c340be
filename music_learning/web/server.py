"""The page's server: `python -m music_learning.web`, which is app.py for those who have installed the package.

Reads the models and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this
machine can reach the page unless `--host` says otherwise.
"""

import argparse
import ctypes
import gc
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from threading import Thread

import gradio as gr
import uvicorn
from fastapi import FastAPI

from music_learning.errors import UserError
from music_learning.paths import RELEASED_MODELS, DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.web.guard import MAX_FILE_MB, Guard, sweep_forever
from music_learning.web.layout import AT_ONCE, MAX_WAITING, build_page
from music_learning.web.page import TEMPLATES
from music_learning.web.service import Service

M_ARENA_MAX = -8  # as in glibc's malloc.h


def make_server(page: gr.Blocks, folder: Path) -> FastAPI:
    """The page as a web application whose files lie in `folder`."""
    theme = gr.themes.Soft(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(block_label_text_color="*primary_800", body_text_color_subdued="*neutral_600")  # enough contrast
    # Both are not public, and have no public counterpart.
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
        css_paths=TEMPLATES / "page.css",
    )


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


def main(description: str | None = __doc__) -> int:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
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
