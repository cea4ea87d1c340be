"""Write what a library knows of its songs into the tags of their files, or take it back.

    music-learning tag --write energy danceability valence mood bpm initialkey
    music-learning tag --write bpm initialkey --where "tempo > 120" --yes
    music-learning tag --undo --yes

Without --yes nothing is changed: a line for each file tells what would be. The sound and all other tags stay as they
are; what the fields held before is kept in the library, and --undo brings it back, but for what another program has
changed since. A file that can't be changed is told, with the reason, and makes the exit status 1.

mp3, WAV, AIFF and TTA get ID3 (TBPM, TKEY, TMOO, TXXX:ENERGY), FLAC, Ogg and Opus comments (BPM, INITIALKEY, MOOD,
ENERGY), m4a and mp4 atoms (tmpo, initialkey, MOOD, ENERGY), ape and wv APEv2 items, wma attributes. energy,
danceability and valence are written as numbers from 0 to 1. docs/library.md has more.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from music_learning.commands.arguments import condition_of, library_parser
from music_learning.errors import UserError, printable, report, unexpected
from music_learning.library.database import Library
from music_learning.library.tag_log import HAS_WRITTEN, count_logs
from music_learning.library.tagging import Change
from music_learning.library.written_tags import (
    FIELDS,
    ROW_COLUMNS,
    Song,
    UnnotedError,
    has_table,
    plan,
    plan_undo,
    prepare,
    undo,
    write,
)

SHOWN_LETTERS = 60  # of an old value
NONE = "none"
NOT_FOUND = "not found: gone, or changed by another program and moved as well; what they held is kept"


@dataclass
class Tally:
    """What became of the songs of a run."""

    changed: int = 0
    same: int = 0
    refused: int = 0
    unnoted: int = 0  # of those changed
    counts: Counter[str] = field(default_factory=Counter)  # what else is worth a line


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status: 1 where any file could not be changed."""
    parser = library_parser("tag", __doc__, library="library that knows the files")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", nargs="+", choices=FIELDS, metavar="FIELD", help=f"any of {', '.join(FIELDS)}")
    what.add_argument("--undo", action="store_true", help="take back all that was written")
    parser.add_argument("--where", metavar="CONDITION", help="only songs that meet it, as energy > .7")
    parser.add_argument("--yes", action="store_true", help="change the files; without it nothing is")
    parsed = parser.parse_args(arguments)
    condition = condition_of(parsed.where)
    with Library.write(parsed.library) if parsed.yes else Library.open(parsed.library) as library:
        if parsed.yes:
            prepare(library)
        if parsed.undo and not has_table(library):
            print("no tags were written from this library")
            return 0
        where = f"({condition.sql}) AND {HAS_WRITTEN}" if parsed.undo else condition.sql
        tally = Tally()
        try:
            for song in songs_of(library, where, condition.values):
                change_song(library, song, parsed, tally)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"after {tally.changed:,} files; all are whole, the same command goes on") from None
        if parsed.undo and parsed.yes and parsed.where is None and not tally.refused:
            tally.counts[NOT_FOUND] = count_logs(library)
    print(summary(tally, parsed))
    return 1 if tally.refused or tally.unnoted else 0


def songs_of(library: Library, where: str, values: tuple) -> Iterator[Song]:
    """The songs that meet a condition when it is asked, whatever is changed of them on the way."""
    for song_id in [row[0] for row in library.select(("song_id",), f"{where} ORDER BY path", values)]:
        for row in library.select(ROW_COLUMNS, "song_id = ?", (song_id,)):
            yield Song(dict(zip(ROW_COLUMNS, row, strict=True)))


def change_song(library: Library, song: Song, parsed: argparse.Namespace, tally: Tally) -> None:
    """Write a song's tags or take them back, or tell what that would do; and why it can't be done."""
    name = printable(song.row["file"])
    try:
        if parsed.undo:
            undone = plan_undo(library, song)
            changes = undone.changes if undone else []
            if undone and undone.foreign:
                print(f"{name}: {', '.join(undone.foreign)} changed since by another program, which stays", flush=True)
        else:
            tags, changes = plan(song, parsed.write)
        if changes:
            print(f"{name}: {', '.join(map(shown, changes))}", flush=True)
            if song.local.stat().st_nlink > 1:
                tally.counts["have other names (hard links), under which they stay as they are"] += 1
        if parsed.yes and parsed.undo and undone:
            tally.counts["are byte for byte what they were"] += undo(library, song, undone)
        elif parsed.yes and parsed.write and changes:
            write(library, song, tags, changes)
    except UnnotedError as error:
        report(f"{name}: {error}")
        tally.changed += 1
        tally.unnoted += 1
    except UserError as error:
        report(f"{name}: {error}")
        tally.refused += 1
    except OSError as error:
        report(f"{name}: {error.strerror or error}")
        tally.refused += 1
    except Exception as error:  # whatever one file causes costs that file, never the run
        report(f"{name}: {unexpected(error, song.row['file'])}")
        tally.refused += 1
    else:
        tally.changed += bool(changes)
        tally.same += not changes


def shown(change: Change) -> str:
    """A change as `mood calm -> happy`."""
    texts = [NONE if value is None else printable("; ".join(value.texts)) for value in (change.old, change.new)]
    old, new = (text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 3]}..." for text in texts)
    return f"{change.field} {old} -> {new}"


def summary(tally: Tally, parsed: argparse.Namespace) -> str:
    """What became of a run, on some lines."""
    changed = "changed" if parsed.yes else "would change"
    parts = [f"{tally.changed:,} {'file' if tally.changed == 1 else 'files'} {changed}"]
    if tally.same:
        parts.append(f"{tally.same:,} need no change")
    if tally.refused:
        parts.append(f"{tally.refused:,} can't be changed")
    lines = [", ".join(parts)]
    lines += [f"  {n:,} {what}" for what, n in tally.counts.items() if n]
    if tally.changed and not parsed.yes:
        lines.append("nothing was changed yet: the same command with --yes does it")
    return "\n".join(lines)
