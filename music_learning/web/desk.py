"""Takes recordings in, has them heard in their turn, and stops what nobody waits for any more."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from music_learning.errors import AudioError, unexpected
from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs
from music_learning.web.hearing import Hearing, give_back_memory
from music_learning.web.line import Line
from music_learning.web.uploads import Uploads

MAX_EXPLAINED = 10  # recordings that wait for their explanation, each of which keeps up to 20 MB
PULSE_S = 15  # of an event stream, lest a proxy takes it for dead
CLIENT_GONE = 499  # nobody reads it

Say = Callable[[str, dict], None]


class Desk:
    """The models, the saved songs, and all that is on its way through them."""

    def __init__(self, predictor: Predictor, data: DataPaths, folder: Path) -> None:
        self.predictor = predictor
        self.saved = None
        if (demo := DataPaths(data.demo)).songs.exists():
            self.saved = SavedSongs.open(demo)
            self.saved.check_pipeline(predictor.pipeline.config)
        self.songs = {} if self.saved is None else {song["song_id"]: song for song in self.saved.songs}
        self.uploads = Uploads(folder)
        self.line = Line()
        self.explainer = ThreadPoolExecutor(1, "explaining")
        self.n_explained = 0
        self.tasks: set[asyncio.Task] = set()

    async def upload(self, request: Request, *, name: str | None, explain: bool) -> Response:
        """The answer to a request that brings a recording."""
        length = request.headers.get("content-length", "")
        async with AsyncExitStack() as place:
            upload = await place.enter_async_context(self.uploads.place(int(length) if length.isdigit() else 0))
            await self.uploads.receive(request, upload, name)
            work = partial(Hearing.file, path=upload.path, name=upload.name)
            return await self._answer(request, work, place.pop_all(), explain=explain)

    async def example(self, request: Request, song_id: str, *, explain: bool) -> Response:
        """The answer to a request for a saved song."""
        if song_id not in self.songs:
            raise HTTPException(404, "There is no such example.")
        async with AsyncExitStack() as place:
            await place.enter_async_context(self.uploads.place())
            work = partial(Hearing.example, saved=self.saved, song=self.songs[song_id])
            return await self._answer(request, work, place.pop_all(), explain=explain)

    async def _answer(
        self, request: Request, work: Callable[[Hearing], dict], place: AsyncExitStack, *, explain: bool
    ) -> Response:
        """A stream of events, or JSON, as the request has it. Its work ends where nobody waits for it any more."""
        events: asyncio.Queue[tuple[str, dict] | None] = asyncio.Queue()
        streams = "text/event-stream" in request.headers.get("accept", "")

        def say(name: str, data: dict) -> None:
            events.put_nowait((name, data))

        task = asyncio.create_task(self._work(work, say, place, explain=explain))
        task.add_done_callback(lambda _: events.put_nowait(None))
        for one in (task, asyncio.create_task(stop_without_client(request, task))):
            self.tasks.add(one)
            one.add_done_callback(self.tasks.discard)
        if streams:
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(stream(events, task), headers=headers, media_type="text/event-stream")
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        return Response(status_code=CLIENT_GONE) if task.cancelled() else JSONResponse(task.result())

    async def _work(self, work: Callable[[Hearing], dict], say: Say, place: AsyncExitStack, *, explain: bool) -> dict:
        loop = asyncio.get_running_loop()

        def progress(heard_s: float, duration_s: float | None) -> None:
            data = {"heard_s": heard_s, "duration_s": duration_s}
            loop.call_soon_threadsafe(say, "progress", data)

        hearing = Hearing(self.predictor, explain=explain, progress=progress)
        try:
            async with place:
                result = await self.line.run(
                    partial(tidily, work, hearing), lambda ahead: say("waiting", {"ahead": ahead})
                )
            say("result", result)
            if explain:
                result = result | {"explanation": await self._explanation(hearing)}
                say("explanation", result["explanation"])
            return result
        finally:
            hearing.stopped.set()

    async def _explanation(self, hearing: Hearing) -> dict:
        """Found while nobody waits to be heard."""
        if self.n_explained >= MAX_EXPLAINED:
            return {"sentences": None, "reason": "Too many songs wait for their explanation; try again later."}
        self.n_explained += 1
        try:
            work = partial(tidily, Hearing.explanation, hearing, lambda: not self.line.line)
            return await asyncio.get_running_loop().run_in_executor(self.explainer, work)
        finally:
            self.n_explained -= 1


def tidily(work: Callable, *arguments: object) -> dict:
    try:
        return work(*arguments)
    finally:
        give_back_memory()


async def stop_without_client(request: Request, task: asyncio.Task) -> None:
    """Cancel a task as soon as the request's connection is closed, or the answer sent."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    task.cancel()


async def stream(events: asyncio.Queue, task: asyncio.Task) -> AsyncIterator[str]:
    """What is said on the way to a result as server-sent events."""
    while True:
        try:
            event = await asyncio.wait_for(events.get(), PULSE_S)
        except TimeoutError:
            yield ": still at it\n\n"
            continue
        if event is None:
            break
        yield server_sent(*event)
    if not task.cancelled() and (error := task.exception()) is not None:
        status, sentence = problem(error)
        yield server_sent("error", {"error": sentence, "status": status})


def server_sent(name: str, data: dict) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


def problem(error: BaseException) -> tuple[int, str]:
    """The status and the sentence for an error."""
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, AudioError):
        return 422, f"This can't be used: {error}."
    return 500, unexpected(error, "a request")
