"""Gather what many machines heard into a library that the other commands read.

    music-learning gather s3://bucket/moods/ --library moods.sqlite
    music-learning gather moods/

The rows of a library of Parquet files, which `scan` fills, are copied into an SQLite file. Rows that it has of the same
files are replaced, unless they were heard later. Stopped or killed, or when more has been heard, the same command goes
on.
"""

from music_learning.commands.arguments import library_parser
from music_learning.errors import printable
from music_learning.library.database import Library


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = library_parser("gather", __doc__, library="where to keep the rows")
    parser.add_argument("parts", metavar="FOLDER", help="the folder of Parquet files, here or as s3://bucket/folder/")
    parsed = parser.parse_args(arguments)
    from music_learning.library.gather import gather, parts_in

    parts = parts_in(parsed.parts)
    with Library.write(parsed.library, create=True) as library:
        print(printable(f"{gather(*parts, library):,} rows in {parsed.library}"))
    return 0
