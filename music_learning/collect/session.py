"""Requests that end, whatever the server does: one deadline for all of an answer, and bounds on its size and redirects.

A timeout of the socket bounds only the wait for the next byte: headers at a byte a second would last for days.
"""

import http.client
import io
import math
import socket
import threading
import time
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from music_learning import __version__
from music_learning.collect.failures import BadDownload, Failed, TooSlow

USER_AGENT = (
    f"music-learning/{__version__} (data_collection.py; python-requests)"  # ReccoBeats refuses Python's usual ones
)
TIMEOUT_S = (10, 20)  # to connect; between two parts of an answer
MAX_S = 30  # for a whole answer, redirects included
MAX_REDIRECTS = 5
MAX_JSON_BYTES = 5_000_000
CHUNK_BYTES = 65_536
LEADS_NOWHERE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


class _Deadline(threading.local):
    """When the request that this thread makes must be over."""

    end = math.inf


_deadline = _Deadline()


class _TimedReader(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self.raw, self.sock, self.end = raw, sock, _deadline.end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        left_s = self.end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.sock.settimeout(min(left_s, TIMEOUT_S[1]))
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """Its status line, headers and body are all read through `fp`."""

    def __init__(self, sock: socket.socket, *args, **kwargs) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Hands out our own connections, also by way of a proxy."""

    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args, **kwargs) -> urllib3.ProxyManager:
        manager = super().proxy_manager_for(*args, **kwargs)
        if type(manager) is urllib3.ProxyManager:  # SOCKS needs connections of its own
            manager.pool_classes_by_scheme = POOLS
        return manager


class Session(requests.Session):
    """A session of requests whose answers end. All its exceptions are those of requests, Failed and BadDownload."""

    def __init__(self, *, connections: int) -> None:
        super().__init__()
        self.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.max_redirects = MAX_REDIRECTS
        for scheme in POOLS:
            self.mount(f"{scheme}://", _Adapter(pool_maxsize=connections))

    def request(self, *args, **kwargs) -> requests.Response:
        _deadline.end = time.monotonic() + MAX_S
        try:
            return super().request(*args, **kwargs | {"timeout": TIMEOUT_S})
        except requests.RequestException:
            raise
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise requests.ConnectionError(str(error)) from None

    def send(self, request: requests.PreparedRequest, *, stream: bool = False, **kwargs) -> requests.Response:
        """As that of requests. An answer that isn't streamed, such as spotipy's, is of JSON, and bounded, too."""
        response = super().send(request, stream=True, **kwargs)
        if not stream:
            with response:
                body = b"".join(read(response, max_bytes=MAX_JSON_BYTES))
            response.raw = io.BytesIO(body)
            response.encoding = "utf-8"  # whatever it says: some encodings take minutes to decode
        return response

    def get_redirect_target(self, response: requests.Response) -> str | None:
        """Where an answer leads, if anywhere: to a web address, and never from an encrypted one to one that isn't."""
        if not response.is_redirect:
            return None
        response.close()  # else requests would read the body, be it endless
        try:
            place = urljoin(response.url, super().get_redirect_target(response))
            scheme, host, _ = urlsplit(place).scheme, urlsplit(place).hostname, urlsplit(place).port
        except ValueError:
            raise requests.exceptions.InvalidURL from None
        if scheme not in POOLS or not host or (scheme == "http" and urlsplit(response.url).scheme == "https"):
            raise requests.exceptions.InvalidURL
        return place


def read(response: requests.Response, *, max_bytes: int) -> Iterator[bytes]:
    """The body in parts. Raises Failed where it breaks off, TooSlow at the deadline, BadDownload if it is too large.

    When the run ends, what is under way is still read, so that the next run need not ask for it again.
    """
    size = 0
    while True:
        try:
            part = response.raw.read1(CHUNK_BYTES, decode_content=True)  # what has come, without waiting for more
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            if time.monotonic() >= _deadline.end:
                raise TooSlow(f"its answer was not whole after {MAX_S:.0f} s") from None
            raise Failed(describe(error)) from None
        if not part:
            return
        size += len(part)
        if size > max_bytes:
            raise BadDownload(f"larger than {max_bytes / 1e6:.0f} MB", tries=1)
        yield part


def describe(error: Exception) -> str:
    """What went wrong, in words. The library's own text is left out: it may hold a proxy's password."""
    if isinstance(error, (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)):
        return "the proxy can't be used"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection"
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return "it redirects again and again"
    if isinstance(error, LEADS_NOWHERE):
        return "its address is no web address, or leads to none"
    if "NameResolutionError" in repr(error):
        return "its name can't be resolved"
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    return "the connection failed"
