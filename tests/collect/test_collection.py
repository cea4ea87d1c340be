"""Stage 1 before the local servers, from the command line to the tables."""

import csv
import itertools
import json
import pkgutil
import random
import re
import signal
import time
from contextlib import contextmanager

import pytest
from conftest import call_main, ended, read_rows, run_python, start, write_catalog

import data_collection
from music_learning.collect import collection
from music_learning.collect.matching import same_song_keys
from music_learning.collect.settings import DOWNLOADS
from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import sha256_of, write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_songs
from tools.fake_services import (
    CLIENT_ID,
    CLIENT_SECRET,
    SONGS_PER_ARTIST,
    TOKEN,
    Faults,
    Services,
    World,
    environment,
    repeated_requests,
    serve,
)

SONGS = 40
SPEED = 100
IN_FLIGHT = collection.ASKING + DOWNLOADS  # requests, at most


@contextmanager
def running(world=None, faults=None, speed=SPEED):
    server = serve(Services(world or World(artists=150, kind="small"), faults or Faults(), speed=speed))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def use(monkeypatch):
    """Point this process, and those it starts, at a server."""

    def point_at(server):
        for name, value in environment(server, speed=SPEED).items():
            monkeypatch.setenv(name, value)
        return server.services

    monkeypatch.setenv("SPOTIPY_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("SPOTIPY_CLIENT_SECRET", CLIENT_SECRET)
    return point_at


@pytest.fixture
def services(use):
    with running() as server:
        yield use(server)


def collect(data, *arguments, songs=SONGS):
    return call_main(data_collection, "--data", data, "--songs", songs, *arguments)


def tables(data):
    return (data / "songs.csv").read_bytes(), (data / "rejected.csv").read_bytes()


def previews(data):
    return sorted(path.name for path in (data / "previews").iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without trouble: its data folder, its requests, what it printed. Read only."""
    data = tmp_path_factory.mktemp("whole") / "data"
    # What a busy machine holds up comes together: a server that counts to the millisecond bears a little more for it.
    with running(speed=1.25 * SPEED) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(server, speed=SPEED).items():
            patch.setenv(name, value)
        with start("data_collection.py", "--data", data, "--songs", SONGS) as process:
            printed, stderr = ended(process)
        assert (process.returncode, stderr) == (0, "")
        return data, server.services.log, printed


def test_so_many_songs_with_labels_and_previews(whole):
    data, _, _ = whole
    songs = read_rows(data / "songs.csv")
    assert len(songs) == SONGS
    for song in songs:
        assert all(0 <= float(song[target]) <= 1 for target in TARGETS)
        assert song["preview_sha256"] == sha256_of(DataPaths(data).preview(song))
        assert (song["source"], song["label_source"]) == ("deezer", "reccobeats")
    assert previews(data) == sorted(song["preview_file"] for song in songs)


def test_kept_and_rejected_are_found(whole):
    data, _, printed = whole
    rejected = read_rows(data / "rejected.csv")
    assert f"kept {SONGS} of {SONGS + len(rejected)} songs found; {len(rejected)} in " in printed
    assert {row["reason"] for row in rejected} >= {
        "reccobeats has no labels",
        "another version of it was found before",
    }


def test_at_most_three_songs_of_an_artist_and_one_version_of_each(whole):
    data, _, _ = whole
    songs, seen = read_rows(data / "songs.csv"), set()
    by_artist = {}
    for song in songs:
        by_artist.setdefault(song["artist_id"], []).append(song)
        assert not seen & same_song_keys(song)
        seen |= same_song_keys(song)
    assert max(map(len, by_artist.values())) <= 3


def test_requests_per_kept_song(whole):
    _, log, printed = whole
    assert len(log) <= 3.5 * SONGS
    assert re.search(rf"together +{len(log)} +{len(log) / SONGS:.2f} per kept song", printed)


def test_nothing_is_asked_too_fast_or_twice(whole):
    _, log, _ = whole
    assert {outcome for _, _, outcome in log} == {"ok"}
    assert repeated_requests(log) == 0


def test_second_run_asks_nothing_and_changes_nothing(use, tmp_path):
    with running() as server:
        services = use(server)
        collect(tmp_path, songs=10)
        before, asked = tables(tmp_path), len(services.log)
        collect(tmp_path, songs=10)
        assert tables(tmp_path) == before
        assert len(services.log) == asked


def test_more_songs_later_keep_the_first(services, tmp_path, whole):
    collect(tmp_path, songs=10)
    first = {song["song_id"] for song in read_rows(tmp_path / "songs.csv")}
    collect(tmp_path)
    assert first < {song["song_id"] for song in read_rows(tmp_path / "songs.csv")}
    assert tables(tmp_path) == tables(whole[0])


@pytest.mark.parametrize("workers", [1, 5])
def test_result_does_not_hang_on_timing(services, tmp_path, whole, workers):
    services.faults.delay_s = 0.002 * workers
    collect(tmp_path, "--workers", workers)
    assert tables(tmp_path) == tables(whole[0])


FAULTS = {
    "everything": Faults(0.05, 0.05, truncated=0.03, expired=0.05, code_4_every=60, retry_after_every=4),
    "many expired previews": Faults(expired=0.15),
    "Deezer down for a minute": Faults(down="deezer", down_after=20, down_s=60 / SPEED),
    "labels down for a minute": Faults(down="reccobeats", down_after=1, down_s=60 / SPEED),
    "previews down for a minute": Faults(down="previews", down_after=9, down_s=60 / SPEED),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_change_nothing(services, tmp_path, whole, case):
    services.faults = FAULTS[case]
    collect(tmp_path)
    assert {outcome for _, _, outcome in services.log} != {"ok"}
    assert tables(tmp_path) == tables(whole[0])
    assert previews(tmp_path) == previews(whole[0])


def test_kill_9_again_and_again_changes_nothing(services, tmp_path, whole):
    generator, kills = random.Random(1), 0
    for _ in range(6):
        asked = len(services.log)
        with start("data_collection.py", "--data", tmp_path, "--songs", SONGS) as process:
            limit = asked + generator.randrange(5, 25)
            while len(services.log) < limit and process.poll() is None:
                time.sleep(0.002)
            kills += process.poll() is None
            process.kill()
            process.communicate()
    collect(tmp_path)
    assert kills >= 3
    assert tables(tmp_path) == tables(whole[0])
    assert previews(tmp_path) == previews(whole[0])
    assert repeated_requests(services.log) <= kills * IN_FLIGHT


def test_ctrl_c_saves_and_goes_on(services, tmp_path, whole):
    with start("data_collection.py", "--data", tmp_path, "--songs", SONGS) as process:
        while process.poll() is None and sum(service == "previews" for service, _, _ in services.log) < 3:
            time.sleep(0.005)
            if any(service == "previews" for service, _, _ in services.log):
                services.faults.delay_s = 0.5  # so that it can't come to its end before it is stopped
        process.send_signal(signal.SIGINT)
        services.faults.delay_s = 0.0
        _, stderr = ended(process)
    assert process.returncode == 130
    assert stderr == "stopped; what was done is kept, the same command goes on\n"
    collect(tmp_path)
    assert tables(tmp_path) == tables(whole[0])
    assert repeated_requests(services.log) == 0


def test_longer_rest_saves_says_when_and_has_its_own_status(services, tmp_path, whole, capsys):
    services.faults.retry_after_every = 1
    services.world.retry_after_s = 86_400
    assert collect(tmp_path, "--max-wait", "60") == 75
    told = capsys.readouterr()
    assert re.search(r"stopped: ReccoBeats asks to wait 86400 s, more than --max-wait 60; .*again after \d", told.err)
    assert "Traceback" not in told.err
    services.faults.retry_after_every = 0
    collect(tmp_path)
    assert tables(tmp_path) == tables(whole[0])
    assert repeated_requests(services.log) == 0


def test_service_that_goes_down_for_good_saves_too(services, tmp_path, whole, capsys):
    services.faults = Faults(down="previews", down_after=30, down_s=1000)
    assert collect(tmp_path) == 75
    assert "previews has stopped answering" in capsys.readouterr().err
    assert 0 < len(read_rows(tmp_path / "songs.csv")) < SONGS
    services.faults = Faults()
    collect(tmp_path)
    assert tables(tmp_path) == tables(whole[0])


def test_no_network_is_a_sentence(services, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEZER_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"Deezer \(127\.0\.0\.1\) can't be used: the connection failed, 4 times"):
        collect(tmp_path)
    assert not (tmp_path / "songs.csv").exists()


def test_proxys_page_is_a_sentence(services, tmp_path):
    services.world.changed["/deezer/chart/0/tracks"] = (200, "text/html", b"<html>Log in to the hotel's network</html>")
    with pytest.raises(UserError, match=r"a web page instead of JSON .is there a proxy in between"):
        collect(tmp_path)


def test_nothing_found_is_an_error(services, tmp_path):
    services.world.labelled = 0
    with pytest.raises(UserError, match=r"no song could be used; .*rejected\.csv says why"):
        collect(tmp_path, "--seed-artist", "Artist 140")
    assert len(read_rows(tmp_path / "rejected.csv")) > 300


def unnamed_songs(handler):
    handler.json({"data": [song | {"id": ".."} for song in handler.found(handler.query["q"])]})


EMPTY = (200, "application/json", b'{"data": [], "total": 0}')
ENDLESS = {
    "without labels": ({}, "the last 50 songs found were all rejected, .*: reccobeats has no labels"),
    "without ids": (
        {"/deezer/search": unnamed_songs},
        r"the last 50 songs found were all rejected, .*: id 'deezer-\.\.'",
    ),
    "artists": ({"/deezer/search": EMPTY, "/deezer/artist/*/top": EMPTY}, "the last 50 artists have no songs"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_songs_without_end_that_cannot_be_used_end_the_run(use, tmp_path, monkeypatch, case):
    monkeypatch.setattr(collection, "GIVE_UP", 50)
    changed, message = ENDLESS[case]
    with running(World(artists=10**12, kind="small", labelled=0, changed=changed)) as server:
        use(server)
        with pytest.raises(UserError, match=message):
            collect(tmp_path)
    assert (tmp_path / "rejected.csv").exists() == (case != "artists")


@pytest.mark.parametrize("path", ["/deezer/artist/*/related", "/deezer/search"])
def test_lists_that_fail_one_after_the_other_end_the_run(services, tmp_path, monkeypatch, capsys, path):
    monkeypatch.setattr(collection, "GIVE_UP_LISTS", 5)
    services.world.changed[path] = (200, "application/json", b'{"error": {"message": "no", "code": 600}}')
    seeds = [word for artist in range(1, 10) for word in ("--seed-artist", artist)]
    assert collect(tmp_path, *seeds) == 75
    message = r"stopped: the (related artists|top songs) of 5 artists could not be had.* \(Deezer answers no .code 600"
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("wait", ["0", "-5", "9" * 400, "Wed, 21 Oct 2015 07:28:00"])
def test_service_that_asks_to_wait_for_ever_ends_the_run(services, tmp_path, capsys, wait):
    services.world.changed["/reccobeats/v1/audio-features"] = (429, "text/html", b"", {"Retry-After": wait})
    assert collect(tmp_path, "--max-wait", "3") == 75
    assert "stopped: ReccoBeats asks to wait" in capsys.readouterr().err
    assert sum(service == "reccobeats" for service, _, _ in services.log) < 10


def odd_labels(handler):
    values = [float("nan"), float("inf"), 1.5, -0.1, "0.5", True, None, [], 10**400, 0.5, 0, 1]
    rows = [
        {"isrc": isrc, **dict.fromkeys(TARGETS, 0.5), "valence": values[k % len(values)], "key": 5.5, "mode": 10**30}
        for k, isrc in enumerate(handler.query["ids"].split(","))
    ]
    handler.json({"content": rows})


def test_labels_that_are_none_are_reasons(services, tmp_path):
    services.world.changed["/reccobeats/v1/audio-features"] = odd_labels
    collect(tmp_path, songs=10)
    songs = read_songs(DataPaths(tmp_path))
    assert set(songs["valence"]) <= {0, 0.5, 1}
    assert songs["key"].isna().all()
    assert songs["mode"].isna().all()
    reasons = {row["reason"] for row in read_rows(tmp_path / "rejected.csv")}
    assert {
        "no valence label",
        *(f"valence is {v}; expected a number from 0 to 1" for v in ("nan", "inf", "1.5")),
    } <= reasons


UNFORESEEN = {
    "previews": ("music_learning.collect.previews.Previews.fetch", "preview"),
    "labels": ("music_learning.collect.reccobeats.ReccoBeats.labels_for", "labels"),
    "songs": ("music_learning.collect.deezer.Deezer.top_songs", None),
    "related": ("music_learning.collect.deezer.Deezer.related", None),
}


@pytest.mark.parametrize("case", UNFORESEEN)
def test_unforeseen_error_costs_its_item_and_is_logged(services, tmp_path, temporary, monkeypatch, capsys, case):
    name, stage = UNFORESEEN[case]
    method, calls = pkgutil.resolve_name(name), itertools.count()

    def odd(*arguments, **options):
        if next(calls) == 1:
            raise ZeroDivisionError("by nought")
        return method(*arguments, **options)

    monkeypatch.setattr(name, odd)
    collect(tmp_path / "data", "--seed-artist", "1", "--seed-artist", "2", songs=20)
    assert len(read_rows(tmp_path / "data" / "songs.csv")) == 20
    rows = [row for row in read_rows(tmp_path / "data" / "rejected.csv") if "unexpected" in row["reason"]]
    if stage:
        assert {row["stage"] for row in rows} == {stage}
        assert all("unexpected: ZeroDivisionError: by nought (more in " in row["reason"] for row in rows)
    else:
        assert rows == []
        assert "1 artists were left out" in capsys.readouterr().out
    (log,) = temporary.glob("*.log")
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize("table", ["songs.csv", "rejected.csv"])
def test_damaged_table_of_an_earlier_run_is_said_before_anything_is_asked(services, tmp_path, table):
    (tmp_path / table).write_text("x\n1\n")
    with pytest.raises(UserError, match=rf"{table} is damaged .it has no column"):
        collect(tmp_path)
    assert services.log == []


NOTHING = {
    "empty playlist": ({"data": [], "total": 0}, "no song was found; name others"),
    "private playlist": ({"error": {"message": "Permission", "code": 300}}, r"Permission \(code 300\).*name others"),
    "no playlist": ({"error": {"message": "no data", "code": 800}}, "Deezer has no playlist 9"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_to_begin_with_is_a_sentence(services, tmp_path, case):
    answer, message = NOTHING[case]
    services.world.changed["/deezer/playlist/9/tracks"] = (200, "application/json", json.dumps(answer).encode())
    with pytest.raises(UserError, match=message):
        collect(tmp_path, "--playlist", "9")


def test_too_few_songs_are_kept_and_said(use, tmp_path, capsys):
    with running(World(artists=5, kind="small")) as server:
        use(server)
        assert collect(tmp_path) == 0
    assert 3 < len(read_rows(tmp_path / "songs.csv")) < 15
    assert "There are no more artists to look at" in capsys.readouterr().out


def test_artist_without_songs(services, tmp_path):
    nothing = (200, "application/json", b'{"data": [], "total": 0}')
    services.world.changed |= {"/deezer/search": nothing, "/deezer/artist/1/top": nothing}
    collect(tmp_path, "--seed-artist", "1", songs=3)
    assert "1" not in {song["artist_id"] for song in read_rows(tmp_path / "songs.csv")}


def odd_search(handler):
    """Every song of every artist is odd in its own way."""
    world, odd = (
        handler.services.world,
        [
            "=cmd()|x",
            "Two\nlines",
            'Quo"te',
            "Tab\t",
            "夜",
            "x" * 200_000,
            "\x00\x1b[31m",
            None,
            "\ud83c half",
            "9\udfb5",
        ],
    )
    match = re.search(r"Artist (\d+)", handler.query["q"])
    songs = world.songs(int(match[1]))
    tracks = [handler.track(song) | {"title": title} for song, title in zip(songs, odd, strict=False)]
    tracks[3]["id"], tracks[4]["id"], tracks[5]["isrc"] = "../../etc/passwd", None, "a,b"
    handler.json({"data": tracks})


def test_odd_songs_are_kept_whole_or_rejected_with_a_reason(services, tmp_path):
    services.world.changed["/deezer/search"] = odd_search
    services.world.labelled = 1.0
    for _ in range(2):  # the tables can be read and added to
        assert collect(tmp_path, "--songs-per-artist", "10", songs=12) == 0
    songs = read_rows(tmp_path / "songs.csv")
    rejected = read_rows(tmp_path / "rejected.csv")
    assert {"=cmd()|x", "Two\nlines", 'Quo"te', "\ufffd half", "9\ufffd"} <= {song["title"] for song in songs}
    assert any("'deezer-../../etc/passwd' is not made of" in row["reason"] for row in rejected)
    assert any("id '' is not made of" in row["reason"] for row in rejected)
    assert all(re.fullmatch(r"deezer-\d+\.(mp3|m4a)", name) for name in previews(tmp_path))


def test_itunes_is_asked_within_bounds(use, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "ITUNES_AT_FIRST", 4)
    with running(World(artists=150, kind="small", no_preview=0.5)) as server:
        services = use(server)
        collect(tmp_path)
        asked = sum(service == "itunes" for service, _, _ in services.log)
        songs = read_rows(tmp_path / "songs.csv")
    assert 4 <= asked <= 4 + 2 * SONGS // 30 + 1
    assert any(song["preview_file"].endswith(".m4a") for song in songs)
    assert "no preview" in {row["reason"] for row in read_rows(tmp_path / "rejected.csv")}


def test_labels_from_a_table(services, tmp_path):
    world = services.world
    rows = [
        {"track_id": f"x{song}", "artists": world.name(song // SONGS_PER_ARTIST), "track_name": world.title(song)}
        | {name: str(value) for name, value in world.features(song).items()}
        for song in range(0, 150 * SONGS_PER_ARTIST, 2)
    ]
    table = write_catalog(tmp_path / "kaggle.csv", rows)
    collect(tmp_path / "data", "--labels", table, songs=10)
    songs = read_rows(tmp_path / "data" / "songs.csv")
    assert len(songs) == 10
    assert {song["label_source"] for song in songs} == {"kaggle.csv"}
    assert not any(service == "reccobeats" for service, _, _ in services.log)


def test_song_of_an_earlier_run_stays(services, tmp_path):
    collect(tmp_path, songs=10)
    before = {song["song_id"]: song for song in read_rows(tmp_path / "songs.csv")}
    rejected = read_rows(tmp_path / "rejected.csv")
    some = dict(list(before.items())[:5])
    table = write_catalog(
        tmp_path / "t.csv",
        [{"isrc": song["isrc"], **{target: song[target] for target in TARGETS}} for song in some.values()],
    )
    collect(tmp_path, "--labels", table, songs=5)
    after = {song["song_id"]: song for song in read_rows(tmp_path / "songs.csv")}
    assert after.keys() == before.keys()
    assert {song["label_source"] for song_id, song in after.items() if song_id in some} == {"t.csv"}
    assert {song["label_source"] for song_id, song in after.items() if song_id not in some} == {"reccobeats"}
    assert not {row["song_id"] for row in read_rows(tmp_path / "rejected.csv")} & after.keys()
    assert rejected


def test_other_version_replaces_that_of_an_earlier_run(services, tmp_path):
    collect(tmp_path, songs=10)
    with open(tmp_path / "songs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= {"song_id": "mine", "title": rows[0]["title"] + " (Live)", "isrc": "", "preview_file": "mine.mp3"}
    write_table(tmp_path / "songs.csv", rows[0], rows)
    collect(tmp_path, songs=10)
    assert "mine" not in {song["song_id"] for song in read_rows(tmp_path / "songs.csv")}
    assert len(read_rows(tmp_path / "songs.csv")) == 10


def test_two_runs_into_one_folder(services, tmp_path):
    services.faults.delay_s = 0.2
    with start("data_collection.py", "--data", tmp_path, "--songs", SONGS) as process:
        while process.poll() is None and not services.log:
            time.sleep(0.01)
        with pytest.raises(UserError, match="another run collects into the same folder"):
            collect(tmp_path)
        process.kill()
        process.communicate()


def test_spotify_from_playlist_to_previews(services, tmp_path):
    collect(tmp_path, "--source", "spotify", songs=20)
    songs = read_rows(tmp_path / "songs.csv")
    assert len(songs) == 20
    assert {(song["source"], song["label_source"]) for song in songs} == {("spotify", "spotify")}
    assert {service for service, _, _ in services.log} <= {"spotify", "spotify-token", "previews", "deezer", "itunes"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (CLIENT_ID, CLIENT_SECRET, TOKEN):
        assert secret.encode() not in written


def test_spotify_songs_without_previews_and_labels_of_their_own(use, tmp_path):
    with running(World(artists=150, kind="small", spotify_previews=False)) as server:
        use(server)
        collect(tmp_path, "--source", "spotify", "--labels", "reccobeats", songs=20)
    assert len(read_rows(tmp_path / "songs.csv")) == 20


def test_closed_spotify_is_said_at_once(use, tmp_path):
    with running(World(artists=150, kind="small", spotify_access="new")) as server:
        services = use(server)
        with pytest.raises(UserError, match=r"does not open this to your app: related artists .*use --source deezer"):
            collect(tmp_path, "--source", "spotify", "--playlist", "3cEYpjA9oz9GiPac4AsH4n")
        assert len(services.log) < 10
    assert not (tmp_path / "songs.csv").exists()


def test_dry_run_asks_and_writes_nothing(services, tmp_path, capsys):
    collect(tmp_path / "new", "--dry-run", songs=3000)
    printed = capsys.readouterr().out
    assert services.log == []
    assert not (tmp_path / "new").exists()
    assert "3,000 songs with labels and previews" in printed
    assert re.search(r"Deezer +2,\d+ requests at +9\.0 per second 4 min", printed)
    assert re.search(r"ReccoBeats +150 requests at +1\.5 per second 2 min", printed)
    collect(tmp_path / "new", "--dry-run", "--source", "spotify", songs=3000)
    assert "Spotify" in capsys.readouterr().out


def test_dry_run_counts_what_is_there(services, tmp_path, capsys):
    collect(tmp_path, songs=5)
    collect(tmp_path, "--dry-run", songs=5)
    assert re.search(r"holds \d\d+ answers, which are not asked for again", capsys.readouterr().out)


def test_country_and_seeds_reach_the_services(services, tmp_path):
    services.world.no_preview = 1.0
    collect(tmp_path, "--country", "DE", "--chart", "152", "--seed-artist", "Artist 5", "--playlist", "107", songs=60)
    asked = " ".join(request for _, request, _ in services.log)
    for part in ("country=DE", "/chart/152/tracks", "/playlist/107/tracks", "q=artist%3A%22Artist+5%22&limit=100"):
        assert part in asked


@pytest.mark.parametrize("module", ["data_collection", "music_learning.collect.collection"])
def test_collecting_imports_nothing_large(module):
    """Torch takes half a gigabyte, pandas and matplotlib tens of MB each."""
    heavy = {"torch", "pandas", "matplotlib", "scipy"}
    done = run_python("-c", f"import sys, {module}; print(sorted(set(sys.modules) & {heavy}))")
    assert (done.stdout, done.stderr) == ("[]\n", "")
