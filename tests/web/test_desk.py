"""Who is heard when, and what ends where nobody waits any more."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from conftest import eventually

from music_learning.web import desk as desk_module
from music_learning.web.hearing import Hearing
from music_learning.web.uploads import AT_ONCE
from tests.web.serving import connect, events_of, head, send

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def held_up(monkeypatch):
    """An event until which every recording takes; each has its own check whether it was stopped."""
    go_on, begun = Event(), []

    class Slow(Hearing):
        def file(self, path, name):
            begun.append(self)
            while not go_on.wait(0.02):
                self._check()
            return super().file(path, name)

    monkeypatch.setattr(desk_module, "Hearing", Slow)
    go_on.begun = begun
    yield go_on
    go_on.set()


def test_line_is_served_in_order_and_told_how_many_are_ahead(served, songs, held_up):
    told = {}

    def one(number):
        with send(served, songs / "My Song.mp3", headers=STREAM, stream=True) as answer:
            told[number] = []
            for name, data in events_of(answer):
                told[number].append(data.get("ahead") if name == "waiting" else name)

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(one, number)
            eventually(lambda n=number: told.get(n))
        held_up.set()
    assert [answers[0] for answers in told.values()] == [0, 0, 2, 3, 4]
    for number in (2, 3, 4):
        waits = [said for said in told[number] if isinstance(said, int)]
        assert waits == [*range(number, AT_ONCE - 1, -1), 0]
        assert told[number][-1] == "result"


def test_health_counts(served, desk, songs, held_up):
    import requests

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(send, served, songs / "My Song.mp3")
        eventually(lambda: len(desk.line) == 3)
        assert requests.get(f"{served}/api/health", timeout=120).json() == {
            "status": "ok",
            "analysing": 2,
            "waiting": 1,
        }
        held_up.set()
    assert not desk.line


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_closing_the_connection_ends_the_work(served, desk, songs, held_up, accept):
    body = (songs / "My Song.mp3").read_bytes()
    request = head(f"Content-Length: {len(body)}", f"Accept: {accept}") + body
    connections = []
    for number in range(AT_ONCE + 1):
        connections.append(connect(served))
        connections[-1].sendall(request)
        eventually(lambda n=number: len(desk.line) > n and len(held_up.begun) == min(n + 1, AT_ONCE))
    waiting, first, second = connections[2], connections[0], connections[1]
    waiting.close()
    eventually(lambda: len(desk.line) == AT_ONCE == len(desk.uploads.held))
    first.close()
    eventually(lambda: len(desk.line) == 1 and held_up.begun[0].stopped.is_set())
    assert not held_up.begun[1].stopped.is_set()
    second.close()
    eventually(lambda: not desk.line and not desk.uploads.held and not list(desk.uploads.folder.iterdir()))
    assert len(held_up.begun) == AT_ONCE


def test_file_is_gone_and_its_place_free_before_the_explanation(served, desk, songs, monkeypatch):
    go_on = Event()
    real = Hearing.explanation
    monkeypatch.setattr(Hearing, "explanation", lambda *arguments: go_on.wait(600) and real(*arguments))
    with send(served, songs / "My Song.mp3", headers=STREAM, params={"explain": "1"}, stream=True) as answer:
        events = events_of(answer)
        while next(events)[0] != "result":
            continue
        assert not desk.uploads.held
        assert list(desk.uploads.folder.iterdir()) == []
        assert send(served, songs / "My Song.mp3").status_code == 200  # others don't wait for it
        go_on.set()
        assert next(events)[0] == "explanation"


def test_explanation_waits_until_nobody_waits_to_be_heard(predictor):
    hearing, asked = Hearing(predictor, explain=True, progress=print), []
    hearing.kept = [(None, 1.0)]

    def may_go_on():
        asked.append(time.monotonic())
        return len(asked) == 3

    with pytest.raises(Exception, match="silent"):
        hearing.explanation(may_go_on)
    assert len(asked) == 3


def test_too_many_explanations_are_refused(served, songs, monkeypatch):
    monkeypatch.setattr(desk_module, "MAX_EXPLAINED", 0)
    explanation = send(served, songs / "My Song.mp3", params={"explain": "1"}).json()["explanation"]
    assert explanation["sentences"] is None
    assert "try again" in explanation["reason"]


def test_fifty_at_once_get_each_its_own_answer(address, songs):
    names = ["My Song.mp3", "silent.wav", "short.wav", "notes.mp3", "tagged.mp3"] * 10
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda name: send(address, songs / name), names))
    for name, answer in zip(names, answers, strict=True):
        assert answer.status_code == (200 if name in ("My Song.mp3", "tagged.mp3") else 422)
        assert answer.status_code == 422 or answer.json()["file"] == name
    assert len({answer.json()["energy"] for answer in answers[::5]}) == 1
