"""What all clients share: one session, a pace per service, bounded retries, answers that are kept.

A client makes one attempt at a time and says how it failed with an exception of `failures`; `Service` decides whether
to try again, when, and when to stop.
"""

import json
import math
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from music_learning.collect.cache import MAX_AGE_S, ResponseCache
from music_learning.collect.failures import (
    TRIES,
    BadDownload,
    Failed,
    Malformed,
    RetryLater,
    Skip,
    Stopped,
    Throttled,
)
from music_learning.collect.session import LEADS_NOWHERE, MAX_JSON_BYTES, Session, describe, read
from music_learning.errors import UserError

TRIES_AT_FIRST = 4  # until a service has answered once: without a network, the user hears so after seconds
MAX_BACKOFF_S = 30
MIN_WAIT_S = 1  # that a pause counts at least: a service that asks for none, again and again, ends the run, too
MAX_ASKED_S = 366 * 24 * 3600  # of what a service asks for: more has no date
SPOKEN_OF_S = 5  # shorter waits aren't worth a line


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
        self.session = Session(connections=connections)

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

    def ask(
        self, request: str, attempt: Callable[[], Any], *, shape: Any = object, max_age_s: float = MAX_AGE_S
    ) -> Any:
        """The kept answer to a request, or else that of `attempt()`, which is then kept; it must fit into JSON.

        Args:
            shape: what a kept answer must be, see `answers.fits`; else it is asked for again.
        """
        return self.ask_many([request], lambda _: {request: attempt()}, shape=shape, max_age_s=max_age_s)[0]

    def ask_many(
        self,
        requests: list[str],
        attempt: Callable[[list[str]], dict[str, Any]],
        *,
        kept_as: str = "",
        shape: Any = object,
        max_age_s: float = MAX_AGE_S,
    ) -> list[Any]:
        """The answers to many requests, of which `attempt(new ones)` gets those that aren't kept with one call.

        Args:
            requests: an empty one is not asked for, and its answer is None.
            kept_as: whose answers they are, where a service keeps several kinds (default: the service's name).
        """
        name = kept_as or self.name
        answers = self.http.cache.get(name, filter(None, requests), shape=shape, max_age_s=max_age_s)
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
        delay_s = max(delay_s, MIN_WAIT_S / self.speed)
        pauses.waited_s += max(delay_s, MIN_WAIT_S)
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
        try:
            response = self.open(self.url + path, params)
        except BadDownload as error:
            raise Malformed(str(error)) from None
        with response:
            self.check_status(response, throttles=throttles)
            if response.status_code == 404:
                return None
            try:
                body = b"".join(read(response, max_bytes=MAX_JSON_BYTES))
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
        """Begin one GET. Raises Failed, or BadDownload where the address is none or leads to none."""
        try:
            response = self.http.session.get(url, params=params, stream=True)
        except LEADS_NOWHERE as error:
            raise BadDownload(describe(error), tries=1, remember=False) from None
        except requests.RequestException as error:
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
        when = time.strftime("%d %b %Y %H:%M", time.localtime(time.time() + wait_s))
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
    with suppress(ValueError):  # as of a bracket without its other half
        if urlsplit(url).scheme in ("http", "https"):
            return url
    raise UserError(f"{variable} is {url!r}; expected an address that begins with https://")


def local_speed(url: str) -> float:
    """How much faster than a real service a server on this machine may be asked: COLLECTION_SPEED, for the tests."""
    on_this_machine = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
    return float(os.environ.get("COLLECTION_SPEED", "1")) if on_this_machine else 1.0


def retry_after_s(text: str | None) -> float | None:
    """A Retry-After header, in seconds or as a date. None where there is none or it can't be read."""
    if text is None:
        return None
    try:
        try:
            seconds = float(text)
        except ValueError:
            when = parsedate_to_datetime(text)
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_ASKED_S)
