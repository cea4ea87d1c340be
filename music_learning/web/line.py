"""Those whose recordings are to be heard: who holds a place, who is heard, and who waits, in the order of their coming."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 2  # recordings that are heard; more wait
MAX_WAITING = 100

T = TypeVar("T")


class Line:
    """Does so much at once, the first to come first, and tells each how many are ahead."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(AT_ONCE, "hearing")
        self.line: dict[Future, Callable[[int], None]] = {}

    @property
    def analysing(self) -> int:
        return min(len(self.line), AT_ONCE)

    @property
    def waiting(self) -> int:
        return len(self.line) - self.analysing

    def run(self, work: Callable[[], T], tell_ahead: Callable[[int], None]) -> Awaitable[T]:
        """Have a thread do something as soon as it is its turn.

        Args:
            work: what to do. Where the awaitable is cancelled it is not begun, or goes on to its end if it was.
            tell_ahead: is told how many are heard before, at once and whenever it changes; 0 once its turn has come.
        """
        loop = asyncio.get_running_loop()
        future = self.pool.submit(work)
        self.line[future] = tell_ahead
        tell_ahead(self._ahead(len(self.line) - 1))
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, future))
        return asyncio.wrap_future(future)

    def _leave(self, future: Future) -> None:
        places = {other: self._ahead(place) for place, other in enumerate(self.line)}
        del self.line[future]
        for place, (other, tell_ahead) in enumerate(self.line.items()):
            if (ahead := self._ahead(place)) != places[other]:
                tell_ahead(ahead)

    def _ahead(self, place: int) -> int:
        return place if place >= AT_ONCE else 0
