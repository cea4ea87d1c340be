"""What all clients share: one session, a pace per service, bounded retries, bounded downloads, answers that are kept.

A client makes one attempt at a time and says how it failed with one of the exceptions below; `Service` decides whether
to try again, when, and when to stop.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from music_learning import __version__
from music_learning.collect.cache import MAX_AGE_S, ResponseCache
from music_learning.errors import UserError

USER_AGENT = (
    f"music-learning/{__version__} (data_collection.py; python-requests)"  # ReccoBeats refuses Python's usual ones
)
TIMEOUT_S = (10, 20)  # to connect; between two parts of an answer
CHUNK_BYTES = 65_536
MAX_JSON_BYTES = 5_000_000
MAX_JSON_S = 60
TRIES = 8  # with the waits between them a minute and a half: a service that is down for a minute ends no run
TRIES_AT_FIRST = 4  # until a service has answered once: without a network, the user hears so after seconds
MAX_BACKOFF_S = 30
SPOKEN_OF_S = 5  # shorter waits aren't worth a line


class Throttled(Exception):
    """The service wants a pause: `seconds`, or as long as we see fit. Never a reason to do without its answer."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__()
        self.seconds = seconds


class Failed(Exception):
    """An attempt that may go well next time: no connection, a broken answer, a server's own error."""

    tries = TRIES


class Malformed(Failed):
    """An answer that is not what the service's documentation says."""

    tries = 4


class BadDownload(Failed):
    """A download that arrived and can't be used. Tried again, since a transfer may be cut short unnoticed."""

    def __init__(self, reason: str, *, tries: int = 5, remember: bool = True) -> None:
        super().__init__(reason)
        self.tries = tries
        self.remember = remember  # so that the next run doesn't try again


class Skip(Exception):
    """Do without the answer to this one request: the service works, but can't give it. The next run asks again."""


class RetryLater(UserError):
    """End the run: a service needs a longer rest than the user wants to wait for. The same command goes on later."""


class Stopped(Exception):
    """The run is ending; raised in the threads that wait."""


class Limiter:
    """Spaces the requests to one service evenly, and holds all of them back for as long as it asked for."""

    def __init__(self, per_s: float, stop: threading.Event) -> None:
        self.interval_s = 1 / per_s
        self.stop = stop
        self.lock = threading.Lock()
        self.next_slot = self.paused_until = 0.0

    def wait(self) -> None:
        """Return when the next request may be sent. Raises Stopped."""
        while True:
            with self.lock:
                now = time.monotonic()
                slot = max(now, self.next_slot)
                self.next_slot = slot + self.interval_s
            if self.stop.wait(slot - now):
                raise Stopped
            if time.monotonic() >= self.paused_until:  # else the service asked for a pause meanwhile
                return

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.paused_until = max(self.paused_until, time.monotonic() + seconds)
            self.next_slot = max(self.next_slot, self.paused_until)


class HttpSession:
    """The session, the kept answers and the user's patience, shared by all services of a run."""

    def __init__(
        self, cache: ResponseCache, *, max_wait_s: float, connections: int, note: Callable[[str], None] = print
    ) -> None:
        """
        Args:
            max_wait_s: the longest that one request may be held back by its service.
            connections: kept open per host; at least the number of threads.
            note: shows the user a line about a wait.
        """
        self.cache = cache
        self.max_wait_s = max_wait_s
        self.note = note
        self.stop = threading.Event()
        self.services: list[Service] = []
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=connections)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def close(self) -> None:
        self.session.close()
        self.cache.close()


@dataclass
class _Pauses:
    """How often a service asked for a pause before it answered one request, and for how long in all."""

    n: int = 0
    waited_s: float = 0.0


@dataclass
class _Failures:
    """How often one request failed, and when half of its tries were used up."""

    n: int = 0
    halfway: float = 0.0


class Service:
    """One outside service: where it is, its pace, its retries, and how often it was asked."""

    def __init__(self, name: str, http: HttpSession, url: str, *, per_s: float) -> None:
        """
        Args:
            name: as the user and the kept answers know it.
            url: its address, see `address`.
            per_s: requests a second that it bears.
        """
        self.name = name
        self.http = http
        self.url = url
        self.speed = local_speed(url)
        self.limiter = Limiter(per_s * self.speed, http.stop)
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.reached = False  # it has answered something, be it an error
        self.last_success: float | None = None
        http.services.append(self)

    def ask(self, request: str, attempt: Callable[[], Any], *, max_age_s: float = MAX_AGE_S) -> Any:
        """The kept answer to a request, or else that of `attempt()`, which is then kept; it must fit into JSON."""
        return self.ask_many([request], lambda _: {request: attempt()}, max_age_s=max_age_s)[0]

    def ask_many(
        self,
        requests: list[str],
        attempt: Callable[[list[str]], dict[str, Any]],
        *,
        kept_as: str = "",
        max_age_s: float = MAX_AGE_S,
    ) -> list[Any]:
        """The answers to many requests, of which `attempt(new ones)` gets those that aren't kept with one call.

        Args:
            requests: an empty one is not asked for, and its answer is None.
            kept_as: whose answers they are, where a service keeps several kinds (default: the service's name).
        """
        name = kept_as or self.name
        answers = self.http.cache.get(name, filter(None, requests), max_age_s=max_age_s)
        if new := [request for request in dict.fromkeys(requests) if request and request not in answers]:
            found = self.attempt(lambda: attempt(new))
            self.http.cache.put(name, found)
            answers |= found
        return [answers.get(request) for request in requests]

    def attempt(self, attempt: Callable[[], Any]) -> Any:
        """Call `attempt()` at the service's pace until it goes well, and return what it returns.

        A pause that the service asks for and a failure each have a limit of their own: the user's `max_wait_s` in all,
        and the failure's number of tries.

        Raises:
            BadDownload: the last of its tries.
            Skip: all tries failed, while the service answered other requests.
            UserError: the service can't be reached; RetryLater where it could before.
            RetryLater: it wants a longer pause than the user allows.
        """
        pauses, failures = _Pauses(), _Failures()
        while True:
            self.limiter.wait()
            self._count("retries" if failures.n or pauses.n else "requests")
            try:
                answer = attempt()
            except Throttled as throttle:
                self._pause(pauses, throttle)
            except Failed as failure:
                self._wait_after(failure, failures)
            else:
                self.reached, self.last_success = True, time.monotonic()
                return answer

    def _pause(self, pauses: _Pauses, throttle: Throttled) -> None:
        """Hold all requests back for as long as the service asked for. Raises RetryLater where that is too long."""
        pauses.n += 1
        delay_s = self._backoff_s(pauses.n) if throttle.seconds is None else throttle.seconds
        pauses.waited_s += delay_s
        if pauses.waited_s > self.http.max_wait_s:
            raise self._retry_later(pauses.waited_s) from None
        self.limiter.pause(delay_s)
        if delay_s > SPOKEN_OF_S:
            self.http.note(f"{self.name} asks to wait {delay_s:.0f} s")

    def _wait_after(self, failure: Failed, failures: _Failures) -> None:
        """Wait before the next try. Raises what `attempt` does where this was the last one, Stopped if the run ends."""
        failures.n += 1
        tries = min(failure.tries, TRIES if self.reached else TRIES_AT_FIRST)
        if failures.n <= tries // 2:
            failures.halfway = time.monotonic()
        if isinstance(failure, BadDownload):
            if failures.n >= failure.tries:
                raise failure
        elif failures.n >= tries:
            raise self._give_up(failure, failures) from None
        delay_s = self._backoff_s(failures.n)
        if delay_s * self.speed > SPOKEN_OF_S:
            self.http.note(f"{self.name}: {failure}; trying again in {delay_s:.0f} s ({failures.n} of {tries})")
        if self.http.stop.wait(delay_s):
            raise Stopped from None

    def get_json(self, path: str, params: dict[str, str | int] | None = None, *, throttles=(429,)) -> Any:
        """One attempt at a JSON answer. A 404 is None.

        Args:
            throttles: the statuses that mean "too many requests".

        Raises:
            Throttled, Failed, Malformed, Skip: see there.
            UserError: the service won't talk to us at all.
        """
        with self.open(self.url + path, params) as response:
            self.check_status(response, throttles=throttles)
            if response.status_code == 404:
                return None
            try:
                body = b"".join(read(response, max_bytes=MAX_JSON_BYTES, max_s=MAX_JSON_S))
            except BadDownload as error:
                raise Malformed(f"answered with something {error}") from None
        try:
            if (value := json.loads(body)) is not None:
                return value
        except (ValueError, RecursionError):
            pass
        what = "a web page" if body.lstrip()[:1] == b"<" else "something"
        raise Malformed(f"answered with {what} instead of JSON (is there a proxy in between?)")

    def open(self, url: str, params: dict[str, str | int] | None = None) -> requests.Response:
        """Begin one GET. Raises Failed."""
        try:
            response = self.http.session.get(url, params=params, timeout=TIMEOUT_S, stream=True)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise BadDownload("its address is no web address", tries=1) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise Failed(describe(error)) from None
        self.reached = True
        return response

    def check_status(self, response: requests.Response, *, throttles=(429,)) -> None:
        """Raises Throttled, Failed, Skip or UserError unless the answer is good or a 404."""
        status = response.status_code
        if status in throttles or (status == 503 and "Retry-After" in response.headers):
            raise Throttled(retry_after_s(response.headers.get("Retry-After")))
        if status >= 500 or status == 408:
            raise Failed(f"answered with HTTP {status}")
        if status >= 300 and status != 404:
            if status not in (401, 403, 407) and self.last_success is not None:
                raise Skip(f"{self.name} answered with HTTP {status}")
            raise UserError(f"{self.name} refuses to answer (HTTP {status}); see docs/collecting.md")

    def _backoff_s(self, failures: int) -> float:
        """1, 2, 4, ... s, a quarter more or less, so that the threads don't all come back at once."""
        return min(2.0 ** (failures - 1), MAX_BACKOFF_S) * random.uniform(0.75, 1.25) / self.speed

    def _give_up(self, failure: Failed, failures: _Failures) -> Exception:
        if self.last_success is None:
            return UserError(
                f"{self.name} ({urlsplit(self.url).hostname}) can't be used: {failure}, {failures.n} times; "
                "check the network and run the same command again"
            )
        # Answers that came soon after the first failure may have been under way when the service went down.
        if self.last_success > failures.halfway:
            return Skip(f"{self.name}: {failure}, {failures.n} times")
        return RetryLater(
            f"{self.name} has stopped answering: {failure}, {failures.n} times; what was collected is saved, "
            "run the same command again later"
        )

    def _retry_later(self, wait_s: float) -> RetryLater:
        when = time.strftime("%d %b %H:%M", time.localtime(time.time() + wait_s))
        return RetryLater(
            f"{self.name} asks to wait {wait_s:.0f} s, more than --max-wait {self.http.max_wait_s:g}; what was "
            f"collected is saved, run the same command again after {when}"
        )

    def _count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def address(variable: str, default: str) -> str:
    """A service's address: the default, unless an environment variable gives another."""
    url = os.environ.get(variable, default).rstrip("/")
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{variable} is {url!r}; expected an address that begins with https://")
    return url


def local_speed(url: str) -> float:
    """How much faster than a real service a server on this machine may be asked: COLLECTION_SPEED, for the tests."""
    on_this_machine = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
    return float(os.environ.get("COLLECTION_SPEED", "1")) if on_this_machine else 1.0


def read(response: requests.Response, *, max_bytes: int, max_s: float) -> Iterator[bytes]:
    """The body in parts. Raises Failed where it breaks off, BadDownload where it is too large or too slow.

    When the run ends, what is under way is still read, so that the next run need not ask for it again.
    """
    end, size = time.monotonic() + max_s, 0
    while True:
        try:
            # Returns what has come; a read of a fixed size could be kept waiting for hours by a trickle.
            part = response.raw.read1(CHUNK_BYTES, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Failed(describe(error)) from None
        if not part:
            return
        size += len(part)
        if size > max_bytes:
            raise BadDownload(f"larger than {max_bytes / 1e6:.0f} MB", tries=1)
        if time.monotonic() > end:
            raise BadDownload(f"not finished after {max_s:.0f} s", tries=2)
        yield part


def describe(error: Exception) -> str:
    """What went wrong, in words. The library's own text is left out: it may hold a proxy's password."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy can't be used"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection"
    if "NameResolutionError" in repr(error):
        return "its name can't be resolved"
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    return "the connection failed"


def retry_after_s(text: str | None) -> float | None:
    """A Retry-After header, in seconds or as a date. None where there is none or it can't be read."""
    if text is None:
        return None
    try:
        return (
            max(0.0, float(text)) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        return None


def text_of(value: Any) -> str:
    """A field as text; whatever isn't text or a whole number is empty."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def objects_in(answer: Any, *keys: str) -> list[dict]:
    """The objects of the list that lies below the given keys of an answer. Raises Malformed where there is no list."""
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(answer, list):
        raise Malformed(f"answered without a list of {'.'.join(keys)}")
    return [entry for entry in answer if isinstance(entry, dict)]


def object_in(answer: Any, key: str) -> dict:
    """The object below a key; empty where there is none."""
    value = answer.get(key) if isinstance(answer, dict) else None
    return value if isinstance(value, dict) else {}
