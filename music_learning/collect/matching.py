"""Songs as rows of songs.csv: what makes one usable, and when two are the same."""

import re
import unicodedata

from music_learning.columns import OTHER_FEATURES, SAFE_ID, SONG_COLUMNS, TARGETS
from music_learning.songs.table import label_of, parse_number

MAX_COMPARED = 300  # characters of a title
MOST = {"key": 11, "mode": 1}  # whole numbers from 0
ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")

# What a title says of a version, in brackets or after a dash. Remixes and re-recordings sound different: they stay.
_VERSION = (
    r"(?:[^()\[\]]*\bremaster(?:ed|izado|is[ée])?\b[^()\[\]]*"
    r"|(?:en vivo|ao vivo|en directo|dal vivo|unplugged|live)(?:\s+(?:at|in|from|on|version|sessions?|from|\d).*)?"
    r"|(?:[^()\[\]]*\s)?(?:album|single|original|mono|stereo|radio|explicit|clean)\s+(?:version|mix|edit)"
    r"|(?:bonus|deluxe)(?:\s+(?:track|edition|version))?"
    r"|(?:feat\.?|ft\.?|featuring|with)\s.*)"
)
_IN_BRACKETS = re.compile(rf"\s*[(\[]\s*{_VERSION}\s*[)\]]")
_AFTER_DASH = re.compile(rf"\s+[-–—]\s+{_VERSION}\s*$")
_FEATURED = re.compile(r"\s+(?:feat\.?|ft\.)\s.*$")
_ACCENTS = re.compile("[\u0300-\u036f]")  # of European scripts only: elsewhere marks make another letter
_PUNCTUATION = re.compile(r"[^\w]+|_")


def empty_song(source: str) -> dict[str, str]:
    return dict.fromkeys(SONG_COLUMNS, "") | {"source": source}


def clean_isrc(text: str) -> str:
    """An ISRC in its usual form; empty where it is none."""
    text = text.replace("-", "").replace(" ", "").upper()
    return text if ISRC.fullmatch(text) else ""


def check_song(song: dict[str, str]) -> str:
    """Why a song's id or artist can't be used; empty when they can."""
    if not SAFE_ID.fullmatch(song["song_id"]):
        return f"id {song['song_id'][:50]!r} is not made of 1 to 128 letters, digits, - and _"
    if not song["artist"]:
        return "no artist, by which the songs are split"
    return ""


def check_labels(song: dict[str, str]) -> str:
    """Why a song's labels can't be used; empty when they can."""
    for target in TARGETS:
        if not song[target]:
            return f"no {target} label"
        if label_of(song, target) is None:
            value = parse_number(song[target])
            is_percentage = song[target].endswith("%") or (value is not None and 2 <= value <= 100)
            advice = "; divide percentages by 100" if is_percentage else ""
            return f"{target} is {song[target][:50]}; expected a number from 0 to 1{advice}"
    return ""


def clear_unknown_features(song: dict[str, str]) -> None:
    """Empty what is no number that it can be, in the columns besides the targets. A key of -1 is not known."""
    for feature in OTHER_FEATURES:
        value = parse_number(song[feature])
        if value is None or (feature in MOST and value not in range(MOST[feature] + 1)):
            song[feature] = ""
    if not re.fullmatch(r"\d{1,4}", song["release_year"]):
        song["release_year"] = ""


def same_song_keys(song: dict[str, str]) -> set[str]:
    """Two songs that share one of these are one: their ISRC, or artist and title but for the version."""
    keys = {f"isrc:{isrc}" for isrc in [clean_isrc(song["isrc"])] if isrc}
    return keys | {f"name:{name_key(song['artist'], song['title'])}"}


def name_key(artist: str, title: str) -> str:
    """Artist and title without case, accents, punctuation, and what only says which version it is."""
    title = unicodedata.normalize("NFKC", title[:MAX_COMPARED]).casefold()
    bare = _FEATURED.sub("", _AFTER_DASH.sub("", _IN_BRACKETS.sub("", title)))
    return f"{plain(artist)}\t{plain(bare) or plain(title)}"


def plain(text: str) -> str:
    """A name without case, accents and punctuation; a name of punctuation only stays as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold().strip()
    bare = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", folded)))
    return _PUNCTUATION.sub(" ", bare).strip().removeprefix("the ") or folded
