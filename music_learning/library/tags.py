"""What an audio file's tags say of the song."""

from pathlib import Path

import mutagen

TAGS = ("title", "artist", "album", "date", "isrc")


def read_tags(path: Path) -> dict[str, str | None]:
    """A file's tags by the names of TAGS; None is what it doesn't tell, or tells in a damaged way."""
    try:
        tags = mutagen.File(path, easy=True)
        return {name: (tags.get(name) or [None])[0] for name in TAGS}
    except Exception:  # tags are never worth a song
        return dict.fromkeys(TAGS)
