"""Deezer, ReccoBeats, iTunes and Spotify on one loopback port, as they answer in 2026, with faults to order.

    python tools/fake_services.py --artists 4000 --speed 100

Serves an invented world, in which everything follows from a song's number: half of the songs have labels, one in thirty
has no preview. Prints the environment variables that point data_collection.py at it. The tests and the benchmarks of
collecting import it or run it so.
"""

import argparse
import hashlib
import io
import json
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import soundfile

SONGS_PER_ARTIST = 12
RELATED = 20
PLAYLIST = 100
CLIENT_ID, CLIENT_SECRET, TOKEN = "the-client-id", "the-client-secret", "the-access-token"
ODD_NAMES = ['Quo"te', "夜の歌", "Ночь", "Line\nbreak", "=cmd()", "A, B & C", "Tab\there", "Zoë", "שיר", "$x^$ 🎵"]


@dataclass
class World:
    """What there is.

    `changed` overrides answers: path -> (status, content type, body, headers) or a function of the handler. A path may
    hold `*`, as file names do.
    """

    artists: int = 500
    labelled: float = 0.5
    no_preview: float = 1 / 30
    preview_ttl_s: float = 900
    retry_after_s: int = 1
    spotify_access: str = "full"  # "new": what apps registered since November 2024 get
    spotify_previews: bool = True
    kind: str = "mp3"  # or "small": previews that cost little to make and to decode
    changed: dict = field(default_factory=dict)

    def change_of(self, path: str):
        """What answers instead, if anything."""
        for pattern, change in self.changed.items():
            if fnmatchcase(path, pattern):
                return change
        return None

    def name(self, artist: int) -> str:
        odd = ODD_NAMES[artist // 7 % len(ODD_NAMES)] if artist % 7 == 3 else ""
        return f"{odd} Artist {artist}".strip()

    def related(self, artist: int) -> list[int]:
        """A tree that reaches everybody, and some others."""
        children = [8 * artist + k for k in range(1, 9)]
        others = [number(f"related {artist} {k}") % self.artists for k in range(RELATED)]
        return [other for other in [*children, *others][:RELATED] if other < self.artists and other != artist]

    def songs(self, artist: int) -> list[int]:
        return [artist * SONGS_PER_ARTIST + k for k in range(SONGS_PER_ARTIST)]

    def title(self, song: int) -> str:
        """Every fourth artist's second song is another version of the first."""
        artist, k = divmod(song, SONGS_PER_ARTIST)
        if k == 1 and artist % 4 == 0:
            return self.title(song - 1) + (" (2011 Remaster)", " - Live at Home")[artist // 4 % 2]
        return f"Song {song}" + (f" {ODD_NAMES[k % len(ODD_NAMES)]}" if artist % 5 == 2 else "")

    def isrc(self, song: int) -> str:
        return f"QZTST{song:07d}"

    def song_of_isrc(self, isrc: str) -> int | None:
        return int(isrc[5:]) if re.fullmatch(r"QZTST\d{7}", isrc) else None

    def has_labels(self, song: int) -> bool:
        return share(f"labels {song}") < self.labelled

    def has_preview(self, song: int) -> bool:
        return share(f"preview {song}") >= self.no_preview

    def features(self, song: int) -> dict:
        energy, danceability, valence = (round(share(f"{name} {song}"), 3) for name in "edv")
        return {
            **{
                "energy": energy,
                "danceability": danceability,
                "valence": valence,
                "key": song % 13 - 1,
                "mode": song % 2,
            },
            **{"acousticness": 0.1, "instrumentalness": 0, "liveness": 0.2, "speechiness": 0.04},
            **{"loudness": -20 + 15 * energy, "tempo": 60 + 120 * danceability},
        }


@dataclass
class Faults:
    """How often things go wrong, as shares of the requests unless said otherwise."""

    http_error: float = 0.0
    reset: float = 0.0
    truncated: float = 0.0  # of the previews
    expired: float = 0.0  # of the preview URLs
    code_4_every: int = 0  # Deezer requests between two bursts of five
    retry_after_every: int = 0  # ReccoBeats requests between two 429s
    down: str = ""  # the service that is down once, ...
    down_after: int = 0  # ... after this many requests to it ...
    down_s: float = 0.0  # ... for so long
    delay_s: float = 0.0  # before each answer


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def share(text: str) -> float:
    return number(text) / 2**48


@lru_cache
def clip(kind: str, level: int) -> bytes:
    """30 s of chords, a beat and noise; louder with `level`, 0 to 7. `small` is mono at a low rate and bit rate."""
    rate_hz, channels = (16_000, 1) if kind == "small" else (44_100, 2)
    generator = np.random.default_rng(level)
    t = np.arange(30 * rate_hz) / rate_hz
    beat = np.exp(-((t * (1 + level / 4)) % 1) * 8)
    chord = sum(np.sin(2 * np.pi * f * t) / 4 for f in generator.uniform(100, 3000, size=4))
    mono = 10 ** ((level - 9) / 10) * (chord * (0.3 + beat) + 0.2 * beat * generator.normal(size=t.size))
    samples = np.clip(np.repeat(mono[:, None], channels, axis=1), -1, 1)
    buffer = io.BytesIO()
    # 128 kbit/s for two channels at 44.1 kHz, 480 kB, as Deezer's
    options = {"bitrate_mode": "CONSTANT", "compression_level": 0.9 if kind == "small" else 0.66}
    with soundfile.SoundFile(buffer, "w", rate_hz, channels, format="MP3", **options) as file:
        for start in range(0, len(samples), 10_000):
            file.write(samples[start : start + 10_000])
    return buffer.getvalue()


LIMITS = {"deezer": (50, 5.0), "reccobeats": (10, 5.0), "itunes": (20, 60.0)}  # requests in seconds


class Services:
    """The servers' state: the world, the faults, how much was asked lately, and a log of all requests."""

    def __init__(self, world: World, faults: Faults, *, speed: float = 1.0, seed: int = 0) -> None:
        self.world, self.faults, self.speed = world, faults, speed
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.recent = {name: deque() for name in LIMITS}
        self.counts: Counter[str] = Counter()
        self.down_until: float | None = None
        self.log: list[tuple[str, str, str]] = []  # service, request, outcome
        self.headers: list[tuple[str, dict]] = []  # of requests that carried credentials: path, headers

    def note(self, service: str, request: str, outcome: str) -> None:
        with self.lock:
            self.log.append((service, request, outcome))

    def fault(self, service: str) -> str:
        """What goes wrong with this request, if anything; also counts it against the service's limit."""
        faults = self.faults
        with self.lock:
            self.counts[service] += 1
            now = time.monotonic()
            if faults.down == service and self.down_until is None and self.counts[service] > faults.down_after:
                self.down_until = now + faults.down_s
            if faults.down == service and self.down_until is not None and now < self.down_until:
                return "down"
            if service in LIMITS:
                most, seconds = LIMITS[service]
                recent = self.recent[service]
                while recent and recent[0] < now - seconds / self.speed:
                    recent.popleft()
                recent.append(now)
                if len(recent) > most:
                    return "throttled"
            if service == "deezer" and faults.code_4_every and self.counts[service] % faults.code_4_every < 5:
                return "throttled"
            every = faults.retry_after_every
            if service == "reccobeats" and every and self.counts[service] % every == 0:
                return "throttled"
            draw = self.random.random()
            for name, chance in (("error", faults.http_error), ("reset", faults.reset)):
                if draw < chance:
                    return name
                draw -= chance
            if service == "previews" and self.random.random() < faults.truncated:
                return "truncated"
        return ""

    def preview_url(self, base: str, song: int) -> str:
        if not self.world.has_preview(song):
            return ""
        with self.lock:
            ttl_s = -1 if self.random.random() < self.faults.expired else self.world.preview_ttl_s
        return f"{base}/previews/{song}.mp3?hdnea=exp={int(time.time() + ttl_s)}~acl=/api/1/1/*~hmac=0123abcd"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        self.services = services = self.server.services
        parts = urlsplit(self.path)
        self.base = f"http://{self.headers['Host']}"
        service, _, rest = parts.path.lstrip("/").partition("/")
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if self.headers.get("Authorization"):
            services.headers.append((self.path, dict(self.headers)))
        self.truncated = self.reset = False
        if services.faults.delay_s:
            time.sleep(services.faults.delay_s)
        if (changed := services.world.change_of(parts.path)) is not None:
            services.note(service, self.path, "changed")
            if callable(changed):
                changed(self)
            else:
                self.reply(*changed)
            return
        fault = services.fault(service)
        expiry = re.search(r"exp=(-?\d+)", parts.query)
        if not fault and expiry and int(expiry[1]) <= time.time():
            fault = "expired"
        services.note(service, self.path, fault or "ok")
        if fault == "down":
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault == "error":
            self.reply(random.choice((500, 502, 503)), "text/html", b"<html>an error</html>")
        elif fault == "expired":
            self.reply(403, "text/html", b"<html>Forbidden</html>")
        elif fault == "throttled":
            self.throttled(service)
        else:
            self.truncated, self.reset = fault == "truncated", fault == "reset"
            route = getattr(self, service.replace("-", "_"), None)
            if route is None:
                self.reply(404, "text/html", b"<html>no such page</html>")
            else:
                route(unquote(rest))

    def throttled(self, service: str) -> None:
        if service == "deezer":
            self.json({"error": {"type": "Exception", "message": "Quota limit exceeded", "code": 4}})
        elif service == "reccobeats":
            wait = {"Retry-After": str(self.services.world.retry_after_s)}
            self.json({"status": 4291, "error": "Too many requests"}, status=429, headers=wait)
        else:
            self.reply(403, "text/html", b"<html>Forbidden</html>")

    def reply(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.reset:
            self.wfile.write(body[: len(body) // 2])
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            self.wfile.write(body)

    def json(self, value, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.reply(status, "application/json; charset=utf-8", json.dumps(value).encode(), headers)

    # Deezer

    def deezer(self, path: str) -> None:
        world = self.services.world
        limit, index = int(self.query.get("limit", 25)), int(self.query.get("index", 0))
        if limit > 100:
            self.json({"error": {"type": "Exception", "message": "Too many items", "code": 100}})
        elif path == "search":
            self.json(self.page(self.found(self.query.get("q", "")), limit, index))
        elif match := re.fullmatch(r"chart/\d+/tracks", path):
            self.json(
                self.page([self.track(world.songs(artist)[0]) for artist in range(min(8, world.artists))], limit, index)
            )
        elif match := re.fullmatch(r"chart/\d+/playlists", path):
            self.json(
                self.page([{"id": 100 + k, "title": f"Top {k}", "type": "playlist"} for k in range(3)], limit, index)
            )
        elif match := re.fullmatch(r"playlist/(\d+)/tracks", path):
            first = int(match[1]) % 7
            songs = [world.songs((first + k // 2) % world.artists)[k % 2] for k in range(PLAYLIST)]
            self.json(self.page([self.track(song) for song in songs], limit, index))
        elif match := re.fullmatch(r"artist/(\d+)(/related|/top)?", path):
            self.artist_page(int(match[1]), match[2], limit, index)
        elif match := re.fullmatch(r"track/(isrc:)?(\w+)", path):
            song = world.song_of_isrc(match[2]) if match[1] else int(match[2]) - 1_000_000
            if song is None or not 0 <= song < world.artists * SONGS_PER_ARTIST:
                self.no_data()
            else:
                extra = {"release_date": "2019-05-01", "bpm": 0, "gain": -8.1, "contributors": []}
                self.json(self.track(song) | extra)
        else:
            self.json({"error": {"type": "DataException", "message": "Unknown path components", "code": 600}})

    def artist_page(self, artist: int, what: str | None, limit: int, index: int) -> None:
        world, artist = self.services.world, artist - 1
        if not 0 <= artist < world.artists:
            self.no_data()
        elif what == "/related":
            self.json(self.page([self.artist(other) for other in world.related(artist)], limit, index))
        elif what == "/top":
            tracks = [self.track(song) for song in world.songs(artist)]
            self.json(self.page([{k: v for k, v in track.items() if k != "isrc"} for track in tracks], limit, index))
        else:
            self.json(self.artist(artist))

    def no_data(self) -> None:
        self.json({"error": {"type": "DataException", "message": "no data", "code": 800}})

    def page(self, entries: list, limit: int, index: int) -> dict:
        page = {"data": entries[index : index + limit], "total": len(entries)}
        if index + limit < len(entries):
            page["next"] = f"{self.base}{self.path}"
        return page

    def found(self, query: str) -> list[dict]:
        """An artist's songs, and one of somebody else whose name is similar. One name in 50 finds nothing."""
        world = self.services.world
        match = re.search(r"(?i)Artist (\d+)", query)
        if not match or int(match[1]) >= world.artists or int(match[1]) % 50 == 49:
            return []
        artist = int(match[1])
        other = world.songs((artist + 1) % world.artists)[0]
        return [self.track(song) for song in [*world.songs(artist)[:1], other, *world.songs(artist)[1:]]]

    def artist(self, artist: int) -> dict:
        name = self.services.world.name(artist)
        return {"id": artist + 1, "name": name, "link": f"https://www.deezer.com/artist/{artist + 1}", "type": "artist"}

    def track(self, song: int) -> dict:
        world, (artist, k) = self.services.world, divmod(song, SONGS_PER_ARTIST)
        return {
            "id": 1_000_000 + song,
            "readable": True,
            "title": world.title(song),
            "title_short": world.title(song).split(" (")[0],
            "isrc": world.isrc(song),
            "link": f"https://www.deezer.com/track/{1_000_000 + song}",
            "duration": 200,
            "rank": 900_000 - 1000 * k,
            "preview": self.services.preview_url(self.base, song),
            "artist": self.artist(artist),
            "album": {"id": 5_000_000 + song, "title": f"Album of {world.name(artist)}", "type": "album"},
            "type": "track",
        }

    # ReccoBeats

    def reccobeats(self, path: str) -> None:
        if path != "v1/audio-features":
            self.json({"status": 4042, "error": "wrong path"}, status=404)
            return
        if self.headers.get("User-Agent", "python-requests").startswith("python-requests"):
            self.reply(403, "text/plain", b"error code: 1010")
            return
        ids = self.query.get("ids", "").split(",")
        if not 1 <= len(ids) <= 40:
            errors = [{"path": "getAudioFeatures.ids", "message": "size must be between 1 and 40"}]
            self.json({"status": 4004, "errors": errors}, status=400)
            return
        world, rows = self.services.world, []
        for given in ids:
            song = world.song_of_isrc(given) if given.startswith("QZ") else song_of(given)
            if song is not None and world.has_labels(song):
                row = {
                    "id": f"00000000-0000-4000-8000-{song:012d}",
                    "href": f"https://open.spotify.com/track/{spotify_id('track', song)}",
                    "isrc": world.isrc(song),
                    **world.features(song),
                }
                rows.append(row)
                if song % 10 == 0:  # a second row by the same ISRC, with other values
                    rows.append(
                        row | {"id": f"00000000-0000-0000-0000-{song:012d}", "energy": 0.123, "href": "https://x/y"}
                    )
        random.shuffle(rows)
        self.json({"content": rows})

    # iTunes

    def itunes(self, path: str) -> None:
        """Knows every second song that has no preview on Deezer."""
        match, world = re.search(r"Song (\d+)", self.query.get("term", "")), self.services.world
        results = []
        if match and int(match[1]) % 2 == 0:
            song = int(match[1])
            row = {
                "trackId": song,
                "trackName": world.title(song),
                "artistId": song // SONGS_PER_ARTIST,
                "artistName": world.name(song // SONGS_PER_ARTIST),
                "previewUrl": f"{self.base}/previews/{song}.m4a",
                "trackTimeMillis": 200_000,
            }
            results = [row | {"artistName": "Somebody Else", "previewUrl": f"{self.base}/previews/1.m4a"}, row]
        body = "\n\n\n" + json.dumps({"resultCount": len(results), "results": results})
        self.reply(200, "text/javascript; charset=utf-8", body.encode())

    # previews

    def previews(self, path: str) -> None:
        world, song = self.services.world, int(path.partition(".")[0])
        body = clip(world.kind, int(world.features(song)["energy"] * 8) % 8)
        if self.truncated:
            body = body[: len(body) * 6 // 10]
        self.reply(200, "audio/mpeg", body)

    # Spotify

    def spotify_token(self, _: str) -> None:
        import base64

        expected = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            self.json({"error": "invalid_client", "error_description": "Invalid client"}, status=400)
        else:
            self.json({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})

    def spotify(self, path: str) -> None:
        world = self.services.world
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.refused(401, "Invalid access token")
        elif match := re.fullmatch(r"v1/playlists/(\w+)/items", path):
            if world.spotify_access == "new" and match[1].startswith("37i9"):
                self.refused(404, "Resource not found")
                return
            offset, limit = int(self.query.get("offset", 0)), int(self.query.get("limit", 100))
            songs = [world.songs(k // 2 % world.artists)[k % 2] for k in range(PLAYLIST)]
            entries = [{"item" if k % 2 else "track": self.spotify_track(song)} for k, song in enumerate(songs)]
            entries[3] = {"track": None}  # as a song that was taken out of the catalog
            more = f"{self.base}{self.path}" if offset + limit < PLAYLIST else None
            self.json({"items": entries[offset : offset + limit], "total": PLAYLIST, "next": more})
        elif match := re.fullmatch(r"v1/artists/(\w+)/related-artists", path):
            if world.spotify_access == "new":
                self.refused(403, "Forbidden")
            else:
                self.json({"artists": [self.spotify_artist(other) for other in world.related(song_of(match[1]))]})
        elif match := re.fullmatch(r"v1/artists/(\w+)/top-tracks", path):
            self.json({"tracks": [self.spotify_track(song) for song in world.songs(song_of(match[1]))[:10]]})
        elif path == "v1/audio-features/":
            if world.spotify_access == "new":
                self.refused(403, "Forbidden")
                return
            songs = [song_of(given) for given in self.query["ids"].split(",")]
            rows = [{"id": spotify_id("track", s), **world.features(s)} if world.has_labels(s) else None for s in songs]
            self.json({"audio_features": rows})
        elif path == "v1/search":
            self.spotify_search()
        else:
            self.refused(404, "Service not found")

    def spotify_search(self) -> None:
        query, world = self.query["q"], self.services.world
        if int(self.query.get("limit", 20)) > 10:
            self.refused(400, "Invalid limit")
        elif self.query["type"] == "artist":
            match = re.search(r"(?i)Artist (\d+)", query)
            self.json({"artists": {"items": [self.spotify_artist(int(match[1]))] if match else []}})
        else:
            song = world.song_of_isrc(query.removeprefix("isrc:"))
            self.json({"tracks": {"items": [] if song is None else [self.spotify_track(song)]}})

    def refused(self, status: int, message: str) -> None:
        self.json({"error": {"status": status, "message": message}}, status=status)

    def spotify_artist(self, artist: int) -> dict:
        return {"id": spotify_id("artist", artist), "name": self.services.world.name(artist), "type": "artist"}

    def spotify_track(self, song: int) -> dict:
        world, previews = self.services.world, self.services.world.spotify_access != "new"
        url = self.services.preview_url(self.base, song) if previews and world.spotify_previews else None
        return {
            "id": spotify_id("track", song),
            "name": world.title(song),
            "artists": [self.spotify_artist(song // SONGS_PER_ARTIST)],
            "album": {"name": "An album", "release_date": "2019-05-01"},
            "external_ids": {"isrc": world.isrc(song)},
            "preview_url": url or None,
            "type": "track",
        }

    # for a server in a process of its own

    def control(self, path: str) -> None:
        """`log`: all requests; `reset`: forget them and take other faults."""
        services = self.services
        if path == "reset":
            with services.lock:
                services.log.clear()
                services.counts.clear()
                services.down_until = None
                services.faults = Faults(
                    **{f.name: type(f.default)(self.query[f.name]) for f in fields(Faults) if f.name in self.query}
                )
        with services.lock:
            log = list(services.log)
        self.json(log)


def raw(*parts: bytes, then: bytes = b"", pause_s: float = 0.0):
    """An answer of bytes as they are, and of `then` again and again, until the client hangs up or a minute is over."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        end = time.monotonic() + 60
        with suppress(OSError):
            handler.wfile.write(b"".join(parts))
            while then and time.monotonic() < end:
                handler.wfile.write(then)
                time.sleep(pause_s)

    return answer


def repeated_requests(log: list) -> int:
    """How many requests asked again for what had been answered well."""
    answered: set[str] = set()
    repeated = 0
    for _, request, outcome in log:
        if outcome == "ok":
            parts = urlsplit(request)
            query = parse_qs(parts.query)
            query.pop("hdnea", None)  # a new address of the same preview
            ids = query.pop("ids", [""])[0].split(",")  # labels are asked for in batches that may be put together anew
            asked = {f"{parts.path} {sorted(query.items())} {asked_id}" for asked_id in ids}
            repeated += not asked.isdisjoint(answered)
            answered |= asked
    return repeated


def spotify_id(kind: str, number: int) -> str:
    return f"{kind}{number:0{22 - len(kind)}d}"


def song_of(spotify_id: str) -> int:
    return int(re.sub(r"^[a-z]+", "", spotify_id))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_) -> None:
        """A client that was killed is no error."""


def serve(services: Services, *, port: int = 0) -> Server:
    """Start serving in a thread; `shutdown()` and `server_close()` end it."""
    for level in range(8):  # made now rather than at the first requests, by many threads at a time
        clip(services.world.kind, level)
    server = Server(("127.0.0.1", port), Handler)
    server.services = services
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def environment(server: Server, *, speed: float) -> dict[str, str]:
    """What points data_collection.py at a server."""
    base = f"http://127.0.0.1:{server.server_address[1]}"
    return {
        "DEEZER_URL": f"{base}/deezer",
        "RECCOBEATS_URL": f"{base}/reccobeats/v1",
        "ITUNES_URL": f"{base}/itunes",
        "SPOTIFY_URL": f"{base}/spotify/v1",
        "SPOTIFY_TOKEN_URL": f"{base}/spotify-token",
        "COLLECTION_SPEED": f"{speed:g}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artists", type=int, default=4000)
    parser.add_argument("--speed", type=float, default=100, help="how much faster than the real limits (default: 100)")
    parser.add_argument("--kind", choices=["mp3", "small"], default="mp3", help="size of the previews")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    world = World(artists=arguments.artists, kind=arguments.kind)
    server = serve(Services(world, Faults(), speed=arguments.speed), port=arguments.port)
    for name, value in environment(server, speed=arguments.speed).items():
        print(f"export {name}={value}")
    sys.stdout.flush()
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
