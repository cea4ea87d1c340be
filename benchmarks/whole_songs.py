"""How good the values of whole songs are, and how wide their intervals have to be.

    python benchmarks/whole_songs.py --catalog songs/catalog.csv --audio songs/audio --extra data/more
    python benchmarks/whole_songs.py --catalog songs/catalog.csv --audio songs/audio --extra data/more --write

The catalog names whole songs with their labels: track_id, title, artist, energy, danceability, valence and audio_file,
a file in the folder of the audio. Models are trained as model_train.py does by itself, on the songs of data/ and of
the extra folders but for those by artists of the catalog, which takes as long as it does there; they stay in
build/whole_songs/ for the next time. Of each song it then predicts the windows, and measures what `pooling` makes of
them beside their mean by length, and beside other rules.

The intervals are those of the folder of models, which were learned from clips. With --write, the scale that whole songs
need goes into its intervals.json, and what was measured into its results.csv, for tools/accuracy_tables.py.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit

from music_learning.audio import AudioPipeline
from music_learning.columns import TARGETS
from music_learning.errors import UserError, run
from music_learning.evaluation.conformal import Interval, read_intervals, write_songs_scale
from music_learning.evaluation.cross_validation import VALIDATION_SHARE
from music_learning.evaluation.metrics import evaluate
from music_learning.evaluation.report import Report
from music_learning.evaluation.song_intervals import measure_songs_scale, songs_scale
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, save_model
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths, ModelPaths
from music_learning.predict.pooling import RULES, PoolingRule, level_db, pool
from music_learning.predict.predictor import load_models, predict_clip, weights_of
from music_learning.songs.artists import artist_groups, by_other_artists
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.songs.table import read_frame
from music_learning.training.config import TrainingConfig
from music_learning.training.description import describe, trained_model
from music_learning.training.device import select_device
from music_learning.training.fit import checkpoint_paths, train_ensembles

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "whole_songs"
CATALOG_DTYPES = {
    **dict.fromkeys(("track_id", "title", "artist"), "string"),
    **dict.fromkeys(TARGETS, "float64"),
    "audio_file": "string",
}
SPLIT = "whole songs"
# What a value would be by other rules: each step alone, and together.
STEPS = {
    "mean of windows": PoolingRule(),
    "mean features": PoolingRule(mean_features=True),
    "power": PoolingRule(power_exponent=1),
    "power, ends": PoolingRule(power_exponent=1, edge_s=60),
    "power, ends, mean features": PoolingRule(power_exponent=1, edge_s=60, mean_features=True),
    "power, ends, mean features, level": PoolingRule(power_exponent=1, edge_s=60, mean_features=True, per_db=0.01),
}
REPORTED = ("ours", "mean of windows")  # and written


def read_catalog(path: Path) -> pd.DataFrame:
    """The songs of the catalog by track_id, with the group of their artists. Raises UserError where a label is none."""
    songs = read_frame(path, CATALOG_DTYPES, "whoever made it").assign(artist_id="")
    songs.index.name = "song_id"
    if songs.empty or not songs[[*TARGETS]].apply(lambda labels: labels.between(0, 1)).all(axis=None):
        raise UserError(f"{path} needs songs, each with labels from 0 to 1")
    return songs.assign(group=artist_groups(songs))


def without_artists(corpus: Corpus, taken: pd.DataFrame) -> Corpus:
    """The corpus without songs by these artists, split as the rest of a fold is: in training and validation songs."""
    corpus = replace(corpus, songs=by_other_artists(corpus.songs, taken))
    songs = corpus.without_extra
    inner = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=0)
    _, validation = next(inner.split(songs, groups=songs["group"].to_numpy()))
    splits = pd.Series("train", index=songs.index, dtype="string")
    splits.iloc[validation] = "validation"
    return corpus.with_splits(splits)


def models_for(corpus: Corpus) -> dict[str, Ensemble]:
    """The models trained on a corpus, from an earlier run where they are the same."""
    pipeline, paths = corpus.spectrograms.config, ModelPaths(CACHE)
    config = TrainingConfig(features=FeatureConfig(pipeline), network=NetworkConfig(n_mels=pipeline.n_mels))
    models = {target: trained_model(target, corpus, config, paths) for target in TARGETS}
    if not all(models.values()):
        device = select_device("auto")
        models, runs = train_ensembles(corpus, config, device=device, paths=paths, name="training")
        for target, model in models.items():
            save_model(paths, target, model.cpu(), describe(target, corpus, config, runs, {}))
        for checkpoint in checkpoint_paths(corpus, config, paths, "training"):
            checkpoint.unlink(missing_ok=True)
    return models


@torch.inference_mode()
def predict_song(path: Path, *, models: dict[str, Ensemble], pipeline: AudioPipeline) -> dict[str, np.ndarray]:
    """The values (targets,) of a song: `ours`, as they are predicted, and by each of STEPS; and `std`, that of ours."""
    spectrograms = pipeline.log_mels(path)[0]
    config = models[TARGETS[0]].config.features
    features = [clip_features(spectrogram[None], config) for spectrogram in spectrograms]
    predictions = [predict_clip(models, *window) for window in zip(spectrograms, features, strict=True)]
    values, stds = (torch.stack([getattr(x, name) for x in predictions], dim=1) for name in ("values", "std"))
    lengths_s = [spectrogram.shape[1] / pipeline.config.frames_per_s for spectrogram in spectrograms]
    levels_db = [level_db(spectrogram[: pipeline.config.n_mels]) for spectrogram in spectrograms]
    by_rules = {"ours": RULES, **{name: dict.fromkeys(TARGETS, rule) for name, rule in STEPS.items()}}
    pooled = {
        name: pool(models, values, torch.cat(features), levels_db=levels_db, lengths_s=lengths_s, rules=rules)
        for name, rules in by_rules.items()
    }
    return {name: song.values.numpy() for name, song in pooled.items()} | {"std": pooled["ours"].mean(stds).numpy()}


def measure_intervals(
    songs: pd.DataFrame, predicted: np.ndarray, std: np.ndarray, intervals: dict[str, Interval]
) -> tuple[float, dict[str, dict]]:
    """The scale of the intervals that songs need, and for each target how often the truth is inside, and their width.

    Args:
        songs: with their labels and groups.
        predicted, std: (songs, targets).
        intervals: those of clips, of all targets.
    """
    truth = songs[[*TARGETS]].to_numpy()
    by_target = zip(TARGETS, predicted.T, std.T, strict=True)
    ends = np.stack([intervals[target].around(*of_songs) for target, *of_songs in by_target], axis=2)
    scale = songs_scale(truth, predicted, ends)
    coverage, width = measure_songs_scale(truth, predicted, ends, songs["group"])
    inside = ((ends[0] <= truth) & (truth <= ends[1])).mean(axis=0)
    measured = {}
    for row, target in enumerate(TARGETS):
        measured[target] = {"n": len(songs), "coverage": float(coverage[row]), "width": float(width[row])}
        of_clips = float((ends[1] - ends[0])[:, row].mean())
        print(
            f"{target}: intervals of clips hold {inside[row]:.1%}, mean width {of_clips:.2f}; "
            f"those of songs {coverage[row]:.1%}, {width[row]:.2f} (scales learned from other artists)"
        )
    print(f"scale of intervals for songs: {scale:.3f} (n = {len(songs)})")
    return scale, measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, required=True, help="table of whole songs with labels")
    parser.add_argument("--audio", type=Path, required=True, help="folder of their audio files")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder to learn from (default: data)")
    parser.add_argument("--extra", type=Path, action="append", default=[], help="another such folder; may be repeated")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="whose intervals (default: models)")
    parser.add_argument("--write", action="store_true", help="write to that folder what was measured")
    arguments = parser.parse_args()
    songs, paths = read_catalog(arguments.catalog), ModelPaths(arguments.models)
    intervals = read_intervals(paths, weights_of(load_models(paths)[1]))
    corpus = without_artists(read_corpus(DataPaths(arguments.data), arguments.extra), songs)
    print(f"{len(songs)} songs by {songs['group'].nunique()} artists; {len(corpus.songs)} others to learn from")
    models = models_for(corpus)
    one = partial(predict_song, models=models, pipeline=AudioPipeline(corpus.spectrograms.config))
    files = [arguments.audio / name for name in songs["audio_file"]]
    predicted = list(ordered_map(one, files, workers=cpu_count(), description="songs", unit="song"))
    report = Report(SPLIT, songs)
    for name in ("ours", *STEPS):
        for row, target in enumerate(TARGETS):
            values = np.array([song[name][row] for song in predicted])
            if name in REPORTED:
                report.add(target, name, values)
            else:
                print(f"{target}: {name}, {SPLIT} {evaluate(songs[target], values, songs['group'])}")
            print(f"  {values.mean() - songs[target].mean():+.3f} too high on average")
    if set(intervals) != set(TARGETS):
        raise UserError(f"{paths.intervals} lacks intervals for these models; run model_train.py --folds 5 first")
    ours, std = (np.stack([song[name] for song in predicted]) for name in ("ours", "std"))
    scale, measured = measure_intervals(songs, ours, std, intervals)
    if arguments.write:
        write_songs_scale(paths, scale, measured)
        report.save(paths.results)


if __name__ == "__main__":
    run(main)
