"""Deezer: songs, artists and previews, without a key."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from music_learning.collect.answers import clean_text, object_in, objects_in, one_line, text_of
from music_learning.collect.cache import MAX_AGE_S
from music_learning.collect.failures import Malformed, Skip, Throttled
from music_learning.collect.http import HttpSession, Service, address
from music_learning.collect.matching import clean_isrc, plain
from music_learning.errors import UserError

PER_S = 9  # 45 in 5 s; it stops answering at 50
WAIT, BUSY, NO_DATA = 4, 700, 800  # error codes, which come with HTTP status 200
PAGE = 100
SEARCHED = 50  # results a search brings: the artist's songs among them, and those of others by a similar name
FALLBACK_SONGS = 5
CHART_PLAYLISTS = 10
MAX_PAGES = 100  # of a playlist: five times what Deezer allows one

Artist = tuple[str, str]  # id, name

# What is kept of answers.
ARTISTS = [(str, str)]
SONG = dict.fromkeys(("song_id", "title", "artist", "artist_id", "album", "isrc", "source", "preview_url"), str)
PLAYLIST = {"artists": ARTISTS, "count": int, "more": bool}


class Deezer:
    """The open part of Deezer's API. Each method is one request, unless its answer is kept from before."""

    name = "deezer"

    def __init__(self, http: HttpSession) -> None:
        self.service = Service("Deezer", http, address("DEEZER_URL", "https://api.deezer.com"), per_s=PER_S)

    def seed_artists(self, playlists: list[str], chart: int | None, names: list[str]) -> Iterator[Artist]:
        """The artists to begin with: those named, those of the playlists' songs, those of the chart.

        Without any of the three, the chart of all genres is used: its songs, then those of its playlists.

        Raises:
            UserError: Deezer doesn't know one of them.
        """
        for name in names:
            yield self._artist(name)
        for playlist in playlists:
            yield from self._playlist(playlist_id(playlist))
        if chart is not None or not (playlists or names):
            chart = chart or 0
            yield from self._artists(f"/chart/{chart}/tracks", limit=PAGE)
            playlists = self._get(f"/chart/{chart}/playlists", _ids, [str], limit=CHART_PLAYLISTS) or []
            for playlist in playlists[:CHART_PLAYLISTS]:
                yield from self._playlist(playlist)

    def related(self, artist: Artist) -> list[Artist]:
        others = self._get(f"/artist/{quote(artist[0], safe='')}/related", _artists, ARTISTS) or []
        return [tuple(other) for other in others]

    def top_songs(self, artist: Artist) -> list[dict[str, str]]:
        """An artist's songs with their ISRC, most popular first.

        A search carries the ISRC, which the list of an artist's top songs lacks; so that is used only for an artist
        whose name finds nothing, at the price of a request per song more.
        """
        artist_id, name = artist
        query = 'artist:"{}"'.format(name.replace('"', " "))

        def parse(answer: Any) -> list[dict[str, str]]:
            tracks = [track for track in objects_in(answer, "data") if _artist_of(track)[0] == artist_id]
            tracks.sort(key=lambda track: (-_rank(track), text_of(track.get("id"))))
            return [_song(track) for track in tracks]

        songs = self._get("/search", parse, [SONG], q=query, limit=SEARCHED) or []
        return songs or [self._with_isrc(song) for song in self._top(artist_id)]

    def preview_url(self, song: dict[str, str], *, refresh: bool = False) -> str:
        """The preview URL of a song, found by its Deezer id or else its ISRC; empty where there is none.

        Args:
            refresh: don't rely on a kept answer: its URL has expired.
        """
        track = song["song_id"].removeprefix("deezer-") if song["source"] == self.name else f"isrc:{song['isrc']}"
        if track == "isrc:":
            return ""
        path, max_age_s = f"/track/{quote(track, safe=':')}", 0 if refresh else MAX_AGE_S
        return (self._get(path, _song, SONG, max_age_s=max_age_s) or {}).get("preview_url", "")

    def _top(self, artist_id: str) -> list[dict[str, str]]:
        def parse(answer: Any) -> list[dict[str, str]]:
            return [_song(track) for track in objects_in(answer, "data")[:FALLBACK_SONGS]]

        return self._get(f"/artist/{quote(artist_id, safe='')}/top", parse, [SONG], limit=FALLBACK_SONGS) or []

    def _with_isrc(self, song: dict[str, str]) -> dict[str, str]:
        track = quote(song["song_id"].removeprefix("deezer-"), safe="")
        return song | {"isrc": (self._get(f"/track/{track}", _song, SONG) or song)["isrc"]}

    def _artist(self, name: str) -> Artist:
        name = clean_text(name)
        if name.isdecimal():
            found = self._get(f"/artist/{name}", lambda answer: [_artist(answer)], ARTISTS)
        else:
            query = 'artist:"{}"'.format(name.replace('"', " "))
            found = self._get("/search", _artists_of_tracks, ARTISTS, q=query, limit=PAGE)
        by_name = [artist for artist in found or [] if name.isdecimal() or plain(artist[1]) == plain(name)]
        if not by_name:
            others = ", ".join(dict.fromkeys(one_line(artist[1]) for artist in found or []))[:200]
            raise UserError(f"Deezer knows no artist {name!r}" + (f"; it knows: {others}" if others else ""))
        return tuple(by_name[0])

    def _playlist(self, playlist: str) -> Iterator[Artist]:
        for index in range(0, MAX_PAGES * PAGE, PAGE):
            tracks = self._get(f"/playlist/{playlist}/tracks", _page, PLAYLIST, limit=PAGE, index=index)
            if tracks is None:
                raise UserError(f"Deezer has no playlist {playlist}; look at its address on deezer.com")
            yield from (tuple(artist) for artist in tracks["artists"])
            if not (tracks["more"] and tracks["count"]):
                return
        most = f"{MAX_PAGES * PAGE:,}"
        self.service.http.note(f"Deezer's playlist {playlist} has no end; its first {most} songs are looked at")

    def _artists(self, path: str, **params: int) -> list[Artist]:
        return [tuple(artist) for artist in self._get(path, _artists_of_tracks, ARTISTS, **params) or []]

    def _get(
        self,
        path: str,
        parse: Callable[[Any], Any],
        shape: Any,
        *,
        max_age_s: float = MAX_AGE_S,
        **params: str | int,
    ) -> Any:
        """What `parse` makes of an answer; None where Deezer has no data. Raises Skip where it objects.

        Args:
            shape: what `parse` returns, see `answers.fits`.
        """

        def attempt() -> Any:
            answer = self.service.get_json(path, params)
            error = object_in(answer, "error")
            code = error.get("code")
            if code in (WAIT, BUSY):
                raise Throttled
            if code == NO_DATA or answer is None:
                return None
            if error:
                raise Skip(f"Deezer answers {one_line(error.get('message'))} (code {one_line(code)}) to {path[:200]}")
            return parse(answer)

        request = f"{path}?{urlencode(params)}" if params else path
        return self.service.ask(request, attempt, shape=shape, max_age_s=max_age_s)


def playlist_id(text: str) -> str:
    """The number of a playlist that is named by its number or its address. Raises UserError."""
    match = re.fullmatch(r"(?:https?://[^?#]*/playlist/)?(\d+)(?:[?#].*)?", text.strip())
    if not match:
        raise UserError(f"--playlist {text!r} is no Deezer playlist; expected its number or its address on deezer.com")
    return match[1]


def _song(track: Any) -> dict[str, str]:
    if not isinstance(track, dict):
        raise Malformed("answered with something that is no track")
    artist_id, artist = _artist_of(track)
    track_id = text_of(track.get("id"))
    return {
        "song_id": f"deezer-{track_id}" if track_id else "",
        "title": text_of(track.get("title")),
        "artist": artist,
        "artist_id": artist_id,
        "album": text_of(object_in(track, "album").get("title")),
        "isrc": clean_isrc(text_of(track.get("isrc"))),
        "source": Deezer.name,
        "preview_url": text_of(track.get("preview")),
    }


def _rank(track: dict) -> int:
    rank = track.get("rank")
    return rank if isinstance(rank, int) else 0


def _artist_of(track: dict) -> Artist:
    return _artist(object_in(track, "artist"))


def _artist(artist: Any) -> Artist:
    if not isinstance(artist, dict):
        raise Malformed("answered with something that is no artist")
    return text_of(artist.get("id")), text_of(artist.get("name"))


def _known(artists: list[Artist]) -> list[Artist]:
    """Each once, without those that lack an id or a name."""
    return [artist for artist in dict.fromkeys(artists) if all(artist)]


def _artists(answer: Any) -> list[Artist]:
    return _known([_artist(artist) for artist in objects_in(answer, "data")])


def _artists_of_tracks(answer: Any) -> list[Artist]:
    return _known([_artist_of(track) for track in objects_in(answer, "data")])


def _ids(answer: Any) -> list[str]:
    return [text_of(entry.get("id")) for entry in objects_in(answer, "data") if text_of(entry.get("id")).isdecimal()]


def _page(answer: Any) -> dict:
    artists, count = _artists_of_tracks(answer), len(objects_in(answer, "data"))
    return {"artists": artists, "count": count, "more": bool(answer.get("next"))}
