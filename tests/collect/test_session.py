"""Answers that end, before servers that never do."""

import gzip
import io
import time

import pytest
import requests

from music_learning.collect import session
from music_learning.collect.failures import BadDownload, Failed, Malformed
from music_learning.collect.http import Service
from music_learning.collect.session import MAX_JSON_BYTES, MAX_REDIRECTS, Session, describe, read
from tools.fake_services import raw

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PACKED = OK + b"Content-Encoding: gzip\r\n\r\n"


@pytest.fixture
def answers(server):
    """path -> what the server answers: (status, type, body, headers), or a function of the handler."""
    return server.services.world.changed


@pytest.fixture
def service(server, http):
    return Service("Test", http, f"http://127.0.0.1:{server.server_address[1]}", per_s=9)


# The last part comes again and again, and each time the socket's own timeout begins anew.
WITHOUT_END = {
    "headers": (OK + b"X: ", b"x"),
    "HTTP 100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (OK + b"\r\n", b" "),
    "size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n"),
    "packed nothing": (PACKED, gzip.compress(b"")),
}


@pytest.mark.parametrize("case", WITHOUT_END)
def test_one_deadline_for_all_of_an_answer(service, answers, monkeypatch, case):
    monkeypatch.setattr(session, "MAX_S", 0.2)
    begin, then = WITHOUT_END[case]
    answers["/x"] = raw(begin, then=then, pause_s=0.02)
    started = time.monotonic()
    with pytest.raises(Failed, match=r"no answer in time|its answer was not whole after 0 s"):
        service.get_json("/x")
    assert time.monotonic() - started < 45  # the server itself goes on for a minute


def test_headers_without_number_are_refused(service, answers):
    answers["/x"] = raw(OK, then=b"X: y\r\n" * 1000)
    with pytest.raises(Failed, match="the connection failed"):
        service.get_json("/x")


def test_redirects_share_the_deadline(service, answers, monkeypatch):
    monkeypatch.setattr(session, "MAX_S", 0.3)

    def slowly(handler):
        time.sleep(0.2)
        handler.reply(302, "text/html", b"", {"Location": "/x"})

    answers["/x"] = slowly
    with pytest.raises(Failed, match="no answer in time"):
        service.get_json("/x")


def test_connection_is_used_again_with_a_deadline_of_its_own(service, answers, monkeypatch):
    ports = set()

    def slowly(handler):
        time.sleep(2.1 if ports else 0)
        ports.add(handler.client_address[1])
        handler.reply(200, "application/json", b"{}")

    answers["/x"] = slowly
    monkeypatch.setattr(session, "MAX_S", 2)
    assert service.get_json("/x") == {}
    monkeypatch.setattr(session, "MAX_S", 30)
    assert service.get_json("/x") == {}
    assert len(ports) == 1


NOWHERE = {
    "a file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1/x",
    "data": "data:application/json,{}",
    "a port that is none": "http://127.0.0.1:99999/",
    "a port of letters": "http://127.0.0.1:http/",
    "half an IPv6 address": "http://[::1/x",
    "no UTF-8": "/\xff\xfe",
}


@pytest.mark.parametrize("case", NOWHERE)
def test_redirect_to_no_web_address(service, answers, case):
    answers["/x"] = (302, "text/html", b"", {"Location": NOWHERE[case]})
    with pytest.raises(Malformed, match="its address is no web address, or leads to none"):
        service.get_json("/x")
    with pytest.raises(BadDownload, match="leads to none"):
        service.open(service.url + "/x")


@pytest.mark.parametrize("place", ["", "/x", "//{host}/x", "http://{host}/x?again"])
def test_redirects_are_bounded(server, service, answers, place):
    place = place.format(host=f"127.0.0.1:{server.server_address[1]}")
    answers["/x"] = (302, "text/html", b"", {"Location": place})
    with pytest.raises(Malformed, match="it redirects again and again"):
        service.get_json("/x")
    assert len(server.services.log) == MAX_REDIRECTS + 1


def test_redirect_is_followed_and_its_body_left_unread(service, answers):
    answers["/x"] = raw(b"HTTP/1.1 302 Found\r\nLocation: /y\r\n\r\n", then=b"x" * 100_000)
    answers["/y"] = (200, "application/json", b"[1]")
    assert service.get_json("/x") == [1]


@pytest.mark.parametrize(
    ("here", "there", "allowed"),
    [
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://b.example/x", True),
        ("https://a.example/x", "/y", True),
        ("http://a.example/x", "https://a.example/x", True),
    ],
)
def test_redirect_stays_encrypted(here, there, allowed):
    response = requests.Response()
    response.status_code, response.url, response.headers["Location"] = 302, here, there
    response.raw = io.BytesIO()
    with Session(connections=1) as own:
        if allowed:
            assert own.get_redirect_target(response).startswith("https://")
        else:
            with pytest.raises(requests.exceptions.InvalidURL):
                own.get_redirect_target(response)


BOMB = gzip.compress(b" " * 50_000_000)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("links", [1, 2])
def test_packed_answer_is_unpacked_within_bounds(service, answers, stream, links):
    """Streamed, as our own clients do, or whole, as spotipy does."""
    body = BOMB if links == 1 else gzip.compress(BOMB)
    answers["/x"] = (200, "application/json", body, {"Content-Encoding": ", ".join(["gzip"] * links)})
    with pytest.raises(BadDownload, match="larger than 5 MB"):
        response = service.http.session.get(service.url + "/x", stream=stream)
        list(read(response, max_bytes=MAX_JSON_BYTES))


@pytest.mark.parametrize("charset", ["nonsense", "punycode", "latin-1"])
def test_whole_answer_is_utf8_whatever_it_says(service, answers, charset):
    answers["/x"] = (200, f"application/json; charset={charset}", '"夜"'.encode())
    response = service.http.session.get(service.url + "/x")
    assert (response.json(), response.text) == ("夜", '"夜"')


@pytest.mark.parametrize("length", ["1000", "-3", "9" * 5000, "2, 3", "x"])
def test_wrong_length(service, answers, length):
    answers["/x"] = raw(OK + f"Content-Length: {length}\r\n\r\n{{}}".encode())
    try:
        assert service.get_json("/x") == {}
    except Failed as error:
        assert str(error) == "the connection failed"


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"\x00" * 100, b"HTTP/1.1 99999 x\r\n\r\n", b""], ids=repr)
def test_what_is_no_http(service, answers, answer):
    answers["/x"] = raw(answer)
    with pytest.raises(Failed, match="the connection failed"):
        service.get_json("/x")


def test_every_error_is_one_of_requests(service):
    for url in ("http://[", "http://a\ud83c/", "x", "", "http://127.0.0.1:http"):
        with pytest.raises(requests.RequestException) as caught:
            service.http.session.get(url)
        assert describe(caught.value)
