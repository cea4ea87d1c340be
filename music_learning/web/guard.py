"""Who may ask, how long it may take, and what a browser may do with an answer."""

import asyncio
import ipaddress
import json
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10  # for a request's headers; and for what comes of a body behind its answer
MAX_REQUEST_S = 3600
MAX_CONNECTIONS = 500
UNREAD_S = 60  # an answer of which nothing is read
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    **dict.fromkeys(("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"), "same-origin"),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class Guard:
    """Turns away what other sites' pages send from somebody's browser; their names are none of this server's, even
    where they lead to this machine (DNS rebinding). Each answer gets the headers above."""

    def __init__(self, app: ASGIApp, names: set[str], *, any_address: bool) -> None:
        """`names` are the server's own, as `Host` has them without the port; `any_address`: so are all addresses."""
        self.app, self.names, self.any_address = app, names, any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        reason = self.refusal(scope["method"], Headers(scope=scope))
        app = self.app if reason is None else JSONResponse({"error": reason}, 403)
        async with asyncio.timeout(MAX_REQUEST_S):
            await app(scope, receive, send_with_headers)

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why a request is turned away, or None."""
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self.is_own(host):
            return f"this server is not called {host[:100]!r}; if it should be, start it with --public-host"
        is_foreign = origin is not None and origin.lower().partition("://")[2] != host
        if method not in ("GET", "HEAD") and (is_foreign or headers.get("sec-fetch-site") == "cross-site"):
            return "only this server's own page and programs may send songs, no page of another site"
        return None

    def is_own(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host)
        try:
            return name in self.names or (self.any_address and bool(ipaddress.ip_address(name.strip("[]"))))
        except ValueError:
            return False


class Connection(H11Protocol):
    """A connection that ends where no whole headers come, or an answer is not read, for which uvicorn itself would wait
    without end."""

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self.loop.call_later(HEADERS_S, self.end_without_request_after, None)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Here uvicorn would read no further than a second request, and so not see that the client leaves."""
        if self.cycle is None or self.cycle.more_body or self.cycle.response_complete:
            super().data_received(data)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        self.unread.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(json.dumps({"error": msg}))

    def on_response_complete(self) -> None:
        self.loop.call_later(HEADERS_S, self.end_without_request_after, self.cycle)
        super().on_response_complete()

    def end_without_request_after(self, cycle) -> None:
        if self.cycle is cycle:
            self.transport.abort()
