"""Songs of the invented world of tools/fake_services.py, and what its servers were asked."""

import json
from typing import Any

from music_learning.collect.matching import empty_song
from tools.fake_services import SONGS_PER_ARTIST, Services, World, spotify_id


def asked(services: Services, of: str = "") -> list[str]:
    """The requests to the services whose name begins so."""
    return [request for service, request, _ in services.log if service.startswith(of)]


def deezer_song(world: World, song: int) -> dict[str, str]:
    artist = song // SONGS_PER_ARTIST
    return empty_song("deezer") | {
        "song_id": f"deezer-{1_000_000 + song}",
        "title": world.title(song),
        "artist": world.name(artist),
        "isrc": world.isrc(song),
    }


def spotify_song(world: World, song: int) -> dict[str, str]:
    return deezer_song(world, song) | {"source": "spotify", "song_id": spotify_id("track", song)}


def pick(world: World, *, labels: bool = True, preview: bool = True, start: int = 0) -> int:
    """A song that has, or hasn't, labels and a preview."""
    return next(k for k in range(start, 2400) if world.has_labels(k) == labels and world.has_preview(k) == preview)


def json_answer(value: Any) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(value).encode()
