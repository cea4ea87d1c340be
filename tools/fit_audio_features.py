"""Learn Spotify's other audio features -> models/audio_features.json and .safetensors

    python tools/fit_audio_features.py --data data --models models

Reads songs.csv, splits.csv and spectrograms/ of the data folder; takes two minutes. What too few songs have a label of
is left out. benchmarks/audio_features.py says how near such models come for artists that they were not fitted to.
"""

import argparse
from pathlib import Path

from music_learning.errors import run
from music_learning.evaluation.audio_features import fit_all
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import read_corpus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("trained"), help="folder to write (default: trained)")
    arguments = parser.parse_args()
    corpus = read_corpus(DataPaths(arguments.data))
    model = fit_all(corpus, FeatureConfig(corpus.spectrograms.config))
    paths = ModelPaths(arguments.models)
    n_songs = len(corpus.without_extra)
    model.save(paths, FeatureConfig(corpus.spectrograms.config), {"songs": n_songs, "data": corpus.fingerprint})
    print(f"{paths.audio_features}: fitted to {n_songs} songs")
    return 0


if __name__ == "__main__":
    run(main)
