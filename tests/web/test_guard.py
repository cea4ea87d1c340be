"""Who may ask."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from unittest.mock import Mock

import pytest
import requests
from conftest import eventually

from music_learning.web import guard
from music_learning.web.uploads import AT_ONCE
from tests.web.serving import all_of, connect, head, send


@pytest.fixture
def refusal():
    def of(method="POST", *, names=("localhost", "songs.example.org"), any_address=False, **headers):
        guarded = guard.Guard(None, set(names), any_address=any_address)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return guarded.refusal(method, guard.Headers(named))

    return of


@pytest.fixture
def held_up(desk):
    """An event until which nothing is heard."""
    go_on = Event()
    for _ in range(AT_ONCE):
        desk.hearers.submit(go_on.wait, 600)
    yield go_on
    go_on.set()


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "LOCALHOST:1", "songs.example.org"])
def test_own_names_are_let_in(refusal, host):
    assert refusal(host=host) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "localhost:x", "127.0.0.1", "[::1", "a@localhost"],
)
def test_other_names_are_not(refusal, host):
    assert "--public-host" in refusal("GET", host=host)


def test_any_address_where_all_networks_are_served(refusal):
    for host in ("192.168.0.7", "10.0.0.1:7860", "[fe80::1]:7860", "[::1]"):
        assert refusal(host=host, any_address=True) is None
        assert refusal(host=host) is not None
    for host in ("evil.example", "192.168.0.7.evil.example", ""):
        assert refusal(host=host, any_address=True) is not None


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost:1", "https://localhost.evil", ""])
def test_pages_of_others_may_not_send(refusal, origin):
    assert "another site" in refusal(host="localhost:7860", origin=origin)
    assert refusal("GET", host="localhost:7860", origin=origin) is None  # whose answer a browser keeps to itself


def test_own_page_may(refusal):
    for origin in ("http://localhost:7860", "https://LOCALHOST:7860"):
        assert refusal(host="localhost:7860", origin=origin, sec_fetch_site="same-origin") is None
    assert refusal(host="localhost", sec_fetch_site="cross-site") is not None
    assert refusal(host="localhost") is None  # curl


def test_refused_before_anything_is_read(address, songs):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = send(address, songs / "My Song.mp3", headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["error"])


@pytest.mark.parametrize("path", ["/", "/static/index.html", "/api/health", "/nothing", "/docs"])
def test_browsers_may_load_nothing_from_elsewhere(address, path):
    headers = requests.get(address + path, timeout=120).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["permissions-policy"].startswith("microphone=(self)")


def test_connection_without_a_whole_request_ends(served, clock):
    with connect(served) as silent, connect(served) as half, connect(served) as asking:
        half.sendall(head()[:-2])
        asking.sendall(head("Content-Length: 1000000", path="/nothing") + b"x")  # whose body never ends
        answer = asking.recv(1000)  # by then the server has accepted all three
        clock.put_forward(guard.HEADERS_S + 1)
        assert all_of(silent) == all_of(half) == b""
        assert (answer + all_of(asking)).startswith(b"HTTP/1.1 404 ")


def test_client_that_sends_more_than_its_request_is_not_waited_for(served, desk, songs, held_up):
    body = (songs / "My Song.mp3").read_bytes()
    with connect(served) as connection:
        connection.sendall(head(f"Content-Length: {len(body)}") + body)
        eventually(lambda: desk.line)
        connection.sendall(b"G")
        assert all_of(connection) == b""
    eventually(lambda: not desk.line and not desk.uploads.held)


def test_answer_that_nobody_reads_ends():
    connection = guard.Connection.__new__(guard.Connection)  # a socket takes megabytes before anybody has to wait
    connection.loop, connection.transport, connection.flow = Mock(), Mock(), Mock()
    connection.pause_writing()
    connection.loop.call_later.assert_called_once_with(guard.UNREAD_S, connection.transport.abort)
    connection.resume_writing()
    connection.loop.call_later.return_value.cancel.assert_called_once()


def test_connections_are_limited(served, monkeypatch):
    monkeypatch.setattr(guard, "MAX_CONNECTIONS", 2)
    with connect(served) as first, connect(served), connect(served) as third:
        assert all_of(third) == b""
        first.sendall(head("Connection: close", path="/api/health", method="GET"))
        assert all_of(first).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("line", ["Content-Length: 1_000", "Transfer-Encoding: gzip", "Host: two"])
def test_what_is_no_request_gets_a_sentence_in_json(served, line):
    with connect(served) as connection:
        connection.sendall(head(line))
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5")
    assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]


def test_whole_requests_are_not_ended(served, desk, songs, clock, held_up):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, served, songs / "long.wav")
        eventually(lambda: desk.line)
        clock.put_forward(2 * guard.HEADERS_S)
        held_up.set()
        assert answer.result().status_code == 200


def test_request_may_not_take_for_ever(served, monkeypatch, desk, songs):
    monkeypatch.setattr(guard, "MAX_REQUEST_S", 0.3)
    with connect(served) as connection:
        connection.sendall(head("Content-Length: 1000", "Connection: close") + b"x")
        assert all_of(connection).startswith(b"HTTP/1.1 5")
    assert not desk.uploads.held
    assert list(desk.uploads.folder.iterdir()) == []
