"""Learn Spotify's other audio features -> models/audio_features.json and .safetensors

    python tools/fit_audio_features.py --data data --models models

Reads songs.csv, splits.csv and spectrograms/ of the data folder; takes two minutes. What too few songs have a label of
is left out. benchmarks/audio_features.py says how near such models come for artists that they were not fitted to.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from music_learning.errors import run
from music_learning.evaluation.audio_features import rank_intervals, ranks_by_others
from music_learning.features.config import FeatureConfig
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.model.predicted_features import PREDICTED
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.training.audio_features import LEAST_SONGS, features_of, fit_audio_features, measure_songs
from music_learning.training.predicted_features import fit_predicted_features


def fit(corpus: Corpus, config: FeatureConfig) -> AudioFeatureModel:
    """What is measured, and what is predicted, fitted to all songs but the extra ones, which lack the labels."""
    songs = corpus.without_extra
    measured = fit_audio_features(measure_songs(corpus.spectrograms, songs.index, config), songs, config)
    labelled = songs.dropna(subset=[*PREDICTED])
    if len(labelled) < LEAST_SONGS:
        return measured
    features = features_of(corpus.spectrograms, labelled.index, config)
    intervals = rank_intervals(*ranks_by_others(features, labelled, config), labelled)
    predicted = fit_predicted_features(features, labelled, config)
    return replace(measured, predicted=predicted, intervals=intervals)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    parser.add_argument("--models", type=Path, default=Path("trained"), help="folder to write (default: trained)")
    arguments = parser.parse_args()
    corpus = read_corpus(DataPaths(arguments.data))
    model = fit(corpus, FeatureConfig(corpus.spectrograms.config))
    paths = ModelPaths(arguments.models)
    n_songs = len(corpus.without_extra)
    model.save(paths, FeatureConfig(corpus.spectrograms.config), {"songs": n_songs, "data": corpus.fingerprint})
    print(f"{paths.audio_features}: fitted to {n_songs} songs")
    return 0


if __name__ == "__main__":
    run(main)
