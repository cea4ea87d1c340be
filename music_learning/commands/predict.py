"""What is predicted of files, and of the saved songs: `music-learning song.mp3`, and model_demo.py."""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from music_learning import __version__
from music_learning.commands.arguments import STREAM
from music_learning.errors import UserError, printable, report
from music_learning.files import check_picture
from music_learning.library.files import STANDARD_INPUT, find_files, named_paths, saved_input
from music_learning.library.hearing import hear
from music_learning.library.outputs import Output, Telling, Terminal, told
from music_learning.library.processes import Processes
from music_learning.library.rows import AudioFile, Listener
from music_learning.library.tables import CSV, Stream, Table, json_format
from music_learning.paths import RELEASED_MODELS, DataPaths
from music_learning.predict.analysis import Analysis
from music_learning.predict.markets import Charts
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of, title_of

DEFAULT_PICTURE = Path("demo.png")


class Picture(Output):
    """The picture of a single file."""

    def __init__(self, path: Path, charts: Charts, *, announced: bool) -> None:
        self.path, self.charts, self.announced = path, charts, announced

    def append(self, row: dict, analysis: Analysis | None) -> None:
        if analysis is not None:
            draw(analysis, self.charts, title=Path(row["file"]).stem, path=self.path)
            if self.announced:
                print(f"picture: {printable(str(self.path))}", flush=True)


def draw(analysis: Analysis, charts: Charts, *, title: str, path: Path, true: dict[str, float] | None = None) -> None:
    from music_learning.plots.analysis import draw_analysis  # a fifth of a second, which a folder has no use for

    draw_analysis(analysis, charts, title=title, path=path, true=true)


def open_tables(arguments: argparse.Namespace, stack: ExitStack) -> tuple[list[Table | Stream], int]:
    """The tables that are asked for, and how many others can't be written, which is said.

    Raises UserError where none can: the work would be for nothing.
    """
    tables, refused = [], []
    for name, form in ((arguments.csv, CSV), (arguments.json, json_format(arguments.json))):
        if name is not None:
            try:
                tables.append(Stream(form) if name == STREAM else stack.enter_context(Table(Path(name), form)))
            except UserError as error:
                refused.append(error)
    if refused and not tables:
        raise refused[0]
    for error in refused:
        report(error)
    return tables, len(refused)


def open_picture(arguments: argparse.Namespace) -> tuple[Path | None, int]:
    """Where to draw a single song, and 1 where the place that was asked for can't be used, which is said."""
    if not arguments.draws:
        return None, 0
    try:
        check_picture(arguments.picture or DEFAULT_PICTURE)
    except UserError as error:
        if arguments.picture is None:
            print(f"no picture: {printable(str(error))}", file=sys.stderr)
            return None, 0
        report(error)
        return None, 1
    return arguments.picture or DEFAULT_PICTURE, 0


def run_files(arguments: argparse.Namespace) -> int:
    """Predict the files, folders already opened; the exit status is 1 where any failed, or an output did."""
    alone = len(arguments.files) == 1
    with ExitStack() as stack:
        outputs, n_refused = open_tables(arguments, stack)
        picture, n_more = open_picture(arguments)
        files = [
            AudioFile(stack.enter_context(saved_input()), STREAM) if path == STANDARD_INPUT else AudioFile.at(path)
            for path in arguments.files
        ]
        predictor = Predictor.load(arguments.models, index=arguments.index)
        if arguments.prints:
            outputs.append(Telling(files[0], predictor) if alone else Terminal(files, only_new=bool(outputs)))
        if picture is not None:
            outputs.append(Picture(picture, predictor.charts, announced=arguments.prints))
        processes = stack.enter_context(Processes(predictor, arguments.models, arguments.index))
        listener = Listener(processes, explain=arguments.explain)
        shown = not (alone or arguments.quiet)
        outcome = hear(files, listener, outputs, bar=shown)
        if outcome.known and shown:
            print(f"{outcome.known:,} of {len(files):,} files were heard before and have not changed", file=sys.stderr)
    if outcome.failed:
        report(f"{outcome.failed:,} of {len(files):,} files could not be used; the table says why")
    return 1 if outcome.failed or outcome.broken or n_refused or n_more else 0


def run_saved_song(arguments: argparse.Namespace) -> int:
    """Predict one of the songs in data/demo/ and draw it."""
    saved = SavedSongs.open(DataPaths(DataPaths(arguments.data).demo))
    predictor = Predictor.load(arguments.models, index=arguments.index)
    saved.check_pipeline(predictor.pipeline.config)
    song = saved.choose(arguments.song, arguments.seed)
    analysis = saved.analyse(song, predictor, explain=arguments.explain)
    if arguments.prints:
        print(told(analysis, predictor, title=title_of(song), true=labels_of(song)), flush=True)
    picture, n_refused = open_picture(arguments)
    if picture is not None:
        draw(analysis, predictor.charts, title=title_of(song), path=picture, true=labels_of(song))
        if arguments.prints:
            print(f"picture: {printable(str(picture))}")
    return n_refused


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"music-learning {__version__}")
    parser.add_argument("files", nargs="*", help="audio files and folders, - for standard input; none: a saved song")
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    picture = parser.add_mutually_exclusive_group()
    picture.add_argument("--picture", type=Path, help="where to draw a single song (default: demo.png)")
    picture.add_argument("--no-picture", action="store_true", help="draw nothing")
    parser.add_argument("--explain", action="store_true", help="say and show what in a single song makes it so")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    own = parser.add_argument_group("your own files")
    own.add_argument("--csv", metavar="FILE", help="write a table with all values; - is standard output")
    own.add_argument("--json", metavar="FILE", help="write the same as a JSON list; as JSON Lines to .jsonl and -")
    saved = parser.add_argument_group("a saved song")
    saved.add_argument("--song", help="id or a part of the title (default: a random one)")
    saved.add_argument("--seed", type=int, help="the same seed draws the same song")
    saved.add_argument("--data", type=Path, help="folder that holds demo/ (default: data)")
    arguments = parser.parse_args()
    if fault := fault_of(arguments):
        parser.error(fault)
    arguments.files = find_files(named_paths(arguments.files))
    arguments.data = arguments.data or Path("data")
    several = len(arguments.files) > 1
    for flag in ("explain", "picture"):
        if several and getattr(arguments, flag):
            parser.error(f"--{flag} goes with a single song; these are {len(arguments.files)} files")
    streams = STREAM in (arguments.csv, arguments.json)
    arguments.prints = not (arguments.quiet or streams)
    arguments.draws = arguments.picture is not None or not (several or arguments.no_picture or streams)
    if arguments.quiet and not (arguments.draws or arguments.csv or arguments.json):
        parser.error("--quiet leaves nothing to do; name a --csv or a --json")
    return arguments


def fault_of(arguments: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, or None."""
    if not arguments.files and (arguments.csv or arguments.json):
        return "--csv and --json go with files or folders"
    if arguments.files and (arguments.song is not None or arguments.seed is not None):
        return "--song and --seed go without files"
    if arguments.files and arguments.data is not None:
        return "--data goes without files"
    if "" in (*arguments.files, arguments.csv, arguments.json):
        return "an empty name is no file"
    outputs = [
        os.path.realpath(name) for name in (arguments.csv, arguments.json, arguments.picture) if name is not None
    ]
    if len(set(outputs)) < len(outputs):
        return "--csv, --json and --picture can't write to the same place"
    if arguments.files.count(STREAM) > 1:
        return "- is standard input, which can be heard once"
    return None


def main(description: str | None = __doc__) -> int:
    """Do what the command line says, whose manual is the description. Returns the exit status."""
    arguments = parse_arguments(description)
    return run_files(arguments) if arguments.files else run_saved_song(arguments)
