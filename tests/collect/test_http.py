import socket
import threading
import time

import pytest
import requests

from music_learning.collect.failures import (
    BadDownload,
    Failed,
    Malformed,
    RetryLater,
    Skip,
    Stopped,
    Throttled,
)
from music_learning.collect.http import MAX_ASKED_S, Limiter, Service, address, local_speed, retry_after_s
from music_learning.collect.session import MAX_JSON_BYTES, describe, read
from music_learning.errors import UserError
from tools.fake_services import Faults, Services, World, serve


@pytest.fixture
def server():
    server = serve(Services(World(kind="small"), Faults()))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def service(server, http, monkeypatch):
    monkeypatch.setenv("COLLECTION_SPEED", "1000")
    return Service("Test", http, f"http://127.0.0.1:{server.server_address[1]}", per_s=9)


@pytest.fixture
def answers(server):
    """path -> what the server answers: (status, type, body, headers), or a function of the handler."""
    return server.services.world.changed


def sequence(*steps):
    """A function that does one step after the other: raises exceptions, returns values."""
    remaining = iter(steps)

    def attempt():
        step = next(remaining)
        if isinstance(step, Exception):
            raise step
        return step

    return attempt


def test_limiter_spaces_requests_evenly():
    limiter = Limiter(50, threading.Event())
    begin = time.monotonic()
    for _ in range(6):
        limiter.wait()
    assert time.monotonic() - begin >= 0.1


def test_limiter_makes_up_for_a_late_thread_but_never_for_idleness():
    limiter = Limiter(50, threading.Event())
    limiter.wait()
    time.sleep(0.2)
    begin = time.monotonic()
    for _ in range(3):
        limiter.wait()
    assert time.monotonic() - begin >= 0.04


def test_pause_holds_all_threads_back():
    limiter = Limiter(1000, threading.Event())
    limiter.pause(0.2)
    begin, waited = time.monotonic(), []
    threads = [threading.Thread(target=lambda: (limiter.wait(), waited.append(time.monotonic()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(waited) - begin >= 0.19


def test_pause_reaches_those_who_wait_already():
    class PausedWhileWaitedFor(threading.Event):
        def wait(self, timeout=None):
            if limiter.paused_until == 0:
                limiter.pause(0.3)
            return super().wait(timeout)

    limiter = Limiter(10, PausedWhileWaitedFor())
    begin = time.monotonic()
    limiter.wait()
    assert time.monotonic() - begin >= 0.3


def test_stop_ends_the_waiting():
    stop = threading.Event()
    limiter = Limiter(0.01, stop)
    limiter.wait()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        limiter.wait()


def test_answer_is_kept_and_not_asked_again(service):
    assert service.ask("song", sequence({"a": 1})) == {"a": 1}
    assert service.ask("song", sequence()) == {"a": 1}


def test_old_answer_is_asked_again(service):
    service.ask("song", sequence("old"))
    assert service.ask("song", sequence("new"), max_age_s=0) == "new"


def test_of_several_requests_only_the_new_are_asked_together_and_once(service):
    asked = []

    def attempt(new):
        asked.append(new)
        return {request: request.upper() if request != "c" else None for request in new}

    assert service.ask_many(["a", "b", "a", ""], attempt) == ["A", "B", "A", None]
    assert service.ask_many(["a", "b", "c", "d"], attempt) == ["A", "B", None, "D"]
    assert service.ask_many(["c", "d"], attempt) == [None, "D"]
    assert service.ask_many([], attempt) == []
    assert asked == [["a", "b"], ["c", "d"]]
    assert service.counts == {"requests": 2}


def test_answers_may_be_kept_by_another_name(service):
    service.ask_many(["a"], lambda new: dict.fromkeys(new, 1), kept_as="Test features")
    assert service.http.cache.get("Test features", ["a"]) == {"a": 1}
    assert service.http.cache.get("Test", ["a"]) == {}


def test_of_several_requests_none_is_kept_where_the_attempt_fails(service):
    def attempt(new):
        raise Skip("not now")

    with pytest.raises(Skip):
        service.ask_many(["a", "b"], attempt)
    assert service.http.cache.count() == 0


@pytest.mark.parametrize("failure", [Failed("x"), Throttled(), Throttled(0.01), Malformed("x"), BadDownload("x")])
def test_failure_is_tried_again_and_never_kept(service, failure):
    assert service.ask("song", sequence(failure, failure, "fine")) == "fine"
    assert service.counts == {"requests": 1, "retries": 2}
    assert service.http.cache.get("Test", ["song"]) == {"song": "fine"}


def test_tries_are_bounded_and_fewer_before_the_first_answer(service):
    with pytest.raises(UserError, match=r"Test \(127\.0\.0\.1\) can't be used: no luck, 4 times; check the network"):
        service.attempt(sequence(*[Failed("no luck")] * 20))
    assert service.counts.total() == 4
    with service.open(service.url):  # any answer will do
        pass
    with pytest.raises(UserError, match="8 times"):
        service.attempt(sequence(*[Failed("no luck")] * 20))
    service.attempt(sequence("fine"))
    with pytest.raises(RetryLater, match="has stopped answering: no luck, 8 times"):
        service.attempt(sequence(*[Failed("no luck")] * 20))
    assert service.http.cache.count() == 0


def test_failure_of_one_request_among_others_is_no_end(service):
    def attempt():
        service.last_success = time.monotonic() + 1
        raise Failed("no luck")

    service.attempt(sequence("fine"))
    with pytest.raises(Skip, match="no luck, 8 times"):
        service.attempt(attempt)


def test_unusable_download_says_why(service):
    with pytest.raises(BadDownload, match="too short"):
        service.attempt(sequence(*[BadDownload("too short")] * 20))
    assert service.counts.total() == 5


def test_longer_wait_than_the_user_wants_ends_the_run(service):
    with pytest.raises(RetryLater, match=r"Test asks to wait 86400 s, more than --max-wait 5; .* again after"):
        service.ask("song", sequence(Throttled(86_400)))
    assert service.http.cache.count() == 0


@pytest.mark.parametrize("seconds", [0.02, 0, -5, None])
def test_many_short_waits_end_the_run_too(service, seconds):
    """Each counts at least a second."""
    service.http.max_wait_s = 2.5
    with pytest.raises(RetryLater):
        service.attempt(sequence(*[Throttled(seconds)] * 20))
    assert service.counts.total() == 3


def test_waits_are_told(service):
    told = []
    service.http.note = lambda line: (told.append(line), service.http.stop.set())
    service.http.max_wait_s = 100
    with pytest.raises(Stopped):
        service.attempt(sequence(Throttled(30), "fine"))
    assert told == ["Test asks to wait 30 s"]


def test_json_and_404(service, answers):
    answers["/x"] = (200, "application/json", b'\n\n{"a": null}')
    assert service.get_json("/x") == {"a": None}
    assert service.get_json("/gone") is None


BAD_ANSWERS = {
    "proxy's page": ((200, "text/html", b"<html>Please log in</html>"), Malformed, "a web page instead of JSON"),
    "empty": ((200, "application/json", b""), Malformed, "something instead of JSON"),
    "no UTF-8": ((200, "application/json", b"\xff\xfe\x00"), Malformed, "something instead of JSON"),
    "HTTP 500": ((500, "text/html", b""), Failed, "HTTP 500"),
    "HTTP 503": ((503, "text/html", b""), Failed, "HTTP 503"),
    "HTTP 503 with Retry-After": ((503, "text/html", b"", {"Retry-After": "7"}), Throttled, "^$"),
    "HTTP 429": ((429, "text/html", b""), Throttled, "^$"),
    "HTTP 403": ((403, "text/html", b""), UserError, "Test refuses to answer .HTTP 403"),
    "HTTP 400": ((400, "text/html", b""), UserError, "Test refuses to answer .HTTP 400"),
    "HTTP 302 to nowhere": ((302, "text/html", b"", {"Location": "http://127.0.0.1:9/"}), Failed, "connection failed"),
    "too large": ((200, "application/json", b" " * (MAX_JSON_BYTES + 1)), Malformed, "larger than 5 MB"),
    "null": ((200, "application/json", b"null"), Malformed, "something instead of JSON"),
    "too deep": ((200, "application/json", b"[" * 100_000), Malformed, "something instead of JSON"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answer(service, answers, case):
    answer, exception, message = BAD_ANSWERS[case]
    answers["/x"] = answer
    with pytest.raises(exception, match=message) as caught:
        service.get_json("/x")
    assert caught.type is exception


def test_one_odd_request_does_not_end_the_run_of_a_service_that_works(service, answers):
    answers["/x"] = (400, "text/html", b"")
    service.attempt(sequence("fine"))
    with pytest.raises(Skip):
        service.get_json("/x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("-inf", 0),
        ("inf", MAX_ASKED_S),
        ("1e999", MAX_ASKED_S),
        ("9" * 400, MAX_ASKED_S),
        ("9" * 10_000, MAX_ASKED_S),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_ASKED_S),
        *((text, None) for text in ("", "soon", "nan", "1 Jan", "²", "\0", "Wed, 99 Oct 2015 99:99:99 GMT")),
    ],
)
def test_retry_after(text, seconds):
    assert retry_after_s(text) == seconds


@pytest.mark.parametrize("zone", ["", " GMT", " +0000", " -0000"])
def test_retry_after_without_a_zone_is_gmt(monkeypatch, zone):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        then = time.strftime("%a, %d %b %Y %H:%M:%S", time.gmtime(time.time() + 600))
        assert 500 < retry_after_s(then + zone) <= 600
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["9" * 400, "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_wait_of_a_year_and_more_ends_the_run(service, text):
    with pytest.raises(RetryLater, match=r"Test asks to wait 31622400 s, more than --max-wait 5; .* again after \d"):
        service.attempt(sequence(Throttled(retry_after_s(text))))


def test_pause_lasts_a_second_at_least(service, monkeypatch):
    paused = []
    monkeypatch.setattr(service, "speed", 1)
    monkeypatch.setattr(service.limiter, "pause", paused.append)
    service.attempt(sequence(Throttled(0), Throttled(0.5), Throttled(2), "fine"))
    assert paused == [1, 1, 2]


def test_kept_answer_of_another_shape_is_asked_for_again(service):
    service.http.cache.put("Test", {"a": {"x": 1}, "b": ["x"], "c": None})
    assert service.ask("a", sequence(["new"]), shape=[str]) == ["new"]
    assert service.ask("a", sequence(), shape=[str]) == ["new"]
    assert service.ask("b", sequence(), shape=[str]) == ["x"]
    assert service.ask("c", sequence(), shape=[str]) is None


def half_a_body(handler):
    handler.reset = True
    handler.reply(200, "application/json", b'{"a": 1}' * 100)


def test_reset_in_mid_body(service, answers):
    answers["/x"] = half_a_body
    with pytest.raises(Failed, match="connection failed"):
        service.get_json("/x")


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"http://127.0.0.1:{port}/", timeout=5)
    assert describe(caught.value) == "the connection failed"


def test_endless_stream_is_cut_off(service, answers):
    written = []

    def stream(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 10**6)
                written.append(10**6)
        except OSError:
            handler.close_connection = True

    answers["/x"] = stream
    with service.open(service.url + "/x") as response, pytest.raises(BadDownload, match="larger than 5 MB"):
        list(read(response, max_bytes=5_000_000))
    assert sum(written) < 100 * 10**6


def test_connections_are_used_again(service, answers, server):
    ports = set()

    def note_port(handler):
        ports.add(handler.client_address[1])
        handler.reply(200, "application/json", b"{}")

    answers["/x"] = note_port
    for _ in range(5):
        service.get_json("/x")
    assert len(ports) == 1
    assert len(server.services.log) == 5


def test_cookies_are_not_kept(service, answers):
    answers["/x"] = (200, "application/json", b"{}", {"Set-Cookie": "who=me; Path=/"})
    service.get_json("/x")
    assert not service.http.session.cookies


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "no address", "http://", "http://[", ""])
def test_odd_preview_address_is_no_traceback(service, url):
    with pytest.raises(Failed):
        service.open(url)


def test_only_servers_on_this_machine_are_asked_faster(monkeypatch):
    monkeypatch.setenv("COLLECTION_SPEED", "100")
    assert local_speed("http://127.0.0.1:80/x") == local_speed("http://localhost") == 100
    assert local_speed("https://api.deezer.com") == local_speed("http://127.0.0.1.example.com") == 1


def test_address(monkeypatch):
    monkeypatch.delenv("SOME_URL", raising=False)
    assert address("SOME_URL", "https://a.example") == "https://a.example"
    monkeypatch.setenv("SOME_URL", "http://b.example/v1/")
    assert address("SOME_URL", "https://a.example") == "http://b.example/v1"
    for wrong in ("b.example", "http://["):
        monkeypatch.setenv("SOME_URL", wrong)
        with pytest.raises(UserError, match=r"SOME_URL is '.*'; expected an address that begins with https"):
            address("SOME_URL", "https://a.example")


def test_error_about_a_proxy_does_not_show_its_password(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:pass-word@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(Failed) as caught:
        service.open("http://music.example/")
    assert str(caught.value) == "the proxy can't be used"
    assert "pass-word" not in repr(caught.value)
