"""Stage 1: songs with labels and clips -> data/songs.csv, data/previews/, data/rejected.csv.

    python data_collection.py                      3,000 songs from Deezer, labels from ReccoBeats; no key is needed
    python data_collection.py --songs 50           a few, in a minute
    python data_collection.py --dry-run            what that would cost; asks nothing
    python data_collection.py --source local --catalog songs.csv --audio clips/

Online, the artists of top playlists come first (or those of --playlist, --chart, --seed-artist), then the artists
related to them, and so on; of each, the top songs are looked at, until enough of them have labels and a preview. Other
versions of a song that was found before are rejected. Every answer of a service is kept in data/answers.sqlite for 30
days: stop the run whenever you like, and the same command goes on where it was.

From a local catalog (CSV with a row per song: an id, title, artist, and Spotify's energy, danceability and valence; the
column names of Spotify and of the usual Kaggle sets are understood, and the separators, decimal commas and encodings of
spreadsheet programs) and a folder with a clip of each song, every label and every clip is checked; clips that are there
already are not checked again.

A song that can't be used is listed in rejected.csv with the reason, and kept + rejected = found. Songs of earlier runs
stay; a song that is collected again is replaced.

Exit status: 0; 1 after an error; 75 when a service wants a longer rest than --max-wait or has stopped answering (run
the same command again later); 130 after Ctrl-C. What was collected is saved in all cases.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import argparse
import re
import sys
from pathlib import Path

from music_learning.collect.collection import collect_online
from music_learning.collect.http import RetryLater
from music_learning.collect.report import print_estimate, print_report
from music_learning.collect.settings import DOWNLOADS, Settings
from music_learning.collect.tables import save
from music_learning.errors import UserError, printable, run
from music_learning.files import only_writer
from music_learning.paths import DataPaths

RETRY_LATER = 75  # the exit status that means "try again later" (EX_TEMPFAIL)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        choices=["deezer", "spotify", "local"],
        default="deezer",
        help="deezer (default): no key; spotify: for apps that still have access; local: a catalog and clips you have",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to write to (default: data)")
    parser.add_argument(
        "--workers", type=int, help=f"clips checked (default: all cores) or downloaded (default: {DOWNLOADS}) at a time"
    )
    online, local = add_online_arguments(parser), add_local_arguments(parser)
    arguments = parser.parse_args()
    other = local if arguments.source != "local" else online
    for action in other:
        if getattr(arguments, action.dest) != action.default:
            parser.error(f"{action.option_strings[0]} has no effect with --source {arguments.source}")
    if fault := fault_of(arguments):
        parser.error(printable(fault))
    arguments.labels = arguments.labels or ("spotify" if arguments.source == "spotify" else "reccobeats")
    return arguments


def add_online_arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    group = parser.add_argument_group("online")
    return [
        group.add_argument("--songs", type=int, default=3000, help="songs to keep (default: 3000)"),
        group.add_argument("--songs-per-artist", type=int, default=3, help="of an artist's top songs (default: 3)"),
        group.add_argument(
            "--labels",
            help="reccobeats, spotify, or a CSV with Spotify's labels, joined by Spotify id, ISRC, or artist and title"
            " (default: spotify with --source spotify, else reccobeats)",
        ),
        group.add_argument("--playlist", action="append", default=[], help="begin with its artists: id or address"),
        group.add_argument("--chart", type=int, metavar="GENRE", help="begin with Deezer's chart of a genre (0: all)"),
        group.add_argument("--seed-artist", action="append", default=[], metavar="NAME", help="begin with this artist"),
        group.add_argument("--country", default="US", help="whose iTunes and Spotify catalog to use (default: US)"),
        group.add_argument(
            "--max-wait",
            type=float,
            default=600,
            metavar="SECONDS",
            help="when a service asks for a longer rest, save and stop with status 75 (default: 600)",
        ),
        group.add_argument("--dry-run", action="store_true", help="estimate requests and time; ask nothing"),
    ]


def add_local_arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    group = parser.add_argument_group("local")
    return [
        group.add_argument("--catalog", type=Path, help="CSV with a row per song"),
        group.add_argument("--audio", type=Path, help="folder with the clips"),
    ]


def fault_of(arguments: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, or None."""
    if arguments.source == "local" and not (arguments.catalog and arguments.audio):
        return "--source local needs --catalog and --audio"
    if arguments.source == "spotify" and arguments.chart is not None:
        return "--chart is Deezer's; with --source spotify name a --playlist"
    for name in ("songs", "songs_per_artist", "workers"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            return f"--{name.replace('_', '-')} must be at least 1"
    if not arguments.max_wait >= 0:
        return "--max-wait must be 0 or more"
    if not re.fullmatch("[A-Za-z]{2}", arguments.country):
        return "--country must be two letters, such as US"
    if arguments.labels not in (None, "reccobeats", "spotify") and not Path(arguments.labels).exists():
        return f"--labels {arguments.labels}: expected reccobeats, spotify, or a CSV file that exists"
    return None


def collect_local(arguments: argparse.Namespace, paths: DataPaths) -> None:
    from music_learning.collect.local import LocalCatalog, collect  # brings torch, which collecting online doesn't need

    source = LocalCatalog(arguments.catalog, arguments.audio)
    kept, rejected = [], []
    with only_writer(paths.root, "data_collection.py"):
        try:
            for song, stage, reason in collect(source, paths, workers=arguments.workers):
                if reason:
                    rejected.append(song | {"stage": stage, "reason": reason})
                else:
                    kept.append(song)
        finally:
            if kept or rejected:
                print_report(paths, kept, rejected, save(paths, kept, rejected, online=False))
    if not kept:
        raise UserError(f"no song could be used; {paths.rejected} says why")


def main() -> int:
    arguments = parse_arguments()
    paths = DataPaths(arguments.data)
    if arguments.source == "local":
        collect_local(arguments, paths)
        return 0
    settings = Settings(
        source=arguments.source,
        labels=arguments.labels,
        songs=arguments.songs,
        songs_per_artist=arguments.songs_per_artist,
        playlists=arguments.playlist,
        chart=arguments.chart,
        seed_artists=arguments.seed_artist,
        country=arguments.country,
        max_wait_s=arguments.max_wait,
        downloads=arguments.workers or DOWNLOADS,
    )
    if arguments.dry_run:
        print_estimate(settings, paths)
        return 0
    try:
        collect_online(settings, paths)
    except RetryLater as error:
        print(printable(f"stopped: {error}"), file=sys.stderr)
        return RETRY_LATER
    return 0


if __name__ == "__main__":
    run(main, goes_on=True)
