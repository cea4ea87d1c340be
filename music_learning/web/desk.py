"""Takes recordings in, has them heard in the order of their coming, and stops what nobody waits for any more."""

import asyncio
import ctypes
import gc
import json
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from music_learning.errors import AudioError, UserError, unexpected
from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs
from music_learning.web.hearing import Hearing, no_explanation
from music_learning.web.uploads import AT_ONCE, CLIENT_GONE, Uploads

MAX_EXPLAINED = 10  # recordings that wait for an explanation, each with up to 20 MB of spectrograms
NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nor gathered by nginx


class Desk:
    """The models, the saved songs, and all that is on its way through them."""

    def __init__(self, predictor: Predictor, data: DataPaths, folder: Path) -> None:
        """Raises UserError where the saved songs are damaged, or made for other models."""
        self.predictor = predictor
        self.saved, self.examples = None, {}
        if (demo := DataPaths(data.demo)).songs.exists():
            self.saved = SavedSongs.open(demo)
            self.saved.check_pipeline(predictor.pipeline.config)
            self.examples = {song["song_id"]: song for song in self.saved.songs}
        self.uploads = Uploads(folder)
        self.hearers, self.explainer = ThreadPoolExecutor(AT_ONCE), ThreadPoolExecutor(1)
        self.line: dict[Future, Callable[[dict], None]] = {}  # those heard or waiting, who are told how many are ahead
        self.n_explained = 0
        self.tasks: set[asyncio.Task] = set()  # which asyncio itself would forget

    async def upload(self, request: Request, *, name: str, explain: bool) -> Response:
        """The answer to a request that brings a recording. Raises HTTPException, AudioError."""
        async with AsyncExitStack() as place:
            length = int(request.headers.get("content-length", 0))
            upload = await place.enter_async_context(self.uploads.place(length))
            await self.uploads.receive(request, upload, name)
            hear = partial(Hearing.file, path=upload.path, name=upload.name)
            return await self._answer(request, partial(self._work, hear, place.pop_all(), explain))

    async def example(self, request: Request, song_id: str, *, explain: bool) -> Response:
        """The answer to a request for a saved song. Raises HTTPException."""
        if song_id not in self.examples:
            raise HTTPException(404, "There is no such example.")
        async with AsyncExitStack() as place:
            self.uploads.admit(await place.enter_async_context(self.uploads.place()))
            hear = partial(Hearing.example, saved=self.saved, song=self.examples[song_id])
            return await self._answer(request, partial(self._work, hear, place.pop_all(), explain))

    async def _answer(self, request: Request, work: Callable) -> Response:
        """JSON, or a stream of events for those who accept one."""
        events: asyncio.Queue[str | None] = asyncio.Queue()
        task = asyncio.create_task(work(lambda *event: events.put_nowait(as_text(*event))))
        task.add_done_callback(lambda _: events.put_nowait(None))
        self.tasks.add(watcher := asyncio.create_task(cancel_without_client(request, task)))
        watcher.add_done_callback(self.tasks.discard)
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(stream(events, task), headers=NOT_KEPT, media_type="text/event-stream")
        await asyncio.wait([task])
        return Response(status_code=CLIENT_GONE) if task.cancelled() else JSONResponse(task.result(), headers=NOT_KEPT)

    async def _work(self, hear: Callable, place: AsyncExitStack, explain: bool, say: Callable[..., None]) -> dict:
        """A recording's JSON. What happens on the way is said: the event's name, and its data."""
        loop = asyncio.get_running_loop()
        hearing = Hearing(self.predictor, explain=explain, progress=partial(loop.call_soon_threadsafe, say, "progress"))
        try:
            async with place:
                result = await self._in_line(partial(hear, hearing), partial(say, "waiting"))
            say("result", result)
            if explain:
                result = result | {"explanation": await self._explanation(hearing)}
                say("explanation", result["explanation"])
            return result
        finally:
            hearing.stopped.set()

    async def _in_line(self, work: Callable[[], dict], tell: Callable[[dict], None]) -> dict:
        """Have something done in its turn, and tell how many come first whenever that changes."""

        def tell_all(first: int) -> None:
            for ahead, listener in list(enumerate(self.line.values()))[first:]:
                listener({"ahead": ahead if ahead >= AT_ONCE else 0})

        def leave() -> None:
            place = list(self.line).index(job)
            del self.line[job]
            tell_all(max(place, AT_ONCE - 1))

        loop, job = asyncio.get_running_loop(), self.hearers.submit(tidily, work)
        self.line[job] = tell
        tell_all(len(self.line) - 1)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(leave))  # when its thread is free, and not before
        return await asyncio.wrap_future(job)

    async def _explanation(self, hearing: Hearing) -> dict:
        """The explanation of what was heard, for which others never wait."""
        if self.n_explained >= MAX_EXPLAINED:
            return no_explanation("Too many songs wait for their explanation; try again later.")
        self.n_explained += 1
        try:
            work = partial(hearing.explanation, lambda: not self.line)
            return await asyncio.get_running_loop().run_in_executor(self.explainer, tidily, work)
        finally:
            self.n_explained -= 1


def tidily(work: Callable[[], dict]) -> dict:
    """Do something, and return to the system the memory that it leaves behind, which glibc keeps for later."""
    try:
        return work()
    finally:
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)


async def cancel_without_client(request: Request, task: asyncio.Task) -> None:
    """Cancel a task as soon as the request's connection is closed; where it is done that changes nothing."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    task.cancel()


async def stream(events: asyncio.Queue[str | None], task: asyncio.Task) -> AsyncIterator[str]:
    """What is said until a task is done, or why it could not be."""
    while (event := await events.get()) is not None:
        yield event
    if not task.cancelled() and (error := task.exception()):
        status, sentence = problem(error)
        yield as_text("error", {"error": sentence, "status": status})


def as_text(name: str, data: dict) -> str:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


def problem(error: BaseException) -> tuple[int, str]:
    """The status and the sentence for an error."""
    if isinstance(error, HTTPException):
        is_own = error.detail not in ("Not Found", "Method Not Allowed")  # or FastAPI's
        return error.status_code, error.detail if is_own else f"{error.detail}; see /docs"
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 400, f"{first['loc'][-1]}: {first['msg']}; see /docs"
    if isinstance(error, AudioError):
        return 422, f"This can't be used: {error}."
    if isinstance(error, OSError) and error.strerror:  # the disk is full, say
        return 503, f"The song can't be kept: {error.strerror}."
    return 500, str(error) if isinstance(error, UserError) else unexpected(error, "a request")
