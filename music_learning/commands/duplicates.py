"""Find the recordings that a library has more than once, in other formats, bit rates or levels as well.

    music-learning duplicates --library moods.sqlite
    music-learning duplicates --library moods.sqlite --to duplicates.csv

Prints the files of each such recording, the largest first, with their lengths; or writes them to a table, whose columns
are `group` (a number for each recording), `file`, `bytes`, `duration_s`, the tags `title`, `artist` and `album`, and
`distance`: how unlike the largest file it sounds, 0 where the content is the same. No file is changed.

Two files count as the same recording if they have the same content; or if their lengths differ by no more than 2 s or
1 %, and they sound nearly the same, or are alike and agree in tempo, key, mode and values. docs/library.md says how
often that is wrong.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from music_learning.commands.arguments import add_models, library_parser, report_others
from music_learning.errors import printable
from music_learning.files import check_table, write_table
from music_learning.library.database import Library
from music_learning.library.duplicates import Copy, find_duplicates
from music_learning.library.embeddings import count_others
from music_learning.predict.predictor import Predictor
from music_learning.predict.similarity import named
from music_learning.predict.words import clock

TABLE = ("group", *(field.name for field in fields(Copy)))


@dataclass
class Counted:
    """Passes groups of copies on and counts them."""

    groups: int = 0
    files: int = 0
    bytes: int = 0  # of all but the largest of each group

    def of(self, groups: Iterable[list[Copy]]) -> Iterator[list[Copy]]:
        for copies in groups:
            self.groups += 1
            self.files += len(copies)
            self.bytes += sum(copy.bytes for copy in copies[1:])
            yield copies

    def __str__(self) -> str:
        if not self.groups:
            return "no recording is there more than once"
        return (
            f"recordings that are there more than once: {self.groups:,}, in {self.files:,} files; "
            f"all but the largest of each have {megabytes(self.bytes)}"
        )


def megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def lines(copies: list[Copy]) -> Iterator[str]:
    """A recording for people: what it is called, and its files."""
    title = next((named(copy.title, copy.artist or "") for copy in copies if copy.title), Path(copies[0].file).stem)
    yield f"{title}, {len(copies)} files:"
    for copy in copies:
        yield f"  {megabytes(copy.bytes):>10}  {clock(copy.duration_s):>7}  {copy.file}"


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = library_parser("duplicates", __doc__, library="library to read")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write a CSV instead of printing")
    add_models(parser)
    parsed = parser.parse_args(arguments)
    if parsed.to is not None:
        check_table(parsed.to, TABLE)
    counted = Counted()
    with Library.open(parsed.library) as library:
        model = Predictor.load(parsed.models).models_version
        report_others(count_others(library, model))
        groups = counted.of(find_duplicates(library, model, bar=True))
        if parsed.to is None:
            for copies in groups:
                print("\n".join(map(printable, lines(copies))))
        else:
            rows = ({"group": n} | asdict(copy) for n, copies in enumerate(groups, start=1) for copy in copies)
            write_table(parsed.to, TABLE, (row | {"distance": f"{row['distance']:.3f}"} for row in rows))
    print(counted)
    return 0
