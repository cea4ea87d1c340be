"""What an upload goes through: its size, the space that all take, who may name a file, and when it is deleted."""

import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import gradio as gr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_FOLDER_MB = 3000  # of all uploads together
KEEP_S = 600  # uploads and downloads, on the disk
SWEEP_S = 30

# The page loads nothing from elsewhere, and can send nothing there.
CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: data: blob:; form-action 'self'; object-src 'none'"
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
                return PlainTextResponse("Too many songs are being analysed; try again in some minutes.", 503)
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


def sweep_forever(folder: Path) -> None:
    while True:
        time.sleep(SWEEP_S)
        sweep(folder, KEEP_S)
