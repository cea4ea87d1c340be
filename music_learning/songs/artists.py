"""Who made a song, and the split of the songs in which no artist is in two parts."""

import hashlib
import re
import unicodedata
from collections import defaultdict

from music_learning.columns import SPLIT_COLUMNS, SPLITS
from music_learning.errors import UserError
from music_learning.files import read_table
from music_learning.paths import DataPaths

SPLIT_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}  # of the artists
# What stands between the names of artists who made a song together. Cutting a band's name in two ("Earth, Wind & Fire")
# does no harm: its parts stay together. A collaboration left whole would let an artist into two splits.
BETWEEN_ARTISTS = re.compile(r"\s+(?:feat\.?|ft\.?|featuring|with|vs\.?|and|und|y|et|x)\s+|\s*[,;/&+]\s*")
FEATURED = re.compile(r"[(\[]\s*(?:feat\.?|ft\.?|featuring|with)\s+([^)\]]+)[)\]]")


def artist_names(song: dict[str, str]) -> set[str]:
    """All artists of a song as comparable keys: those named, those featured in the title, and the ids."""
    artist, title = (unicodedata.normalize("NFKC", song[key]).casefold() for key in ("artist", "title"))
    credits = [FEATURED.sub(" ", artist), *FEATURED.findall(artist), *FEATURED.findall(title)]
    names = {name.strip().removeprefix("the ") for text in credits for name in BETWEEN_ARTISTS.split(text)}
    ids = {f"id:{artist_id}" for artist_id in re.split(r"[,;\s]+", song["artist_id"]) if artist_id}
    return {name for name in names if name} | ids


def artist_groups(songs: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Songs grouped so that no artist is in two groups; a collaboration joins the groups of its artists."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    keys = {song["song_id"]: sorted(artist_names(song)) or [song["song_id"]] for song in songs}
    for first, *others in keys.values():
        for other in others:
            parent[root(other)] = root(first)
    groups = defaultdict(list)
    for song in songs:
        groups[root(keys[song["song_id"]][0])].append(song)
    return list(groups.values())


def groups_of(songs: list[dict[str, str]]) -> dict[str, str]:
    """song_id -> the name of its group of artists."""
    return {song["song_id"]: group[0]["song_id"] for group in artist_groups(songs) for song in group}


def assign_splits(
    songs: list[dict[str, str]], placed: dict[str, str], *, seed: int
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Place songs in train, validation or test, so that no artist is in two of them.

    A group of artists is placed by a hash of its names and the seed, so the same seed gives the same split. A song
    that is placed already stays; a new song goes where its artists are. One whose artists are in two splits already
    can't be used.

    Args:
        songs: rows of songs.csv.
        placed: song_id -> split of an earlier run.

    Returns:
        song_id -> split, and the songs that can't be used.
    """
    splits = {song["song_id"]: placed[song["song_id"]] for song in songs if song["song_id"] in placed}
    split_of_artist = {
        name: splits[song["song_id"]] for song in songs if song["song_id"] in splits for name in artist_names(song)
    }

    def place(song: dict[str, str], split: str) -> None:
        splits[song["song_id"]] = split
        split_of_artist.update(dict.fromkeys(artist_names(song), split))

    waiting, unusable, moved = [song for song in songs if song["song_id"] not in splits], [], True
    while moved:
        still_waiting = []
        for song in waiting:
            homes = {split_of_artist[name] for name in artist_names(song) if name in split_of_artist}
            if len(homes) == 1:
                place(song, homes.pop())
            else:
                (unusable if homes else still_waiting).append(song)
        moved, waiting = len(still_waiting) < len(waiting), still_waiting
    for group in artist_groups(waiting):
        home = _drawn_split(group, seed)
        for song in group:
            place(song, home)
    return splits, unusable


def _drawn_split(group: list[dict[str, str]], seed: int) -> str:
    name = min(name for song in group for name in artist_names(song) or {song["song_id"]})
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SPLIT_SHARES.items():
        if position < share:
            return split
        position -= share
    return SPLITS[-1]


def read_splits(paths: DataPaths) -> dict[str, str]:
    """song_id -> split. Raises UserError where data/splits.csv is missing or damaged."""
    rows = read_table(paths.splits, SPLIT_COLUMNS, "data_loading.py")
    if bad := {row["split"] for row in rows} - set(SPLITS):
        raise UserError(f"{paths.splits} has unknown splits {sorted(bad)}; delete it and run data_loading.py again")
    return {row["song_id"]: row["split"] for row in rows}
