"""Hear a music collection into a library, one SQLite file.

    music-learning scan music/
    music-learning scan music/ podcasts/jingle.mp3 --library moods.sqlite
    music-learning scan s3://bucket/music --library s3://bucket/moods/ --engine ray --address auto

Every song gets a row with its values and their intervals, Spotify's other audio features, warnings, an embedding, its
tags and its file's identity: docs/library.md has all columns. A row is kept as soon as it is made; stopped or killed,
the same command goes on. Files that have not changed (by size and time of change) are not heard again, nor are moved or
copied ones (by their content); files that are gone are marked as missing. After the models have changed, the songs of
the folders named are heard again.

Music on an S3 server is named as s3://bucket/folder; server and keys are the environment's (AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a machine's role). A library whose name ends in / or is such an
address is a folder of Parquet files, each with the rows of some 64 songs, which is kept as soon as all of them were
heard; it tells moved and copied files from new ones by nothing, and hears them again. Such a library --engine ray can
fill from many machines.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from music_learning.errors import UserError, report
from music_learning.library.database import Library
from music_learning.library.hearing import Outcome
from music_learning.library.processes import Processes
from music_learning.library.remote import AllFiles, find_all, is_address
from music_learning.library.scan import Found, count_outdated, scan, summary
from music_learning.paths import DEFAULT_LIBRARY, RELEASED_MODELS
from music_learning.predict.predictor import Predictor

ENGINES = ("local", "ray")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="music-learning scan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="folders with music, or single files; here or as s3://bucket/folder",
    )
    parser.add_argument(
        "--library", default=str(DEFAULT_LIBRARY), help=f"where to keep it (default: {DEFAULT_LIBRARY})"
    )
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="hear in this process, or on a Ray cluster (default: local)",
    )
    parser.add_argument(
        "--address", help="of the cluster, host:port or auto for this machine's (default: a Ray of this machine alone)"
    )
    parsed = parser.parse_args(arguments)
    parsed.in_parts = is_address(parsed.library) or parsed.library.endswith("/")
    if parsed.address is not None and parsed.engine != "ray":
        parser.error("--address goes with --engine ray")
    if parsed.engine == "ray" and not parsed.in_parts:
        parser.error(
            "--engine ray fills a folder of Parquet files: name --library moods/ or --library s3://bucket/moods/"
        )
    return parsed


def scan_into_database(parsed: argparse.Namespace, files: AllFiles) -> tuple[Outcome, Found]:
    if Path(parsed.library).is_dir():
        raise UserError(
            f"{parsed.library} can't be written: it is a folder; name a file, or --library {parsed.library}/ for a "
            "folder of Parquet files"
        )
    with ExitStack() as stack:
        library = stack.enter_context(Library.write(Path(parsed.library), create=True))
        predictor = stack.enter_context(Processes(Predictor.load(parsed.models), parsed.models))
        if n_outdated := count_outdated(library, files, predictor.models_version):
            print(f"{n_outdated:,} songs were heard by other models and are heard again", file=sys.stderr)
        return scan(files, library, predictor)


def scan_into_parts(parsed: argparse.Namespace, files: AllFiles) -> tuple[Outcome, Found]:
    from music_learning.library.parts import on_this_machine, open_parts, scan_into

    predictor = Predictor.load(parsed.models)
    with ExitStack() as stack:
        parts = stack.enter_context(open_parts(parsed.library, predictor.models_version))
        if parsed.engine == "ray":
            from music_learning.library.cluster import on_cluster

            engine = stack.enter_context(on_cluster(parsed.address, parsed.models, predictor))
        else:
            engine = on_this_machine(stack.enter_context(Processes(predictor, parsed.models)))
        return scan_into(parts, files, engine)


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status: 1 where any file could not be used."""
    parsed = parse(arguments)
    files = find_all(parsed.folders)
    if next(iter(files), None) is None:
        raise UserError(f"there is no audio file in {', '.join(parsed.folders)}")
    outcome, found = (scan_into_parts if parsed.in_parts else scan_into_database)(parsed, files)
    if not outcome.broken:
        print("\n".join(summary(outcome, found)))
    if outcome.failed:
        n_files = outcome.heard + outcome.known
        report(f"{outcome.failed:,} of {n_files:,} files could not be used; the column error of the library says why")
    return 1 if outcome.failed or outcome.broken else 0
