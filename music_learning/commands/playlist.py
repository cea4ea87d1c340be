"""Make a playlist (m3u8) of songs of a library: by a condition, by likeness to a song, or as an arc.

    music-learning playlist --to calm.m3u8 --where "energy < .4 and valence > .6"
    music-learning playlist --to like.m3u8 --like "hey jude" --where "tempo between 110 and 130"
    music-learning playlist --to like.m3u8 --like song.mp3
    music-learning playlist --to evening.m3u8 --arc energy --length 30

A condition alone gives all songs that meet it, in the order of their paths; docs/library.md says how it is written.
`--like` gives the songs most like one, which comes first: one of the library, by its path or a part of its artist and
title, or any audio file, which is heard first. `--arc` gives songs whose value rises from one to the next, with
neighbours as alike as that allows, and by different artists. Files that can't be used or are missing are never in a
playlist, nor is a song twice. Players find the songs relative to the playlist. `-` prints it, with whole paths.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from music_learning.columns import TARGETS
from music_learning.commands.arguments import STREAM, add_models, condition_of, library_parser, report_others
from music_learning.errors import printable
from music_learning.library.arc import find_arc
from music_learning.library.database import Library
from music_learning.library.likeness import by_likeness, find_sample
from music_learning.library.playlist import (
    Song,
    Written,
    check_playlist,
    print_playlist,
    songs_by_number,
    songs_by_path,
    write_playlist,
)
from music_learning.library.schema import Condition

DEFAULT_LENGTH = 50


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status: 1 where a song could not be named."""
    parsed = parse_arguments(arguments)
    condition = condition_of(parsed.where)
    if parsed.to == STREAM:
        with Library.open(parsed.library) as library:
            written = print_playlist(choose(library, condition, parsed))
    else:
        check_playlist(Path(parsed.to))
        with Library.open(parsed.library) as library:
            written = write_playlist(Path(parsed.to), choose(library, condition, parsed))
        print(printable(f"{written.songs:,} songs in {parsed.to}, {length_of(written)}"))
    for file in written.left_out:
        print(printable(f"left out, as no playlist can name it: {file}"), file=sys.stderr)
    return 1 if written.left_out else 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = library_parser("playlist", __doc__, library="what to choose from")
    parser.add_argument("--to", required=True, metavar="FILE", help="the .m3u8 to write, or - to print it")
    parser.add_argument("--where", metavar="CONDITION", help="what the songs meet, such as 'energy > .7'")
    order = parser.add_mutually_exclusive_group()
    order.add_argument("--like", metavar="SONG", help="the most alike first: a file, or a part of an artist and title")
    order.add_argument("--arc", choices=TARGETS, help="this value rises from song to song")
    parser.add_argument(
        "--length", type=int, help=f"how many songs at most (default: all, with --like and --arc {DEFAULT_LENGTH})"
    )
    add_models(parser, "folder of the models that hear a file")
    parsed = parser.parse_args(arguments)
    if parsed.length is not None and parsed.length < 1:
        parser.error("--length is the number of songs, 1 or more")
    if parsed.like == "":
        parser.error("--like names a song, and an empty name is none")
    return parsed


def choose(library: Library, condition: Condition, parsed: argparse.Namespace) -> Iterator[Song]:
    """The songs that are asked for, in the order of the playlist."""
    if parsed.like is None and parsed.arc is None:
        return islice(songs_by_path(library, condition), parsed.length)
    length = parsed.length or DEFAULT_LENGTH
    if parsed.arc is not None:
        numbers, n_others = find_arc(library, condition, parsed.arc, length)
    else:
        numbers, n_others = by_likeness(library, condition, find_sample(library, parsed.like, parsed.models))
    report_others(n_others)
    return islice(songs_by_number(library, numbers), length)


def length_of(written: Written) -> str:
    minutes = round(written.duration_s / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
