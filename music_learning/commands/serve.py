"""The web page and its HTTP interface: drop songs, or record one, and see what the models predict.

    music-learning serve                     then open http://127.0.0.1:7860, or:
    curl -F file=@song.mp3 http://127.0.0.1:7860/api/analyses
    music-learning serve --index mine/index  look for similar songs among your own: music-learning index

Reads models/ and, for the examples, data/demo/. Writes nothing but temporary files, which it removes. Only this machine
can reach it unless `--host` says otherwise; docs/hosting.md tells how to let others in.
"""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

from music_learning.commands.arguments import add_models
from music_learning.web.server import serve


def host_name(text: str) -> str:
    """Raises ArgumentTypeError where it is more than a name."""
    if set(text) & set("/:@ ") or not text:
        raise ArgumentTypeError(f"{text!r} is no name; give it without https://, port and path: songs.example.org")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns the exit status."""
    parser = ArgumentParser("music-learning serve", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add_models(parser)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds demo/ (default: data)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    words = "the name by which a proxy or other machines ask for it, such as songs.example.org"
    parser.add_argument("--public-host", metavar="NAME", type=host_name, action="append", default=[], help=words)
    serve(**vars(parser.parse_args(arguments)))
    return 0
