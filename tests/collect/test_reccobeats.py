"""ReccoBeats before the local servers."""

import time

import pytest
import requests
from collect.fake_songs import asked, deezer_song, json_answer, pick, spotify_song

from music_learning.collect.failures import RetryLater
from music_learning.collect.reccobeats import ReccoBeats
from music_learning.columns import TARGETS


def test_labels_are_joined_whatever_the_order(server, http, services, world):
    songs = [deezer_song(world, k) for k in range(40)]
    found = ReccoBeats(http).labels_for(songs)
    assert [labels is not None for labels in found] == [world.has_labels(k) for k in range(40)]
    for k, labels in enumerate(found):
        if labels and k % 10:
            assert float(labels["energy"]) == world.features(k)["energy"]
            assert float(labels["tempo_bpm"]) == world.features(k)["tempo"]
    assert len(asked(services)) == 1


def test_labels_by_spotify_id(server, http, world):
    known, unknown = spotify_song(world, pick(world)), spotify_song(world, pick(world, labels=False))
    (labels, none) = ReccoBeats(http).labels_for([known, unknown])
    assert none is None
    assert float(labels["valence"]) == world.features(pick(world))["valence"]


def test_several_rows_of_one_isrc_give_always_the_same(server, http, world):
    song = deezer_song(world, next(k for k in range(0, 2000, 10) if world.has_labels(k)))
    energies = set()
    for _ in range(6):
        http.cache.database.execute("DELETE FROM answers")
        energies.add(ReccoBeats(http).labels_for([song])[0]["energy"])
    assert len(energies) == 1


def test_known_labels_are_not_asked_again(server, http, services, world):
    client = ReccoBeats(http)
    client.labels_for([deezer_song(world, k) for k in range(10)])
    client.labels_for([deezer_song(world, k) for k in range(15)])
    assert asked(services)[1].count("QZTST") == 5
    client.labels_for([deezer_song(world, k) for k in range(15)])
    assert len(asked(services)) == 2


def test_song_without_isrc_is_not_asked_for(server, http, services, world):
    assert ReccoBeats(http).labels_for([deezer_song(world, 1) | {"isrc": ""}]) == [None]
    assert asked(services) == []


def test_retry_after_is_honoured(server, http, services, world):
    services.faults.retry_after_every = 2
    client = ReccoBeats(http)
    client.labels_for([deezer_song(world, 1)])
    begin = time.monotonic()
    client.labels_for([deezer_song(world, 2)])
    assert time.monotonic() - begin >= 1
    world.retry_after_s = 3600
    services.counts.clear()
    client.labels_for([deezer_song(world, 3)])
    with pytest.raises(RetryLater, match="ReccoBeats asks to wait 3600 s"):
        client.labels_for([deezer_song(world, 4)])
    assert http.cache.get("ReccoBeats", [world.isrc(4)]) == {}


def test_default_user_agent_would_be_refused(server, http, world):
    http.session.headers["User-Agent"] = requests.utils.default_user_agent()
    with pytest.raises(match=r"ReccoBeats refuses to answer \(HTTP 403\)"):
        ReccoBeats(http).labels_for([deezer_song(world, 1)])


@pytest.mark.parametrize("energy", [None, "0.5", [], True, "high"], ids=repr)
def test_label_that_is_no_number_is_empty(server, http, world, energy):
    row = {"id": "u", "href": None, "isrc": world.isrc(1), **dict.fromkeys(TARGETS, 0.5), "energy": energy}
    world.changed["/reccobeats/v1/audio-features"] = json_answer({"content": [row, None, {"id": None}]})
    (labels,) = ReccoBeats(http).labels_for([deezer_song(world, 1)])
    assert (labels["energy"], labels["valence"]) == ("", "0.5")


@pytest.mark.parametrize("kept", [5, [1, 2, 3], {"x": "1"}, {"energy": "0.5"}], ids=repr)
def test_kept_labels_of_another_shape_are_asked_for_again(server, http, world, kept):
    song = next(k for k in range(1, 2000) if world.has_labels(k) and k % 10)
    http.cache.put("ReccoBeats", {world.isrc(song): kept})
    (labels,) = ReccoBeats(http).labels_for([deezer_song(world, song)])
    assert float(labels["energy"]) == world.features(song)["energy"]
