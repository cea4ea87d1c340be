"""How the tests speak to a server."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import requests
from conftest import SURE_S


def send(address: str, path: Path, *, name: str | None = None, **options) -> requests.Response:
    """Send a file as a form does."""
    with open(path, "rb") as file:
        files = {"file": (name or path.name, file)}
        return requests.post(f"{address}/api/analyses", files=files, timeout=SURE_S, **options)


def events_of(answer: requests.Response) -> Iterator[tuple[str, dict]]:
    """The events of a stream, each with its data, as they come."""
    name = ""
    for line in answer.iter_lines():
        field, _, text = line.decode().partition(": ")
        if field == "event":
            name = text
        elif field == "data":
            yield name, json.loads(text)


def connect(address: str) -> socket.socket:
    """A connection to send anything on."""
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=SURE_S)


def head(*headers: str, path: str = "/api/analyses", method: str = "POST") -> bytes:
    """The beginning of a request, up to its body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def all_of(connection: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)
