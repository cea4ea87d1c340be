"""Limits hold whatever a request says of itself; what nobody wants any more is gone at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from conftest import eventually

from music_learning.web import uploads
from music_learning.web.hearing import Hearing
from tests.web.serving import all_of, connect, head, send

IN_FORM = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'


@contextmanager
def half_sent(address, desk, *headers, body=b"x"):
    """A connection on which a body has begun to come."""
    before = len(desk.uploads.held)
    with connect(address) as connection:
        connection.sendall(head("Content-Length: 50000", "Connection: close", *headers) + body)
        eventually(
            lambda: (
                len(desk.uploads.held) > before
                and any(upload.bytes and not upload.is_whole for upload in desk.uploads.held)
            )
        )
        yield connection


def is_empty(desk):
    return not desk.uploads.held and not list(desk.uploads.folder.iterdir())


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILE_MB", 0.05)
    monkeypatch.setattr(uploads, "FORM_BYTES", 1000)


def test_too_large_a_file_is_refused_before_it_comes(served, small):
    with connect(served) as connection:
        connection.sendall(head("Content-Length: 9000000000"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("headers", [(), (IN_FORM,)], ids=["body", "form"])
def test_too_large_a_file_is_refused_as_it_comes(served, desk, small, headers):
    chunk = b"7d0\r\n" + bytes(2000) + b"\r\n"
    with connect(served) as connection:
        connection.sendall(head("Transfer-Encoding: chunked", *headers))
        connection.sendall(b"%x\r\n%b\r\n" % (len(PART), PART))
        for _ in range(30):
            connection.sendall(chunk)
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert is_empty(desk)


def test_all_uploads_together_are_limited(served, desk, songs, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_ALL_MB", 0.06)
    with half_sent(served, desk, body=bytes(30_000)):
        eventually(lambda: next(iter(desk.uploads.held)).bytes == 30_000)
        answer = send(served, songs / "My Song.mp3")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
        chunked = requests.post(f"{served}/api/analyses", data=iter([bytes(10_000)] * 5), timeout=120)
        assert chunked.status_code == 503
    eventually(lambda: is_empty(desk))


def test_more_than_may_wait_are_refused_at_once(served, desk, songs, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_WAITING", 1 - uploads.AT_ONCE)
    go_on = threading.Event()
    monkeypatch.setattr(Hearing, "file", lambda *_, **__: go_on.wait(600) and {})
    with ThreadPoolExecutor(1) as pool, connect(served) as other:
        heard = pool.submit(send, served, songs / "My Song.mp3")
        eventually(lambda: desk.line)
        other.sendall(head("Content-Length: 50000"))
        answer = other.recv(1000)  # nothing of its body has been sent
        go_on.set()
        assert heard.result().status_code == 200
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 15" in answer.lower()
    eventually(lambda: is_empty(desk))


def test_who_sends_slowly_takes_no_place(served, desk, songs, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_WAITING", 1 - uploads.AT_ONCE)
    with half_sent(served, desk), half_sent(served, desk):
        assert send(served, songs / "My Song.mp3").status_code == 200


def test_upload_is_refused_where_the_line_filled_while_it_came(served, desk, songs, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_WAITING", 1 - uploads.AT_ONCE)
    go_on = threading.Event()
    monkeypatch.setattr(Hearing, "file", lambda *_, **__: go_on.wait(600) and {})
    with ThreadPoolExecutor(1) as pool, half_sent(served, desk, body=bytes(40_000)) as late:
        heard = pool.submit(send, served, songs / "My Song.mp3")
        eventually(lambda: desk.line)
        late.sendall(bytes(10_000))
        answer = all_of(late)
        go_on.set()
        assert heard.result().status_code == 200
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 15" in answer.lower()


def test_slow_upload_ends(served, desk, clock):
    with half_sent(served, desk) as slow:
        clock.put_forward(uploads.PATIENCE_S + 1)
        answer = all_of(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too slowly" in answer
    assert is_empty(desk)


def test_steady_drip_ends_too(served, desk, clock):
    with half_sent(served, desk) as slow:
        (upload,) = desk.uploads.held
        for sent in range(11, 200, 10):
            slow.sendall(b"x" * 10)
            eventually(lambda sent=sent: upload.bytes == sent or not desk.uploads.held)
            if not desk.uploads.held:
                break
            clock.put_forward(uploads.PATIENCE_S / 5)
        answer = all_of(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert sent > 11


def test_upload_that_is_quick_enough_may_take_its_time(served, desk, songs, monkeypatch, clock):
    monkeypatch.setattr(uploads, "LEAST_BYTES_S", 20_000 / uploads.PATIENCE_S)
    body = (songs / "My Song.mp3").read_bytes()

    def slowly():
        """Twice as fast as it must be, for longer than the server's patience."""
        for end in range(10_000, len(body) + 10_000, 10_000):
            yield body[end - 10_000 : end]
            eventually(lambda end=end: [min(end, len(body))] == [upload.bytes for upload in desk.uploads.held])
            clock.put_forward(uploads.PATIENCE_S / 4)

    assert len(body) > 60_000
    assert requests.post(f"{served}/api/analyses", data=slowly(), timeout=120).status_code == 200


def test_half_an_upload_is_gone_at_once(served, desk):
    for headers, body in (((), b"x"), ((IN_FORM,), PART + b"x" * 100)):
        with half_sent(served, desk, *headers, body=body):
            assert list(desk.uploads.folder.iterdir())
        eventually(lambda: is_empty(desk))


def test_full_disk_is_a_sentence(served, desk, songs):
    desk.uploads.folder.rmdir()
    desk.uploads.folder.write_text("in its place")
    answer = send(served, songs / "My Song.mp3")
    desk.uploads.folder.unlink()
    assert answer.status_code == 503
    assert answer.json()["error"].startswith("The song can't be kept: File exists")


def test_folder_that_was_cleaned_away_is_made_again(served, desk, songs):
    desk.uploads.folder.rmdir()
    assert send(served, songs / "My Song.mp3").status_code == 200


FORMS = {
    "empty": b"",
    "no part": b"--b--\r\n",
    "no form": b"nonsense",
    "no file": PART.replace(b'; filename="a.mp3"', b"") + b"/etc/passwd\r\n--b--\r\n",
    "other field": PART.replace(b'"file"', b'"song"') + b"x\r\n--b--\r\n",
    "two files": PART + b"x\r\n" + PART + b"x\r\n--b--\r\n",
    "many parts": b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n' * 50 + PART + b"x\r\n--b--\r\n",
    "long field": PART.replace(b'; filename="a.mp3"', b"") + b"x" * 20_000 + b"\r\n--b--\r\n",
    "cut off": PART + b"x" * 100,
    "long header": b"--b\r\nX: " + b"x" * 50_000 + b"\r\n\r\n\r\n--b--\r\n",
    "many headers": b"--b\r\n" + b"X: x\r\n" * 1000 + b"\r\n\r\n--b--\r\n",
}


# Starlette leaves a file that was cut off to Python.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_form_that_brings_no_song_is_a_sentence(served, desk, body):
    headers = {"Content-Type": "Multipart/form-data; boundary=b"}
    answer = requests.post(f"{served}/api/analyses", data=body, headers=headers, timeout=120)
    assert (answer.status_code, answer.json()) == (400, {"error": "Send one song, as the field `file` of a form."})
    assert is_empty(desk)


@pytest.mark.parametrize("options", ["", "; boundary=b; charset=undefined", "; boundary=" + "b" * 300])
def test_form_without_a_usable_boundary_is_a_sentence(served, options):
    answer = requests.post(
        f"{served}/api/analyses", data=PART, headers={"Content-Type": f"multipart/form-data{options}"}, timeout=120
    )
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_other_fields_are_left_out(served, songs):
    with open(songs / "My Song.mp3", "rb") as file:
        form = {"files": {"file": ("a.mp3", file)}, "data": {"path": "/etc/passwd", "name": "b.mp3"}}
        answer = requests.post(f"{served}/api/analyses", timeout=120, **form)
    assert answer.json()["file"] == "a.mp3"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("../../evil.mp3", "evil.mp3"),
        ("/etc/evil.mp3", "evil.mp3"),
        ("C:\\Music\\evil.mp3", "evil.mp3"),
        ("a\x1b[31mb.mp3", "a\\x1b[31mb.mp3"),
        ("Ça va? 你好.mp3", "Ça va? 你好.mp3"),
        ("..", ".."),
        ("", "song"),
        ("x" * 300 + ".mp3", "x" * 200),
    ],
)
def test_name_is_a_label_and_never_a_path(served, desk, songs, name, label):
    body = (songs / "My Song.mp3").read_bytes()
    answer = requests.post(f"{served}/api/analyses", params={"name": name}, data=body, timeout=120)
    assert answer.json()["file"] == label
    assert is_empty(desk)
