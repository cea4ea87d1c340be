"""Who made a song, and the split of the songs in which no artist is in two parts."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping

import pandas as pd

from music_learning.columns import SPLITS
from music_learning.songs.table import text_rows

SPLIT_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}  # of the artists
# What stands between the names of artists who made a song together. Cutting a band's name in two ("Earth, Wind & Fire")
# does no harm: its parts stay together. A collaboration left whole would let an artist into two splits.
BETWEEN_ARTISTS = re.compile(r"\s+(?:feat\.?|ft\.?|featuring|with|vs\.?|and|und|y|et|x)\s+|\s*[,;/&+]\s*")
FEATURED = re.compile(r"[(\[]\s*(?:feat\.?|ft\.?|featuring|with)\s+([^)\]]+)[)\]]")


def artist_names(song: Mapping[str, str]) -> set[str]:
    """All artists of a song as comparable keys: those named, those featured in the title, and the ids."""
    artist, title = (unicodedata.normalize("NFKC", song[key]).casefold() for key in ("artist", "title"))
    credits = [FEATURED.sub(" ", artist), *FEATURED.findall(artist), *FEATURED.findall(title)]
    names = {name.strip().removeprefix("the ") for text in credits for name in BETWEEN_ARTISTS.split(text)}
    ids = {f"id:{artist_id}" for artist_id in re.split(r"[,;\s]+", song["artist_id"]) if artist_id}
    return {name for name in names if name} | ids


def names_by_song(songs: pd.DataFrame) -> dict[str, set[str]]:
    """song_id -> the `artist_names` of the song."""
    return {row["song_id"]: artist_names(row) for row in text_rows(songs[["artist", "title", "artist_id"]])}


def artist_groups(songs: pd.DataFrame) -> pd.Series:
    """song_id -> the song's group of artists, named by its first song.

    No artist is in two groups; a collaboration joins the groups of its artists.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    keys = {song_id: sorted(names) or [song_id] for song_id, names in names_by_song(songs).items()}
    for first, *others in keys.values():
        for other in others:
            parent[root(other)] = root(first)
    first_song: dict[str, str] = {}
    groups = [first_song.setdefault(root(names[0]), song_id) for song_id, names in keys.items()]
    return pd.Series(groups, index=songs.index, dtype="string")


def by_other_artists(songs: pd.DataFrame, taken: pd.DataFrame) -> pd.DataFrame:
    """Those of the songs that share no artist with the songs that are taken."""
    names = set().union(*names_by_song(taken).values())
    return songs.loc[[song_id for song_id, others in names_by_song(songs).items() if names.isdisjoint(others)]]


def assign_splits(songs: pd.DataFrame, placed: Mapping[str, str], *, seed: int) -> pd.Series:
    """Place songs in train, validation or test, so that no artist is in two of them.

    A group of artists is placed by a hash of its names and the seed, so the same seed gives the same split. A song
    that is placed already stays; a new song goes where its artists are. One whose artists are in two splits already
    can't be used.

    Args:
        songs: as `read_songs` gives them.
        placed: song_id -> split of an earlier run.

    Returns:
        song_id -> split, missing for the songs that can't be used.
    """
    names = names_by_song(songs)
    splits = {song_id: placed[song_id] for song_id in names if song_id in placed}
    split_of_artist = {name: split for song_id, split in splits.items() for name in names[song_id]}

    def place(song_id: str, split: str) -> None:
        splits[song_id] = split
        split_of_artist.update(dict.fromkeys(names[song_id], split))

    # Each song that is placed may bring an artist whose other songs then have a place, too.
    waiting, moved = [song_id for song_id in names if song_id not in splits], True
    while moved:
        homeless = []
        for song_id in waiting:
            homes = {split_of_artist[name] for name in names[song_id] if name in split_of_artist}
            if len(homes) == 1:
                place(song_id, homes.pop())
            elif not homes:
                homeless.append(song_id)
        moved, waiting = len(homeless) < len(waiting), homeless
    for _, group in songs.loc[waiting].groupby(artist_groups(songs.loc[waiting]), sort=False):
        home = _drawn_split(min(name for song_id in group.index for name in names[song_id] or {song_id}), seed)
        for song_id in group.index:
            place(song_id, home)
    return pd.Series(splits, dtype="string").reindex(songs.index)


def _drawn_split(name: str, seed: int) -> str:
    """The split of a group of artists, drawn by its name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SPLIT_SHARES.items():
        if position < share:
            return split
        position -= share
    return SPLITS[-1]
