"""Uploads: a request's body into a file, within limits that hold whatever its headers say."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from music_learning.errors import printable

AT_ONCE, MAX_WAITING = 2, 100  # recordings that are heard, and those that come or wait
MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_ALL_MB = 3000  # of all uploads together
FORM_BYTES = 100_000  # what a form may have around its file
LEAST_BYTES_S = 20_000  # less than a phone has where reception is poor
PATIENCE_S, IMPATIENCE_S = 10, 1  # with what comes more slowly; where somebody else needs the place
MAX_UPLOAD_S = 900
RETRY_S = 15
CLIENT_GONE = 499  # nobody reads it
MAX_NAME = 200  # letters


class Upload:
    """A recording that comes, or waits."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "song"
        self.name = "song"
        self.bytes = 0
        self.limit: asyncio.Timeout | None = None  # while it comes


class Uploads:
    """All uploads, each of which holds one of the places."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: set[Upload] = set()

    @asynccontextmanager
    async def place(self, length: int = 0) -> AsyncIterator[Upload]:
        """Hold a place, and a folder that is gone with it.

        Raises HTTPException: 413 where the length that the headers tell is too much, 503 where there is no place.
        """
        self._check(length, length)
        if len(self.held) >= AT_ONCE + MAX_WAITING and not self._drop_the_slowest():
            raise busy("Too many songs are waiting to be heard")
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            upload = Upload(Path(folder))
            self.held.add(upload)
            try:
                yield upload
            finally:
                self.held.discard(upload)

    async def receive(self, request: Request, upload: Upload, name: str | None) -> None:
        """Write a request's body, or the file in its form, into the upload's. Raises HTTPException."""
        kind, options = parse_options_header(request.headers.get("content-type"))
        clock = asyncio.get_running_loop().time
        try:
            with open(upload.path, "wb") as file:
                form = Form(file, options.get(b"boundary", b"")) if kind == b"multipart/form-data" else None
                async with asyncio.timeout(PATIENCE_S) as upload.limit:
                    end = clock() + MAX_UPLOAD_S
                    async for chunk in request.stream():
                        upload.bytes += len(chunk)
                        self._check(upload.bytes)
                        await asyncio.to_thread(form.parser.write if form else file.write, chunk)
                        earned = upload.limit.when() + len(chunk) / LEAST_BYTES_S
                        upload.limit.reschedule(min(earned, clock() + PATIENCE_S, end))
                upload.name = label(form.finished_name() if form else name or "")
        except TimeoutError:
            raise HTTPException(408, "The song came too slowly; try again with a better connection.") from None
        except FormParserError as error:
            raise HTTPException(400, f"Send the song as the field `file` of a form ({error}).") from None
        except OSError as error:
            raise busy(f"The song can't be kept ({error.strerror})") from None
        except ClientDisconnect:
            raise HTTPException(CLIENT_GONE) from None
        finally:
            upload.limit = None

    def _check(self, length: int, more: int = 0) -> None:
        if length > MAX_FILE_MB * 1e6 + FORM_BYTES:
            raise HTTPException(413, f"The file is larger than {MAX_FILE_MB} MB; save it as mp3.")
        if sum(upload.bytes for upload in self.held) + more > MAX_ALL_MB * 1e6:
            raise busy("The songs that are waiting to be heard take all space")

    def _drop_the_slowest(self) -> bool:
        """Give up an upload that is behind by a second, if there is one; whether there was."""
        now = asyncio.get_running_loop().time()
        coming = [upload for upload in self.held if upload.limit is not None]
        slowest = min(coming, key=lambda upload: upload.limit.when(), default=None)
        if slowest is None or slowest.limit.when() > now + PATIENCE_S - IMPATIENCE_S:
            return False
        self.held.discard(slowest)
        slowest.limit.reschedule(now)
        return True


class Form:
    """Writes the file in a form to its place as the form comes. Raises FormParserError where it can't be understood."""

    def __init__(self, file: BinaryIO, boundary: bytes) -> None:
        self.file = file
        self.name: str | None = None
        self.header = [b"", b""]  # its name and its value, as far as they have come
        self.headers: dict[bytes, bytes] = {}
        self.is_song = self.is_whole = False
        calls = ("header_field", "header_value", "header_end", "headers_finished", "part_data", "part_end")
        self.parser = MultipartParser(boundary, {f"on_{name}": getattr(self, name) for name in calls})

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header[0] += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.header[1] += data[start:end]

    def header_end(self) -> None:
        self.headers[self.header[0].lower()] = self.header[1]
        self.header = [b"", b""]

    def headers_finished(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        self.headers = {}
        self.is_song = options.get(b"name") == b"file"
        if self.is_song and self.name is not None:
            raise FormParserError("one song at a time")
        if self.is_song:
            self.name = options.get(b"filename", b"").decode("utf-8", "replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self.is_song:
            self.file.write(data[start:end])

    def part_end(self) -> None:
        self.is_whole |= self.is_song

    def finished_name(self) -> str:
        if not self.is_whole:
            raise FormParserError("this one holds no whole file")
        return self.name


def label(name: str) -> str:
    """A name from a request as what is shown of it. It is never used as a path."""
    return printable(re.split(r"[/\\]", name)[-1]).strip()[:MAX_NAME] or "song"


def busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again in {RETRY_S} seconds.", {"Retry-After": str(RETRY_S)})
