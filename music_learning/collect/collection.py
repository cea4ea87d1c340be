"""Collecting songs online: artists -> their top songs -> labels -> previews.

Needs neither torch nor pandas, which would take more memory than everything else here.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from music_learning.collect.cache import ResponseCache
from music_learning.collect.deezer import Deezer
from music_learning.collect.failures import RetryLater, Skip, Stopped
from music_learning.collect.http import HttpSession
from music_learning.collect.itunes import ITunes
from music_learning.collect.label_table import LabelTable
from music_learning.collect.matching import check_labels, check_song, clear_unknown_features, empty_song, same_song_keys
from music_learning.collect.previews import Previews
from music_learning.collect.reccobeats import ReccoBeats
from music_learning.collect.report import print_report, print_requests
from music_learning.collect.settings import Settings
from music_learning.collect.spotify import Spotify
from music_learning.collect.tables import read_earlier, save
from music_learning.columns import REJECTED_COLUMNS, SONG_COLUMNS
from music_learning.errors import UserError, printable, unexpected
from music_learning.parallel import ahead
from music_learning.paths import DataPaths

ASKING = 8  # requests for lists and labels under way at a time; their pace is the services'
AHEAD = 32  # artists looked up, and previews fetched, before it is their turn
GIVE_UP = 2_000  # songs rejected, or artists without songs, one after the other: there are millions more of them
GIVE_UP_LISTS = 25  # of one kind that fail one after the other, each after more than a minute of trying
MAX_REASON = 500

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
        settings: Settings,
    ) -> None:
        """`seeds` are the artists to begin with, as (id, name)."""
        self.source, self.labels, self.previews, self.seeds = source, labels, previews, seeds
        self.songs, self.songs_per_artist = settings.songs, settings.songs_per_artist
        self.kept: list[tuple[str, ...]] = []  # rows; tuples need a third of the memory of dictionaries
        self.rejected: list[tuple[str, ...]] = []
        self.fetching = 0  # good songs whose preview is under way
        self.artists_skipped = 0
        self.failed_in_a_row: Counter[str] = Counter()  # lists about an artist, by their kind
        self.asking = ThreadPoolExecutor(ASKING)
        self.fetchers = ThreadPoolExecutor(settings.downloads)

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
        except Skip as error:  # about what to begin with; elsewhere one song or artist is left out
            raise UserError(f"{error}; name others to begin with: --playlist, --chart or --seed-artist") from None
        finally:
            self.previews.service.http.stop.set()
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

        yield from new(self._seeds())
        while parents or lists:
            while parents and len(lists) < 2:
                lists.append(self.asking.submit(self.source.related, parents.popleft()))
            yield from new(self._answer("related artists", lists.popleft()))

    def _seeds(self) -> Iterator[tuple[str, str]]:
        """The artists to begin with, asked for in a thread: Ctrl-C, which reaches the main one, loses no answer."""
        seeds = iter(self.seeds)
        while (artist := self.asking.submit(next, seeds, None).result()) is not None:
            yield artist

    def _found(self) -> Iterator[Found]:
        """The top songs of each artist."""
        seen: set[str] = set()
        artists_without = 0  # one after the other
        lists = ahead(
            lambda artist: self.asking.submit(self.source.top_songs, artist),
            self._artists(),
            depth=lambda: min(AHEAD, 2 * max(self.wanted(), 1) // self.songs_per_artist + 1),
        )
        for _, songs in lists:
            taken = 0
            songs = self._answer("top songs", songs)
            artists_without = 0 if songs else artists_without + 1
            if artists_without == GIVE_UP:
                raise UserError(f"the last {GIVE_UP:,} artists have no songs; begin with others")
            for song in songs:
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
                if good >= min(self.labels.batch, max(2 * self.wanted(), 1)) or len(batch) == GIVE_UP:
                    yield batch
                    batch, good = [], 0
            if batch:
                yield batch

        def labels(batch: list[Found]) -> Future:
            return self.asking.submit(self.labels.labels_for, [found.song for found in batch if not found.reason])

        for batch, answer in ahead(labels, batches(), depth=lambda: 2):
            try:
                known, reason = iter(answer.result()), f"{self.labels.name} has no labels"
            except Skip as error:
                known, reason = None, str(error)[:MAX_REASON]
            except Exception as error:
                known, reason = None, _row_of(error, "labels")
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
        n_labelled = asked_itunes = 0

        def fetch(found: Found) -> Future | None:
            nonlocal n_labelled, asked_itunes
            if found.reason:
                return None
            n_labelled += 1
            allow_itunes = not found.preview_url and asked_itunes < ITUNES_AT_FIRST + n_labelled // ITUNES_SHARE
            asked_itunes += allow_itunes
            self.fetching += 1
            return self.fetchers.submit(
                self.previews.fetch, found.song, listed_url=found.preview_url, allow_itunes=allow_itunes
            )

        def depth() -> int:
            """Few previews at a time; rejected songs cost nothing, and may be as many as it takes to give up."""
            return GIVE_UP if self.wanted() > 0 and self.fetching < AHEAD else 0

        for found, preview in ahead(fetch, self._labelled(), depth=depth):
            if preview is not None:
                try:
                    reason = preview.result()[:MAX_REASON]
                except Exception as error:
                    reason = _row_of(error, f"preview of {found.song['song_id']}")
                self.fetching -= 1
                found = found._replace(stage="preview" if reason else "", reason=reason)
            yield found

    def _answer(self, kind: str, future: Future) -> list:
        """A list about an artist; empty where its service can't tell. Raises RetryLater where it can't for many."""
        try:
            answer = future.result()
        except Skip as error:
            reason = str(error)
        except Exception as error:
            reason = _row_of(error, kind)
        else:
            self.failed_in_a_row[kind] = 0
            return answer
        self.artists_skipped += 1
        self.failed_in_a_row[kind] += 1
        if self.failed_in_a_row[kind] == GIVE_UP_LISTS:
            raise RetryLater(
                f"the {kind} of {GIVE_UP_LISTS} artists could not be had, one after the other ({reason}); what was "
                "collected is saved, run the same command again later"
            )
        return []


def _row_of(error: Exception, about: str) -> str:
    """What stands in the row of the one item that an unforeseen error happened to; others end the run."""
    if isinstance(error, (UserError, Stopped)):
        raise error
    return unexpected(error, about)


def prepare(settings: Settings, paths: DataPaths, http: HttpSession) -> Collection:
    """The clients that the user chose. Raises UserError where one can't be used."""
    deezer = Deezer(http)
    source = deezer if settings.source == "deezer" else Spotify(http, country=settings.country)
    if settings.labels == "reccobeats":
        labels = ReccoBeats(http)
    elif settings.labels == "spotify":
        labels = source if isinstance(source, Spotify) else Spotify(http, country=settings.country)
    else:
        labels = LabelTable(Path(settings.labels))
    previews = Previews(http, paths, deezer=deezer, itunes=ITunes(http, country=settings.country))
    seeds = source.seed_artists(settings.playlists, settings.chart, settings.seed_artists)
    return Collection(source, labels, previews, seeds, settings)


def collect_online(settings: Settings, paths: DataPaths) -> None:
    """Collect, save and report, also when the run ends early.

    Raises:
        RetryLater: a service wants a longer rest than `max_wait_s`, or has stopped answering.
        UserError: a service refuses, or no song could be used.
    """
    read_earlier(paths)  # before an hour of requests: what can't be read can't be added to
    cache = ResponseCache(paths.answers)
    for leftover in paths.previews.glob(".*.tmp.*"):  # of a killed run; nobody uses it, since the cache is ours alone
        leftover.unlink(missing_ok=True)
    http = HttpSession(cache, max_wait_s=settings.max_wait_s, connections=max(ASKING, settings.downloads))
    bar = tqdm(
        total=settings.songs,
        disable=None,
        bar_format="kept {n_fmt} of {total_fmt} |{bar}|{postfix} [{elapsed} so far, {remaining} left]",
    )
    http.note = lambda text: bar.write(printable(text))  # which may be a service's

    def progress(collection: Collection) -> None:
        kept = len(collection.kept)
        bar.set_postfix_str(f"rejected {len(collection.rejected)}, to go {bar.total - kept}", refresh=False)
        bar.update(kept - bar.n)

    with closing(http), bar:
        collection = prepare(settings, paths, http)
        try:
            collection.run(progress)
        finally:
            bar.close()
            if collection.kept or collection.rejected:
                kept = [dict(zip(SONG_COLUMNS, row, strict=True)) for row in collection.kept]
                rejected = [dict(zip(REJECTED_COLUMNS, row, strict=True)) for row in collection.rejected]
                print_report(paths, kept, rejected, save(paths, kept, rejected, online=True))
                print_requests(http.services, collection.previews.service, len(kept))
                if collection.artists_skipped:
                    print(f"  {collection.artists_skipped} artists were left out: a service could not answer")
    if not (collection.kept or collection.rejected):
        raise UserError("no song was found; name others to begin with: --playlist, --chart or --seed-artist")
    if not collection.kept:
        raise UserError(f"no song could be used; {paths.rejected} says why")
    if len(collection.kept) < settings.songs:
        print("There are no more artists to look at; begin with others, too: --playlist, --chart or --seed-artist.")
