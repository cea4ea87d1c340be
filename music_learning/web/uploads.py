"""Uploads: a request's body into a file, within limits that hold whatever its headers say."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from music_learning.errors import printable
from music_learning.web.line import AT_ONCE, MAX_WAITING

MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_ALL_MB = 3000  # of all uploads together
FORM_BYTES = 100_000  # what a form may have around its file
LEAST_BYTES_S = 20_000  # slower than a phone with poor reception
PATIENCE_S = 10  # for what comes more slowly, or not at all
IMPATIENCE_S = 1  # where somebody else needs the place
MAX_UPLOAD_S = 900
RETRY_S = 15
MAX_NAME = 200  # letters


class Upload:
    """A recording on its way, or waiting."""

    def __init__(self, folder: Path, declared_bytes: int) -> None:
        self.folder = folder
        self.declared_bytes = declared_bytes
        self.received_bytes = 0
        self.path = folder / "song"
        self.name = "song"
        self.limit: asyncio.Timeout | None = None  # while it is coming

    @property
    def bytes(self) -> int:
        return max(self.declared_bytes, self.received_bytes)


class Uploads:
    """All uploads, in a folder, each of which holds one of the places for those who are heard or wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: set[Upload] = set()

    @asynccontextmanager
    async def place(self, declared_bytes: int = 0) -> AsyncIterator[Upload]:
        """Hold a place, and a folder that is gone with it.

        Raises HTTPException with 503 where none is free, or where the uploads together would be too large, and 413.
        """
        if declared_bytes > MAX_FILE_MB * 1e6 + FORM_BYTES:
            raise too_large()
        if len(self.held) >= AT_ONCE + MAX_WAITING and not self._drop_the_slowest():
            raise busy("Too many songs are waiting to be heard")
        self._check_room(declared_bytes)
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as name:
            upload = Upload(Path(name), declared_bytes)
            self.held.add(upload)
            try:
                yield upload
            finally:
                self.held.discard(upload)

    async def receive(self, request: Request, upload: Upload, name: str | None) -> None:
        """Write what a request brings into the upload's file: its body, or the file in its form.

        Raises HTTPException: 400, 408, 413, 503.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        loop = asyncio.get_running_loop()
        upload.name = label(name or "")
        with open(upload.path, "wb") as file:
            form = Form(file, options.get(b"boundary", b"")) if kind == b"multipart/form-data" else None
            try:
                async with asyncio.timeout(PATIENCE_S) as upload.limit:
                    end = loop.time() + MAX_UPLOAD_S
                    async for chunk in request.stream():
                        self._count(upload, len(chunk))
                        await asyncio.to_thread((form or file).write, chunk)
                        earned = upload.limit.when() + len(chunk) / LEAST_BYTES_S
                        upload.limit.reschedule(min(earned, loop.time() + PATIENCE_S, end))
            except TimeoutError:
                raise HTTPException(408, "The song came too slowly; try again with a better connection.") from None
            except FormParserError:
                raise HTTPException(400, "The form is damaged; send the song as its field `file`.") from None
            finally:
                upload.limit = None
        if form is not None:
            upload.name = label(form.finish())

    def _count(self, upload: Upload, n_bytes: int) -> None:
        upload.received_bytes += n_bytes
        if upload.received_bytes > MAX_FILE_MB * 1e6 + FORM_BYTES:
            raise too_large()
        if upload.received_bytes > upload.declared_bytes:
            self._check_room(0)

    def _check_room(self, more_bytes: int) -> None:
        if sum(upload.bytes for upload in self.held) + more_bytes > MAX_ALL_MB * 1e6:
            raise busy("The songs that are waiting to be heard take too much space")

    def _drop_the_slowest(self) -> bool:
        """Give up the upload that has come too slowly for a second, if there is one; whether there was."""
        now = asyncio.get_running_loop().time()
        coming = [upload for upload in self.held if upload.limit is not None]
        slowest = min(coming, key=lambda upload: upload.limit.when(), default=None)
        if slowest is None or slowest.limit.when() > now + PATIENCE_S - IMPATIENCE_S:
            return False
        self.held.discard(slowest)
        slowest.limit.reschedule(now)
        return True


class Form:
    """Takes a form to pieces, and writes the file in it to where it belongs as it comes."""

    def __init__(self, file, boundary: bytes) -> None:
        """Raises HTTPException where no form can be delimited so."""
        if not boundary:
            raise HTTPException(400, "The form says no boundary.")
        self.file = file
        self.field = self.value = self.disposition = b""
        self.name: str | None = None
        self.n_parts = 0
        self.is_file = False
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished")
        self.parser = MultipartParser(boundary, {f"on_{name}": getattr(self, name) for name in names})

    def write(self, chunk: bytes) -> None:
        self.parser.write(chunk)

    def finish(self) -> str:
        """The file's name. Raises HTTPException where there was no whole file."""
        try:
            self.parser.finalize()
        except FormParserError:
            self.name = None
        if self.name is None:
            raise HTTPException(400, "The form holds no whole file; send the song as its field `file`.")
        return self.name

    def part_begin(self) -> None:
        self.n_parts += 1
        if self.n_parts > 10:
            raise HTTPException(400, "The form has too many fields; send the song as its field `file`.")
        self.disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.disposition = self.value
        self.field = self.value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.is_file = options.get(b"name") == b"file"
        if self.is_file:
            if self.name is not None:
                raise HTTPException(400, "Send one song at a time.")
            self.name = options.get(b"filename", b"song").decode("utf-8", "replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self.is_file:
            self.file.write(data[start:end])


def label(name: str) -> str:
    """A name from a request as what is shown of it: its last part, on one line. It is never used as a path."""
    last = re.split(r"[/\\]", name)[-1]
    return printable(last).strip()[:MAX_NAME] or "song"


def busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again in {RETRY_S} seconds.", {"Retry-After": str(RETRY_S)})


def too_large() -> HTTPException:
    return HTTPException(413, f"The file is larger than {MAX_FILE_MB} MB; save it as mp3.")
