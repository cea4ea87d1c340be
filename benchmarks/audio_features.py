"""How near Spotify's other audio features come to Spotify's values, by models fitted to other artists' songs.

python benchmarks/audio_features.py --data data

Five folds of the songs, no group of artists in two of them, drawn three times: each is measured with weights that were
learned from the others. Also says how long a clip takes, on one thread.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torchaudio.functional import loudness

from music_learning.audio import AudioPipeline
from music_learning.columns import PREDICTED
from music_learning.evaluation.audio_features import N_FOLDS, measured_by_others, rank_intervals, ranks_by_others
from music_learning.features.config import FeatureConfig
from music_learning.features.loudness import integrated_loudness
from music_learning.features.measurement import Measurement
from music_learning.paths import DataPaths
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.training.audio_features import fit_audio_features, measure_songs
from music_learning.training.kernel import features_of

TOLERANCE = 0.04  # of a tempo, as is usual (Gouyon et al., 2006)
OCTAVES = (1, 2, 1 / 2, 3, 1 / 3)
N_DRAWS = 3  # one draw of the folds moves the share of right keys by .02
N_TIMED, N_COMPARED = 50, 100


def report(name: str, predicted: pd.DataFrame, songs: pd.DataFrame) -> None:
    """Print what share is right, of the songs that have the label."""
    error = (predicted["loudness"] - songs["loudness_db"]).dropna()
    spread = songs.loc[error.index, "loudness_db"].var(ddof=0)
    print(f"{name}, {songs.index.nunique()} songs")
    print(f"  loudness: R2 {1 - (error**2).mean() / spread:.3f}, MAE {error.abs().mean():.2f} dB", end=", ")
    print(f"median {error.abs().median():.2f} dB")
    ratio = (predicted["tempo"] / songs["tempo_bpm"]).to_numpy()
    near = {octave: np.abs(ratio / octave - 1) <= TOLERANCE for octave in OCTAVES}
    closely = (np.abs(ratio - 1) <= TOLERANCE / 4).mean()
    print(
        f"  tempo: within 4 % {near[1].mean():.3f}, also as twice, thrice, half or a third of it "
        f"{np.any([*near.values()], axis=0).mean():.3f}, within 1 % {closely:.3f}"
    )
    key, mode = (predicted[name].to_numpy() == songs[name].to_numpy(float) for name in ("key", "mode"))
    known = songs["time_signature"].notna()
    told, bars = (frame.loc[known, "time_signature"].to_numpy(float) for frame in (predicted, songs))
    print(
        f"  time signature: {(told == bars).mean():.3f}, by always saying 4 {(bars == 4).mean():.3f}; 3 said of "
        f"{(told == 3).sum()} songs, {((told == 3) & (bars == 3)).sum()} of the {(bars == 3).sum()} that have it"
    )
    print(f"  key: {key.mean():.3f}, mode: {mode.mean():.3f}, both: {(key & mode).mean():.3f}")


def report_predicted(corpus: Corpus, config: FeatureConfig) -> None:
    """Print how near acousticness, speechiness and instrumentalness come."""
    songs = corpus.without_extra.dropna(subset=[*PREDICTED])
    features = features_of(corpus.spectrograms, songs.index, config)
    predicted, folds = ranks_by_others(features, songs, config)
    intervals = rank_intervals(predicted, folds, songs)
    for name in PREDICTED:
        truth, values, measured = songs[name], predicted[f"{name}_value"], intervals[name]["measured"]
        error, usual = (values - truth).abs().mean(), (truth - truth.median()).abs().mean()
        print(
            f"  {name}: rho {spearmanr(truth, values)[0]:.3f}, MAE {error:.3f}, of the median {usual:.3f}; "
            f"90 % intervals hold {measured['coverage']:.1%}, {measured['width']:.2f} of the ranks wide"
        )


def compare_loudness(corpus: Corpus, paths: DataPaths, config: FeatureConfig) -> None:
    """Print by how much the loudness of clips differs from torchaudio's, which filters their waveforms."""
    pipeline, differences = AudioPipeline(config.pipeline), []
    for song_id, name in corpus.songs["preview_file"].iloc[:N_COMPARED].items():
        waveform, _ = next(pipeline.waveforms(paths.previews / name))
        measured = integrated_loudness(Measurement.of(corpus.spectrograms.tensor(song_id), config).loudness)
        differences.append(measured - float(loudness(waveform[None], config.pipeline.sample_rate_hz)))
    print(
        f"loudness less torchaudio's: {np.mean(differences):+.3f} dB on average, "
        f"from {min(differences):+.3f} to {max(differences):+.3f} over {len(differences)} clips"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read (default: data)")
    data = parser.parse_args().data
    corpus = read_corpus(DataPaths(data))
    config, songs = FeatureConfig(corpus.spectrograms.config), corpus.without_extra
    measured = measure_songs(corpus.spectrograms, songs.index, config)
    drawn = [measured_by_others(measured, songs, config, seed=seed) for seed in range(N_DRAWS)]
    report(f"{N_FOLDS} folds, drawn {N_DRAWS} times", pd.concat(drawn), pd.concat([songs] * N_DRAWS))
    report_predicted(corpus, config)
    known = songs[songs["split"] != "test"]
    model = fit_audio_features([measured[songs.index.get_loc(k)] for k in known.index], known, config)
    held_out = corpus.test
    rows = [model.features(measured[songs.index.get_loc(k)], config) for k in held_out.index]
    report("test split", pd.DataFrame(rows, index=held_out.index).astype(float), held_out)

    compare_loudness(corpus, DataPaths(data), config)
    torch.set_num_threads(1)
    clips = [corpus.spectrograms.tensor(song_id) for song_id in songs.index[:N_TIMED]]
    started = time.process_time()
    for clip in clips:
        model.features(Measurement.of(clip, config), config)
    print(f"{1000 * (time.process_time() - started) / len(clips):.2f} ms a clip")


if __name__ == "__main__":
    main()
