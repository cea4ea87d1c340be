"""Hear a music collection into a library, one SQLite file.

    music-learning scan music/
    music-learning scan music/ podcasts/jingle.mp3 --library moods.sqlite

Every song gets a row with its values and their intervals, Spotify's other audio features, warnings, an embedding, its
tags and its file's identity: docs/library.md has all columns. A row is kept as soon as it is made; stopped or killed,
the same command goes on. Files that have not changed (by size and time of change) are not heard again, nor are moved or
copied ones (by their content); files that are gone are marked as missing. After the models have changed, the songs of
the folders named are heard again.
"""

import argparse
import sys
from pathlib import Path

from music_learning.errors import UserError, report
from music_learning.library.database import Library
from music_learning.library.scan import LocalFiles, count_outdated, scan, summary
from music_learning.paths import DEFAULT_LIBRARY, RELEASED_MODELS
from music_learning.predict.predictor import Predictor


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status: 1 where any file could not be used."""
    parser = argparse.ArgumentParser(
        prog="music-learning scan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders with music, or single files")
    parser.add_argument(
        "--library", type=Path, default=DEFAULT_LIBRARY, help=f"where to keep it (default: {DEFAULT_LIBRARY})"
    )
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parsed = parser.parse_args(arguments)
    files = LocalFiles(parsed.folders)
    if not len(files):
        raise UserError(f"there is no audio file in {', '.join(map(str, parsed.folders))}")
    with Library.write(parsed.library, create=True) as library:
        predictor = Predictor.load(parsed.models)
        if n_outdated := count_outdated(library, files, predictor.models_version):
            print(f"{n_outdated:,} songs were heard by other models and are heard again", file=sys.stderr)
        outcome, found = scan(files, library, predictor)
    if not outcome.broken:
        print("\n".join(summary(outcome, found)))
    if outcome.failed:
        n_files = outcome.heard + outcome.known
        report(f"{outcome.failed:,} of {n_files:,} files could not be used; the column error of the library says why")
    return 1 if outcome.failed or outcome.broken else 0
