"""Spotify before the local servers: real sockets, the real spotipy."""

import gzip
import logging
import time

import pytest
from collect.fake_songs import deezer_song, json_answer, pick

from music_learning.collect import spotify
from music_learning.collect.failures import RetryLater
from music_learning.collect.matching import empty_song
from music_learning.collect.spotify import Spotify
from music_learning.errors import UserError
from tools.fake_services import (
    CLIENT_ID,
    CLIENT_SECRET,
    TOKEN,
    Faults,
    Services,
    World,
    serve,
    spotify_id,
)


def test_spotify_artists_songs_and_labels(server, http, world):
    client = Spotify(http, country="US")
    artists = list(client.seed_artists(["https://open.spotify.com/playlist/37i9dQZF1DXcBWIGoYBM5M?si=x"], None, []))
    assert artists[:2] == [(spotify_id("artist", k), world.name(k)) for k in (0, 1)]
    assert client.related(artists[0])[0] == (spotify_id("artist", 1), "Artist 1")
    songs = client.top_songs(artists[0])
    assert (songs[0]["isrc"], songs[0]["release_year"], songs[0]["artist"]) == (world.isrc(0), "2019", "Artist 0")
    labels = client.labels_for([empty_song("spotify") | song for song in songs])
    assert [found is not None for found in labels] == [world.has_labels(k) for k in range(10)]


def test_spotify_labels_for_songs_of_deezer(server, http, services, world):
    client = Spotify(http, country="US")
    song = pick(world)
    (labels,) = client.labels_for([deezer_song(world, song)])
    assert float(labels["energy"]) == world.features(song)["energy"]
    assert client.labels_for([deezer_song(world, song) | {"isrc": ""}]) == [None]


def test_spotify_artist_by_name(server, http):
    client = Spotify(http, country="US")
    assert list(client.seed_artists([], None, ["artist 11"])) == [(spotify_id("artist", 11), "Artist 11")]
    with pytest.raises(UserError, match="Spotify knows no artist 'Nobody'"):
        list(client.seed_artists([], None, ["Nobody"]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.related((spotify_id("artist", 1), "x")), r"related artists \(HTTP 403\); use --source deezer"),
        (
            lambda c: c.labels_for([empty_song("spotify") | {"song_id": spotify_id("track", 1)}]),
            "use --labels reccobeats",
        ),
        (
            lambda c: list(c.seed_artists([], None, [])),
            r"playlist 37i9\w+ \(HTTP 404\); use --playlist with one",
        ),
    ],
    ids=["related", "features", "playlist"],
)
def test_closed_endpoint_says_which_and_what_instead(server, http, world, capfd, call, message):
    world.spotify_access = "new"
    with pytest.raises(UserError, match=message):
        call(Spotify(http, country="US"))
    assert capfd.readouterr() == ("", "")
    assert http.cache.count() == 0


def test_spotify_without_id(server, http, monkeypatch):
    monkeypatch.delenv("SPOTIPY_CLIENT_SECRET")
    with pytest.raises(UserError, match="set SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET, or use --source deezer"):
        Spotify(http, country="US")


def test_wrong_id_is_a_sentence_without_it(server, http, monkeypatch, caplog):
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", "a-wrong-secret")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        UserError, match=r"refuses the app's id or secret \(invalid_client\); check SPOTIPY_CLIENT_ID"
    ) as caught:
        Spotify(http, country="US").related((spotify_id("artist", 1), "x"))
    assert "a-wrong-secret" not in str(caught.value) + caplog.text


def test_secrets_stay_out_of_logs_and_files(server, http, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    client = Spotify(http, country="US")
    client.top_songs((spotify_id("artist", 1), "x"))
    written = caplog.text.encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (CLIENT_ID, CLIENT_SECRET, TOKEN):
        assert secret.encode() not in written


def test_spotify_429_is_waited_for_or_ends_the_run_but_never_slept_through(server, http, world):
    path = f"/spotify/v1/artists/{spotify_id('artist', 1)}/related-artists"
    world.changed[path] = (429, "application/json", b'{"error":{"status":429}}', {"Retry-After": "86400"})
    begin = time.monotonic()
    with pytest.raises(RetryLater, match="Spotify asks to wait 86400 s"):
        Spotify(http, country="US").related((spotify_id("artist", 1), "x"))
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("value", [None, [], "x", {}, {"artists": None}], ids=repr)
def test_spotify_answer_of_the_wrong_shape(server, http, world, value):
    world.changed[f"/spotify/v1/artists/{spotify_id('artist', 1)}/related-artists"] = json_answer(value)
    with pytest.raises(UserError, match="can't be used: answered without a list of artists"):
        Spotify(http, country="US").related((spotify_id("artist", 1), "x"))


@pytest.mark.parametrize("text", ["x/../y", "short", "https://open.spotify.com/artist/0TnOYISbd1XYRBk9myaseg", ""])
def test_spotify_playlist_that_is_none(text):
    with pytest.raises(UserError, match="is no Spotify playlist"):
        spotify.playlist_id(text)


def test_redirect_to_another_host_gets_no_credentials(server, http, world, services):
    """Spotify's token goes with each request to Spotify; a redirect may lead anywhere."""
    other = serve(Services(World(kind="small"), Faults()))
    seen = []
    other.services.world.changed["/trap"] = lambda handler: (
        seen.append(dict(handler.headers)),
        handler.json({"artists": []}),
    )
    trap = f"http://127.0.0.1:{other.server_address[1]}/trap"
    path = f"/spotify/v1/artists/{spotify_id('artist', 1)}/related-artists"
    world.changed[path] = (302, "text/html", b"", {"Location": trap})
    assert Spotify(http, country="US").related((spotify_id("artist", 1), "x")) == []
    other.shutdown()
    other.server_close()
    assert len(seen) == 1
    assert TOKEN not in str(seen)
    assert "Authorization" not in seen[0]


def test_playlist_ids():
    for text in ("37i9dQZEVXbMDoHDwVN2tF", "spotify:playlist:37i9dQZEVXbMDoHDwVN2tF"):
        assert spotify.playlist_id(text) == "37i9dQZEVXbMDoHDwVN2tF"


def test_playlist_without_end_is_read_so_far_and_it_is_said(server, http, world, monkeypatch):
    monkeypatch.setattr(spotify, "MAX_PAGES", 3)
    http.note = (told := []).append
    artist = {"id": spotify_id("artist", 1), "name": "A"}
    page = {"items": [{"track": {"artists": [artist]}}], "next": "again"}
    world.changed["/spotify/v1/playlists/*"] = json_answer(page)
    assert list(Spotify(http, country="US").seed_artists([], None, [])) == [tuple(artist.values())] * 3
    assert told == [f"Spotify's playlist {spotify.TOP_50} has no end; its first 150 songs are looked at"]


TOP = f"/spotify/v1/artists/{spotify_id('artist', 1)}/top-tracks"
HOSTILE = {
    "deep JSON": (200, "application/json", b"[" * 1_000_000),
    "huge integer": (200, "application/json", b'{"tracks": ' + b"9" * 10_000 + b"}"),
    "too large": (200, "application/json", b" " * 5_000_001),
    "packed": (200, "application/json", gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}),
    "odd encoding": (200, "application/json; charset=punycode", b"\xff" + b"a-b" * 100_000),
    "redirect to a file": (302, "text/html", b"", {"Location": "file:///etc/passwd"}),
    "redirect to itself": (302, "text/html", b"", {"Location": TOP}),
    "error that is a list": (400, "application/json", b"[1]"),
    "error that is deep": (400, "application/json", b"[" * 1_000_000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_answer_is_a_sentence(server, http, world, case):
    world.changed[TOP] = HOSTILE[case]
    with pytest.raises(UserError, match=r"Spotify \(127\.0\.0\.1\) can't be used: "):
        Spotify(http, country="US").top_songs((spotify_id("artist", 1), "x"))


TOKENS = [None, [], "x", {}, {"access_token": "a\nb", "expires_in": 9}, {"expires_in": []}]


@pytest.mark.parametrize("token", TOKENS, ids=repr)
def test_odd_token_is_a_sentence(server, http, world, token):
    world.changed["/spotify-token"] = json_answer(token)
    with pytest.raises(UserError, match=r"Spotify \(127\.0\.0\.1\) can't be used: "):
        Spotify(http, country="US").top_songs((spotify_id("artist", 1), "x"))


@pytest.mark.parametrize("artists", [None, 5, "x", {}, [5, None, {"id": "a", "name": "\ud83c"}]], ids=repr)
def test_song_whose_artists_are_odd(server, http, world, artists):
    track = {"id": "t", "name": "T", "artists": artists}
    world.changed[TOP] = json_answer({"tracks": [track]})
    (song,) = Spotify(http, country="US").top_songs((spotify_id("artist", 1), "x"))
    assert song["artist"] in ("", "\ufffd")


@pytest.mark.parametrize("kept", [5, {"a": 1}, [1], [["1"]], [{"song_id": "x"}]], ids=repr)
def test_kept_answer_of_another_shape_is_asked_for_again(server, http, kept):
    artist = spotify_id("artist", 1), "x"
    http.cache.put("Spotify", {f"related {artist[0]}": kept, f"top {artist[0]} US": kept})
    http.cache.put("Spotify features", {spotify_id("track", 12): kept})
    client = Spotify(http, country="US")
    assert all(len(other) == 2 for other in client.related(artist))
    assert [song["source"] for song in client.top_songs(artist)] == ["spotify"] * 10
    (labels,) = client.labels_for([empty_song("spotify") | {"song_id": spotify_id("track", 12)}])
    assert labels is None or "energy" in labels
