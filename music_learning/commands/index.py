"""Make an index of a library's songs, in which similar songs are then looked for.

    music-learning index --library moods.sqlite --to index/
    music-learning song.mp3 --index index/

Every song counts that these models heard and whose file was there at the last scan; of copies (files of the same
content) one does. A song is called by its tags, or by its file's name where it has no title. The index belongs to the
models, and does not change with the library: after a scan, make it again, which replaces it.
"""

from pathlib import Path

from music_learning.commands.arguments import add_models, library_parser, report_others
from music_learning.errors import printable
from music_learning.library.database import Library
from music_learning.library.embeddings import count_others
from music_learning.library.own_index import own_index
from music_learning.predict.predictor import Predictor, weights_of
from music_learning.predict.similarity import OWN_COLUMNS, check_place


def main(arguments: list[str]) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = library_parser("index", __doc__, library="library to read")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="folder to write")
    add_models(parser)
    parsed = parser.parse_args(arguments)
    check_place(parsed.to, OWN_COLUMNS)
    with Library.open(parsed.library) as library:
        predictor = Predictor.load(parsed.models)
        report_others(count_others(library, predictor.models_version))
        index = own_index(library, predictor)
    index.save(parsed.to, weights_of(predictor.descriptions))
    print(printable(f"{len(index.songs):,} songs in {parsed.to}"))
    return 0
