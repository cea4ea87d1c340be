"""What the user wants collected."""

from collections.abc import Sequence
from dataclasses import dataclass

DOWNLOADS = 16  # previews at a time


@dataclass(frozen=True)
class Settings:
    """What to collect, from where."""

    source: str = "deezer"  # or "spotify"
    labels: str = "reccobeats"  # or "spotify", or the path of a CSV
    songs: int = 3000  # to keep
    songs_per_artist: int = 3  # of whose top songs the labels are asked
    playlists: Sequence[str] = ()  # whose artists to begin with
    chart: int | None = None  # Deezer's number of a genre
    seed_artists: Sequence[str] = ()
    country: str = "US"
    max_wait_s: float = 600
    downloads: int = DOWNLOADS  # at a time
