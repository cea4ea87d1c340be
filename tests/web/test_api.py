"""The interface as a program sees it."""

import json
import re

import pytest
import requests
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from music_learning.columns import TAGS, TARGETS
from music_learning.evaluation.conformal import Interval
from music_learning.web.schema import ANALYSIS
from tests.web.serving import events_of, send

STREAM = {"Accept": "text/event-stream"}


def check(analysis: dict) -> None:
    """Every field is described, and as it is described."""
    schema = json.loads(ANALYSIS.read_text())
    Draft202012Validator(schema).validate(analysis)
    assert set(analysis) <= set(schema["properties"])
    for name in ("tags", "drawing"):
        assert set(analysis[name]) == set(schema["properties"][name]["properties"])
    for name in ("similar_songs", "similar_artists", "timeline", "markets"):
        assert all(set(item) == set(schema["properties"][name]["items"]["properties"]) for item in analysis[name])


def test_a_form_s_file_gets_its_analysis(address, songs):
    answer = send(address, songs / "My Song.mp3")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    analysis = answer.json()
    check(analysis)
    assert (analysis["schema"], analysis["name"], analysis["file"]) == (1, "My Song", "My Song.mp3")
    assert analysis["tags"] == dict.fromkeys(TAGS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", analysis["analysed_at"])
    assert analysis["duration_s"] == pytest.approx(8, abs=0.1)
    assert analysis["similar_songs"] and analysis["timeline"]
    assert "explanation" not in analysis and "spotify" not in analysis
    assert answer.headers["cache-control"] == "no-store"


def test_a_body_is_a_file_too_and_its_name_a_label(address, songs):
    body = (songs / "My Song.mp3").read_bytes()
    url = f"{address}/api/analyses"
    named = requests.post(url, data=body, params={"name": "../../etc/My <b>.mp3"}, timeout=120).json()
    assert (named["name"], named["file"]) == ("My <b>", "My <b>.mp3")
    nameless = requests.post(url, data=iter([body[:1000], body[1000:]]), timeout=120).json()  # in chunks
    assert (nameless["name"], nameless["file"]) == ("song", "song")
    assert all(named[target] == nameless[target] for target in TARGETS)


def test_name_is_the_tag_s_title(address, songs):
    analysis = send(address, songs / "tagged.mp3").json()
    assert (analysis["name"], analysis["file"]) == ("A Title", "tagged.mp3")
    assert (analysis["tags"]["artist"], analysis["tags"]["album"]) == ("An <b>Artist</b>", None)


def test_drawing_is_as_loud_as_the_song(address, songs):
    drawing = send(address, songs / "My Song.mp3").json()["drawing"]
    assert len(drawing["loudness"]) == 200
    assert max(drawing["loudness"]) == 1
    assert drawing["mood_outlines"] == []  # without intervals


def test_intervals_and_outlines(served, desk, songs, monkeypatch):
    monkeypatch.setattr(desk.predictor, "intervals", dict.fromkeys(TARGETS, Interval((-0.2, 0, 0), (0.2, 0, 0), 0)))
    analysis = send(served, songs / "My Song.mp3").json()
    check(analysis)
    assert analysis["energy_low"] < analysis["energy"] < analysis["energy_high"]
    wide, narrow = analysis["drawing"]["mood_outlines"]
    assert max(x for x, _ in wide) >= max(x for x, _ in narrow) > analysis["valence"]


def test_stream_tells_how_far_it_is(address, songs):
    with send(address, songs / "long.wav", headers=STREAM, stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        names, data = zip(*events_of(answer), strict=True)
    assert names == ("waiting", "progress", "progress", "progress", "progress", "result")
    assert data[0] == {"ahead": 0}
    assert [one["heard_s"] for one in data[1:-1]] == [30, 60, 90, 95]
    assert {one["duration_s"] for one in data[1:-1]} == {95}


def test_explanation_comes_after_the_result_or_in_it(address, songs):
    with send(address, songs / "My Song.mp3", headers=STREAM, params={"explain": "true"}, stream=True) as answer:
        *_, (first, result), (second, explanation) = events_of(answer)
    assert (first, second) == ("result", "explanation")
    assert set(explanation["sentences"]) == set(TARGETS)
    alone = send(address, songs / "My Song.mp3", params={"explain": "true"}).json()
    check(alone)
    assert alone | {"analysed_at": 0} == result | {"explanation": explanation, "analysed_at": 0}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("silent.wav", "This can't be used: silent: nothing in it is above -60 dB."),
        ("short.wav", "This can't be used: only 1.0 s of audio; at least 3 s are needed."),
        ("notes.mp3", "This can't be used: not an audio file, or too damaged to open."),
    ],
)
def test_what_can_t_be_used_is_a_sentence(address, songs, name, sentence):
    answer = send(address, songs / name)
    assert (answer.status_code, answer.json()) == (422, {"error": sentence})
    with send(address, songs / name, headers=STREAM, stream=True) as answer:
        *_, last = events_of(answer)
    assert last == ("error", {"error": sentence, "status": 422})


def test_example_is_beside_spotify_s_values(address):
    examples = requests.get(f"{address}/api/examples", timeout=120).json()
    assert examples[0].keys() == {"id", "title", "artist", "year"}
    answer = requests.post(f"{address}/api/examples/{examples[0]['id']}?explain=true", timeout=120)
    analysis = answer.json()
    check(analysis)
    assert (analysis["name"], analysis["file"]) == (examples[0]["title"], None)
    assert analysis["tags"]["artist"] == examples[0]["artist"]
    assert set(analysis["spotify"]) == set(analysis["explanation"]["sentences"]) == set(TARGETS)
    assert requests.post(f"{address}/api/examples/..%2F..%2Fetc", timeout=120).status_code == 404
    assert requests.post(f"{address}/api/examples/nothing", timeout=120).json() == {
        "error": "There is no such example."
    }


def test_models_say_what_a_page_needs(address, predictor):
    answer = requests.get(f"{address}/api/models", timeout=120)
    facts = answer.json()
    assert facts["models"] == predictor.version
    assert set(facts["mean_errors"]) == set(facts["noise"]) == set(TARGETS)
    assert facts["limits"] == {"file_mb": 300, "length_s": 7200, "least_s": 3}
    assert {len(facts["charts"][target]) for target in TARGETS} == {facts["charts"]["n_songs"]}
    assert 0 < facts["markets"]["chance"] < facts["markets"]["share"] < 1
    assert "max-age" in answer.headers["cache-control"]


def test_health(address):
    assert requests.get(f"{address}/api/health", timeout=120).json() == {"status": "ok", "analysing": 0, "waiting": 0}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/../api.py", 404),
        ("GET", "/static/..%2fapi.py", 404),
        ("GET", "/static//etc/passwd", 404),
        ("GET", "/api/analyses", 405),
        ("DELETE", "/api/health", 405),
        ("POST", "/", 405),
        ("POST", "/api/analyses?explain=banana", 400),
    ],
)
def test_every_refusal_is_json_with_a_sentence(address, method, path, status):
    request = requests.Request(method, address).prepare()
    request.url = address + path  # else `..` would be taken out
    answer = requests.Session().send(request, timeout=120)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_unforeseen_error_is_a_sentence(served, songs, monkeypatch, temporary):
    monkeypatch.setattr("music_learning.web.hearing.length_s", lambda _: 1 / 0)
    answer = send(served, songs / "My Song.mp3")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("unexpected: ZeroDivisionError: division by zero (more in ")
    (log,) = temporary.iterdir()
    assert "Traceback" in log.read_text()
    log.unlink()


def test_description_is_valid_and_its_page_needs_no_other_server(address):
    validate(requests.get(f"{address}/openapi.json", timeout=120).json())
    page = requests.get(f"{address}/docs", timeout=120).text
    parts = [part for part in re.findall(r'(?:src|href)="([^"]+)"', page) if part != "data:,"]
    assert len(parts) >= 3
    assert all(part.startswith("/static/") for part in parts)
    assert all(requests.get(address + part, timeout=120).ok for part in parts if "icon" not in part)


def test_page_and_its_files_are_asked_for_again_when_they_change(address):
    answer = requests.get(address, timeout=120)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    tag = {"If-None-Match": answer.headers["etag"]}
    assert requests.get(address, headers=tag, timeout=120).status_code in (200, 304)


def test_numbers_are_finite(address, songs):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(send(address, songs / "My Song.mp3").text, parse_constant=refuse)
