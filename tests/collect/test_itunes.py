"""iTunes before the local servers."""

import pytest
from collect.fake_songs import asked, deezer_song

from music_learning.collect.http import RetryLater
from music_learning.collect.itunes import ITunes


def test_itunes_finds_by_artist_and_title(server, http, world):
    client = ITunes(http, country="US")
    assert client.preview_url(deezer_song(world, 2)).endswith("/previews/2.m4a")
    assert client.preview_url(deezer_song(world, 3)) == ""


def test_itunes_403_is_a_throttle(server, http, services, world):
    world.changed["/itunes/search"] = (403, "text/html", b"")
    http.max_wait_s = 0.01
    with pytest.raises(RetryLater, match="iTunes asks to wait"):
        ITunes(http, country="US").preview_url(deezer_song(world, 2))
    assert http.cache.count() == 0


def test_country_reaches_itunes(server, http, services, world):
    ITunes(http, country="DE").preview_url(deezer_song(world, 2))
    assert "country=DE" in asked(services)[0]
