"""Deezer before the local servers: real sockets, the real requests."""

import pytest
from collect.fake_songs import asked, json_answer

from music_learning.collect import deezer
from music_learning.collect.deezer import Deezer
from music_learning.collect.failures import RetryLater, Skip
from music_learning.errors import UserError
from tools.fake_services import (
    SONGS_PER_ARTIST,
)


def test_top_songs_come_with_isrc_by_one_request(server, http, services, world):
    songs = Deezer(http).top_songs(("1", world.name(0)))
    assert len(asked(services)) == 1
    assert [song["isrc"] for song in songs] == [world.isrc(k) for k in range(SONGS_PER_ARTIST)]
    assert {song["artist_id"] for song in songs} == {"1"}
    assert songs[0]["song_id"] == "deezer-1000000"
    assert songs[0]["preview_url"].startswith("http://127.0.0.1")


def test_artist_whom_no_search_finds(server, http, services, world):
    songs = Deezer(http).top_songs(("50", world.name(49)))
    assert [song["isrc"] for song in songs] == [world.isrc(49 * SONGS_PER_ARTIST + k) for k in range(5)]
    assert len(asked(services)) == 2 + 5


@pytest.mark.parametrize("name", ['Quo"te', "夜の歌", "A & B, C", "a\nb", "=cmd()", "../..", "%2e%2e?x=1#y"])
def test_any_name_can_be_searched(server, http, services, name):
    assert Deezer(http).top_songs(("999999", name)) == []
    assert asked(services)[0].startswith("/deezer/search?q=artist%3A%22")


def test_related_artists(server, http, world):
    related = Deezer(http).related(("1", world.name(0)))
    assert related == [(str(other + 1), world.name(other)) for other in dict.fromkeys(world.related(0))]
    assert Deezer(http).related(("1", world.name(0))) == related  # from the kept answer


def test_artist_id_never_becomes_a_path(server, http, services):
    with pytest.raises(Skip, match="code 600"):
        Deezer(http).related(("1/../../admin", "x"))
    assert asked(services) == ["/deezer/artist/1%2F..%2F..%2Fadmin/related"]


def test_chart_is_the_default_start(server, http, services):
    artists = list(Deezer(http).seed_artists([], None, []))
    assert artists[0] == ("1", "Artist 0")
    assert asked(services)[0].startswith("/deezer/chart/0/tracks")
    assert any("/playlist/101/tracks" in request for request in asked(services))


def test_start_from_a_genre_a_playlist_an_artist(server, http, services, world):
    client = Deezer(http)
    assert next(client.seed_artists([], 152, []))
    assert "/chart/152/" in asked(services)[-1]
    assert next(client.seed_artists(["https://www.deezer.com/en/playlist/107?x=y"], None, [])) == ("3", world.name(2))
    assert list(client.seed_artists([], None, ["artist 11", "6"])) == [("12", "Artist 11"), ("6", "Artist 5")]
    for unknown in ("Nobody 1", "999999"):
        with pytest.raises(UserError, match=f"Deezer knows no artist '{unknown}'"):
            list(client.seed_artists([], None, [unknown]))


@pytest.mark.parametrize("playlist", ["x", "12/34", "../1", "https://evil.example/12", ""])
def test_playlist_that_is_none(server, http, playlist):
    with pytest.raises(UserError, match="is no Deezer playlist; expected its number or its address"):
        list(Deezer(http).seed_artists([playlist], None, []))


@pytest.mark.parametrize("entries", [0, 10_000])
def test_playlist_of_any_length(server, http, services, world, entries):
    def page(handler):
        limit, index = int(handler.query["limit"]), int(handler.query["index"])
        tracks = [{"id": k, "artist": {"id": k % 500 + 1, "name": f"A{k % 500}"}} for k in range(entries)]
        handler.json(handler.page(tracks, limit, index))

    world.changed["/deezer/playlist/5/tracks"] = page
    artists = list(Deezer(http).seed_artists(["5"], None, []))
    assert len(set(artists)) == (500 if entries else 0)
    assert len(asked(services)) == max(1, entries // 100)


def test_playlist_is_read_as_far_as_needed(server, http, services):
    next(Deezer(http).seed_artists(["5"], None, []))
    assert len(asked(services)) == 1


def test_page_that_promises_more_and_has_nothing_ends(server, http, world):
    world.changed["/deezer/playlist/5/tracks"] = json_answer({"data": [], "next": "http://127.0.0.1:9/"})
    assert list(Deezer(http).seed_artists(["5"], None, [])) == []


def test_code_4_is_waited_for_and_never_means_not_found(server, http, services):
    services.faults.code_4_every = 7
    client = Deezer(http)
    assert [bool(client.top_songs((str(k + 1), f"Artist {k}"))) for k in (5, 6, 7, 8)] == [True] * 4
    assert client.service.counts["retries"] > 0


def test_endless_code_4_ends_the_run_and_is_not_kept(server, http, world):
    world.changed["/deezer/artist/1/related"] = json_answer({"error": {"code": 4, "message": "Quota limit exceeded"}})
    http.max_wait_s = 0.01
    with pytest.raises(RetryLater, match="Deezer asks to wait"):
        Deezer(http).related(("1", "x"))
    assert http.cache.count() == 0


def test_no_data_is_kept(server, http, services, world):
    world.changed["/deezer/artist/1/related"] = json_answer({"error": {"code": 800, "message": "no data"}})
    client = Deezer(http)
    assert client.related(("1", "x")) == client.related(("1", "x")) == []
    assert len(asked(services)) == 1


WRONG_SHAPES = [[], "text", 5, {}, {"data": None}, {"data": {}}, {"data": "x"}]


@pytest.mark.parametrize("value", WRONG_SHAPES, ids=repr)
def test_json_of_the_wrong_shape(server, http, world, value):
    world.changed["/deezer/artist/1/related"] = json_answer(value)
    with pytest.raises(UserError, match=r"Deezer \(127\.0\.0\.1\) can't be used: answered without a list of data"):
        Deezer(http).related(("1", "x"))
    assert http.cache.count() == 0


FIELDS = ["id", "title", "artist", "album", "isrc", "rank", "preview", "type"]


@pytest.mark.parametrize("value", [None, [], {}, True, 1.5, "a/b"], ids=repr)
@pytest.mark.parametrize("name", FIELDS)
def test_any_field_may_be_anything(server, http, world, name, value):
    track = {"id": 7, "title": "T", "artist": {"id": 1, "name": "A"}, "album": {"title": "L"}, "isrc": "QZTST0000001"}
    world.changed["/deezer/search"] = json_answer({"data": [track | {"rank": 1, "preview": ""} | {name: value}, None]})
    world.changed["/deezer/artist/1/top"] = json_answer({"data": []})
    songs = Deezer(http).top_songs(("1", "A"))
    assert len(songs) == (0 if name == "artist" else 1)
    assert all(isinstance(text, str) for song in songs for text in song.values())


def test_playlist_ids():
    assert deezer.playlist_id("https://www.deezer.com/de/playlist/12") == deezer.playlist_id(" 12 ") == "12"


def test_playlist_without_end_is_read_so_far_and_it_is_said(server, http, services, world, monkeypatch):
    monkeypatch.setattr(deezer, "MAX_PAGES", 3)
    http.note = (told := []).append
    track = {"artist": {"id": 1, "name": "A"}}
    world.changed["/deezer/playlist/5/tracks"] = json_answer({"data": [track], "total": 1, "next": "?index=0"})
    assert list(Deezer(http).seed_artists(["5"], None, [])) == [("1", "A")] * 3
    assert len(asked(services)) == 3
    assert told == ["Deezer's playlist 5 has no end; its first 300 songs are looked at"]


def test_no_more_is_used_than_was_asked_for(server, http, services, world):
    entries = [{"id": k, "title": f"T{k}", "name": f"A{k}", "artist": {"id": k, "name": "A"}} for k in range(5000)]
    world.changed["/deezer/*"] = json_answer({"data": entries})
    assert len(Deezer(http).related(("1", "A"))) == 1000
    assert len(Deezer(http).top_songs(("x", "A"))) == deezer.FALLBACK_SONGS
    services.log.clear()
    world.changed = {
        "/deezer/chart/0/playlists": json_answer({"data": entries}),
        "/deezer/*": json_answer({"data": []}),
    }
    assert list(Deezer(http).seed_artists([], None, [])) == []
    assert len(asked(services, "deezer")) == 2 + deezer.CHART_PLAYLISTS


@pytest.mark.parametrize("name", ["\ud83c", "a\udcffb", "\0"])
def test_name_that_is_no_text_is_not_known(server, http, name):
    """As Python reads a word of the command line that is no UTF-8."""
    with pytest.raises(UserError, match="Deezer knows no artist"):
        list(Deezer(http).seed_artists([], None, [name]))


def test_what_is_told_of_an_answer_cannot_steer_the_terminal(server, http, world):
    error = {"code": [[1]] * 1000, "message": "\x1b[2J\r\n\ud83cno" + "x" * 1000}
    world.changed["/deezer/artist/1/related"] = json_answer({"error": error})
    with pytest.raises(Skip) as caught:
        Deezer(http).related(("1", "x"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    world.changed["/deezer/search"] = json_answer({"data": [{"artist": {"id": 1, "name": "\x1b[2J\nA"}}]})
    with pytest.raises(UserError, match="Deezer knows no artist 'B'; it knows") as caught:
        list(Deezer(http).seed_artists([], None, ["B"]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kept", [5, "x", {"a": 1}, [1], ["ab"], [["1"]], [["1", "a", "b"]], [["1", None]]], ids=repr)
def test_kept_artists_of_another_shape_are_asked_for_again(server, http, kept):
    http.cache.put("Deezer", {"/artist/1/related": kept, "/chart/0/tracks?limit=100": kept})
    assert Deezer(http).related(("1", "x"))[0] == ("2", "Artist 1")
    assert next(Deezer(http).seed_artists([], None, [])) == ("1", "Artist 0")


@pytest.mark.parametrize("change", [{"title": None}, {"title": "\ud83c"}, {"x": "y"}, {"preview_url": 5}], ids=repr)
def test_kept_songs_of_another_shape_are_asked_for_again(server, http, world, change):
    song = Deezer(http).top_songs(("1", world.name(0)))[0] | change
    http.cache.put("Deezer", {"/search?q=artist%3A%22Artist+0%22&limit=50": [song]})
    assert len(Deezer(http).top_songs(("1", world.name(0)))) == SONGS_PER_ARTIST
