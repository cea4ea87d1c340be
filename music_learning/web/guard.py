"""Who may ask, and what a browser may do with an answer."""

import asyncio
import ipaddress
import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_REQUEST_S = 3600

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


class Guard:
    """Turns away requests that a page of another site makes in somebody's browser; sends headers with every answer.

    A name of another site that leads to this machine (DNS rebinding) is none of this server's names.
    """

    def __init__(self, app: ASGIApp, names: set[str], *, any_address: bool) -> None:
        """
        Args:
            app: what the others get to.
            names: the server's, as requests have them in `Host`.
            any_address: it may be called by any address as well, as all of this machine's networks reach it.
        """
        self.app, self.names, self.any_address = app, names, any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*message.get("headers", []), *own]}
            await send(message)

        reason = self.refusal(scope["method"], scope["headers"])
        refusal = None if reason is None else JSONResponse({"error": reason}, 403)
        async with asyncio.timeout(MAX_REQUEST_S):
            await (refusal or self.app)(scope, receive, send_with_headers)

    def refusal(self, method: str, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Why a request is turned away, or None."""
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        host = found.get("host", "")
        if not self.is_own(host):
            return f"This server isn't called so; start it with --public-host and its name: {host[:100]!r}."
        if method not in ("GET", "HEAD"):
            origin = found.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != host.lower():
                return "Only this server's own page may send songs."
            if found.get("sec-fetch-site") == "cross-site":
                return "Only this server's own page may send songs."
        return None

    def is_own(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host.lower())
        if name in self.names:
            return True
        try:
            return self.any_address and bool(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            return False
