"""Learn Spotify's other audio features -> models/audio_features.json, .safetensors and predictions/

    python tools/fit_audio_features.py --data data --models models

Reads songs.csv, splits.csv and spectrograms/ of the data folder; takes two minutes. What too few songs have
a label of is left out. The predictions, predictions/audio_features_5-fold.csv, are of each song by models that were
fitted to other artists' songs; benchmarks/audio_features.py says how near such come.
"""

import argparse
from pathlib import Path

from music_learning.errors import run
from music_learning.evaluation.audio_features import fit_all, predicted_by_others
from music_learning.features.config import FeatureConfig
from music_learning.model.audio_features import NAME
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import read_corpus
from music_learning.songs.table import write_frame


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("trained"), help="folder to write (default: trained)")
    arguments = parser.parse_args()
    corpus = read_corpus(DataPaths(arguments.data))
    config = FeatureConfig(corpus.spectrograms.config)
    model = fit_all(corpus, config)
    paths = ModelPaths(arguments.models)
    n_songs = len(corpus.without_extra)
    model.save(paths, config, {"songs": n_songs, "data": corpus.fingerprint})
    if model.predicted is not None:
        write_frame(paths.predictions(NAME, "5-fold"), predicted_by_others(corpus, config))
    print(f"{paths.audio_features}: fitted to {n_songs} songs")
    return 0


if __name__ == "__main__":
    run(main)
