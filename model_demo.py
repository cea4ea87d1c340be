"""Stage 4: hear what the models hear.

    python model_demo.py                          a random song that the models never heard, beside Spotify's values
    python model_demo.py --song Yellow            a certain one of the saved songs, by id or a part of its title
    python model_demo.py song.mp3 album/          your own files and folders
    python model_demo.py album/ --csv moods.csv --json moods.json

Reads models/ and, without files, data/demo/. Writes a picture (demo.png) for a saved song, and the tables you ask for.
Each of your files gets its row, in the order given and folders in sorted order; a file that can't be used has the
reason in its `error` column, does not stop the rest, and makes the exit status 1.
"""

import argparse
import os
import random
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from artifacts import (
    SONG_COLUMNS,
    TARGETS,
    DataPaths,
    ModelPaths,
    SpectrogramSet,
    check_output,
    read_table,
    save_figure,
    write_json,
    write_table,
)
from errors import AudioError, UserError, run
from network import Ensemble, load_model
from parallel import cpu_count, ordered_map
from pipeline import SUFFIXES, AudioPipeline, PipelineConfig

PREDICTION_COLUMNS = ("file", "duration_s", *TARGETS, "error")
DECIMALS = 4


def load_models(paths: ModelPaths) -> tuple[dict[str, Ensemble], PipelineConfig]:
    """The model of each target, and the pipeline config they share. Raises UserError where they don't share one."""
    models, configs = {}, {}
    for target in TARGETS:
        models[target], description = load_model(paths, target)
        configs[target] = PipelineConfig.from_dict(description["pipeline"])
    config = configs[TARGETS[0]]
    for target in TARGETS[1:]:
        if difference := config.differences(configs[target]):
            raise UserError(
                f"the models of {TARGETS[0]} and {target} were trained with different pipeline settings: {difference}; "
                "run model_train.py for all targets"
            )
    return models, config


@torch.inference_mode()
def predict(models: dict[str, Ensemble], spectrograms: list[torch.Tensor]) -> dict[str, float]:
    """Each target's value for one recording: the mean over its windows, each weighted by its length.

    Args:
        models: a model per target.
        spectrograms: the windows, each (n_mels, frames) in dB.

    Returns:
        target -> value in [0, 1].
    """
    lengths = torch.tensor([spectrogram.shape[1] for spectrogram in spectrograms], dtype=torch.float32)
    weights = lengths / lengths.sum()
    return {
        target: float(weights @ torch.cat([model(spectrogram[None]) for spectrogram in spectrograms]))
        for target, model in models.items()
    }


def find_files(arguments: list[Path]) -> list[Path]:
    """The files named, and the audio files in the folders named (sorted, without hidden ones).

    A folder without any stays in the list, so that it gets its row.
    """
    files = []
    for argument in arguments:
        if not argument.is_dir():
            files.append(argument)
            continue
        inside = sorted(
            path
            for path in argument.rglob("*")
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(argument).parts)
        )
        files.extend(inside or [argument])
    return files


def predict_file(path: Path, *, models: dict[str, Ensemble], pipeline: AudioPipeline) -> dict:
    """The row of one file: PREDICTION_COLUMNS, with None for what is unknown."""
    row = dict.fromkeys(PREDICTION_COLUMNS) | {"file": os.fsencode(path).decode("utf-8", "replace")}
    try:
        spectrograms, duration_s = pipeline.log_mels(path)
    except AudioError as error:
        return row | {"error": str(error)}
    values = {target: round(value, DECIMALS) for target, value in predict(models, spectrograms).items()}
    return row | {"duration_s": round(duration_s, 2)} | values


def predict_files(files: list[Path], models: dict[str, Ensemble], config: PipelineConfig) -> list[dict]:
    """The rows of all files, in order, on all cores."""
    one = partial(predict_file, models=models, pipeline=AudioPipeline(config))
    return list(ordered_map(one, files, workers=cpu_count(), description="listening", unit="file"))


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


def run_files(arguments: argparse.Namespace) -> int:
    """Predict files and folders; the exit status is 1 where any failed."""
    for output in (arguments.csv, arguments.json):
        if output is not None:
            check_output(output)
    files = find_files(arguments.files)
    rows = predict_files(files, *load_models(ModelPaths(arguments.models)))
    print_rows(rows)
    if arguments.csv is not None:
        write_table(arguments.csv, PREDICTION_COLUMNS, rows)
    if arguments.json is not None:
        write_json(arguments.json, rows)
    failed = sum(row["error"] is not None for row in rows)
    if failed:
        print(f"error: {failed} of {len(rows)} files could not be used; the table says why", file=sys.stderr)
    return 1 if failed else 0


def choose_song(songs: list[dict[str, str]], wanted: str | None, seed: int | None) -> dict[str, str]:
    """The song with this id or with this text in its title; else one drawn at random, the same for the same seed.

    Raises:
        UserError: none is like that; the message lists what there is.
    """
    if not songs:
        raise UserError("data/demo holds no song; run data_loading.py first")
    if wanted is None:
        return random.Random(seed).choice(songs)
    for song in songs:
        if song["song_id"] == wanted:
            return song
    for song in songs:
        if wanted.casefold() in song["title"].casefold():
            return song
    titles = "\n".join(f"  {song['song_id']}  {song['title']} by {song['artist']}" for song in songs)
    raise UserError(f"no saved song has the id or title {wanted!r}; there are:\n{titles}")


def run_saved_song(arguments: argparse.Namespace) -> int:
    """Predict one of the songs in data/demo/ and draw it."""
    check_output(arguments.picture)
    demo = DataPaths(DataPaths(arguments.data).demo)
    spectrograms = SpectrogramSet.open(demo.spectrograms)
    songs = read_table(demo.songs, SONG_COLUMNS, "data_loading.py")
    models, config = load_models(ModelPaths(arguments.models))
    if difference := spectrograms.config.differences(config):
        raise UserError(
            f"{demo.spectrograms} and the models in {arguments.models} have different pipeline settings: {difference}; "
            "run data_loading.py and model_train.py again"
        )
    song = choose_song(songs, arguments.song, arguments.seed)
    if song["song_id"] not in spectrograms.rows:
        raise UserError(f"{demo.spectrograms} lacks song {song['song_id']}; run data_loading.py again")
    spectrogram = spectrograms.spectrogram(song["song_id"]).astype(np.float32)
    predicted = predict(models, [torch.from_numpy(spectrogram)])
    true = {target: float(song[target]) for target in TARGETS}

    print(f"{song['title']} by {song['artist']}")
    print(f"{'':14}{'predicted':>10}{'Spotify':>10}{'error':>10}")
    for target in TARGETS:
        difference = predicted[target] - true[target]
        print(f"{target:14}{predicted[target]:10.2f}{true[target]:10.2f}{difference:+10.2f}")
    draw(song, spectrogram, predicted, true, config, arguments.picture)
    print(f"picture: {arguments.picture}")
    return 0


def draw(
    song: dict[str, str],
    spectrogram: np.ndarray,
    predicted: dict[str, float],
    true: dict[str, float],
    config: PipelineConfig,
    path: Path,
) -> None:
    """A picture of one song: its spectrogram (n_mels, frames), and its three values beside Spotify's."""
    from matplotlib.figure import Figure  # takes a quarter of a second that predicting files need not wait for

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    duration_s = spectrogram.shape[1] / config.frames_per_s
    image = left.imshow(
        spectrogram, origin="lower", aspect="auto", cmap="magma", vmin=-90, extent=(0, duration_s, 0, config.n_mels)
    )
    figure.colorbar(image, ax=left, label="dB", pad=0.01)
    left.set(xlabel="seconds", ylabel="mel band", title="what the network sees")
    blue, orange = "#4c72b0", "#c4601f"
    right.barh(TARGETS, [predicted[t] for t in TARGETS], color=blue, height=0.5, label="predicted")
    right.scatter([true[t] for t in TARGETS], TARGETS, marker="D", color=orange, zorder=3, label="Spotify's value")
    for row, target in enumerate(TARGETS):
        right.text(1.03, row - 0.09, f"{predicted[target]:.2f}", color=blue, va="center", weight="bold")
        right.text(1.03, row + 0.09, f"{true[target]:.2f}", color=orange, va="center")
    right.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6), title="what it hears")
    right.invert_yaxis()
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{song['title']} by {song['artist']}", parse_math=False)
    save_figure(figure, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="audio files and folders; none: one of the saved songs")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    own = parser.add_argument_group("your own files")
    own.add_argument("--csv", type=Path, help="write a table: " + ",".join(PREDICTION_COLUMNS))
    own.add_argument("--json", type=Path, help="write the same as a JSON list")
    saved = parser.add_argument_group("a saved song")
    saved.add_argument("--song", help="id or a part of the title (default: a random one)")
    saved.add_argument("--seed", type=int, help="the same seed draws the same song")
    saved.add_argument("--data", type=Path, default=Path("data"), help="folder that holds demo/ (default: data)")
    saved.add_argument("--picture", type=Path, help="where to draw it (default: demo.png)")
    arguments = parser.parse_args()
    if not arguments.files and (arguments.csv or arguments.json):
        parser.error("--csv and --json go with files or folders")
    if arguments.files and (arguments.song is not None or arguments.seed is not None or arguments.picture):
        parser.error("--song, --seed and --picture go without files")
    arguments.picture = arguments.picture or Path("demo.png")
    return run_files(arguments) if arguments.files else run_saved_song(arguments)


if __name__ == "__main__":
    run(main)
