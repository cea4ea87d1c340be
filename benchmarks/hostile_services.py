"""How collecting songs ends when a service, or the kept answers, are hostile.

    python benchmarks/hostile_services.py             all of them, about two minutes
    python benchmarks/hostile_services.py redirect    those with this word in their name

Each answer is given by tools/fake_services.py on this machine to data_collection.py in a process of its own, with
shorter limits than a user's: a second for an answer, three tries, --max-wait 3. Printed are how the run ended, after
how many seconds, and what it said last. A run is at fault that shows a traceback, lasts longer than 20 s, takes more
than 500 MB (the servers included), leaves tables that can't be read, or never asks for what is hostile.
"""

import argparse
import gzip
import json
import math
import multiprocessing
import os
import re
import resource
import runpy
import sqlite3
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from music_learning.collect import collection, http, session
from music_learning.collect.cache import ResponseCache
from music_learning.columns import REJECTED_COLUMNS, TARGETS
from music_learning.files import read_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_songs
from tools.fake_services import (
    CLIENT_ID,
    CLIENT_SECRET,
    Faults,
    Handler,
    Services,
    World,
    clip,
    environment,
    raw,
    serve,
    spotify_id,
)

ROOT = Path(__file__).parents[1]
SONGS = 12
SPEED = 100
BOUND_S = 20
BOUND_MB = 500
BOUND_ADDRESSES = 3 * 10**9

CHART = "/deezer/chart/0/tracks"
RELATED = "/deezer/artist/*/related"
SEARCH = "/deezer/search"
TOP = "/deezer/artist/*/top"
PLAYLIST = "/deezer/playlist/7/tracks"
LABELS = "/reccobeats/v1/audio-features"
PREVIEW = "/previews/*"
SPOTIFY = ("--source", "spotify")

Answer = tuple | Callable[[Handler], None]


@dataclass
class Hostile:
    """What a service answers to some paths, or what `prepare` does to the data folder before the run."""

    changed: dict[str, Answer] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Path], Any] = lambda data: None


def as_json(value: Any) -> tuple:
    return 200, "application/json", value if isinstance(value, bytes) else json.dumps(value).encode()


def redirect(location: str) -> tuple:
    return 302, "text/html", b"", {"Location": location}


def tracks(*changes: dict) -> Answer:
    """An artist's songs, each with one of the changes."""

    def answer(handler: Handler) -> None:
        songs = handler.found(handler.query.get("q", ""))
        changed = [song | changes[k % len(changes)] for k, song in enumerate(songs)]
        handler.json({"data": changed})

    return answer


def odd_features(handler: Handler) -> None:
    """Good labels beside other features that can't be right."""
    odd = ({"key": 5.5}, {"mode": 10**30}, {"key": 1e300}, {"tempo": "x"})
    rows = [
        {"id": str(k), "isrc": isrc, **dict.fromkeys(TARGETS, 0.5), **odd[k % len(odd)]}
        for k, isrc in enumerate(handler.query["ids"].split(","))
    ]
    handler.json({"content": rows})


def labels(*values: Any) -> Answer:
    """Labels of all songs asked for, whose energy takes these values in turn."""

    def answer(handler: Handler) -> None:
        ids = handler.query["ids"].split(",")
        rows = [
            {"id": str(k), "isrc": isrc, **dict.fromkeys(TARGETS, 0.5), "energy": values[k % len(values)]}
            for k, isrc in enumerate(ids)
        ]
        handler.json({"content": rows})

    return answer


def new_artists(handler: Handler) -> None:
    """Artists that nobody named before."""
    first = time.monotonic_ns()
    handler.json({"data": [{"id": first + k, "name": f"Artist {first + k}"} for k in range(20)]})


def new_songs(**changes: Any) -> Answer:
    """Songs that nobody named before, of whoever is asked for."""

    def answer(handler: Handler) -> None:
        name = int(re.search(r"Artist (\d+)", handler.query["q"])[1])
        songs = [
            {"id": f"{name}{k}", "title": f"Song {name} {k}", "artist": {"id": artist, "name": f"Artist {name}"}}
            for k in range(5)
            for artist in (name, name + 1)  # the invented world's artists have numbers one above their names'
        ]
        handler.json({"data": [song | changes for song in songs]})

    return answer


def waits() -> dict[str, Hostile]:
    headers = {
        "0": "0",
        "negative": "-5",
        "in the past": "Wed, 21 Oct 2015 07:28:00 GMT",
        "without a zone": "Wed, 21 Oct 2015 07:28:00",
        "in the year 9999": "Fri, 31 Dec 9999 23:59:59 GMT",
        "of 400 digits": "9" * 400,
        "garbage": "soon; \x80",
        "NaN": "nan",
        "inf": "inf",
        "-inf": "-inf",
        "empty": "",
    }
    throttled = {
        f"Retry-After {name}, for ever": Hostile({LABELS: (429, "text/html", b"", {"Retry-After": value})})
        for name, value in headers.items()
    }
    spotify = (429, "application/json", b"{}", {"Retry-After": "9" * 400})
    return throttled | {
        "HTTP 503 with Retry-After 0, for ever": Hostile({PREVIEW: (503, "text/html", b"", {"Retry-After": "0"})}),
        "Deezer's code 4 for ever": Hostile({SEARCH: as_json({"error": {"code": 4}})}),
        "Spotify: Retry-After of 400 digits": Hostile({"/spotify/v1/artists/*": spotify}, SPOTIFY),
    }


def redirects() -> dict[str, Hostile]:
    places = {
        "to a file": "file:///etc/passwd",
        "to ftp": "ftp://127.0.0.1/x",
        "to data": "data:application/json,{}",
        "to a host that isn't there": "http://no-such-host.invalid/",
        "to a closed port": "http://127.0.0.1:9/",
        "to a port that is none": "http://127.0.0.1:99999/",
        "to a port of letters": "http://127.0.0.1:http/",
        "to no host": "http:///x",
        "to half an IPv6 address": "http://[::1/x",
        "to a name of 300 letters": f"http://{'a' * 300}.invalid/",
        "to no UTF-8": "/\xff\xfe",
        "to itself": "",
    }

    def endless(handler: Handler) -> None:
        handler.reply(*redirect(f"{handler.base}{SEARCH}?n={time.monotonic_ns()}"))

    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"
    return {f"redirect {name}": Hostile({SEARCH: redirect(place)}) for name, place in places.items()} | {
        "redirect without end": Hostile({SEARCH: endless}),
        "redirect with an endless body": Hostile({SEARCH: raw(head, then=b"x" * 100_000)}),
        "redirect of a preview to a file": Hostile({PREVIEW: redirect("file:///etc/passwd")}),
        "redirect of a preview to itself": Hostile({PREVIEW: redirect("")}),
        "redirect of Spotify's, with the token, to a file": Hostile(
            {"/spotify/v1/artists/*": redirect("file:///etc/passwd")}, SPOTIFY
        ),
    }


OK = b"HTTP/1.1 200 OK\r\n"


def slow() -> dict[str, Hostile]:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    packed = OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")
    return {
        "silence": Hostile({SEARCH: lambda handler: time.sleep(5)}),
        "headers byte by byte": Hostile({SEARCH: raw(OK + b"X: ", then=b"x", pause_s=0.05)}),
        "body byte by byte": Hostile({SEARCH: raw(OK + b"\r\n", then=b" ", pause_s=0.05)}),
        "chunk's size byte by byte": Hostile({SEARCH: raw(chunked, then=b"0", pause_s=0.05)}),
        "trailers byte by byte": Hostile({SEARCH: raw(chunked + b"2\r\n{}\r\n0\r\n", then=b"X: y\r\n", pause_s=0.05)}),
        "packed nothing, again and again": Hostile({SEARCH: raw(packed, then=gzip.compress(b""), pause_s=0.05)}),
        "preview byte by byte": Hostile({PREVIEW: raw(OK + b"\r\n", then=b"x", pause_s=0.05)}),
        "token's headers byte by byte": Hostile({"/spotify-token": raw(OK + b"X: ", then=b"x", pause_s=0.05)}, SPOTIFY),
        "headers without end": Hostile({SEARCH: raw(OK, then=b"X: y\r\n" * 1000)}),
        "HTTP 100 without end": Hostile({SEARCH: raw(then=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)}),
    }


def sizes() -> dict[str, Hostile]:
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=1)
    twice = gzip.compress(bomb)
    body = b'{"data": []}'
    packed = {"Content-Encoding": "gzip"}

    def length(text: str) -> Answer:
        return raw(OK + f"Content-Length: {text}\r\n\r\n".encode() + body)

    return {
        "gzip bomb": Hostile({SEARCH: (200, "application/json", bomb, packed)}),
        "gzip bomb in gzip": Hostile({SEARCH: (200, "application/json", twice, {"Content-Encoding": "gzip, gzip"})}),
        "gzip that is none": Hostile({SEARCH: (200, "application/json", body, packed)}),
        "Spotify: gzip bomb": Hostile({"/spotify/v1/artists/*": (200, "application/json", bomb, packed)}, SPOTIFY),
        "gzip bomb as a preview": Hostile({PREVIEW: (200, "audio/mpeg", bomb, packed)}),
        "body without end": Hostile({SEARCH: raw(OK + b"\r\n", then=b" " * 100_000)}),
        "preview without end": Hostile({PREVIEW: raw(OK + b"\r\n", then=b"\xff" * 100_000)}),
        "Content-Length too large": Hostile({SEARCH: length("1000")}),
        "Content-Length too small": Hostile({SEARCH: length("3")}),
        "Content-Length negative": Hostile({SEARCH: length("-3")}),
        "Content-Length two of them": Hostile({SEARCH: length("3, 4")}),
        "Content-Length of 5,000 digits": Hostile({SEARCH: length("9" * 5000)}),
        "no HTTP": Hostile({SEARCH: raw(b"SSH-2.0-OpenSSH\r\n" * 10)}),
    }


def json_answers() -> dict[str, Hostile]:
    text = '{"data": [{"id": 1, "title": "Größe"}]}'
    artists = "/spotify/v1/artists/*"
    return {
        "Latin-1 that says UTF-8": Hostile({SEARCH: (200, "application/json; charset=utf-8", text.encode("latin-1"))}),
        "Spotify: charset punycode": Hostile(
            {artists: (200, "application/json; charset=punycode", b'"\xff' + b"a-b" * 1_000_000)}, SPOTIFY
        ),
        "a web page with status 200": Hostile({SEARCH: (200, "text/html", b"<html>Log in</html>")}),
        "deep JSON": Hostile({SEARCH: as_json(b"[" * 1_000_000)}),
        "Spotify: deep JSON": Hostile({artists: as_json(b"[" * 1_000_000)}, SPOTIFY),
        "deep JSON as a field": Hostile({SEARCH: as_json({"error": {"code": json.loads("[" * 500 + "]" * 500)}})}),
        "integer of 5,000 digits": Hostile({SEARCH: as_json(b'{"data": [{"id": ' + b"9" * 5000 + b"}]}")}),
        "ids and ranks of 400 digits": Hostile({SEARCH: tracks({"id": 10**400}, {"rank": 10**400})}),
        "NaN for everything": Hostile({SEARCH: as_json(b'{"data": NaN, "total": Infinity}')}),
        "list for object": Hostile({SEARCH: as_json([[], [{}]])}),
        "wrong types in every field": Hostile(
            {SEARCH: tracks({"id": []}, {"title": {}}, {"artist": []}, {"rank": "1"}, {"preview": 7}, {"isrc": True})}
        ),
        "labels that are none": Hostile(
            {LABELS: labels(1.5, -0.1, float("nan"), float("inf"), "0.5", True, None, [], {}, 10**400, 0.5)}
        ),
        "labels all NaN": Hostile({LABELS: labels(float("nan"))}),
        "key of 5.5, mode of 10**30": Hostile({LABELS: odd_features}),
        "Spotify: token of the wrong shape": Hostile({"/spotify-token": as_json(["token"])}, SPOTIFY),
        "Spotify: token with a line break": Hostile(
            {"/spotify-token": as_json({"access_token": "a\r\nX: y", "expires_in": 9})}, SPOTIFY
        ),
        "Spotify: token with half an emoji": Hostile(
            {"/spotify-token": as_json({"access_token": "\ud83c", "expires_in": 9})}, SPOTIFY
        ),
        "Spotify: errors of the wrong shape": Hostile({artists: (400, "application/json", b"[1]")}, SPOTIFY),
    }


def endless() -> dict[str, Hostile]:
    one = {"artist": {"id": 1, "name": "Artist 1"}}
    same = as_json({"data": [one] * 100, "total": 3, "next": "https://api.deezer.com/playlist/7/tracks?index=0"})
    nothing = as_json({"data": []})
    playlists = as_json({"data": [{"id": k} for k in range(100_000)]})
    track = {"artists": [{"id": spotify_id("artist", 1), "name": "A"}]}
    spotify_page = as_json({"items": [{"track": track}] * 50, "next": "again"})

    def many_tracks(handler: Handler) -> None:
        handler.json({"data": handler.found("Artist 5") * 400})

    return {
        "playlist without end": Hostile({PLAYLIST: same, RELATED: nothing, SEARCH: nothing}, ("--playlist", "7")),
        "Spotify: playlist without end": Hostile({"/spotify/v1/playlists/*": spotify_page}, SPOTIFY),
        "100,000 playlists in the chart": Hostile(
            {"/deezer/chart/0/playlists": playlists, SEARCH: nothing, TOP: nothing, RELATED: nothing}
        ),
        "related artists without end, without songs": Hostile({RELATED: new_artists, SEARCH: nothing, TOP: nothing}),
        "songs without end, without labels": Hostile({RELATED: new_artists, SEARCH: new_songs()}),
        "songs without end, without ids": Hostile({RELATED: new_artists, SEARCH: new_songs(id="..")}),
        "5,000 top songs of an artist": Hostile({SEARCH: nothing, TOP: many_tracks}),
        "related artists that never answer": Hostile({RELATED: (500, "text/html", b"")}, ("--seed-artist", "1")),
        "previews that are always expired": Hostile({PREVIEW: (403, "text/html", b"")}),
    }


def texts() -> dict[str, Hostile]:
    half = "\ud83c"
    marks = "a" + "\u0301\u0327" * 10_000
    related = as_json({"data": [{"id": 5, "name": f"{half} Artist 4"}]})
    chart = as_json({"data": [{"artist": {"id": 1, "name": f"{half} Artist 0"}}]})
    return {
        "half emojis in titles and albums": Hostile(
            {SEARCH: tracks({"title": half}, {"album": {"title": f"a{half}"}})}
        ),
        "half emojis in names of artists": Hostile({CHART: chart, RELATED: related}),
        "half emojis in ids": Hostile({SEARCH: tracks({"id": half})}),
        "half emojis in addresses of previews": Hostile({SEARCH: tracks({"preview": f"http://127.0.0.1/{half}"})}),
        "half emojis in an error": Hostile({SEARCH: as_json({"error": {"code": 1, "message": half}})}),
        "NUL and escape sequences": Hostile(
            {SEARCH: tracks({"title": "a\0b"}, {"title": "\x1b[2J\x9b"}, {"id": "\0"})}
        ),
        "titles of a megabyte": Hostile({SEARCH: tracks({"title": "x" * 300_000}, {"id": "9" * 300_000})}),
        "20,000 accents on a letter": Hostile({SEARCH: tracks({"title": marks}, {"artist": {"id": 1, "name": marks}})}),
        "ids that are paths": Hostile({SEARCH: tracks({"id": "../../x"}, {"id": "/etc/passwd"}, {"isrc": "QZ/../x"})}),
        "addresses of previews that are none": Hostile(
            {SEARCH: tracks({"preview": "file:///etc/passwd"}, {"preview": "x"})}
        ),
        "Spotify: half emojis in ids and names": Hostile(
            {"/spotify/v1/artists/*/related-artists": as_json({"artists": [{"id": half, "name": half}]})}, SPOTIFY
        ),
    }


def kept(service: str, request: str, answer: Any) -> Callable[[Path], None]:
    """Before the run, an answer is there already: a value, or bytes to stand in the file as they are."""

    def prepare(data: Path) -> None:
        with closing(ResponseCache(DataPaths(data).answers)) as cache:
            cache.put(service, {request: None if isinstance(answer, bytes) else answer})
            if isinstance(answer, bytes):
                cache.database.execute("UPDATE answers SET answer = ?", (answer,))

    return prepare


def sql(statement: str) -> Callable[[Path], None]:
    """Before the run, the kept answers are a database that this statement makes."""

    def prepare(data: Path) -> None:
        data.mkdir()
        with closing(sqlite3.connect(DataPaths(data).answers)) as database:
            database.execute(statement)
            database.commit()

    return prepare


def locked(data: Path) -> sqlite3.Connection:
    data.mkdir()
    database = sqlite3.connect(DataPaths(data).answers, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    return database


def damaged(data: Path) -> None:
    """A database whose middle has been overwritten."""
    path = DataPaths(data).answers
    with closing(ResponseCache(path)) as cache:
        cache.put("Deezer", {f"/x{k}": os.urandom(100).hex() for k in range(500)})
    content = bytearray(path.read_bytes())
    content[4096:20_000] = b"\xaa" * (20_000 - 4096)
    path.write_bytes(content)


def kept_answers() -> dict[str, Hostile]:
    chart, search = "/chart/0/tracks?limit=100", "/search?q=artist%3A%22Artist+0%22&limit=50"
    song = dict.fromkeys(("song_id", "title", "artist", "artist_id", "album", "isrc", "source", "preview_url"), "x")
    deep = zlib.compress(b"[" * 1_000_000)
    id_0 = "deezer-1000000"
    path = {"preview_file": "../../../etc/passwd", "preview_sha256": "0" * 64}
    rows = {
        "an object for a list": kept("Deezer", chart, {"a": 1}),
        "a list of numbers": kept("Deezer", chart, [1, 2]),
        "a number": kept("Deezer", chart, 5),
        "artists of three parts": kept("Deezer", chart, [["1", "a", "b"]]),
        "songs without an id": kept("Deezer", search, [{"title": "x"}]),
        "songs with half emojis": kept("Deezer", search, [song | {"song_id": "a", "title": "\ud83c"}]),
        "songs whose ids are paths": kept("Deezer", search, [song | {"song_id": "../../x"}]),
        "labels that are a list": kept("ReccoBeats", "QZTST0000001", [1, 2, 3]),
        "labels with names that aren't ours": kept("ReccoBeats", "QZTST0000001", {"x": "1"}),
        "a preview that is a path": kept("previews", id_0, path),
        "a preview that is a list": kept("previews", id_0, ["reason"]),
        "a reason that is a number": kept("previews", id_0, {"reason": 5}),
        "deep JSON": kept("Deezer", chart, deep),
        "no JSON": kept("Deezer", chart, zlib.compress(b"{")),
        "not packed": kept("Deezer", chart, b"[]"),
    }
    files = {
        "a text for a packed answer": sql(
            "CREATE TABLE answers AS SELECT 'Deezer' service, '/chart/0/tracks?limit=100' request, 'x' answer,"
            " 9e99 asked_at"
        ),
        "of other columns": sql("CREATE TABLE answers (service TEXT, request TEXT)"),
        "a view": sql("CREATE VIEW answers AS SELECT 1 service, 2 request, x'00' answer, 9e99 asked_at"),
        "damaged in the middle": damaged,
        "locked": locked,
        "no database": lambda data: (data.mkdir(), DataPaths(data).answers.write_bytes(b"no database" * 1000)),
        "a folder": lambda data: DataPaths(data).answers.mkdir(parents=True),
        "earlier songs.csv that is damaged": lambda data: (data.mkdir(), DataPaths(data).songs.write_text("x\n1\n")),
    }
    return {f"kept: {name}": Hostile(prepare=prepare) for name, prepare in (rows | files).items()}


def scenarios() -> dict[str, Hostile]:
    parts = (waits, redirects, slow, sizes, json_answers, endless, texts, kept_answers)
    return {name: hostile for part in parts for name, hostile in part().items()}


def shorten_limits() -> None:
    session.MAX_S = 1
    session.TIMEOUT_S = (1, 1)
    http.TRIES = http.TRIES_AT_FIRST = 3
    collection.GIVE_UP = 200


@dataclass
class Ended:
    """How a run ended."""

    status: int | None
    seconds: float
    memory_mb: float
    printed: str = ""
    asked: bool = True  # the run came as far as the hostile answer
    unreadable: str = ""  # why the tables can't be read

    def fault(self) -> str:
        if self.status is None or "Traceback" in self.printed or "error: unexpected: " in self.printed:
            return "TRACEBACK"
        if self.seconds > BOUND_S:
            return "ENDLESS"
        if self.memory_mb > BOUND_MB:
            return "MEMORY"
        return "TABLES" if self.unreadable else "" if self.asked else "UNASKED"


def run(hostile: Hostile, folder: Path, results: Connection) -> None:
    """In a process of its own: serve, collect, and send back how it ended."""
    shorten_limits()
    resource.setrlimit(resource.RLIMIT_AS, (BOUND_ADDRESSES, BOUND_ADDRESSES))  # what grows shall fail, not swap
    paths = DataPaths(folder / "data")
    world = World(artists=100, kind="small", labelled=1.0, changed=hostile.changed)
    server = serve(Services(world, Faults(), speed=SPEED))
    os.environ |= environment(server, speed=SPEED)
    os.environ |= {"SPOTIPY_CLIENT_ID": CLIENT_ID, "SPOTIPY_CLIENT_SECRET": CLIENT_SECRET}
    held = hostile.prepare(paths.root)
    arguments = ["data_collection.py", "--data", paths.root, "--songs", SONGS, "--max-wait", 3, *hostile.arguments]
    sys.argv = [str(argument) for argument in arguments]
    begin, status = time.perf_counter(), None
    with open(folder / "printed", "w", encoding="utf-8") as sys.stdout:
        sys.stderr = sys.stdout
        try:
            runpy.run_path(str(ROOT / "data_collection.py"), run_name="__main__")
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
    megabyte = 1024 if sys.platform != "darwin" else 1024**2
    ended = Ended(status, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / megabyte)
    ended.asked = not hostile.changed or any(outcome == "changed" for _, _, outcome in server.services.log)
    if status == 0 or paths.rejected.exists():
        try:
            read_songs(paths)
            read_table(paths.rejected, REJECTED_COLUMNS, "")
        except Exception as error:
            ended.unreadable = f"{type(error).__name__}: {error}"
    results.send(ended)
    del held
    os._exit(0)


def outcome(hostile: Hostile) -> Ended:
    """Run a scenario, and end it where it lasts too long."""
    context = multiprocessing.get_context("fork")
    with TemporaryDirectory() as folder:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(hostile, Path(folder), sending))
        process.start()
        sending.close()
        ended = Ended(0, math.inf, 0)
        with suppress(EOFError):
            if receiving.poll(BOUND_S + 5):
                ended = receiving.recv()
        process.kill()
        process.join()
        ended.printed = (Path(folder) / "printed").read_text(encoding="utf-8", errors="replace")
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    arguments = parser.parse_args()
    chosen = {
        name: hostile
        for name, hostile in scenarios().items()
        if not arguments.words or any(word in name for word in arguments.words)
    }
    for level in range(8):  # once, rather than in each process
        clip("small", level)
    faults, longest = Counter(), 0.0
    for name, hostile in chosen.items():
        ended = outcome(hostile)
        faults[ended.fault()] += 1
        longest = max(longest, ended.seconds)
        last = ended.unreadable or (ended.printed.strip().splitlines() or [""])[-1]
        print(
            f"{name[:50]:50} status {ended.status!s:4} {ended.seconds:5.1f} s {ended.memory_mb:4.0f} MB "
            f"{ended.fault():9} {last.strip()[:200]!r}",
            flush=True,
        )
    print(
        f"{len(chosen)} hostile answers: {faults['TRACEBACK']} tracebacks, {faults['ENDLESS']} over {BOUND_S} s, "
        f"{faults['MEMORY']} above {BOUND_MB} MB, {faults['TABLES']} tables that can't be read, {faults['UNASKED']} "
        f"not asked for; longest {longest:.0f} s"
    )
    sys.exit(1 if faults.total() > faults[""] else 0)


if __name__ == "__main__":
    main()
