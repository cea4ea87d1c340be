"""A table of charts -> the numbers of its songs in the package: charts.csv, and markets.json, measured with them.

    python tools/make_charts.py --charts charts.csv

Reads a CSV with the columns of the Kaggle set "Top Spotify Songs in 73 Countries" (the song's `title` may be called
`name`), and the models' predictions in models/predictions/. A song is in it once for each country and day; the chart of
the whole world, whose `country` is GLOBAL or empty, is left out. What is written has neither titles nor artists: songs
that share an artist have the same number.
"""

import argparse
from pathlib import Path

import pandas as pd

from music_learning.errors import UserError, run
from music_learning.files import read_table, write_json, write_table
from music_learning.paths import CHARTS, ChartPaths, ModelPaths
from music_learning.pipeline_config import shown
from music_learning.predict.fit_markets import fit_markets, read_errors
from music_learning.predict.markets import CHART_COLUMNS, CHART_FEATURES, COUNTRY_COLUMNS, ChartSongs
from music_learning.songs.artists import artist_groups
from music_learning.songs.table import parse_number

ROOT = Path(__file__).parents[1]
WORLD = ("", "GLOBAL")
ANOTHER = "name another table of charts, such as Kaggle's Top Spotify Songs in 73 Countries"


def read_charts(path: Path, named: set[str]) -> dict[tuple[str, str], dict]:
    """The songs by title and artists, both in order, each with its features as text and the set of its `countries`.

    The order of the artists makes no other song, and of several sets of features a song has the first by its text, so
    the order of the rows changes nothing.

    Args:
        named: the codes of the countries that have a name.

    Raises:
        UserError: there is no such table, or a row of it can't be used.
    """
    rows = read_table(path, ("country", "artists", *CHART_FEATURES), made_by="")
    if not rows or not {"title", "name"} & set(rows[0]):
        raise UserError(f"{path} has no songs with a column title or name; {ANOTHER}")
    features: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    countries: dict[tuple[str, str], set[str]] = {}
    for number, row in enumerate(rows, start=2):
        country, title = row["country"].strip().upper(), row["title"] if "title" in row else row["name"]
        if country in WORLD:
            continue
        if country not in named:
            raise UserError(f"{path}, row {number}: {shown(country)} is no country of {CHARTS.countries}; add its name")
        for name in CHART_FEATURES:
            value = parse_number(row[name])
            if value is None or (name not in ("loudness", "tempo") and not 0 <= value <= 1):
                raise UserError(
                    f"{path}, row {number}: the {name} is {shown(row[name])}, no number that it can be; {ANOTHER}"
                )
        song = (title, ", ".join(sorted(row["artists"].split(", "))))
        features.setdefault(song, set()).add(tuple(row[name] for name in CHART_FEATURES))
        countries.setdefault(song, set()).add(country)
    if len(features) < 2:
        raise UserError(f"{path} has fewer than 2 songs in the charts of a country; {ANOTHER}")
    return {
        song: dict(zip(CHART_FEATURES, min(features[song]), strict=True)) | {"countries": countries[song]}
        for song in sorted(features)
    }


def anonymous(songs: dict[tuple[str, str], dict]) -> list[dict]:
    """The rows of charts.csv, sorted by their numbers, so that nothing of the names shows in their order either."""
    names = pd.DataFrame(songs.keys(), columns=["title", "artist"]).assign(artist_id="")
    names.index = pd.Index([str(row) for row in names.index], name="song_id")
    rows = [
        song | {"group": group, "countries": " ".join(sorted(song["countries"]))}
        for song, group in zip(songs.values(), artist_groups(names), strict=True)
    ]
    rows.sort(key=lambda row: ([float(row[name]) for name in CHART_FEATURES], row["countries"]))
    numbers: dict[str, int] = {}
    columns = (*CHART_FEATURES, "countries")
    return [
        {name: row[name] for name in columns} | {"artists": numbers.setdefault(row["group"], len(numbers))}
        for row in rows
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charts", type=Path, required=True, help="the table to read")
    parser.add_argument("--to", type=Path, default=CHARTS.root, help="folder to write (default: the package's)")
    arguments = parser.parse_args()
    paths, errors = ChartPaths(arguments.to), read_errors(ModelPaths(ROOT / "models"))
    names = read_table(CHARTS.countries, COUNTRY_COLUMNS, "tools/make_charts.py")
    rows = anonymous(read_charts(arguments.charts, {row["code"] for row in names}))
    write_table(paths.songs, CHART_COLUMNS, rows)
    if paths.root != CHARTS.root:
        write_table(paths.countries, COUNTRY_COLUMNS, names)
    songs = ChartSongs.open(paths)
    write_json(paths.markets, fit_markets(songs, errors))
    print(f"{paths.songs}: songs: {len(rows):,}, countries in whose charts they are: {len(songs.countries)}")
    return 0


if __name__ == "__main__":
    run(main)
