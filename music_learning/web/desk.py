"""Takes recordings in, has them heard in the order of their coming, and stops what nobody waits for any more."""

import asyncio
import ctypes
import gc
import json
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from music_learning.errors import AudioError, UserError, unexpected
from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs
from music_learning.web.hearing import Hearing, no_explanation
from music_learning.web.uploads import AT_ONCE, CLIENT_GONE, Uploads

MAX_EXPLAINED = 10  # recordings that wait for an explanation, each with up to 20 MB of spectrograms
PULSE_S = 15  # of a stream of events, lest a proxy takes it for dead


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
        self.line: dict[asyncio.Future, Callable[[int], None]] = {}  # who is heard or waits, and is told how many ahead
        self.n_explained = 0
        self.tasks: set[asyncio.Task] = set()  # asyncio itself would forget them

    async def upload(self, request: Request, *, name: str | None, explain: bool) -> Response:
        """The answer to a request that brings a recording. Raises HTTPException, AudioError."""
        async with AsyncExitStack() as place:
            length = int(request.headers.get("content-length", 0))
            upload = await place.enter_async_context(self.uploads.place(length))
            await self.uploads.receive(request, upload, name)
            work = partial(Hearing.file, path=upload.path, name=upload.name)
            return await self._answer(request, self._work(work, explain, place.pop_all()))

    async def example(self, request: Request, song_id: str, *, explain: bool) -> Response:
        """The answer to a request for a saved song. Raises HTTPException."""
        if song_id not in self.examples:
            raise HTTPException(404, "There is no such example.")
        async with AsyncExitStack() as place:
            await place.enter_async_context(self.uploads.place())
            work = partial(Hearing.example, saved=self.saved, song=self.examples[song_id])
            return await self._answer(request, self._work(work, explain, place.pop_all()))

    async def _answer(self, request: Request, work: Callable) -> Response:
        """JSON, or a stream of events for those who accept one."""
        events: asyncio.Queue[tuple[str, dict]] = asyncio.Queue()
        task = asyncio.create_task(work(lambda name, data: events.put_nowait((name, data))))
        task.add_done_callback(lambda _: events.put_nowait(("end", {})))
        for one in (task, asyncio.create_task(cancel_without_client(request, task))):
            self.tasks.add(one)
            one.add_done_callback(self.tasks.discard)
        if "text/event-stream" in request.headers.get("accept", ""):
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter for nginx
            return StreamingResponse(stream(events, task), headers=headers, media_type="text/event-stream")
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        return Response(status_code=CLIENT_GONE) if task.cancelled() else JSONResponse(task.result())

    def _work(self, work: Callable[[Hearing], dict], explain: bool, place: AsyncExitStack) -> Callable:
        """What is to be done for a request: a coroutine function that gives the JSON, and says events on the way."""

        async def whole(say: Callable[[str, dict], None]) -> dict:
            def progress(heard_s: float, duration_s: float | None) -> None:
                loop.call_soon_threadsafe(say, "progress", {"heard_s": heard_s, "duration_s": duration_s})

            loop = asyncio.get_running_loop()
            hearing = Hearing(self.predictor, explain=explain, progress=progress)
            try:
                async with place:
                    result = await self._heard(partial(work, hearing), lambda n: say("waiting", {"ahead": n}))
                say("result", result)
                if explain:
                    explanation = await self._explained(hearing)
                    say("explanation", explanation)
                    result = result | {"explanation": explanation}
                return result
            finally:
                hearing.stopped.set()

        return whole

    async def _heard(self, work: Callable[[], dict], tell: Callable[[int], None]) -> dict:
        future = asyncio.get_running_loop().run_in_executor(self.hearers, tidily, work)
        self.line[future] = tell
        tell(len(self.line) - 1 if len(self.line) > AT_ONCE else 0)
        try:
            return await future
        finally:
            place = list(self.line).index(future)
            del self.line[future]
            for ahead, other in enumerate(self.line.values()):
                if ahead >= max(place, AT_ONCE - 1):
                    other(ahead if ahead >= AT_ONCE else 0)

    async def _explained(self, hearing: Hearing) -> dict:
        """The explanation, for which others never wait."""
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
    """Cancel a task as soon as the request's connection is closed; once it is answered nothing happens."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    task.cancel()


async def stream(events: asyncio.Queue[tuple[str, dict]], task: asyncio.Task) -> AsyncIterator[str]:
    """What is said on the way to a result, as server-sent events."""
    while True:
        try:
            name, data = await asyncio.wait_for(events.get(), PULSE_S)
        except TimeoutError:
            yield ": still at it\n\n"
            continue
        if name == "end":
            break
        yield event(name, data)
    if not task.cancelled() and (error := task.exception()):
        status, sentence = problem(error)
        yield event("error", {"error": sentence, "status": status})


def event(name: str, data: dict) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


def problem(error: BaseException) -> tuple[int, str]:
    """The status and the sentence for an error."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, AudioError):
        return 422, f"This can't be used: {error}."
    return 500, str(error) if isinstance(error, UserError) else unexpected(error, "a request")
