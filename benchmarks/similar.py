"""Whether similar songs are: how often the nearest of the test songs is by the same artist, beside chance.

python benchmarks/similar.py                      reads data/ and models/
python benchmarks/similar.py --audio FOLDER       how near the songs of the index are to those of a folder

The first compares the index's distances with those in the three predicted numbers alone. The test songs' artists are in
no other split, so each is compared with the other test songs.

The second says what the words of `similarity.GRADES` mean: for how many of the files, but for those named as a song of
the index, the nearest song is at least that near, and the tenth; then the same of each song of the index and those by
other artists.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch

from music_learning.errors import AudioError
from music_learning.features.clip import clip_features
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.predict.predictor import N_SIMILAR_SONGS, Predictor, predict_clip
from music_learning.predict.similarity import GRADES
from music_learning.songs.artists import artist_groups
from music_learning.songs.corpus import read_corpus
from music_learning.songs.spectrograms import SpectrogramSet

ROOT = Path(__file__).parents[1]
N_RESAMPLES = 2000


@torch.inference_mode()
def describe(song_id: str, *, predictor: Predictor, spectrograms: SpectrogramSet) -> tuple:
    """A song's components in the index, and its three values."""
    spectrogram = spectrograms.tensor(song_id)
    predicted = predict_clip(predictor.models, spectrogram, clip_features(spectrogram[None], predictor.features))
    return predictor.index.project(predicted.embedding.flatten()), predicted.values


def grades(predictor: Predictor, folder: Path) -> None:
    """Print how many songs find another one that each grade fits, or ten of them."""
    index = predictor.index
    known = {song["song_id"] for song in index.songs}
    unheard, ranks = [], [0, N_SIMILAR_SONGS - 1]
    for path in sorted(folder.iterdir()):
        if path.stem not in known:
            try:
                songs = predictor.predict(path).similar_songs
            except AudioError:
                continue
            unheard.append([songs[rank].similarity_percentile for rank in ranks])
    artists = np.array([song["artist"].casefold() for song in index.songs])
    distances = torch.cdist(index.components, index.components, compute_mode="donot_use_mm_for_euclid_dist")
    distances[torch.from_numpy(artists[:, None] == artists[None])] = torch.inf
    nearest = distances.sort(dim=1).values[:, ranks].contiguous()
    learned = 100 * (1 - torch.searchsorted(index.pair_distances, nearest) / len(index.pair_distances))
    for name, percentiles in (("unheard songs", np.array(unheard)), ("songs of the index", learned.numpy())):
        print(f"{len(percentiles)} {name}: share whose nearest is at least so near, and whose tenth is")
        for least, words in GRADES:
            shares = (percentiles >= least).mean(axis=0)
            print(f"  {words:18}{least:6}  {shares[0]:4.0%}  {shares[1]:4.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a folder of songs that the models never heard")
    arguments = parser.parse_args()
    if arguments.audio is not None:
        grades(Predictor.load(ROOT / "models"), arguments.audio)
        return
    corpus = read_corpus(DataPaths(ROOT / "data"))
    songs = corpus.test
    names = artist_groups(songs).to_numpy()
    predictor = Predictor.load(ROOT / "models")
    one = partial(describe, predictor=predictor, spectrograms=corpus.spectrograms)
    described = list(ordered_map(one, songs.index, workers=cpu_count(), description="songs", unit="song"))
    components, values = (torch.stack(part) for part in zip(*described, strict=True))

    same = names[:, None] == names[None]
    np.fill_diagonal(same, False)
    chance = same.sum(axis=1) / (len(songs) - 1)
    print(f"{len(songs)} test songs, {same.any(axis=1).sum()} of them with another by the same artist")
    print(f"  chance: {chance.mean():.1%} of songs drawn are by the same artist")
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(songs), size=(N_RESAMPLES, len(songs)))
    hits = {}
    for name, points in (("index", components), ("three numbers", values / values.std(dim=0))):
        distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
        hits[name] = same[np.arange(len(songs)), distances.argmin(dim=1).numpy()]
        times = hits[name][drawn].mean(axis=1) / chance[drawn].mean(axis=1).clip(1e-9)
        low, high = np.percentile(times, [2.5, 97.5])
        ranks = rank_of_relatives(distances.numpy(), same)
        rate = hits[name].mean()
        print(f"  {name}: {hits[name].sum()} nearest songs ({rate:.1%}), {rate / chance.mean():.1f} x chance", end=" ")
        print(f"[{low:.1f}, {high:.1f}]; one by the same artist is nearer than {ranks:.0%} of the others")
    print(f"  index over three numbers: {hits['index'].sum() / max(hits['three numbers'].sum(), 1):.1f} x")


def rank_of_relatives(distances: np.ndarray, same: np.ndarray) -> float:
    """The share of songs by other artists that are farther away than one by the same artist: 0.5 by chance."""
    shares = []
    for row, relatives in zip(distances, same, strict=True):
        others = row[~relatives & np.isfinite(row)]
        shares += [float((others > distance).mean()) for distance in row[relatives]]
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
