"""The command `music-learning`, which is model_demo.py for those who have installed the package.

    music-learning song.mp3                    all that can be said of a file of yours, and a picture of it
    music-learning song.mp3 --explain          and what in it raised or lowered each value
    music-learning song.mp3 album/             several files and folders: a line for each
    music-learning album/ --csv moods.csv --json moods.json
    music-learning                             in a checkout: one of the songs in data/demo/, beside Spotify's values

Writes a picture (demo.png) of a single song, and the tables you ask for. Each of your files gets its row, in the order
given and folders in sorted order; a file that can't be used has the reason in its `error` column, does not stop the
rest, and makes the exit status 1.

`--explain` takes about a second for each 30 s of a single song: it masks one cell of the spectrogram after the other, 6
groups of frequencies times 3 to 4 seconds, and sees how far the values of those 30 s fall or rise. It says where most,
draws all of it over the spectrogram, and adds it to the JSON.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from music_learning import __version__
from music_learning.columns import TARGETS
from music_learning.errors import AudioError, run, unexpected
from music_learning.files import check_output, write_json, write_table
from music_learning.library.files import find_files
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import RELEASED_MODELS, DataPaths
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs, labels_of, title_of

PREDICTION_COLUMNS = (
    *("file", "duration_s", *TARGETS, "error"),
    *(f"{target}_{end}" for target in TARGETS for end in ("low", "high")),
    *(f"{target}_percentile" for target in TARGETS),
    *("lost_s", "mood", "warnings", "similar_songs", "similar_artists", "timeline"),
)


def predict_file(path: Path, *, predictor: Predictor, explain: bool = False) -> tuple[dict, Analysis | None]:
    """The row of one file, PREDICTION_COLUMNS with None for what is unknown, and its analysis if it could be used."""
    row = dict.fromkeys(PREDICTION_COLUMNS) | {"file": os.fsencode(path).decode("utf-8", "replace")}
    try:
        analysis = predictor.predict(path, explain=explain)
    except AudioError as error:
        return row | {"error": str(error)}, None
    except Exception as error:  # whatever one file causes costs that file, never the run
        return row | {"error": unexpected(error, row["file"])}, None
    return row | analysis.to_dict(), analysis


def predict_row(path: Path, *, predictor: Predictor) -> dict:
    return predict_file(path, predictor=predictor)[0]


def predict_files(files: list[Path], predictor: Predictor) -> list[dict]:
    """The rows of all files, in order, on all cores."""
    one = partial(predict_row, predictor=predictor)
    return list(ordered_map(one, files, workers=cpu_count(), description="predicting", unit="file"))


def print_rows(rows: list[dict]) -> None:
    """A table for the terminal: a line per file, then what failed."""
    width = min(max(len(row["file"]) for row in rows), 60)
    print(f"{'file':{width}}  {'seconds':>8}  " + "  ".join(f"{target:>12}" for target in TARGETS))
    for row in rows:
        name = row["file"] if len(row["file"]) <= width else "…" + row["file"][1 - width :]
        if row["error"] is None:
            values = "  ".join(f"{row[target]:12.2f}" for target in TARGETS)
            print(f"{name:{width}}  {row['duration_s']:8.1f}  {values}")
        else:
            print(f"{name:{width}}  {row['error']}")


def print_analysis(analysis: Analysis, n_songs: int, true: dict[str, float] | None, *, several_windows: bool) -> None:
    """All that can be said of one recording, for the terminal; `true` has Spotify's values where they are known."""
    print(f"{'':14}{'predicted':>10}" + (f"{'Spotify':>10}{'error':>10}" if true else ""))
    for target in TARGETS:
        value, line = analysis.values[target], ""
        if true:
            line += f"{true[target]:10.2f}{value - true[target]:+10.2f}"
        if target in analysis.intervals:
            line += "   {:.2f} to {:.2f} in 9 of 10 songs,".format(*analysis.intervals[target])
        print(f"{target:14}{value:10.2f}{line}   higher than {analysis.percentiles[target]:.0f} % of {n_songs:,} songs")
    print(f"mood: {analysis.mood}")
    for warning in analysis.warnings:
        print(f"warning: {warning}")
    print("similar songs:")
    for song in analysis.similar_songs[:5]:
        print(f"  {song.title} by {song.artist} ({song.closeness})")
    print("similar artists: " + ", ".join(artist.artist for artist in analysis.similar_artists))
    if analysis.explanation is not None:
        print("what raised and lowered the values" + (" of its window:" if several_windows else ":"))
        for target in TARGETS:
            print(f"  {analysis.explanation.sentence(target)}")


def csv_row(row: dict) -> dict:
    """A row with its lists as texts that a table can hold, without an explanation, which none can."""
    if row["error"] is not None:
        return row
    return {name: row[name] for name in PREDICTION_COLUMNS} | {
        "warnings": " ".join(row["warnings"]),
        "similar_songs": "; ".join(f"{song['title']} by {song['artist']}" for song in row["similar_songs"]),
        "similar_artists": "; ".join(artist["artist"] for artist in row["similar_artists"]),
        "timeline": json.dumps(row["timeline"]),
    }


def run_files(arguments: argparse.Namespace) -> int:
    """Predict the files, folders already opened; the exit status is 1 where any failed."""
    files = arguments.files
    outputs = [arguments.csv, arguments.json, arguments.picture if len(files) == 1 else None]
    for output in filter(None, outputs):
        check_output(output)
    predictor = Predictor.load(arguments.models, index=arguments.index)
    if len(files) == 1:
        row, analysis = predict_file(files[0], predictor=predictor, explain=arguments.explain)
        rows = [row]
        if analysis is None:
            print_rows(rows)
        else:
            show(analysis, predictor, title=Path(row["file"]).stem, picture=arguments.picture)
    else:
        rows = predict_files(files, predictor)
        print_rows(rows)
    if arguments.csv is not None:
        write_table(arguments.csv, PREDICTION_COLUMNS, map(csv_row, rows))
    if arguments.json is not None:
        write_json(arguments.json, rows)
    failed = sum(row["error"] is not None for row in rows)
    if failed:
        print(f"error: {failed} of {len(rows)} files could not be used; the table says why", file=sys.stderr)
    return 1 if failed else 0


def show(
    analysis: Analysis, predictor: Predictor, *, title: str, picture: Path, true: dict[str, float] | None = None
) -> None:
    """Print an analysis and draw it."""
    from music_learning.plots.analysis import draw_analysis

    songs = predictor.training_songs.songs
    print(title)
    several_windows = analysis.duration_s > predictor.pipeline.config.clip_s
    print_analysis(analysis, len(songs), true, several_windows=several_windows)
    draw_analysis(analysis, songs, title=title, path=picture, true=true)
    print(f"picture: {picture}")


def run_saved_song(arguments: argparse.Namespace) -> int:
    """Predict one of the songs in data/demo/ and draw it."""
    check_output(arguments.picture)
    saved = SavedSongs.open(DataPaths(DataPaths(arguments.data).demo))
    predictor = Predictor.load(arguments.models, index=arguments.index)
    saved.check_pipeline(predictor.pipeline.config)
    song = saved.choose(arguments.song, arguments.seed)
    analysis = saved.analyse(song, predictor, explain=arguments.explain)
    show(analysis, predictor, title=title_of(song), picture=arguments.picture, true=labels_of(song))
    return 0


def parse_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"music-learning {__version__}")
    parser.add_argument("files", type=Path, nargs="*", help="audio files and folders; none: one of the saved songs")
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    parser.add_argument("--index", type=Path, help="folder of another index to look for similar songs in")
    parser.add_argument("--picture", type=Path, help="where to draw a single song (default: demo.png)")
    parser.add_argument("--explain", action="store_true", help="show what raised or lowered a single song's values")
    own = parser.add_argument_group("your own files")
    own.add_argument("--csv", type=Path, help="write a table with all values")
    own.add_argument("--json", type=Path, help="write the same as a JSON list")
    saved = parser.add_argument_group("a saved song")
    saved.add_argument("--song", help="id or a part of the title (default: a random one)")
    saved.add_argument("--seed", type=int, help="the same seed draws the same song")
    saved.add_argument("--data", type=Path, help="folder that holds demo/ (default: data)")
    arguments = parser.parse_args()
    if not arguments.files and (arguments.csv or arguments.json):
        parser.error("--csv and --json go with files or folders")
    if arguments.files and (arguments.song is not None or arguments.seed is not None):
        parser.error("--song and --seed go without files")
    arguments.files = find_files(arguments.files)
    if arguments.explain and len(arguments.files) > 1:
        parser.error(f"--explain goes with a single song; these are {len(arguments.files)} files")
    if arguments.picture is not None and len(arguments.files) > 1:
        parser.error(f"--picture goes with a single song; these are {len(arguments.files)} files")
    if arguments.files and arguments.data is not None:
        parser.error("--data goes without files")
    arguments.picture = arguments.picture or Path("demo.png")
    arguments.data = arguments.data or Path("data")
    return arguments


def main(description: str | None = __doc__) -> int:
    """Do what the command line says. Returns the exit status."""
    arguments = parse_arguments(description)
    return run_files(arguments) if arguments.files else run_saved_song(arguments)


def command() -> None:
    """The entry point of the installed command."""
    run(main)


if __name__ == "__main__":
    command()
