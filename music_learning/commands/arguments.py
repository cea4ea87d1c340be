"""What commands have in common on the command line."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from music_learning.library.schema import Condition
from music_learning.paths import DEFAULT_LIBRARY, RELEASED_MODELS

STREAM = "-"  # standard input among the files, standard output as what is written


def library_parser(name: str, description: str | None, *, library: str) -> ArgumentParser:
    """The parser of a command, with `--library`.

    Args:
        name: of the command, behind `music-learning`.
        description: its manual.
        library: what the library is to it, in a few words.
    """
    parser = ArgumentParser(
        prog=f"music-learning {name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, default=DEFAULT_LIBRARY, help=f"{library} (default: {DEFAULT_LIBRARY})")
    return parser


def condition_of(where: str | None) -> Condition:
    """What `--where` asks for, all songs without one. Raises UserError where it can't be understood."""
    if where is None:
        return Condition()
    from music_learning.library.conditions import parse_condition  # a tenth of a second, which others do without

    return parse_condition(where)


def add_models(parser: ArgumentParser, what: str = "folder of the models") -> None:
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help=f"{what} (default: released)")


def report_others(n_songs: int) -> None:
    """Say on stderr how many songs are left out, as other models heard them; nothing where there are none."""
    if n_songs:
        print(f"songs left out, since other models heard them: {n_songs:,}; scan their folders again", file=sys.stderr)
