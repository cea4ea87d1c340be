"""Spotify, through spotipy: playlists -> artists -> related artists -> top tracks -> audio features -> preview URLs.

For apps that still have access. Apps registered since 27 November 2024 are refused the related artists, the audio
features and Spotify's own playlists, and get no preview URLs.
"""

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import requests
import spotipy
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOauthError

from music_learning.collect.answers import clean_text, object_in, objects_in, text_of
from music_learning.collect.failures import BadDownload, Failed, Malformed, Skip, Throttled
from music_learning.collect.http import HttpSession, Service, address, retry_after_s
from music_learning.collect.matching import clean_isrc, plain
from music_learning.collect.reccobeats import FEATURES, features
from music_learning.collect.session import describe
from music_learning.errors import UserError

PER_S = 3  # about 180 requests a minute; Spotify doesn't say
PAGE = 50
MAX_PAGES = 200  # of a playlist: Spotify allows one 10,000 songs
TOP_50 = "37i9dQZEVXbMDoHDwVN2tF"  # Spotify's playlist "Top 50 - Global"

Artist = tuple[str, str]  # id, name

# What is kept of answers.
ARTISTS = [(str, str)]
SONG = dict.fromkeys(
    ("song_id", "title", "artist", "artist_id", "album", "isrc", "release_year", "source", "preview_url"), str
)
PLAYLIST = {"artists": ARTISTS, "count": int, "more": bool}


class Spotify:
    """Spotify's API as a source of songs and of labels. Each method is one request, unless its answer is kept."""

    name = "spotify"
    batch = 100

    def __init__(self, http: HttpSession, *, country: str) -> None:
        """Raises UserError where the app's id and secret aren't in the environment."""
        self.service = Service("Spotify", http, address("SPOTIFY_URL", "https://api.spotify.com/v1"), per_s=PER_S)
        self.country = country
        client_id, secret = (os.environ.get(f"SPOTIPY_CLIENT_{part}", "") for part in ("ID", "SECRET"))
        if not (client_id and secret and (client_id + secret).isascii()):
            raise UserError(
                "Spotify needs an app's id and secret: set SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET, or use "
                "--source deezer with --labels reccobeats, which need no key"
            )
        # spotipy logs whole requests, and warns that Spotify has closed to new apps what this needs.
        logging.getLogger("spotipy").setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="spotipy")
        token = SpotifyClientCredentials(
            client_id,
            secret,
            requests_session=http.session,
            cache_handler=MemoryCacheHandler(),  # spotipy's own would write the token to a file
        )
        token.OAUTH_TOKEN_URL = address("SPOTIFY_TOKEN_URL", SpotifyClientCredentials.OAUTH_TOKEN_URL)
        # Our session tries nothing again by itself: spotipy's would sleep through a Retry-After of hours.
        self.client = spotipy.Spotify(auth_manager=token, requests_session=http.session)
        self.client.prefix = self.service.url + "/"

    def seed_artists(self, playlists: list[str], chart: int | None, names: list[str]) -> Iterator[Artist]:
        """The artists to begin with: those named, and those of the playlists' songs (by default the Top 50).

        Raises:
            UserError: Spotify doesn't know one of them, or doesn't show it to this app.
        """
        playlists = playlists or ([] if names else [TOP_50])
        lists = [map(self._artist, names), *(self._playlist(playlist_id(playlist)) for playlist in playlists)]
        for number, artist in enumerate(chain.from_iterable(lists)):
            if number == 0:
                self.related(artist)  # closed to many apps; else that would show only when the seeds have run out
            yield artist

    def related(self, artist: Artist) -> list[Artist]:
        def attempt() -> list[Artist]:
            return [_artist(entry) for entry in objects_in(self.client.artist_related_artists(artist[0]), "artists")]

        request = f"related {artist[0]}"
        found = self._ask(request, "related artists", attempt, shape=ARTISTS, instead="--source deezer")
        return [tuple(other) for other in found or [] if all(other)]

    def top_songs(self, artist: Artist) -> list[dict[str, str]]:
        def attempt() -> list[dict[str, str]]:
            answer = self.client.artist_top_tracks(artist[0], country=self.country)
            return [_song(track) for track in objects_in(answer, "tracks")]

        request = f"top {artist[0]} {self.country}"
        return self._ask(request, "top tracks", attempt, shape=[SONG], instead="--source deezer") or []

    def labels_for(self, songs: list[dict[str, str]]) -> list[dict[str, str] | None]:
        """The audio features of each song under our own names; None where there are none.

        A song of another source is looked up by its ISRC, one request each.
        """
        ids = [song["song_id"] if song["source"] == self.name else self._id_of(song["isrc"]) for song in songs]

        def attempt(new: list[str]) -> dict[str, dict[str, str] | None]:
            rows = self.client.audio_features(new)
            if not isinstance(rows, list):
                raise Malformed("answered without a list of audio features")
            by_id = {text_of(row.get("id")): features(row) for row in rows if isinstance(row, dict)}
            return {song_id: by_id.get(song_id) for song_id in new}

        translated = _translated(attempt, "audio features", instead="--labels reccobeats")
        return self.service.ask_many(ids, translated, kept_as="Spotify features", shape=FEATURES)

    def _id_of(self, isrc: str) -> str:
        def attempt() -> str:
            answer = self.client.search(f"isrc:{isrc}", limit=1, type="track", market=self.country)
            return next((text_of(track.get("id")) for track in objects_in(answer, "tracks", "items")), "")

        if not isrc:
            return ""
        return self._ask(f"isrc {isrc}", "search", attempt, shape=str, instead="--labels reccobeats")

    def _artist(self, name: str) -> Artist:
        name = clean_text(name)

        def attempt() -> list[Artist]:
            answer = self.client.search(f'artist:"{name}"', limit=10, type="artist", market=self.country)
            return [_artist(entry) for entry in objects_in(answer, "artists", "items")]

        found = self._ask(f"artist {name}", "search", attempt, shape=ARTISTS, instead="--source deezer")
        for artist in found or []:
            if all(artist) and plain(artist[1]) == plain(name):
                return tuple(artist)
        raise UserError(f"Spotify knows no artist {name!r}")

    def _playlist(self, playlist: str) -> Iterator[Artist]:
        for offset in range(0, MAX_PAGES * PAGE, PAGE):

            def attempt(offset: int = offset) -> dict:
                return _page(
                    self.client.playlist_items(playlist, limit=PAGE, offset=offset, additional_types=("track",))
                )

            page = self._ask(
                f"playlist {playlist} {offset}",
                f"playlist {playlist}",
                attempt,
                shape=PLAYLIST,
                instead="--playlist with one of your own, or --source deezer",
            )
            if page is None:
                return
            yield from (tuple(artist) for artist in page["artists"])
            if not (page["more"] and page["count"]):
                return
        most = f"{MAX_PAGES * PAGE:,}"
        self.service.http.note(f"Spotify's playlist {playlist} has no end; its first {most} songs are looked at")

    def _ask(self, request: str, endpoint: str, attempt: Callable[[], Any], *, shape: Any, instead: str) -> Any:
        return self.service.ask(request, _translated(attempt, endpoint, instead=instead), shape=shape)


def _translated(attempt: Callable[..., Any], endpoint: str, *, instead: str) -> Callable[..., Any]:
    """An attempt whose errors of spotipy are told apart. It raises UserError where the endpoint is closed."""

    def translated(*arguments: Any) -> Any:
        try:
            return attempt(*arguments)
        except spotipy.SpotifyException as error:
            raise _error_of(error, endpoint, instead) from None
        except SpotifyOauthError as error:
            if error.error not in ("invalid_client", "invalid_request", "unauthorized_client"):
                raise Failed("its token service answered with an error") from None
            raise UserError(
                f"Spotify refuses the app's id or secret ({error.error}); check "
                "SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET"
            ) from None
        except requests.RequestException as error:
            raise Failed(describe(error)) from None
        except BadDownload as error:
            raise Malformed(f"answered with something {error}") from None
        except (TypeError, AttributeError, KeyError, ValueError, RecursionError):  # spotipy, on a wrong shape
            raise Malformed("answered with something else than documented") from None

    return translated


def _error_of(error: spotipy.SpotifyException, endpoint: str, instead: str) -> Exception:
    """What an answer with a status of failure means for the run."""
    status = error.http_status
    if status == 429:
        return Throttled(retry_after_s((error.headers or {}).get("Retry-After")))
    if status >= 500:
        return Failed(f"answered with HTTP {status}")
    if status in (401, 403, 404, 410):
        return UserError(f"Spotify does not open this to your app: {endpoint} (HTTP {status}); use {instead} instead")
    return Skip(f"Spotify answered with HTTP {status} to {endpoint}")


def playlist_id(text: str) -> str:
    """The id of a playlist that is named by its id, URI or address. Raises UserError."""
    path = urlsplit(text.strip()).path if "://" in text else text.strip()
    match = re.fullmatch(r"(?:.*[/:]playlist[/:])?([A-Za-z0-9]{10,64})", path)
    if not match:
        raise UserError(f"--playlist {text!r} is no Spotify playlist; expected its id or its address")
    return match[1]


def _song(track: dict) -> dict[str, str]:
    artists = _artists(track)
    album = object_in(track, "album")
    year = text_of(album.get("release_date"))[:4]
    return {
        "song_id": text_of(track.get("id")),
        "title": text_of(track.get("name")),
        "artist": text_of("; ".join(name for _, name in artists if name)),
        "artist_id": text_of("; ".join(artist_id for artist_id, _ in artists if artist_id)),
        "album": text_of(album.get("name")),
        "isrc": clean_isrc(text_of(object_in(track, "external_ids").get("isrc"))),
        "release_year": year if year.isdecimal() else "",
        "source": Spotify.name,
        "preview_url": text_of(track.get("preview_url")),
    }


def _artist(artist: dict) -> Artist:
    return text_of(artist.get("id")), text_of(artist.get("name"))


def _artists(track: dict) -> list[Artist]:
    """A song's artists; none where it names none."""
    artists = track.get("artists")
    return [_artist(artist) for artist in artists if isinstance(artist, dict)] if isinstance(artists, list) else []


def _page(answer: Any) -> dict:
    """The artists of a playlist's page. An entry's song is its `item` or, for older apps, its `track`."""
    entries = objects_in(answer, "items")
    songs = [object_in(entry, "item") or object_in(entry, "track") for entry in entries]
    artists = [artist for song in songs for artist in _artists(song)]
    known = [artist for artist in dict.fromkeys(artists) if all(artist)]
    return {"artists": known, "count": len(entries), "more": bool(answer.get("next"))}
