"""The command `music-learning`, which is model_demo.py for those who have installed the package.

    music-learning song.mp3                    all that can be said of a file of yours, and a picture of it
    music-learning song.mp3 --explain          and what in it raised or lowered each value
    music-learning song.mp3 album/             several files and folders: a line for each
    music-learning album/ --csv moods.csv --json moods.json
    music-learning                             in a checkout: one of the songs in data/demo/, beside Spotify's values

    music-learning serve                       the same on a web page, and for programs by HTTP

And for a whole music collection, each with its own --help:

    music-learning scan music/                 hear all of it into a library, moods.sqlite
    music-learning gather s3://bucket/moods/   what many machines heard into a library
    music-learning export --to moods.parquet   the library as a table
    music-learning playlist --to calm.m3u8     songs by their values, by likeness to one, or as an arc
    music-learning tag --write mood bpm        values into the files' tags
    music-learning index --to index            similar songs from the library, in which the above then looks
    music-learning duplicates                  recordings that are there more than once

Writes a picture (demo.png) of a single song, and the tables you ask for. Each of your files gets its row, in the order
given and folders in sorted order; a file that can't be used has the reason in its `error` column, does not stop the
rest, and makes the exit status 1. A row is written as soon as it is known, and the same command goes on where a stopped
run was: only files that are new, that failed or that have changed since (by size and time of change) are heard, or all
with other models.

`--explain` takes about a second for each 30 s of a single song: it masks one cell of the spectrogram after the other, 6
groups of frequencies times 3 to 4 seconds, and sees how far the values of those 30 s fall or rise. It says where most,
draws all of it over the spectrogram, and adds it to the JSON.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import sys
from importlib import import_module

from music_learning.errors import run

COMMANDS = ("serve", "scan", "gather", "export", "playlist", "tag", "index", "duplicates")  # a file called so is ./scan


def main() -> int:
    """Do what the command line says. Returns the exit status."""
    name = next(iter(sys.argv[1:]), None)
    if name in COMMANDS:
        return import_module(f"music_learning.commands.{name}").main(sys.argv[2:])
    return import_module("music_learning.commands.predict").main(__doc__)


def command() -> None:
    """The entry point of the installed command."""
    run(main)


if __name__ == "__main__":
    command()
