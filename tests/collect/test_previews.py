"""Previews from the local servers."""

import time

import pytest
from collect.fake_songs import asked, deezer_song, spotify_song
from conftest import chord, write_audio, write_silent_video, write_with_ffmpeg

from music_learning.collect import session
from music_learning.collect.deezer import Deezer
from music_learning.collect.failures import BadDownload
from music_learning.collect.itunes import ITunes
from music_learning.collect.previews import Previews, check_preview
from music_learning.paths import DataPaths
from music_learning.pipeline_config import FFMPEG_FORMATS, PREVIEW_FORMATS
from tools.fake_services import clip, raw


@pytest.fixture
def previews(server, http, tmp_path):
    paths = DataPaths(tmp_path / "data")
    return Previews(http, paths, deezer=Deezer(http), itunes=ITunes(http, country="US"))


def fetch(previews, world, song, *, url=None, allow_itunes=False):
    """Returns the song's row and the reason against it."""
    row = deezer_song(world, song)
    base = previews.service.url.removesuffix("/deezer")
    url = f"{base}/previews/{song}.mp3?exp={int(time.time() + 900)}" if url is None else url
    return row, previews.fetch(row, listed_url=url, allow_itunes=allow_itunes)


def test_preview_is_kept(previews, world, services):
    row, reason = fetch(previews, world, 5)
    assert reason == ""
    assert previews.paths.preview(row).read_bytes() == clip("small", int(world.features(5)["energy"] * 8) % 8)
    before = len(asked(services))
    again, _ = fetch(previews, world, 5)
    assert again == row
    assert len(asked(services)) == before


def test_damaged_or_missing_preview_is_fetched_again(previews, world):
    row, _ = fetch(previews, world, 5)
    whole = previews.paths.preview(row).read_bytes()
    previews.paths.preview(row).write_bytes(whole[:1000])
    fetch(previews, world, 5)
    assert previews.paths.preview(row).read_bytes() == whole
    previews.paths.preview(row).unlink()
    fetch(previews, world, 5)
    assert previews.paths.preview(row).read_bytes() == whole


def test_expired_url_is_renewed(previews, world, services):
    url = previews.service.url.removesuffix("/deezer") + "/previews/5.mp3?exp=1000"
    assert fetch(previews, world, 5, url=url)[1] == ""
    assert any("/deezer/track/1000005" in request for request in asked(services))


def test_urls_that_all_expire_are_no_verdict(previews, world, services):
    services.faults.expired = 1.0
    _, reason = fetch(previews, world, 5, url=previews.service.url.removesuffix("/deezer") + "/previews/5.mp3?exp=1000")
    assert reason == "its preview's address is refused, and so are new ones"
    assert previews.service.http.cache.get("previews", ["deezer-1000005"]) == {}


def test_itunes_is_the_last_resort(previews, world, services):
    song = next(k for k in range(0, 2000, 2) if not world.has_preview(k))
    _, reason = fetch(previews, world, song, url="")
    assert reason == "no preview"
    row, reason = fetch(previews, world, song, url="", allow_itunes=True)
    assert (reason, row["preview_file"]) == ("", f"deezer-{1_000_000 + song}.m4a")
    assert not any("/deezer/" in request for request in asked(services))


def test_spotify_song_without_preview_gets_deezers(previews, world, services):
    row = spotify_song(world, 5)
    assert previews.fetch(row, listed_url="", allow_itunes=False) == ""
    assert "/deezer/track/isrc:QZTST0000005" in asked(services)[0]


def audio(tmp_path, **options):
    path = write_audio(tmp_path / "a.wav", chord(**options))
    return path.read_bytes()


BAD_PREVIEWS = {
    "web page": (lambda _: (200, "text/html", b"<html>"), "a web page instead of audio", False),
    "no audio": (lambda _: (200, "audio/mpeg", b"no audio" * 1000), "not an audio file", True),
    "empty": (lambda _: (200, "audio/mpeg", b""), "not an audio file", True),
    "truncated": (
        lambda _: (200, "audio/mpeg", clip("small", 1)[:30_000]),
        "s of audio; about 30 s are expected",
        True,
    ),
    "too large": (lambda _: (200, "audio/mpeg", b"x" * 5_000_001), "larger than 5 MB", True),
    "other format": (lambda tmp_path: (200, "audio/mpeg", audio(tmp_path, seconds=30)), "not an audio file", True),
    "playlist": (lambda _: (200, "audio/mpeg", b"#EXTM3U\nfile:///etc/passwd\n"), "not an audio file", True),
    "HTTP 400": (lambda _: (400, "text/html", b""), "HTTP 400", False),
    "HTTP 401": (lambda _: (401, "text/html", b""), "HTTP 401", False),
}


@pytest.mark.parametrize("case", BAD_PREVIEWS)
def test_bad_preview_is_a_reason(previews, world, tmp_path, case):
    answer, expected, remembered = BAD_PREVIEWS[case]
    world.changed["/previews/5.mp3"] = answer(tmp_path)
    _, reason = fetch(previews, world, 5)
    assert expected in reason
    assert not previews.paths.previews.exists() or list(previews.paths.previews.iterdir()) == []
    assert ("deezer-1000005" in previews.service.http.cache.get("previews", ["deezer-1000005"])) == remembered


@pytest.mark.parametrize("url", ["ftp://a/b", "file:///etc/passwd", "nonsense", "http://"])
def test_preview_by_an_odd_address_is_a_reason(previews, world, url):
    assert "no web address" in fetch(previews, world, 5, url=url)[1]


def test_truncated_now_and_then_is_no_verdict(previews, world, services):
    services.faults.truncated = 0.4
    assert [fetch(previews, world, k)[1] for k in range(8)] == [""] * 8
    assert previews.service.counts["retries"] > 0


def test_check_preview(tmp_path):
    good = tmp_path / "good.mp3"
    good.write_bytes(clip("mp3", 3))
    check_preview(good)
    check_preview(write_with_ffmpeg(tmp_path / "a.m4a", chord(seconds=30, rate_hz=44_100), 44_100, codec="aac"))
    unknown = write_with_ffmpeg(tmp_path / "unknown.m4a", chord(seconds=30), 16_000, codec="aac")
    unknown.write_bytes(unknown.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"free"))
    for path, reason in (
        (unknown, "its audio is of an unknown kind"),
        (write_silent_video(tmp_path / "film.mp4"), "no audio in it"),
        (write_with_ffmpeg(tmp_path / "short.m4a", chord(seconds=10), 16_000, codec="aac"), "only"),
        (write_with_ffmpeg(tmp_path / "long.m4a", chord(seconds=60), 16_000, codec="aac"), "longer than 35 s"),
        (write_with_ffmpeg(tmp_path / "still.m4a", 0 * chord(seconds=30), 16_000, codec="aac"), "silent"),
    ):
        with pytest.raises(BadDownload, match=reason):
            check_preview(path)


def test_formats_are_among_those_that_the_pipeline_opens():
    assert set(PREVIEW_FORMATS.split(",")) < set(FFMPEG_FORMATS.split(","))


KEPT = {
    "another file": {"preview_file": "../../../etc/passwd", "preview_sha256": "0" * 64},
    "another song's": {"preview_file": "deezer-1000006.mp3", "preview_sha256": "0" * 64},
    "no hash": {"preview_file": "deezer-1000005.mp3"},
    "a list": ["reason"],
    "a text": "reason",
    "a reason that is none": {"reason": 5},
    "half an emoji": {"reason": "\ud83c"},
}


@pytest.mark.parametrize("case", KEPT)
def test_kept_preview_of_another_shape_is_fetched_again(previews, world, case):
    previews.service.http.cache.put("previews", {"deezer-1000005": KEPT[case]})
    row, reason = fetch(previews, world, 5)
    assert (reason, row["preview_file"]) == ("", "deezer-1000005.mp3")
    assert [path.name for path in previews.paths.previews.iterdir()] == ["deezer-1000005.mp3"]


@pytest.mark.parametrize("place", ["file:///etc/passwd", "/previews/5.mp3", "ftp://127.0.0.1/x"])
def test_preview_that_leads_nowhere_is_a_reason_for_this_run(previews, world, place):
    world.changed["/previews/5.mp3"] = (302, "text/html", b"", {"Location": place})
    assert "preview unusable: it" in fetch(previews, world, 5)[1]
    del world.changed["/previews/5.mp3"]
    assert fetch(previews, world, 5)[1] == ""


def test_preview_that_is_too_slow_is_a_reason_for_this_run(previews, world, monkeypatch):
    assert fetch(previews, world, 6)[1] == ""
    monkeypatch.setattr(session, "MAX_S", 0.1)

    def slowly(handler):
        previews.service.last_success = time.monotonic() + 60  # as others that come meanwhile
        raw(b"HTTP/1.1 200 OK\r\n\r\n", then=b"x", pause_s=0.02)(handler)

    world.changed["/previews/5.mp3"] = slowly
    reason = fetch(previews, world, 5)[1]
    assert "its answer was not whole after 0 s" in reason or "no answer in time" in reason
    monkeypatch.setattr(session, "MAX_S", 30)
    del world.changed["/previews/5.mp3"]
    assert fetch(previews, world, 5)[1] == ""
