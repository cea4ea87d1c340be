"""Spotify before the local servers: real sockets, the real spotipy."""

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
    assert time.monotonic() - begin < 5


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
    other = serve(Services(World(), Faults()))
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
