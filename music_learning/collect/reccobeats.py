"""ReccoBeats: labels by ISRC or Spotify id, without a key."""

from typing import Any

from music_learning.collect.answers import objects_in, text_of
from music_learning.collect.http import HttpSession, Service, address
from music_learning.collect.matching import clean_isrc
from music_learning.columns import OTHER_FEATURES, TARGETS

PER_S = 1.5
FEATURES = dict.fromkeys(TARGETS + OTHER_FEATURES, str)  # what is kept of an answer


class ReccoBeats:
    """Labels of up to 40 songs with one request; it knows about half of them."""

    name = "reccobeats"
    batch = 40

    def __init__(self, http: HttpSession) -> None:
        self.service = Service(
            "ReccoBeats", http, address("RECCOBEATS_URL", "https://api.reccobeats.com/v1"), per_s=PER_S
        )

    def labels_for(self, songs: list[dict[str, str]]) -> list[dict[str, str] | None]:
        """The labels of each song under our own names; None where there are none."""
        ids = [song["song_id"] if song["source"] == "spotify" else song["isrc"] for song in songs]
        return self.service.ask_many(ids, self._features, shape=FEATURES)

    def _features(self, ids: list[str]) -> dict[str, dict[str, str] | None]:
        answer = self.service.get_json("/audio-features", {"ids": ",".join(ids)})
        rows = objects_in(answer, "content") if answer is not None else []
        found: dict[str, dict[str, str] | None] = dict.fromkeys(ids)
        # One ISRC may bring several rows, in any order: the last by its id counts, always the same one.
        for row in sorted(rows, key=lambda row: text_of(row.get("id"))):
            for song_id in (clean_isrc(text_of(row.get("isrc"))), text_of(row.get("href")).rpartition("/")[2]):
                if song_id in found:
                    found[song_id] = features(row)
        return found


def features(row: dict[str, Any]) -> dict[str, str]:
    """Labels as Spotify and ReccoBeats name them, under our own names; what is no number is empty."""
    theirs = {ours: ours.removesuffix("_db").removesuffix("_bpm") for ours in TARGETS + OTHER_FEATURES}
    values = {ours: row.get(name) for ours, name in theirs.items()}
    return {
        ours: str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
        for ours, value in values.items()
    }
