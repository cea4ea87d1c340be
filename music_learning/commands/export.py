"""Write a library as a table: Parquet, CSV or JSON Lines.

    music-learning export --to moods.parquet
    music-learning export --to calm.csv --where "energy < .4 and error is null and missing is null"
    music-learning export --library moods.sqlite --to - | jq .title

Each row of the library is a row of the table: files that can't be used have the reason in `error`, files that are gone
the time since when in `missing`. A condition chooses among them; docs/library.md says how it is written. Parquet has
the songs' embeddings, too. `-` is standard output, as JSON Lines.
"""

from pathlib import Path

from music_learning.commands.arguments import STREAM, condition_of, library_parser
from music_learning.errors import printable
from music_learning.library.database import Library
from music_learning.library.export import check_table, export, print_lines


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = library_parser("export", __doc__, library="what to read")
    parser.add_argument("--to", required=True, metavar="FILE", help="a .parquet, .csv or .jsonl, or - to print it")
    parser.add_argument("--where", metavar="CONDITION", help="the rows to write, such as 'energy > .7' (default: all)")
    parsed = parser.parse_args(arguments)
    condition = condition_of(parsed.where)
    if parsed.to != STREAM:
        check_table(Path(parsed.to))
    with Library.open(parsed.library) as library:
        if parsed.to == STREAM:
            print_lines(library, condition)
        else:
            n_rows = export(library, Path(parsed.to), condition)
            print(printable(f"{n_rows:,} rows in {parsed.to}"))
    return 0
