"""What a recording is turned into, and where that ends."""

import pytest

from music_learning.errors import AudioError
from music_learning.predict.predictor import SILENT
from music_learning.web import hearing as module
from music_learning.web.hearing import Hearing, Stopped


@pytest.fixture
def hear(predictor):
    def one(path, *, explain=False, progress=lambda _: None):
        hearing = Hearing(predictor, explain=explain, progress=progress)
        return hearing, hearing.file(path, path.name)

    return one


def test_values_are_the_predictor_s(hear, predictor, songs):
    _, json = hear(songs / "My Song.mp3")
    expected = predictor.predict(songs / "My Song.mp3").to_dict()
    assert {name: json[name] for name in expected} == expected


def test_long_recording_is_cut_and_says_so(hear, songs, monkeypatch):
    monkeypatch.setattr(module, "MAX_LENGTH_S", 30)
    told = []
    _, json = hear(songs / "long.wav", progress=told.append)
    assert json["duration_s"] == 30
    assert any("Only the first 0:30" in warning for warning in json["warnings"])
    assert told == [{"heard_s": 30, "duration_s": 95}]


def test_slow_recording_is_given_up(hear, songs, monkeypatch):
    monkeypatch.setattr(module, "MAX_WORK_S", -1)
    with pytest.raises(AudioError, match="it takes longer than"):
        hear(songs / "My Song.mp3")


def test_stopped_and_given_up_where_nothing_can_be_decoded(predictor, tmp_path, monkeypatch):
    path = tmp_path / "a.aac"  # whole frames with nothing in them
    path.write_bytes(b"\xff\xf1\x50\x80\x01\x7f\xfc\0\0\0\0" * 10_000)
    hearing = Hearing(predictor, explain=False, progress=print)
    hearing.stopped.set()
    with pytest.raises(Stopped):
        hearing.file(path, "a.aac")
    hearing.stopped.clear()
    monkeypatch.setattr(module, "MAX_WORK_S", 0)
    with pytest.raises(AudioError, match="it takes longer than"):
        hearing.file(path, "a.aac")


def test_stopped_between_two_windows(predictor, songs):
    told = []

    def stop(progress):
        told.append(progress)
        hearing.stopped.set()

    hearing = Hearing(predictor, explain=False, progress=stop)
    with pytest.raises(Stopped):
        hearing.file(songs / "long.wav", "long.wav")
    assert [progress["heard_s"] for progress in told] == [30]


def test_explanation_of_what_was_heard(hear, predictor, songs):
    hearing, _ = hear(songs / "My Song.mp3", explain=True)
    whole = predictor.predict(songs / "My Song.mp3", explain=True).explanation.to_dict()
    assert hearing.explanation(lambda: True) == whole


def test_explanation_stops_too(hear, songs):
    hearing, _ = hear(songs / "My Song.mp3", explain=True)
    hearing.stopped.set()
    with pytest.raises(Stopped):
        hearing.explanation(lambda: True)


def test_long_recordings_are_not_explained_and_nothing_is_kept_of_them(hear, songs, monkeypatch):
    monkeypatch.setattr(module, "MAX_EXPLAINED_S", 60)
    hearing, _ = hear(songs / "long.wav", explain=True)
    assert hearing.kept == []
    assert hearing.explanation(lambda: True) == {
        "sentences": None,
        "reason": "Only recordings of up to 1 minutes are explained.",
    }


def test_nothing_is_kept_unasked(hear, songs):
    hearing, _ = hear(songs / "My Song.mp3")
    assert hearing.kept == []


def test_silence_has_no_loudness_of_its_own(hear, songs):
    with pytest.raises(AudioError, match=SILENT[:6]):
        hear(songs / "silent.wav")
