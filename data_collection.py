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
column names of Spotify and of the usual Kaggle sets are understood) and a folder with a clip of each song, every label
and every clip is checked; clips that are there already are not checked again.

A song that can't be used is listed in rejected.csv with the reason, and kept + rejected = found. Songs of earlier runs
stay; a song that is collected again is replaced.

Exit status: 0; 1 after an error; 75 when a service wants a longer rest than --max-wait or has stopped answering (run
the same command again later); 130 after Ctrl-C. What was collected is saved in all cases.
"""

import argparse
import math
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from music_learning.collect import deezer, reccobeats, spotify
from music_learning.collect.cache import Answers
from music_learning.collect.deezer import Deezer
from music_learning.collect.http import ComeBack, NoAnswer, Web
from music_learning.collect.itunes import ITunes
from music_learning.collect.label_table import LabelTable
from music_learning.collect.matching import check_labels, check_song, clear_unknown_features, empty_song, same_song_keys
from music_learning.collect.previews import Previews
from music_learning.collect.reccobeats import ReccoBeats
from music_learning.collect.spotify import Spotify
from music_learning.columns import REJECTED_COLUMNS, SONG_COLUMNS
from music_learning.errors import UserError, run
from music_learning.files import read_table, write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows

COME_BACK = 75  # the exit status that means "try again later" (EX_TEMPFAIL)
ASKING = 8  # requests for lists and labels under way at a time; their pace is the services'
PREVIEWS = 16  # previews downloaded at a time
AHEAD = 32  # artists looked up, and previews fetched, before it is their turn
RELATED_ARTISTS = 20  # that Deezer and Spotify name for an artist
PREVIEW_MB = 0.5
GIVE_UP = 2_000  # songs rejected one after the other: something is wrong, and there are millions more

# iTunes bears 20 requests a minute. One labelled song in 30 at most is looked up there (and 20 to begin with), which
# holds 3,000 songs up by six minutes at most. Which ones is decided by order, so that the result doesn't hang on time.
ITUNES_SHARE = 30
ITUNES_AT_FIRST = 20


class Found(NamedTuple):
    """A song, and the stage and reason it was rejected with; both empty while it is good."""

    song: dict[str, str]
    preview_url: str
    stage: str = ""
    reason: str = ""


class Collection:
    """Collects songs online.

    Songs are found, labelled and fetched in three steps, each a generator that asks a bounded way ahead in threads and
    hands on what comes in order. So what is kept depends on the services' answers alone, never on their timing: a run
    that was stopped and goes on, with the answers kept so far, ends with the same songs.
    """

    def __init__(
        self,
        source: Deezer | Spotify,
        labels: ReccoBeats | Spotify | LabelTable,
        previews: Previews,
        seeds: Iterable[tuple[str, str]],
        *,
        songs: int,
        songs_per_artist: int,
        workers: int,
    ) -> None:
        """
        Args:
            seeds: the artists to begin with, as (id, name).
            songs: how many to keep.
            songs_per_artist: of how many of an artist's top songs the labels are asked.
            workers: previews downloaded at a time.
        """
        self.source, self.labels, self.previews, self.seeds = source, labels, previews, seeds
        self.songs, self.songs_per_artist = songs, songs_per_artist
        self.kept: list[tuple[str, ...]] = []  # rows; tuples need a third of the memory of dictionaries
        self.rejected: list[tuple[str, ...]] = []
        self.fetching = 0  # good songs whose preview is under way
        self.artists_skipped = 0
        self.asking = ThreadPoolExecutor(ASKING)
        self.fetchers = ThreadPoolExecutor(workers)

    def run(self, progress: Callable[["Collection"], None]) -> None:
        """Fill `kept` and `rejected`. Raises UserError where a service ends the run before there are enough songs."""
        try:
            rejected_in_a_row = 0
            for found in self._fetched():
                row = found.song if not found.reason else {**found.song, "stage": found.stage, "reason": found.reason}
                if found.reason:
                    self.rejected.append(tuple(row[column] for column in REJECTED_COLUMNS))
                else:
                    self.kept.append(tuple(row[column] for column in SONG_COLUMNS))
                rejected_in_a_row = rejected_in_a_row + 1 if found.reason else 0
                progress(self)
                if len(self.kept) == self.songs:
                    return
                if rejected_in_a_row == GIVE_UP:
                    raise UserError(
                        f"the last {GIVE_UP:,} songs found were all rejected, for the most part with: "
                        f"{Counter(row[-1] for row in self.rejected[-GIVE_UP:]).most_common(1)[0][0]}"
                    )
        except NoAnswer as error:  # about what to begin with; elsewhere one song or artist is left out
            raise UserError(f"{error}; name others to begin with: --playlist, --chart or --seed-artist") from None
        finally:
            self.previews.service.web.stop.set()
            self.asking.shutdown(cancel_futures=True)
            self.fetchers.shutdown(cancel_futures=True)

    def wanted(self) -> int:
        """How many more good songs are needed."""
        return self.songs - len(self.kept) - self.fetching

    def _artists(self) -> Iterator[tuple[str, str]]:
        """Breadth first: the seeds, the artists related to them, those related to these, ...; each once."""
        seen, parents, lists = set(), deque(), deque()

        def new(artists: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
            for artist in artists:
                if artist[0] not in seen:
                    seen.add(artist[0])
                    parents.append(artist)
                    yield artist

        yield from new(self.seeds)
        while parents or lists:
            while parents and len(lists) < 2:
                lists.append(self.asking.submit(self.source.related, parents.popleft()))
            yield from new(self._answer(lists.popleft()))

    def _found(self) -> Iterator[Found]:
        """The top songs of each artist."""
        seen: set[str] = set()
        lists = ahead(
            lambda artist: self.asking.submit(self.source.top_songs, artist),
            self._artists(),
            depth=lambda: min(AHEAD, 2 * max(self.wanted(), 1) // self.songs_per_artist + 1),
        )
        for _, songs in lists:
            taken = 0
            for song in self._answer(songs):
                if taken == self.songs_per_artist:
                    break
                url = song.pop("preview_url")
                song = empty_song(self.source.name) | song
                if reason := check_song(song):
                    yield Found(song, url, "search", reason)
                elif seen & (keys := same_song_keys(song) | {song["song_id"].lower()}):
                    yield Found(song, url, "search", "another version of it was found before")
                else:
                    seen |= keys
                    taken += 1
                    yield Found(song, url)

    def _labelled(self) -> Iterator[Found]:
        """The same songs, those with labels carrying them."""

        def batches() -> Iterator[list[Found]]:
            batch, good = [], 0
            for found in self._found():
                batch.append(found)
                good += not found.reason
                if good >= min(self.labels.batch, max(2 * self.wanted(), 1)):
                    yield batch
                    batch, good = [], 0
            if batch:
                yield batch

        def labels(batch: list[Found]) -> Future:
            return self.asking.submit(self.labels.of, [found.song for found in batch if not found.reason])

        for batch, answer in ahead(labels, batches(), depth=lambda: 2):
            try:
                known, reason = iter(answer.result()), f"{self.labels.name} has no labels"
            except NoAnswer as error:
                known, reason = None, str(error)
            for found in batch:
                if found.reason:
                    yield found
                elif features := known and next(known):
                    song = found.song | features | {"label_source": self.labels.name}
                    clear_unknown_features(song)
                    reason_of_song = check_labels(song)
                    yield Found(song, found.preview_url, "labels" if reason_of_song else "", reason_of_song)
                else:
                    yield Found(found.song, found.preview_url, "labels", reason)

    def _fetched(self) -> Iterator[Found]:
        """The same songs, the good ones with their preview on disk; never more previews than are still needed."""
        labelled, window = self._labelled(), deque()
        n_labelled = asked_itunes = 0
        more = True
        while more or window:
            while more and self.wanted() > 0 and self.fetching < AHEAD:
                found = next(labelled, None)
                if found is None:
                    more = False
                    break
                if found.reason:
                    window.append((found, None))
                    continue
                n_labelled += 1
                may_resort = not found.preview_url and asked_itunes < ITUNES_AT_FIRST + n_labelled // ITUNES_SHARE
                asked_itunes += may_resort
                future = self.fetchers.submit(
                    self.previews.fetch, found.song, listed_url=found.preview_url, may_resort=may_resort
                )
                window.append((found, future))
                self.fetching += 1
            if not window:
                return
            found, future = window.popleft()
            if future is not None:
                reason = future.result()
                self.fetching -= 1
                found = found._replace(stage="preview" if reason else "", reason=reason)
            yield found

    def _answer(self, future: Future) -> list:
        """A list about an artist; empty where its service can't tell."""
        try:
            return future.result()
        except NoAnswer:
            self.artists_skipped += 1
            return []


def ahead(
    submit: Callable[[Any], Future], items: Iterable[Any], *, depth: Callable[[], int]
) -> Iterator[tuple[Any, Future]]:
    """Yield each item with its future, in order, up to `depth()` of them having been submitted."""
    items, window, more = iter(items), deque(), True
    while more or window:
        while more and len(window) < depth():
            try:
                item = next(items)
            except StopIteration:
                more = False
                break
            window.append((item, submit(item)))
        if window:
            yield window.popleft()


def save(paths: DataPaths, kept: list[dict], rejected: list[dict], *, online: bool) -> int:
    """Merge into the tables of earlier runs, sorted by id. Returns the number of songs now in songs.csv.

    A song found again is replaced. Online, so is another version of it, and a song of an earlier run that is rejected
    now stays: other labels may have been asked for than those it has.
    """
    found = {song["song_id"].lower() for song in kept + rejected}  # some file systems don't tell Ab from aB
    earlier_songs = read_song_rows(paths) if paths.songs.exists() else []
    earlier_rejected = (
        read_table(paths.rejected, REJECTED_COLUMNS, "data_collection.py") if paths.rejected.exists() else []
    )
    if online:
        keys = {key for song in kept for key in same_song_keys(song)}
        songs = [song for song in earlier_songs if not keys & same_song_keys(song)]
        staying = {song["song_id"].lower() for song in songs}
        rejected = [row for row in rejected if row["song_id"].lower() not in staying]
    else:
        songs = [song for song in earlier_songs if song["song_id"].lower() not in found]
    rejected = [row for row in earlier_rejected if row["song_id"].lower() not in found] + rejected
    rejected = [{column: row[column] for column in REJECTED_COLUMNS} for row in rejected]
    write_table(paths.rejected, REJECTED_COLUMNS, sorted(rejected, key=lambda row: row["song_id"]))
    write_table(paths.songs, SONG_COLUMNS, sorted(songs + kept, key=lambda song: song["song_id"]))
    return len(songs) + len(kept)


def prepare(arguments: argparse.Namespace, paths: DataPaths, web: Web) -> Collection:
    """The clients that the user chose. Raises UserError where one can't be used."""
    deezer_client = Deezer(web)
    source = deezer_client if arguments.source == "deezer" else Spotify(web, country=arguments.country)
    if arguments.labels == "reccobeats":
        labels = ReccoBeats(web)
    elif arguments.labels == "spotify":
        labels = source if isinstance(source, Spotify) else Spotify(web, country=arguments.country)
    else:
        labels = LabelTable(Path(arguments.labels))
    return Collection(
        source,
        labels,
        Previews(web, paths, deezer=deezer_client, itunes=ITunes(web, country=arguments.country)),
        source.seed_artists(arguments.playlist, arguments.chart, arguments.seed_artist),
        songs=arguments.songs,
        songs_per_artist=arguments.songs_per_artist,
        workers=arguments.workers or PREVIEWS,
    )


def collect_online(arguments: argparse.Namespace, paths: DataPaths) -> int:
    """Collect, save and report. Returns the exit status."""
    answers = Answers(paths.answers)
    for leftover in paths.previews.glob(".*.tmp.*"):  # of a killed run; nobody uses it, since `answers` is ours alone
        leftover.unlink(missing_ok=True)
    web = Web(answers, max_wait_s=arguments.max_wait, connections=max(ASKING, arguments.workers or PREVIEWS))
    bar = tqdm(
        total=arguments.songs,
        disable=None,
        bar_format="kept {n_fmt} of {total_fmt} |{bar}|{postfix} [{elapsed} so far, {remaining} left]",
    )
    web.note = bar.write

    def progress(collection: Collection) -> None:
        kept = len(collection.kept)
        bar.set_postfix_str(f"rejected {len(collection.rejected)}, to go {bar.total - kept}", refresh=False)
        bar.update(kept - bar.n)

    with closing(web), bar:
        collection = prepare(arguments, paths, web)
        try:
            collection.run(progress)
        finally:
            bar.close()
            if collection.kept or collection.rejected:
                kept = [dict(zip(SONG_COLUMNS, row, strict=True)) for row in collection.kept]
                rejected = [dict(zip(REJECTED_COLUMNS, row, strict=True)) for row in collection.rejected]
                report(paths, kept, rejected, save(paths, kept, rejected, online=True))
                report_requests(web, collection)
    if not (collection.kept or collection.rejected):
        raise UserError("no song was found; name others to begin with: --playlist, --chart or --seed-artist")
    if not collection.kept:
        raise UserError(f"no song could be used; {paths.rejected} says why")
    if len(collection.kept) < arguments.songs:
        print("There are no more artists to look at; begin with others, too: --playlist, --chart or --seed-artist.")
    return 0


def report(paths: DataPaths, kept: list[dict], rejected: list[dict], total: int) -> None:
    for reason, count in Counter(row["reason"] for row in rejected).most_common(10):
        print(f"  rejected {count:4}: {reason}")
    print(f"kept {len(kept)} of {len(kept) + len(rejected)} songs found; {len(rejected)} in {paths.rejected}")
    print(f"{paths.songs} holds {total} songs")


def report_requests(web: Web, collection: Collection) -> None:
    print("requests of this run:")
    for service in web.services:
        if service.counts:
            print(f"  {service.name:10} {service.counts['requests']:6,}   retries {service.counts['retries']:,}")
    requests = sum(service.counts.total() for service in web.services)
    # Of a run that went on where another was stopped, only the songs it fetched itself.
    if new := min(len(collection.kept), collection.previews.service.counts["requests"]):
        print(f"  together   {requests:6,}   {requests / new:.2f} per kept song")
    if collection.artists_skipped:
        print(f"  {collection.artists_skipped} artists were left out: a service could not answer")


def estimate(arguments: argparse.Namespace, paths: DataPaths) -> None:
    """Print what a run would ask, from what is usual: half of the songs have no labels, few have no preview."""
    songs = arguments.songs
    found = 2 * songs
    artists = math.ceil(found / arguments.songs_per_artist)
    lists = artists + artists // RELATED_ARTISTS + len(arguments.playlist) + len(arguments.seed_artist) + 5
    requests = Counter({"Deezer" if arguments.source == "deezer" else "Spotify": lists, "previews": songs})
    if arguments.labels == "reccobeats":
        requests["ReccoBeats"] = math.ceil(found / ReccoBeats.batch)
    elif arguments.labels == "spotify":
        requests["Spotify"] += math.ceil(found / Spotify.batch) + (found if arguments.source == "deezer" else 0)
    per_s = {"Deezer": deezer.PER_S, "Spotify": spotify.PER_S, "ReccoBeats": reccobeats.PER_S, "previews": PREVIEWS}
    print(f"{songs:,} songs with labels and previews, of about {found:,} songs of {artists:,} artists:")
    for service, count in requests.items():
        print(
            f"  {service:10} {count:6,} requests at {per_s[service]:4.1f} per second {_minutes(count / per_s[service])}"
        )
    longest = max(count / per_s[service] for service, count in requests.items())
    print(f"  together   {requests.total():6,} requests, {requests.total() / songs:.1f} per song, {_minutes(longest)},")
    print(f"  and {songs * PREVIEW_MB:,.0f} MB of previews. Nothing was asked.")
    if paths.answers.exists():
        with closing(Answers(paths.answers)) as answers:
            print(f"{paths.answers} holds {answers.count():,} answers, which are not asked for again.")


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60)):,} min"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        choices=["deezer", "spotify", "local"],
        default="deezer",
        help="deezer (default): no key; spotify: for apps that still have access; local: a catalog and clips you have",
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to write to (default: data)")
    parser.add_argument(
        "--workers", type=int, help=f"clips checked (default: all cores) or downloaded (default: {PREVIEWS}) at a time"
    )
    online = parser.add_argument_group("online")
    online.add_argument("--songs", type=int, default=3000, help="songs to keep (default: 3000)")
    online.add_argument("--songs-per-artist", type=int, default=3, help="of an artist's top songs (default: 3)")
    online.add_argument(
        "--labels",
        help="reccobeats, spotify, or a CSV with Spotify's labels, joined by Spotify id, ISRC, or artist and title"
        " (default: spotify with --source spotify, else reccobeats)",
    )
    online.add_argument("--playlist", action="append", default=[], help="begin with its artists: id or address")
    online.add_argument("--chart", type=int, metavar="GENRE", help="begin with Deezer's chart of a genre (0: all)")
    online.add_argument("--seed-artist", action="append", default=[], metavar="NAME", help="begin with this artist")
    online.add_argument("--country", default="US", help="whose iTunes and Spotify catalog to use (default: US)")
    online.add_argument(
        "--max-wait",
        type=float,
        default=600,
        metavar="SECONDS",
        help="when a service asks for a longer rest, save and stop with status 75 (default: 600)",
    )
    online.add_argument("--dry-run", action="store_true", help="estimate requests and time; ask nothing")
    local = parser.add_argument_group("local")
    local.add_argument("--catalog", type=Path, help="CSV with a row per song")
    local.add_argument("--audio", type=Path, help="folder with the clips")
    arguments = parser.parse_args()

    other = local if arguments.source != "local" else online
    for action in other._group_actions:
        if getattr(arguments, action.dest) != action.default:
            parser.error(f"{action.option_strings[0]} has no effect with --source {arguments.source}")
    if arguments.source == "local" and not (arguments.catalog and arguments.audio):
        parser.error("--source local needs --catalog and --audio")
    if arguments.source == "spotify" and arguments.chart is not None:
        parser.error("--chart is Deezer's; with --source spotify name a --playlist")
    for name in ("songs", "songs_per_artist", "workers"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not arguments.max_wait >= 0:
        parser.error("--max-wait must be 0 or more")
    if not re.fullmatch("[A-Za-z]{2}", arguments.country):
        parser.error("--country must be two letters, such as US")
    if arguments.labels not in (None, "reccobeats", "spotify") and not Path(arguments.labels).exists():
        parser.error(f"--labels {arguments.labels}: expected reccobeats, spotify, or a CSV file that exists")
    arguments.labels = arguments.labels or ("spotify" if arguments.source == "spotify" else "reccobeats")
    return arguments


def main() -> int:
    arguments = read_arguments()
    paths = DataPaths(arguments.data)
    if arguments.dry_run:
        estimate(arguments, paths)
        return 0
    if arguments.source != "local":
        try:
            return collect_online(arguments, paths)
        except ComeBack as error:
            print(f"stopped: {error}", file=sys.stderr)
            return COME_BACK
    from music_learning.collect.local import LocalCatalog, collect

    kept, rejected = collect(LocalCatalog(arguments.catalog, arguments.audio), paths, workers=arguments.workers)
    report(paths, kept, rejected, save(paths, kept, rejected, online=False))
    if not kept:
        raise UserError(f"no song could be used; {paths.rejected} says why")
    return 0


if __name__ == "__main__":
    run(main)
