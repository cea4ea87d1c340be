"""Uploads: a request's body into a file, within limits that hold whatever its headers say."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from music_learning.errors import printable

AT_ONCE, MAX_WAITING = 2, 100  # recordings that are heard, and those that wait
MAX_FILE_MB = 300  # two hours of mp3 at 320 kbit/s
MAX_ALL_MB = 1500  # of all uploads together; the file of a form is there twice for a moment
FORM_BYTES = 100_000  # what a form may have around its file
MultiPartParser.spool_max_size = 1  # else up to 1 MB of each is kept in memory
FORM_LIMITS = {"max_files": 1, "max_fields": 20, "max_part_size": 1000}
LEAST_BYTES_S = 20_000  # less than a phone has where reception is poor
PATIENCE_S = 10  # with what comes more slowly
MAX_UPLOAD_S = 900
RETRY_S = 15
CLIENT_GONE = 499  # nobody reads it
MAX_NAME = 200  # letters


@dataclass(eq=False)
class Upload:
    """A recording that comes, or waits."""

    path: Path
    name: str = "song"
    bytes: int = 0
    is_whole: bool = False


class Uploads:
    """All uploads: those that come, and those that are whole, which alone take a place in the line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: set[Upload] = set()

    @asynccontextmanager
    async def place(self, length: int = 0) -> AsyncIterator[Upload]:
        """Where a recording may come to, a folder that is gone in the end.

        Raises HTTPException: 413 where the length that the headers tell is too much, 503 where there is no room.
        """
        self._check(length, length)
        self.folder.mkdir(mode=0o700, exist_ok=True)  # what cleans /tmp may have taken an idle one
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as folder:
            upload = Upload(Path(folder) / "song")
            self.held.add(upload)
            try:
                yield upload
            finally:
                self.held.discard(upload)

    async def receive(self, request: Request, upload: Upload, name: str) -> None:
        """Write a request's body, or the file in its form, into the upload's. Raises HTTPException."""
        form = FormData()
        try:
            with open(upload.path, "wb") as file:
                async with asyncio.timeout(PATIENCE_S) as limit:
                    chunks = self._chunks(request, upload, limit)
                    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
                        form = await MultiPartParser(request.headers, chunks, **FORM_LIMITS).parse()
                        name = form["file"].filename
                    else:
                        async for chunk in chunks:
                            await asyncio.to_thread(file.write, chunk)
                if form:
                    await asyncio.to_thread(shutil.copyfileobj, form["file"].file, file)
        except TimeoutError:
            raise HTTPException(408, "The song came too slowly; try again with a better connection.") from None
        except (MultiPartException, UnicodeError, KeyError, AttributeError):  # no form, no such field, no file
            raise HTTPException(400, "Send one song, as the field `file` of a form.") from None
        except ClientDisconnect:
            raise HTTPException(CLIENT_GONE) from None
        finally:
            await form.close()
        upload.name = printable(re.split(r"[/\\]", name)[-1]).strip()[:MAX_NAME] or "song"  # never part of a path
        self.admit(upload)

    async def _chunks(self, request: Request, upload: Upload, limit: asyncio.Timeout) -> AsyncIterator[bytes]:
        """A request's body as it comes, counted and timed: what comes faster than it must lends a few seconds."""
        clock = asyncio.get_running_loop().time
        end = clock() + MAX_UPLOAD_S
        async for chunk in request.stream():
            upload.bytes += len(chunk)
            self._check(upload.bytes)
            yield chunk
            earned = limit.when() + len(chunk) / LEAST_BYTES_S
            limit.reschedule(min(earned, clock() + PATIENCE_S, end))

    def admit(self, upload: Upload) -> None:
        """Count an upload among those that are heard or wait. Raises HTTPException where they are too many."""
        self._check(upload.bytes)
        upload.is_whole = True

    def _check(self, length: int, more: int = 0) -> None:
        if length > MAX_FILE_MB * 1e6 + FORM_BYTES:
            raise HTTPException(413, f"The file is larger than {MAX_FILE_MB} MB; save it as mp3.")
        if sum(upload.is_whole for upload in self.held) >= AT_ONCE + MAX_WAITING:
            raise busy("Too many songs are waiting to be heard")
        if sum(upload.bytes for upload in self.held) + more > MAX_ALL_MB * 1e6:
            raise busy("The songs that are waiting to be heard take all space")


def busy(why: str) -> HTTPException:
    return HTTPException(503, f"{why}; try again in {RETRY_S} seconds.", {"Retry-After": str(RETRY_S)})
