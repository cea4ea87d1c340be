"""Stage 1: songs with labels and clips -> data/songs.csv, data/previews/, data/rejected.csv.

    python data_collection.py --source local --catalog songs.csv --audio clips/

Reads a catalog (CSV with a row per song: an id, title, artist, and Spotify's energy, danceability and valence; the
column names of Spotify and of the usual Kaggle sets are understood) and a folder with a clip of each song. Every label
and every clip is checked: a song that can't be used is listed in rejected.csv with the reason, and kept + rejected =
found.

Clips that are there already are not checked again, so that a stopped run goes on where it was. Songs of earlier runs
stay; a song that is collected again is replaced.
"""

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

from artifacts import (
    OTHER_FEATURES,
    REJECTED_COLUMNS,
    SAFE_ID,
    SONG_COLUMNS,
    TARGETS,
    DataPaths,
    copy_atomically,
    parse_number,
    read_songs,
    read_table,
    sha256_of,
    write_table,
)
from errors import AudioError, UserError, run
from parallel import cpu_count, ordered_map
from pipeline import AudioPipeline
from services.local import LocalCatalog


def check_labels(song: dict[str, str]) -> str:
    """Why a song's id, artist or labels can't be used; empty when they can."""
    if not SAFE_ID.fullmatch(song["song_id"]):
        return f"id {song['song_id'][:50]!r} is not made of 1 to 128 letters, digits, - and _"
    if not song["artist"]:
        return "no artist, by which the songs are split"
    for target in TARGETS:
        if not song[target]:
            return f"no {target} label"
        value = parse_number(song[target])
        if value is None or not 0 <= value <= 1:
            return f"{target} is {song[target][:50]}; expected a number from 0 to 1"
    return ""


def check_clip(song: dict[str, str], *, source: LocalCatalog, paths: DataPaths, pipeline: AudioPipeline) -> str:
    """Copy a song's clip to data/previews/ if it can be used.

    Sets the song's preview_file and preview_sha256. A clip that is there already passed this check before.

    Returns:
        Why the clip can't be used; empty when it can.
    """
    try:
        clip = source.preview(song)
        song["preview_sha256"] = sha256_of(clip)
        song["preview_file"] = song["song_id"] + clip.suffix.lower()
        kept = paths.preview(song)
        if not kept.exists() or sha256_of(kept) != song["preview_sha256"]:
            pipeline.log_mels(clip)
            copy_atomically(clip, kept)
    except AudioError as error:
        return str(error)
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    return ""


def collect(source: LocalCatalog, paths: DataPaths, *, workers: int) -> tuple[list[dict], list[dict]]:
    """Check every song that a source has. Returns the kept songs and the rows for rejected.csv."""
    kept, rejected, usable, seen = [], [], [], set()

    def reject(song: dict[str, str], stage: str, reason: str) -> None:
        rejected.append({**{key: song[key] for key in REJECTED_COLUMNS[:3]}, "stage": stage, "reason": reason})

    for song in source.songs():
        # Some file systems don't tell Ab from aB, and the id becomes a file's name.
        reason = check_labels(song) or ("duplicate id" if song["song_id"].lower() in seen else "")
        if reason:
            reject(song, "labels", reason)
            continue
        seen.add(song["song_id"].lower())
        for feature in OTHER_FEATURES:
            value = parse_number(song[feature])
            unknown = value is None or (feature == "key" and value < 0)
            song[feature] = "" if unknown else song[feature]
        try:
            source.preview(song)
            usable.append(song)
        except UserError as error:
            reject(song, "clip", str(error))

    check = partial(check_clip, source=source, paths=paths, pipeline=AudioPipeline())
    checked = ordered_map(check, usable, workers=workers, description="checking clips", unit="clip")
    for song, reason in zip(usable, checked, strict=True):
        if reason:
            reject(song, "clip", reason)
        else:
            kept.append(song)
    return kept, rejected


def save(paths: DataPaths, kept: list[dict], rejected: list[dict]) -> int:
    """Merge into the tables of earlier runs, sorted by id. Returns the number of songs now in songs.csv."""
    found = {song["song_id"].lower() for song in kept + rejected}  # in lower case as in `collect`
    earlier_songs = read_songs(paths) if paths.songs.exists() else []
    earlier_rejected = (
        read_table(paths.rejected, REJECTED_COLUMNS, "data_collection.py") if paths.rejected.exists() else []
    )
    songs = [song for song in earlier_songs if song["song_id"].lower() not in found] + kept
    rejected = [row for row in earlier_rejected if row["song_id"].lower() not in found] + rejected
    write_table(paths.rejected, REJECTED_COLUMNS, sorted(rejected, key=lambda row: row["song_id"]))
    write_table(paths.songs, SONG_COLUMNS, sorted(songs, key=lambda song: song["song_id"]))
    return len(songs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=["local"], required=True, help="local: a catalog and clips that you have")
    parser.add_argument("--catalog", type=Path, required=True, help="CSV with a row per song")
    parser.add_argument("--audio", type=Path, required=True, help="folder with the clips")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to write to (default: data)")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="clips checked at a time (default: all cores)")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")

    paths = DataPaths(arguments.data)
    source = LocalCatalog(arguments.catalog, arguments.audio)
    kept, rejected = collect(source, paths, workers=arguments.workers)
    total = save(paths, kept, rejected)
    for reason, count in Counter(row["reason"] for row in rejected).most_common(10):
        print(f"  rejected {count:4}: {reason}")
    print(f"kept {len(kept)} of {len(kept) + len(rejected)} songs found; {len(rejected)} in {paths.rejected}")
    print(f"{paths.songs} holds {total} songs")
    if not kept:
        raise UserError(f"no song could be used; {paths.rejected} says why")
    return 0


if __name__ == "__main__":
    run(main)
