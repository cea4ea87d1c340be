"""Build an index of your own songs, in which the demo and the page then look for similar ones.

    python data_collection.py --source local --catalog songs.csv --audio clips/ --data mine
    python data_loading.py --data mine
    python -m music_learning.library.build_index --data mine --index mine/index
    python model_demo.py song.mp3 --index mine/index

Reads songs.csv and spectrograms/ in the folder of the data, and the models. An index belongs to the models it was made
with; after training, build it again. The index of the songs that the models learned from is written by model_train.py.
"""

import music_learning.needs  # noqa: F401  (first, since it says what is missing)

import argparse
from functools import partial
from pathlib import Path

from music_learning.columns import TARGETS
from music_learning.errors import UserError, printable, run
from music_learning.paths import RELEASED_MODELS, DataPaths, ModelPaths
from music_learning.predict.predictor import embed, load_models, weights_of
from music_learning.predict.similarity import build_index
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the songs")
    parser.add_argument("--index", type=Path, required=True, help="folder to write")
    parser.add_argument("--models", type=Path, default=RELEASED_MODELS, help="folder of the models (default: released)")
    arguments = parser.parse_args()
    data = DataPaths(arguments.data)
    spectrograms = SpectrogramSet.open(data.spectrograms)
    songs = [song for song in read_song_rows(data) if spectrograms.has(song)]
    if len(songs) < 2:
        raise UserError(
            f"{data.spectrograms} holds {len(songs)} of the songs, at least 2 are needed; run data_loading.py"
        )
    models, descriptions = load_models(ModelPaths(arguments.models))
    pipeline = models[TARGETS[0]].config.features.pipeline
    if difference := pipeline.differences(spectrograms.config):
        raise UserError(
            f"the models in {arguments.models} and {data.spectrograms} have different pipeline settings: {difference}; "
            "run data_loading.py again"
        )
    build_index(songs, spectrograms, partial(embed, models)).save(arguments.index, weights_of(descriptions))
    print(printable(f"{len(songs):,} songs in {arguments.index}"))
    return 0


if __name__ == "__main__":
    run(main)
