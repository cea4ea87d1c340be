"""iTunes: previews by title and artist, for songs that have none elsewhere."""

from typing import Any
from urllib.parse import urlencode

from music_learning.collect.answers import objects_in, text_of
from music_learning.collect.http import HttpSession, Service, address
from music_learning.collect.matching import name_key

PER_S = 20 / 60
RESULTS = 10


class ITunes:
    """Apple's open search. It bears 20 requests a minute, so it is a last resort."""

    def __init__(self, http: HttpSession, *, country: str) -> None:
        self.service = Service("iTunes", http, address("ITUNES_URL", "https://itunes.apple.com"), per_s=PER_S)
        self.country = country

    def preview_url(self, song: dict[str, str]) -> str:
        """The preview of a song by the same artist and title; empty where there is none. It doesn't expire."""
        wanted = name_key(song["artist"], song["title"])
        params = {
            "term": f"{song['artist']} {song['title']}"[:200],
            "media": "music",
            "entity": "song",
            "limit": RESULTS,
            "country": self.country,
        }

        def attempt() -> str:
            answer = self.service.get_json("/search", params, throttles=(403, 429))
            rows: list[dict[str, Any]] = objects_in(answer, "results") if answer is not None else []
            for row in rows:
                if name_key(text_of(row.get("artistName")), text_of(row.get("trackName"))) == wanted:
                    return text_of(row.get("previewUrl"))
            return ""

        return self.service.ask(f"/search?{urlencode(params)}", attempt, shape=str) or ""
