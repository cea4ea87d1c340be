"""What is printed of a run that collects songs: what it will cost, what it brought, what it asked."""

import math
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

from music_learning.collect import deezer, reccobeats, spotify
from music_learning.collect.cache import ResponseCache
from music_learning.collect.http import Service
from music_learning.collect.settings import Settings
from music_learning.errors import printable
from music_learning.paths import DataPaths

RELATED_ARTISTS = 20  # that Deezer and Spotify name for an artist
PREVIEW_MB = 0.5


def print_report(paths: DataPaths, kept: list[dict], rejected: list[dict], total: int) -> None:
    """`total` songs are in songs.csv now, with those of earlier runs."""
    for reason, count in Counter(row["reason"] for row in rejected).most_common(10):
        print(f"  rejected {count:4}: {printable(reason)}")
    n_found = len(kept) + len(rejected)
    print(printable(f"kept {len(kept)} of {n_found} songs found; {len(rejected)} in {paths.rejected}"))
    print(printable(f"{paths.songs} holds {total} songs"))


def print_requests(services: Iterable[Service], previews: Service, n_kept: int) -> None:
    print("requests of this run:")
    for service in services:
        if service.counts:
            print(f"  {service.name:10} {service.counts['requests']:6,}   retries {service.counts['retries']:,}")
    requests = sum(service.counts.total() for service in services)
    # Of a run that went on where another was stopped, only the songs it fetched itself.
    if new := min(n_kept, previews.counts["requests"]):
        print(f"  together   {requests:6,}   {requests / new:.2f} per kept song")


def print_estimate(settings: Settings, paths: DataPaths) -> None:
    """Print what a run would ask, from what is usual: half of the songs have no labels, few have no preview."""
    songs = settings.songs
    found = 2 * songs
    artists = math.ceil(found / settings.songs_per_artist)
    lists = artists + artists // RELATED_ARTISTS + len(settings.playlists) + len(settings.seed_artists) + 5
    requests = Counter({"Deezer" if settings.source == "deezer" else "Spotify": lists, "previews": songs})
    if settings.labels == "reccobeats":
        requests["ReccoBeats"] = math.ceil(found / reccobeats.ReccoBeats.batch)
    elif settings.labels == "spotify":
        requests["Spotify"] += math.ceil(found / spotify.Spotify.batch) + (found if settings.source == "deezer" else 0)
    per_s = {
        "Deezer": deezer.PER_S,
        "Spotify": spotify.PER_S,
        "ReccoBeats": reccobeats.PER_S,
        "previews": settings.downloads,
    }
    print(f"{songs:,} songs with labels and previews, of about {found:,} songs of {artists:,} artists:")
    for service, count in requests.items():
        print(
            f"  {service:10} {count:6,} requests at {per_s[service]:4.1f} per second {_minutes(count / per_s[service])}"
        )
    longest = max(count / per_s[service] for service, count in requests.items())
    print(f"  together   {requests.total():6,} requests, {requests.total() / songs:.1f} per song, {_minutes(longest)},")
    print(f"  and {songs * PREVIEW_MB:,.0f} MB of previews. Nothing was asked.")
    if paths.answers.exists():
        with closing(ResponseCache(paths.answers)) as cache:
            print(printable(f"{paths.answers} holds {cache.count():,} answers, which are not asked for again."))


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60)):,} min"
