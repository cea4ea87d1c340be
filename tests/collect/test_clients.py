"""Each client before the local servers: real sockets, the real requests and spotipy."""

import json
import logging
import time

import pytest
import requests
from conftest import chord, write_audio, write_catalog, write_silent_video, write_with_ffmpeg

from music_learning.collect import deezer, spotify
from music_learning.collect.cache import ResponseCache
from music_learning.collect.deezer import Deezer
from music_learning.collect.http import BadDownload, HttpSession, Refused, RetryLater, Skip
from music_learning.collect.itunes import ITunes
from music_learning.collect.label_table import LabelTable
from music_learning.collect.matching import empty_song
from music_learning.collect.previews import Previews, check_preview
from music_learning.collect.reccobeats import ReccoBeats
from music_learning.collect.spotify import Spotify
from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.paths import DataPaths
from tools.fake_services import (
    CLIENT_ID,
    CLIENT_SECRET,
    SONGS_PER_ARTIST,
    TOKEN,
    Faults,
    Services,
    World,
    clip,
    environment,
    serve,
    spotify_id,
)

SPEED = 1000


@pytest.fixture
def server(monkeypatch):
    server = serve(Services(World(artists=200, kind="small"), Faults(), speed=SPEED))
    for name, value in environment(server, speed=SPEED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPOTIPY_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", CLIENT_SECRET)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def services(server):
    return server.services


@pytest.fixture
def world(services):
    return services.world


@pytest.fixture
def web(tmp_path):
    web = HttpSession(ResponseCache(tmp_path / "answers.sqlite"), max_wait_s=5, connections=4, note=lambda _: None)
    yield web
    web.close()


def asked(services, of=""):
    return [request for service, request, _ in services.log if service.startswith(of)]


def deezer_song(world, song):
    artist = song // SONGS_PER_ARTIST
    return empty_song("deezer") | {
        "song_id": f"deezer-{1_000_000 + song}",
        "title": world.title(song),
        "artist": world.name(artist),
        "isrc": world.isrc(song),
    }


def spotify_song(world, song):
    return deezer_song(world, song) | {"source": "spotify", "song_id": spotify_id("track", song)}


def pick(world, *, labels=True, preview=True, start=0):
    """A song that has, or hasn't, labels and a preview."""
    return next(k for k in range(start, 2400) if world.has_labels(k) == labels and world.has_preview(k) == preview)


def json_answer(value):
    return 200, "application/json", json.dumps(value).encode()


# Deezer


def test_top_songs_come_with_isrc_by_one_request(server, web, services, world):
    songs = Deezer(web).top_songs(("1", world.name(0)))
    assert len(asked(services)) == 1
    assert [song["isrc"] for song in songs] == [world.isrc(k) for k in range(SONGS_PER_ARTIST)]
    assert {song["artist_id"] for song in songs} == {"1"}
    assert songs[0]["song_id"] == "deezer-1000000"
    assert songs[0]["preview_url"].startswith("http://127.0.0.1")


def test_artist_whom_no_search_finds(server, web, services, world):
    songs = Deezer(web).top_songs(("50", world.name(49)))
    assert [song["isrc"] for song in songs] == [world.isrc(49 * SONGS_PER_ARTIST + k) for k in range(5)]
    assert len(asked(services)) == 2 + 5


@pytest.mark.parametrize("name", ['Quo"te', "夜の歌", "A & B, C", "a\nb", "=cmd()", "../..", "%2e%2e?x=1#y"])
def test_any_name_can_be_searched(server, web, services, name):
    assert Deezer(web).top_songs(("999999", name)) == []
    assert asked(services)[0].startswith("/deezer/search?q=artist%3A%22")


def test_related_artists(server, web, world):
    related = Deezer(web).related(("1", world.name(0)))
    assert related == [(str(other + 1), world.name(other)) for other in dict.fromkeys(world.related(0))]
    assert Deezer(web).related(("1", world.name(0))) == related  # from the kept answer


def test_artist_id_never_becomes_a_path(server, web, services):
    with pytest.raises(Skip, match="code 600"):
        Deezer(web).related(("1/../../admin", "x"))
    assert asked(services) == ["/deezer/artist/1%2F..%2F..%2Fadmin/related"]


def test_chart_is_the_default_start(server, web, services):
    artists = list(Deezer(web).seed_artists([], None, []))
    assert artists[0] == ("1", "Artist 0")
    assert asked(services)[0].startswith("/deezer/chart/0/tracks")
    assert any("/playlist/101/tracks" in request for request in asked(services))


def test_start_from_a_genre_a_playlist_an_artist(server, web, services, world):
    client = Deezer(web)
    assert next(client.seed_artists([], 152, []))
    assert "/chart/152/" in asked(services)[-1]
    assert next(client.seed_artists(["https://www.deezer.com/en/playlist/107?x=y"], None, [])) == ("3", world.name(2))
    assert list(client.seed_artists([], None, ["artist 11", "6"])) == [("12", "Artist 11"), ("6", "Artist 5")]
    for unknown in ("Nobody 1", "999999"):
        with pytest.raises(UserError, match=f"Deezer knows no artist '{unknown}'"):
            list(client.seed_artists([], None, [unknown]))


@pytest.mark.parametrize("playlist", ["x", "12/34", "../1", "https://evil.example/12", ""])
def test_playlist_that_is_none(server, web, playlist):
    with pytest.raises(UserError, match="is no Deezer playlist; expected its number or its address"):
        list(Deezer(web).seed_artists([playlist], None, []))


@pytest.mark.parametrize("entries", [0, 10_000])
def test_playlist_of_any_length(server, web, services, world, entries):
    def page(handler):
        limit, index = int(handler.query["limit"]), int(handler.query["index"])
        tracks = [{"id": k, "artist": {"id": k % 500 + 1, "name": f"A{k % 500}"}} for k in range(entries)]
        handler.json(handler.page(tracks, limit, index))

    world.changed["/deezer/playlist/5/tracks"] = page
    artists = list(Deezer(web).seed_artists(["5"], None, []))
    assert len(set(artists)) == (500 if entries else 0)
    assert len(asked(services)) == max(1, entries // 100)


def test_playlist_is_read_as_far_as_needed(server, web, services):
    next(Deezer(web).seed_artists(["5"], None, []))
    assert len(asked(services)) == 1


def test_page_that_promises_more_and_has_nothing_ends(server, web, world):
    world.changed["/deezer/playlist/5/tracks"] = json_answer({"data": [], "next": "http://127.0.0.1:9/"})
    assert list(Deezer(web).seed_artists(["5"], None, [])) == []


def test_code_4_is_waited_for_and_never_means_not_found(server, web, services):
    services.faults.code_4_every = 7
    client = Deezer(web)
    assert [bool(client.top_songs((str(k + 1), f"Artist {k}"))) for k in (5, 6, 7, 8)] == [True] * 4
    assert client.service.counts["retries"] > 0


def test_endless_code_4_ends_the_run_and_is_not_kept(server, web, world):
    world.changed["/deezer/artist/1/related"] = json_answer({"error": {"code": 4, "message": "Quota limit exceeded"}})
    web.max_wait_s = 0.01
    with pytest.raises(RetryLater, match="Deezer asks to wait"):
        Deezer(web).related(("1", "x"))
    assert web.cache.count() == 0


def test_no_data_is_kept(server, web, services, world):
    world.changed["/deezer/artist/1/related"] = json_answer({"error": {"code": 800, "message": "no data"}})
    client = Deezer(web)
    assert client.related(("1", "x")) == client.related(("1", "x")) == []
    assert len(asked(services)) == 1


WRONG_SHAPES = [[], "text", 5, {}, {"data": None}, {"data": {}}, {"data": "x"}]


@pytest.mark.parametrize("value", WRONG_SHAPES, ids=repr)
def test_json_of_the_wrong_shape(server, web, world, value):
    world.changed["/deezer/artist/1/related"] = json_answer(value)
    with pytest.raises(UserError, match=r"Deezer \(127\.0\.0\.1\) can't be used: answered without a list of data"):
        Deezer(web).related(("1", "x"))
    assert web.cache.count() == 0


FIELDS = ["id", "title", "artist", "album", "isrc", "rank", "preview", "type"]


@pytest.mark.parametrize("value", [None, [], {}, True, 1.5, "a/b"], ids=repr)
@pytest.mark.parametrize("name", FIELDS)
def test_any_field_may_be_anything(server, web, world, name, value):
    track = {"id": 7, "title": "T", "artist": {"id": 1, "name": "A"}, "album": {"title": "L"}, "isrc": "QZTST0000001"}
    world.changed["/deezer/search"] = json_answer({"data": [track | {"rank": 1, "preview": ""} | {name: value}, None]})
    world.changed["/deezer/artist/1/top"] = json_answer({"data": []})
    songs = Deezer(web).top_songs(("1", "A"))
    assert len(songs) == (0 if name == "artist" else 1)
    assert all(isinstance(text, str) for song in songs for text in song.values())


# ReccoBeats


def test_labels_are_joined_whatever_the_order(server, web, services, world):
    songs = [deezer_song(world, k) for k in range(40)]
    found = ReccoBeats(web).labels_for(songs)
    assert [labels is not None for labels in found] == [world.has_labels(k) for k in range(40)]
    for k, labels in enumerate(found):
        if labels and k % 10:
            assert float(labels["energy"]) == world.features(k)["energy"]
            assert float(labels["tempo_bpm"]) == world.features(k)["tempo"]
    assert len(asked(services)) == 1


def test_labels_by_spotify_id(server, web, world):
    known, unknown = spotify_song(world, pick(world)), spotify_song(world, pick(world, labels=False))
    (labels, none) = ReccoBeats(web).labels_for([known, unknown])
    assert none is None
    assert float(labels["valence"]) == world.features(pick(world))["valence"]


def test_several_rows_of_one_isrc_give_always_the_same(server, web, world):
    song = deezer_song(world, next(k for k in range(0, 2000, 10) if world.has_labels(k)))
    energies = set()
    for _ in range(6):
        web.cache.database.execute("DELETE FROM answers")
        energies.add(ReccoBeats(web).labels_for([song])[0]["energy"])
    assert len(energies) == 1


def test_known_labels_are_not_asked_again(server, web, services, world):
    client = ReccoBeats(web)
    client.labels_for([deezer_song(world, k) for k in range(10)])
    client.labels_for([deezer_song(world, k) for k in range(15)])
    assert asked(services)[1].count("QZTST") == 5
    client.labels_for([deezer_song(world, k) for k in range(15)])
    assert len(asked(services)) == 2


def test_song_without_isrc_is_not_asked_for(server, web, services, world):
    assert ReccoBeats(web).labels_for([deezer_song(world, 1) | {"isrc": ""}]) == [None]
    assert asked(services) == []


def test_retry_after_is_honoured(server, web, services, world):
    services.faults.retry_after_every = 2
    client = ReccoBeats(web)
    client.labels_for([deezer_song(world, 1)])
    begin = time.monotonic()
    client.labels_for([deezer_song(world, 2)])
    assert time.monotonic() - begin >= 1
    world.retry_after_s = 3600
    services.counts.clear()
    client.labels_for([deezer_song(world, 3)])
    with pytest.raises(RetryLater, match="ReccoBeats asks to wait 3600 s"):
        client.labels_for([deezer_song(world, 4)])
    assert web.cache.get("ReccoBeats", [world.isrc(4)]) == {}


def test_default_user_agent_would_be_refused(server, web, world):
    web.session.headers["User-Agent"] = requests.utils.default_user_agent()
    with pytest.raises(Refused, match=r"ReccoBeats refuses to answer \(HTTP 403\)"):
        ReccoBeats(web).labels_for([deezer_song(world, 1)])


@pytest.mark.parametrize("energy", [None, "0.5", [], True, "high"], ids=repr)
def test_label_that_is_no_number_is_empty(server, web, world, energy):
    row = {"id": "u", "href": None, "isrc": world.isrc(1), **dict.fromkeys(TARGETS, 0.5), "energy": energy}
    world.changed["/reccobeats/v1/audio-features"] = json_answer({"content": [row, None, {"id": None}]})
    (labels,) = ReccoBeats(web).labels_for([deezer_song(world, 1)])
    assert (labels["energy"], labels["valence"]) == ("", "0.5")


# iTunes


def test_itunes_finds_by_artist_and_title(server, web, world):
    client = ITunes(web, country="US")
    assert client.preview_url(deezer_song(world, 2)).endswith("/previews/2.m4a")
    assert client.preview_url(deezer_song(world, 3)) == ""


def test_itunes_403_is_a_throttle(server, web, services, world):
    world.changed["/itunes/search"] = (403, "text/html", b"")
    web.max_wait_s = 0.01
    with pytest.raises(RetryLater, match="iTunes asks to wait"):
        ITunes(web, country="US").preview_url(deezer_song(world, 2))
    assert web.cache.count() == 0


def test_country_reaches_itunes(server, web, services, world):
    ITunes(web, country="DE").preview_url(deezer_song(world, 2))
    assert "country=DE" in asked(services)[0]


# a table of labels


KAGGLE = {"track_id": "4uLU6hMCjMI75M1A2tKUQC", "artists": "Drake;Rihanna", "track_name": "Too Good", "tempo": "117.9"}
LABELS = {"energy": "0.5", "danceability": "0.25", "valence": "0.75"}


@pytest.mark.parametrize(
    "song",
    [
        {"song_id": "4uLU6hMCjMI75M1A2tKUQC", "source": "spotify"},
        {"artist": "DRAKE", "title": "Too Good (feat. Rihanna)"},
        {"artist": "Drake", "title": "Too Good - Live"},
        {"artist": "Drake;Rihanna", "title": "Too good"},
    ],
)
def test_table_is_joined_by_id_or_by_name(tmp_path, song):
    table = LabelTable(write_catalog(tmp_path / "kaggle.csv", [KAGGLE | LABELS]))
    (labels,) = table.labels_for([empty_song("deezer") | song])
    assert {name: labels[name] for name in LABELS} == LABELS
    assert (labels["tempo_bpm"], labels["liveness"]) == ("117.9", "")


def test_table_is_joined_by_isrc(tmp_path):
    table = LabelTable(write_catalog(tmp_path / "t.csv", [{"ISRC": "us-rc1-76-07839", **LABELS}]))
    assert table.labels_for([empty_song("deezer") | {"isrc": "USRC17607839"}])[0]["energy"] == "0.5"
    assert table.labels_for([empty_song("deezer") | {"isrc": "USRC17607838"}]) == [None]


def test_first_row_of_a_song_counts(tmp_path):
    rows = [KAGGLE | LABELS, KAGGLE | LABELS | {"energy": "0.9"}]
    table = LabelTable(write_catalog(tmp_path / "t.csv", rows))
    assert table.labels_for([empty_song("spotify") | {"song_id": KAGGLE["track_id"]}])[0]["energy"] == "0.5"


def test_table_that_cannot_be_used_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"--labels .*gone\.csv: there is no such file"):
        LabelTable(tmp_path / "gone.csv")
    with pytest.raises(UserError, match="has no column for energy"):
        LabelTable(write_catalog(tmp_path / "t.csv", [KAGGLE]))
    with pytest.raises(UserError, match="names no song; expected a Spotify id"):
        LabelTable(write_catalog(tmp_path / "t.csv", [LABELS]))


# previews


@pytest.fixture
def previews(server, web, tmp_path):
    paths = DataPaths(tmp_path / "data")
    return Previews(web, paths, deezer=Deezer(web), itunes=ITunes(web, country="US"))


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


def test_redirect_to_another_host_gets_no_credentials(previews, server, web, world, services):
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
    assert Spotify(web, country="US").related((spotify_id("artist", 1), "x")) == []
    other.shutdown()
    other.server_close()
    assert len(seen) == 1
    assert TOKEN not in str(seen)
    assert "Authorization" not in seen[0]


def test_check_preview(tmp_path):
    good = tmp_path / "good.mp3"
    good.write_bytes(clip("mp3", 3))
    check_preview(good)
    check_preview(write_with_ffmpeg(tmp_path / "a.m4a", chord(seconds=30, rate_hz=44_100), 44_100, codec="aac"))
    for path, reason in (
        (write_silent_video(tmp_path / "film.mp4"), "no audio in it"),
        (write_with_ffmpeg(tmp_path / "short.m4a", chord(seconds=10), 16_000, codec="aac"), "only"),
        (write_with_ffmpeg(tmp_path / "long.m4a", chord(seconds=60), 16_000, codec="aac"), "longer than 35 s"),
        (write_with_ffmpeg(tmp_path / "still.m4a", 0 * chord(seconds=30), 16_000, codec="aac"), "silent"),
    ):
        with pytest.raises(BadDownload, match=reason):
            check_preview(path)


# Spotify


def test_spotify_artists_songs_and_labels(server, web, world):
    client = Spotify(web, country="US")
    artists = list(client.seed_artists(["https://open.spotify.com/playlist/37i9dQZF1DXcBWIGoYBM5M?si=x"], None, []))
    assert artists[:2] == [(spotify_id("artist", k), world.name(k)) for k in (0, 1)]
    assert client.related(artists[0])[0] == (spotify_id("artist", 1), "Artist 1")
    songs = client.top_songs(artists[0])
    assert (songs[0]["isrc"], songs[0]["release_year"], songs[0]["artist"]) == (world.isrc(0), "2019", "Artist 0")
    labels = client.labels_for([empty_song("spotify") | song for song in songs])
    assert [found is not None for found in labels] == [world.has_labels(k) for k in range(10)]


def test_spotify_labels_for_songs_of_deezer(server, web, services, world):
    client = Spotify(web, country="US")
    song = pick(world)
    (labels,) = client.labels_for([deezer_song(world, song)])
    assert float(labels["energy"]) == world.features(song)["energy"]
    assert client.labels_for([deezer_song(world, song) | {"isrc": ""}]) == [None]


def test_spotify_artist_by_name(server, web):
    client = Spotify(web, country="US")
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
def test_closed_endpoint_says_which_and_what_instead(server, web, world, capfd, call, message):
    world.spotify_access = "new"
    with pytest.raises(UserError, match=message):
        call(Spotify(web, country="US"))
    assert capfd.readouterr() == ("", "")
    assert web.cache.count() == 0


def test_spotify_without_id(server, web, monkeypatch):
    monkeypatch.delenv("SPOTIPY_CLIENT_SECRET")
    with pytest.raises(UserError, match="set SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET, or use --source deezer"):
        Spotify(web, country="US")


def test_wrong_id_is_a_sentence_without_it(server, web, monkeypatch, caplog):
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", "a-wrong-secret")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        UserError, match=r"refuses the app's id or secret \(invalid_client\); check SPOTIPY_CLIENT_ID"
    ) as caught:
        Spotify(web, country="US").related((spotify_id("artist", 1), "x"))
    assert "a-wrong-secret" not in str(caught.value) + caplog.text


def test_secrets_stay_out_of_logs_and_files(server, web, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    client = Spotify(web, country="US")
    client.top_songs((spotify_id("artist", 1), "x"))
    written = caplog.text.encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (CLIENT_ID, CLIENT_SECRET, TOKEN):
        assert secret.encode() not in written


def test_spotify_429_is_waited_for_or_ends_the_run_but_never_slept_through(server, web, world):
    path = f"/spotify/v1/artists/{spotify_id('artist', 1)}/related-artists"
    world.changed[path] = (429, "application/json", b'{"error":{"status":429}}', {"Retry-After": "86400"})
    begin = time.monotonic()
    with pytest.raises(RetryLater, match="Spotify asks to wait 86400 s"):
        Spotify(web, country="US").related((spotify_id("artist", 1), "x"))
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("value", [None, [], "x", {}, {"artists": None}], ids=repr)
def test_spotify_answer_of_the_wrong_shape(server, web, world, value):
    world.changed[f"/spotify/v1/artists/{spotify_id('artist', 1)}/related-artists"] = json_answer(value)
    with pytest.raises(UserError, match="can't be used: answered without a list of artists"):
        Spotify(web, country="US").related((spotify_id("artist", 1), "x"))


@pytest.mark.parametrize("text", ["x/../y", "short", "https://open.spotify.com/artist/0TnOYISbd1XYRBk9myaseg", ""])
def test_spotify_playlist_that_is_none(text):
    with pytest.raises(UserError, match="is no Spotify playlist"):
        spotify.playlist_id(text)


def test_playlist_ids():
    for text in ("37i9dQZEVXbMDoHDwVN2tF", "spotify:playlist:37i9dQZEVXbMDoHDwVN2tF"):
        assert spotify.playlist_id(text) == "37i9dQZEVXbMDoHDwVN2tF"
    assert deezer.playlist_id("https://www.deezer.com/de/playlist/12") == deezer.playlist_id(" 12 ") == "12"
