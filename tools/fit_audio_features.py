"""Learn how loudness, tempo, key and time signature are read as Spotify reads them -> models/audio_features.json

    python tools/fit_audio_features.py --data data --models models

Reads songs.csv, splits.csv and spectrograms/ of the data folder; takes half a minute. What too few songs have a label
of is left out. benchmarks/audio_features.py says how near such weights come for artists that they were not fitted to.
"""

import argparse
from pathlib import Path

from music_learning.errors import run
from music_learning.features.config import FeatureConfig
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training.audio_features import fit_audio_features, measure_songs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("trained"), help="folder to write (default: trained)")
    arguments = parser.parse_args()
    corpus = read_corpus(DataPaths(arguments.data))
    songs, config = corpus.without_extra, FeatureConfig(corpus.spectrograms.config)
    model = fit_audio_features(measure_songs(corpus.spectrograms, songs.index, config), songs, config)
    paths = ModelPaths(arguments.models)
    model.save(paths, config.pipeline, {"songs": len(songs), "data": corpus.fingerprint})
    print(f"{paths.audio_features}: fitted to {len(songs)} songs")
    return 0


if __name__ == "__main__":
    run(main)
