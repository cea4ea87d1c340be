"""The page: its functions, its web server as a client sees it, and itself in a real browser.

Skipped where Gradio is missing, the browser's part where Chromium or Playwright is: `make page-test` installs all.
"""

import asyncio
import gc
import json
import os
import re
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, chord, start, tone, write_audio
from matplotlib.figure import Figure

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.evaluation.conformal import Interval
from music_learning.paths import DataPaths

pytest.importorskip("gradio", reason="the page's packages are missing: make page-test")

import httpx

from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import SimilarSong
from music_learning.predict.words import clock
from music_learning.web import guard
from music_learning.web import service as service_module
from music_learning.web.layout import MAX_WAITING, build_page
from music_learning.web.server import make_server, open_socket
from music_learning.web.service import Service


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """Files as people drop them, good and bad."""
    folder = tmp_path_factory.mktemp("songs")
    samples = chord(seconds=8, rate_hz=44_100) + 0.01 * np.random.default_rng(0).standard_normal(8 * 44_100)
    write_audio(folder / "My Song.mp3", samples, 44_100)
    write_audio(folder / "silent.wav", 0 * tone(seconds=5))
    write_audio(folder / "short.wav", tone(seconds=1))
    (folder / "notes.mp3").write_text("no audio at all\n" * 100)
    polyglot = b"<script>document.title='hacked'</script>" + (folder / "My Song.mp3").read_bytes()
    (folder / "polyglot.html").write_bytes(polyglot)
    return folder


@pytest.fixture(scope="module")
def service(trained, loaded, tmp_path_factory):
    return Service(Predictor.load(trained), DataPaths(loaded), tmp_path_factory.mktemp("service"))


def upload(address, path, *, name=None) -> str:
    """Upload as the page does. Returns the path on the server."""
    with open(path, "rb") as file:
        answer = httpx.post(f"{address}/gradio_api/upload", files={"files": (name or path.name, file)}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def predict(address, path, **others) -> list | None:
    """Call the page's API with a file on the server. Returns its outputs, or None where it failed."""
    data = {"path": path, "meta": {"_type": "gradio.FileData"}, **others}
    answer = httpx.post(f"{address}/gradio_api/call/predict", json={"data": [data]}, timeout=60)
    if answer.status_code != 200:
        return None
    event = answer.json()["event_id"]
    text = httpx.get(f"{address}/gradio_api/call/predict/{event}", timeout=120).text
    if "event: complete" not in text:
        return None
    return json.loads(text.split("event: complete\ndata: ", 1)[1].split("\n", 1)[0])


def test_clock():
    assert [clock(s) for s in (3, 29.95, 225, 3723)] == ["0:03", "0:30", "3:45", "1:02:03"]


def test_result_shows_the_analysis(service, songs):
    html, picture, numbers, values = service.predict_file(str(songs / "My Song.mp3"))
    assert "My Song" in html
    assert values["mood"] in html
    for target in TARGETS:
        assert f"{values[target]:.2f}" in html
    assert all(neighbour["title"] in html for neighbour in values["similar_songs"][:5])
    assert Path(picture["value"]).read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path(numbers["value"]).read_text()) == values


def test_own_songs_have_their_path_as_text(service, songs):
    analysis = service.predictor.predict(songs / "My Song.mp3")
    own = SimilarSong("1", "Title", "", 99.0, "/music/<b>&.mp3")
    html = service.page.render(replace(analysis, similar_songs=(own,), similar_artists=()), title="t", took_s=1.0)
    assert "/music/&lt;b&gt;&amp;.mp3" in html
    assert "Similar artists" not in html
    assert "Similar artists" in service.page.render(analysis, title="t", took_s=1.0)


def test_example_shows_spotify_s_values(service):
    html, *_, values = service.predict_example(0)
    assert service.saved.songs[0]["title"] in html
    assert html.count("Spotify says") == 3
    assert 0 <= values["energy"] <= 1


def test_titles_are_text_and_never_code(service, songs, tmp_path):
    path = tmp_path / "a<b onclick=x>&.mp3"
    shutil.copy(songs / "My Song.mp3", path)
    html, picture, *_ = service.predict_file(str(path))
    assert "a&lt;b onclick=x&gt;&amp;" in html
    assert re.fullmatch(r"[\w -]+\.png", Path(picture["value"]).name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("silent.wav", "silent: nothing in it is above -60 dB"),
        ("short.wav", "only 1.0 s of audio; at least 3 s are needed"),
        ("notes.mp3", "not an audio file, or too damaged to open"),
    ],
)
def test_what_can_t_be_used_is_a_sentence(service, songs, name, sentence):
    html, picture, _, values = service.predict_file(str(songs / name))
    assert f"This can&#x27;t be used: {sentence}." in html or f"This can't be used: {sentence}." in html
    assert picture["visible"] is False
    assert values == {"error": sentence}


def test_unforeseen_error_is_a_sentence(service, songs, monkeypatch):
    monkeypatch.setattr(service_module, "bounded", lambda _: 1 / 0)
    html, *_, values = service.predict_file(str(songs / "My Song.mp3"))
    assert values["error"].startswith("unexpected: ZeroDivisionError: division by zero (more in ")
    assert "please report it" in html


def test_intervals_are_drawn(service, songs):
    service.predictor.intervals = {"energy": Interval(low=(-0.5, 0, 0), high=(0.5, 0, 0), margin=0)}
    try:
        html, *_ = service.predict_file(str(songs / "My Song.mp3"))
    finally:
        service.predictor.intervals = {}
    assert html.count('class="interval"') == 1
    assert html.count("9 of 10 songs") == 1
    assert 'class="region"' not in html  # which takes intervals of valence as well


def test_mood_is_as_sure_as_what_is_known(service, songs):
    html, *_ = service.predict_file(str(songs / "My Song.mp3"))
    assert "(how likely is not known)" in html
    wide = Interval(low=(-5, 0, 0), high=(5, 0, 0), margin=0)
    service.predictor.intervals = dict.fromkeys(TARGETS, wide)
    try:
        html, *_, values = service.predict_file(str(songs / "My Song.mp3"))
    finally:
        service.predictor.intervals = {}
    assert html.count('class="region"') == 2
    assert "within the outer one for 9 of 10" in html
    assert "in 10</tspan>" in html
    assert all(f">{word}<tspan" in html for word in values["moods"])


def test_long_recording_is_cut_and_says_so(service, songs, monkeypatch):
    monkeypatch.setattr(service_module, "MAX_LENGTH_S", 30)
    path = write_audio(songs / "long.wav", chord(seconds=95, rate_hz=8_000), 8_000)
    html, *_, values = service.predict_file(str(path))
    assert values["duration_s"] == 30
    assert "Only the first 0:30" in html


def test_slow_recording_is_given_up(service, songs, monkeypatch):
    monkeypatch.setattr(service_module, "MAX_WORK_S", -1)
    html, *_ = service.predict_file(str(songs / "My Song.mp3"))
    assert "it takes longer than" in html


def test_old_files_are_swept_and_new_ones_kept(tmp_path):
    for name in ("old/a.png", "old/b.json", "new/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty and new").mkdir()
    long_ago = (time.time() - 1000,) * 2
    for name in ("old/a.png", "old/b.json"):
        os.utime(tmp_path / name, long_ago)
    guard.sweep(tmp_path, 600)
    os.utime(tmp_path / "old", long_ago)  # emptying it was a change
    guard.sweep(tmp_path, 600)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c.png", "empty and new", "new"]


def test_taken_port_is_a_sentence():
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(UserError, match="try another --port"):
        open_socket("127.0.0.1", taken.getsockname()[1])


def test_default_address_is_this_machine_only(address):
    assert address.startswith("http://127.0.0.1:")


def test_picture_is_not_left_in_memory(service, songs):
    def figures():
        return sum(type(thing) is Figure for thing in gc.get_objects())

    gc.disable()
    try:
        before = figures()
        service.predict_file(str(songs / "My Song.mp3"))
        assert figures() <= before
    finally:
        gc.enable()


def test_last_results_of_many_visitors_are_not_kept(service):
    async def visit():  # in a loop, since Gradio would make some otherwise and leave them open
        page = build_page(service)
        make_server(page, service.folder)
        for visitor in range(MAX_WAITING + 50):
            assert page.state_holder[str(visitor)].components
        assert len(page.state_holder.session_data) == MAX_WAITING

    asyncio.run(visit())


def test_api_answers_with_numbers(address, songs):
    *_, values = predict(address, upload(address, songs / "My Song.mp3"))
    assert set(TARGETS) <= set(values)


def test_fifty_uploads_at_once_get_each_its_own_answer(address, songs):
    """One in ten is a song: drawing pictures takes most of the time."""
    names = [*["silent.wav", "short.wav", "notes.mp3"] * 3, "My Song.mp3"] * 5
    errors = {"silent.wav": "silent: ", "short.wav": "only 1.0 s of audio", "notes.mp3": "not an audio file"}

    def one(name):
        return predict(address, upload(address, songs / name))[-1]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, names))
    assert len(answers) == 50
    for name, answer in zip(names, answers, strict=True):
        assert name not in errors or answer["error"].startswith(errors[name])
    assert len({answer["energy"] for answer in answers[9::10]}) == 1
    assert httpx.get(address, timeout=30).status_code == 200


@pytest.mark.parametrize(
    "name", ["../../evil.mp3", "/etc/evil.mp3", "..\\..\\evil.mp3", "a\x00b.mp3", "x" * 300 + ".mp3"]
)
def test_names_with_path_parts_stay_in_the_folder(address, songs, name):
    path = Path(upload(address, songs / "My Song.mp3", name=name))
    assert "music-learning-" in path.parts[-3]
    assert ".." not in path.parts
    assert predict(address, str(path)) is not None


SECRETS = [
    "README.md",
    "models/energy.json",
    "/etc/passwd",
    "data/demo/songs.csv",
    "../../etc/passwd",
    "..%2f..%2fetc/passwd",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "route", ["gradio_api/file=", "file=", "static/", "assets/", "gradio_api/deep_link?session_hash="]
)
def test_no_file_of_the_server_is_served(address, route, secret):
    for name in (secret, str(ROOT / secret)):
        answer = httpx.get(f"{address}/{route}{name}", timeout=30)
        assert answer.status_code >= 400 or "root:" not in answer.text
        assert "music-learning" not in answer.text.lower() or answer.status_code >= 400


ELSEWHERE = [
    "README.md",
    str(ROOT / "README.md"),
    "/etc/passwd",
    "http://127.0.0.1:1/x.mp3",
    "https://example.org/x.mp3",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_only_uploads_are_analysed(address, path):
    assert predict(address, path) is None
    assert predict(address, path, url=path) is None


def test_nothing_is_fetched_for_others(address):
    for target in ("http://127.0.0.1:1/", "https://example.org/"):
        assert httpx.get(f"{address}/gradio_api/file={target}", timeout=30).status_code == 403


def test_polyglot_is_never_served_as_a_page(address, songs):
    path = upload(address, songs / "polyglot.html")
    answer = httpx.get(f"{address}/gradio_api/file={path}", timeout=30)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_too_large_an_upload_is_refused_before_it_comes(address):
    host, port = address.removeprefix("http://").split(":")
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def answer_of(guarded, path, headers=()):
    """The status with which a guard answers a request, or None where it lets it through."""
    messages = []

    async def call():
        async def send(message):
            messages.append(message)

        await guarded({"type": "http", "path": path, "headers": list(headers), "method": "POST"}, None, send)

    asyncio.run(call())
    return messages[0]["status"] if messages else None


def test_guard_turns_away_what_is_too_much(tmp_path, monkeypatch):
    async def let_through(*_):
        return None

    guarded = guard.Guard(let_through, tmp_path)
    assert answer_of(guarded, "/gradio_api/upload", [(b"content-length", b"1000")]) is None
    assert answer_of(guarded, "/gradio_api/upload", [(b"content-length", b"9000000000")]) == 413
    assert answer_of(guarded, "/gradio_api/upload", [(b"content-length", b"nonsense")]) == 411
    assert answer_of(guarded, "/gradio_api/upload") == 411
    (tmp_path / "full").write_bytes(b"x" * 2000)
    monkeypatch.setattr(guard, "MAX_FOLDER_MB", 0.001)
    assert answer_of(guarded, "/gradio_api/upload", [(b"content-length", b"10")]) == 503
    assert answer_of(guarded, "/gradio_api/file=http://x") == 403
    assert answer_of(guarded, "/gradio_api/file=/tmp/x.mp3") is None


def test_temporary_files_go_when_the_page_ends(trained, loaded, songs):
    with start("app.py", "--models", trained, "--data", loaded, "--port", 0) as process:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        folder = Path(upload(address, songs / "My Song.mp3")).parents[1]
        assert folder.exists()
        process.terminate()
        process.wait(timeout=60)
    assert not folder.exists()
