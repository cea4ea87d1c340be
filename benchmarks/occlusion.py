"""Whether an explanation explains: what raised and lowered the values of songs that the models never heard.

    python benchmarks/occlusion.py                  the demo's 24 songs; a song takes about 10 s of one core
    python benchmarks/occlusion.py --data data      all test songs of data/
    python benchmarks/occlusion.py --audio FOLDER   the recordings of a folder, whole songs say: of the sentences alone

Six tables, a column per target:

1. How alike two maps of a song are (Spearman's rho over its places): those of two networks that differ by their seed,
   and of the model and one with random weights. A map that shows the sound rather than the model is like both
   (Adebayo et al., 2018, https://arxiv.org/abs/1810.03292). An unrelated map is as often opposite, so the mean of the
   absolute rho is there, too.
2. How far the value falls when the tenth of the cells that raised it most is hidden at once, beside a tenth drawn at
   random, the loudest tenth, and the tenth that lowered it most.
3. The same where the mel bands of other songs take the places, a replacement that the explanation was not made with;
   the tones are masked as in the explanation.
4. How well each replacement for what is hidden agrees with the sound of other songs in its place (rho).
5. What a cell of each group of bands, the lowest first, does on average: what `words.USUAL` has, which is left out of
   the sentences.
6. Of the sentences that say something of a target: how many there are, in how many the value moves as they say when all
   that they name is hidden at once, and by how much; then the same with other songs' sound in its place.

Of whole recordings, it is the recording's value that moves: by how much when all that a sentence names is masked, for
what is said of all of it and of a stretch.
"""

import argparse
import copy
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from music_learning.columns import TARGETS
from music_learning.errors import run
from music_learning.model.ensemble import Ensemble, segment_starts
from music_learning.parallel import cpu_count, ordered_map
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.analysis import even_edges
from music_learning.predict.occlusion import N_BANDS, grid, mask, occlusion_attributions
from music_learning.predict.predictor import Predictor
from music_learning.predict.words import find
from music_learning.songs.corpus import read_corpus
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs

SHARE = 0.1  # of the cells, masked at once
N_DRAWS = 3  # of random cells and of random weights
N_OTHERS = 4  # songs whose sound takes a cell's place


def with_random_weights(model: Ensemble, generator: torch.Generator) -> Ensemble:
    """A copy whose weights, those of the kernel model too, stand in random order, each tensor's among themselves.

    So they are as large as before and mean nothing; what the input is standardised with stays.
    """
    model = copy.deepcopy(model)
    for weights in (*model.members.parameters(), model.kernel.alpha):
        shuffled = weights.data.flatten()[torch.randperm(weights.numel(), generator=generator)]
        weights.data.copy_(shuffled.view_as(weights))
    return model


def only_network(model: Ensemble, member: int) -> Ensemble:
    """A copy with one of the networks, and a kernel model that always predicts the same."""
    model = copy.deepcopy(model)
    model.members = nn.ModuleList([model.members[member]])
    model.kernel.alpha.zero_()
    return model


def agreement(one: Tensor, other: Tensor) -> np.ndarray:
    """Spearman's rho of two maps (targets, bands, times), per target."""
    return np.array([spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(one, other, strict=True)])


def values_without(
    models: dict[str, Ensemble], clip: Tensor, cells: Tensor, config: PipelineConfig, fill_db: Tensor
) -> np.ndarray:
    """Each target's value when its cells (targets, bands, times) are masked at once."""
    fill_db = fill_db.expand(config.n_mels, clip.shape[1])
    bands, times = (
        list(pairwise(even_edges(length, parts)))
        for length, parts in zip((config.n_mels, clip.shape[1]), cells.shape[1:], strict=True)
    )
    values = []
    for model, chosen in zip(models.values(), cells, strict=True):
        masked = clip.clone()
        for band, moment in chosen.nonzero().tolist():
            mask(masked, slice(*bands[band]), slice(*times[moment]), config, fill_db)
        values.append(float(model(masked[None])))
    return np.array(values)


def highest(maps: Tensor) -> Tensor:
    """The tenth of the cells that are highest on each map: (targets, bands, times) of booleans."""
    flat = maps.flatten(1)
    chosen = flat.topk(max(1, round(SHARE * flat.shape[1])), dim=1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view_as(maps)


def said(clip: Tensor, maps: Tensor, predictor: Predictor, others: list[Tensor]) -> list[tuple[int, float, float]]:
    """Of each sentence the target's row, and how far its value moves as it says: masked, with other songs' sound."""
    models, config = predictor.models, predictor.pipeline.config
    fill_db = next(iter(models.values())).members[0].band_mean_db
    found = [
        (row, finding)
        for row, target in enumerate(TARGETS)
        for sign in (1, -1)
        if (finding := find(target, sign, maps[row]))
    ]
    moves = []
    for row, finding in found:
        model = {finding.target: models[finding.target]}
        cells = torch.zeros(1, *maps.shape[1:], dtype=torch.bool)
        cells[0, list(finding.bands), finding.first : finding.end] = True
        value = float(model[finding.target](clip[None]))
        masked, *replaced = (
            finding.sign * (value - float(values_without(model, clip, cells, config, fill)[0]))
            for fill in (fill_db, *others)
        )
        moves.append((row, masked, float(np.mean(replaced))))
    return moves


@torch.inference_mode()
def said_of_recording(path: Path, *, predictor: Predictor) -> list[tuple[bool, float]]:
    """Of each sentence whether it is of a whole recording, and how far the recording's value moves as it says."""
    config, model = predictor.pipeline.config, next(iter(predictor.models.values()))
    windows = list(predictor.pipeline.windows(predictor.pipeline.waveforms(path)))
    cells = []  # of each moment its window, its groups of bands and its frames
    for number, clip in enumerate(clip for clip, _ in windows):
        if clip is not None:
            n_times = len(segment_starts(clip.shape[1], model.config.network.segment_frames))
            bands, times = grid(config.n_mels, clip.shape[1], n_times)
            cells += [(number, bands, frames) for frames in times]
    analysis = predictor.analyse(windows, explain=True)
    moves = []
    for finding in (found for of_target in analysis.explanation.findings.values() for found in of_target):
        masked = [(None if clip is None else clip.clone(), duration_s) for clip, duration_s in windows]
        for number, bands, frames in cells[finding.first : finding.end]:
            clip = masked[number][0]
            fill_db = model.members[0].band_mean_db.expand(config.n_mels, clip.shape[1])
            for band in finding.bands:
                mask(clip, slice(*bands[band]), slice(*frames), config, fill_db)
        target = finding.target
        moved = finding.sign * (analysis.values[target] - predictor.analyse(masked).values[target])
        moves.append((finding.end - finding.first == len(cells), moved))
    return moves


@torch.inference_mode()
def examine(number: int, *, predictor: Predictor, clips: list[Tensor], variants: dict[str, list]) -> dict:
    """All figures of one song, (targets,) each."""
    clip, models, config = clips[number], predictor.models, predictor.pipeline.config
    generator = torch.Generator().manual_seed(number)
    fill_db = next(iter(models.values())).members[0].band_mean_db
    start = time.thread_time()
    maps = occlusion_attributions(models, clip)
    figures = {"seconds": time.thread_time() - start, "strongest": maps.abs().amax(dim=(1, 2)).numpy()}
    figures["bands"] = maps.mean(dim=2).numpy()

    first, second = (occlusion_attributions(models, clip) for models in variants["networks"])
    figures["seeds"] = agreement(first, second)
    figures["random weights"] = np.stack(
        [agreement(maps, occlusion_attributions(models, clip)) for models in variants["random weights"]]
    )
    figures["random network"] = np.stack(
        [agreement(first, occlusion_attributions(m, clip)) for m in variants["random networks"]]
    )

    levels = clip[: len(fill_db)]
    bands, times = (even_edges(length, parts) for length, parts in zip(levels.shape, maps.shape[1:], strict=True))
    above = (levels - fill_db).split(np.diff(times).tolist(), dim=1)
    loudness = torch.stack(
        [torch.stack([part.mean() for part in stretch.split(np.diff(bands).tolist())]) for stretch in above], dim=1
    ).expand_as(maps)
    others = [clips[(number + k) % len(clips)][: len(fill_db)] for k in range(1, N_OTHERS + 1)]
    others = [other.repeat(1, -(-clip.shape[1] // other.shape[1]))[:, : clip.shape[1]] for other in others]
    values = np.array([float(model(clip[None])) for model in models.values()])
    for name, fills in (("masked", [fill_db]), ("replaced", others)):
        choices = {"raised": [maps], "lowered": [-maps], "loudest": [loudness]}
        choices["random"] = [torch.rand(maps.shape, generator=generator) for _ in range(N_DRAWS)]
        figures[name] = {
            choice: values
            - np.mean(
                [values_without(models, clip, highest(x), config, fill) for x in chosen for fill in fills], axis=0
            )
            for choice, chosen in choices.items()
        }

    figures["said"] = said(clip, maps, predictor, others)
    reference = torch.stack([occlusion_attributions(models, clip, other) for other in others]).mean(dim=0)
    figures["replacements"] = {
        "the training songs' mean (used)": agreement(maps, reference),
        "the clip's own mean": agreement(
            occlusion_attributions(models, clip, levels.mean(dim=1, keepdim=True)), reference
        ),
        "the same sound, 20 dB softer": agreement(occlusion_attributions(models, clip, levels - 20), reference),
    }
    return figures


def line(name: str, values: np.ndarray, *, form: str = ".2f") -> None:
    """Print the mean over songs of (songs, targets), and half the width of its 95 % interval."""
    means, halves = values.mean(axis=0), 1.96 * values.std(axis=0, ddof=1) / len(values) ** 0.5
    print(f"  {name:46}" + "".join(f"{m:+10{form}} ±{h:{form}}" for m, h in zip(means, halves, strict=True)))


def print_said(moves: list[tuple[int, float, float]]) -> None:
    """Print what `said` found in all songs."""
    of_all = np.array(moves)
    print("of the sentences")
    for row, target in enumerate(TARGETS):
        of_target = of_all[of_all[:, 0] == row, 1:]
        shares, means = (of_target > 0).mean(axis=0), of_target.mean(axis=0)
        print(f"  {target}: {len(of_target)}; as they say: {shares[0]:.0%}, by {means[0]:.3f};", end=" ")
        print(f"with other songs' sound: {shares[1]:.0%}, by {means[1]:.3f}")


def whole_recordings(folder: Path, predictor: Predictor) -> None:
    """Print what `said_of_recording` finds in all recordings of a folder."""
    paths = sorted(folder.iterdir())
    one = partial(said_of_recording, predictor=predictor)
    of_each = ordered_map(one, paths, workers=cpu_count(), description="explaining", unit="recording")
    moves = [move for of_one in of_each for move in of_one]
    print(f"{len(paths)} recordings")
    for name, of_all in (("throughout", True), ("of a stretch", False)):
        moved = np.array([by for whole, by in moves if whole == of_all])
        if len(moved):
            print(f"{len(moved)} sentences {name}; as they say: {(moved > 0).mean():.0%},", end=" ")
            print(f"by 0.01 or more: {(moved >= 0.01).mean():.0%}; median {np.median(moved):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder to read (default: data/demo)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default: models)")
    parser.add_argument("--audio", type=Path, metavar="FOLDER", help="of recordings, instead of songs of data/")
    arguments = parser.parse_args()
    predictor = Predictor.load(arguments.models)
    if arguments.audio is not None:
        whole_recordings(arguments.audio, predictor)
        return
    data = DataPaths(arguments.data)
    # The demo's songs are test songs, all of them.
    songs = read_corpus(data).test if data.splits.exists() else read_songs(data)
    spectrograms = SpectrogramSet.open(data.spectrograms)
    clips = [spectrograms.tensor(song_id) for song_id in songs.index]
    models = predictor.models
    random = [
        {t: with_random_weights(model, torch.Generator().manual_seed(seed)) for t, model in models.items()}
        for seed in range(N_DRAWS)
    ]
    variants = {
        "networks": [{t: only_network(model, member) for t, model in models.items()} for member in (0, -1)],
        "random weights": random,
        "random networks": [{t: only_network(model, 0) for t, model in drawn.items()} for drawn in random],
    }
    one = partial(examine, predictor=predictor, clips=clips, variants=variants)
    figures = list(ordered_map(one, range(len(clips)), workers=cpu_count(), description="explaining", unit="song"))

    def column(*names: str) -> np.ndarray:
        """(songs, ...)"""
        values = figures
        for name in names:
            values = [value[name] for value in values]
        return np.stack(values)

    def random_lines(name: str, key: str) -> None:
        line(name, column(key).mean(axis=1))
        line("  absolute", np.abs(column(key)).mean(axis=1))

    print(f"{len(songs)} songs, means and their 95 % intervals; {column('seconds').mean():.2f} s of one core for a map")
    print(f"{'':48}" + "".join(f"{target:>16}" for target in TARGETS))
    line("strongest attribution of a cell", column("strongest"), form=".3f")
    print("how alike two maps are")
    line("networks of two seeds", column("seeds"))
    line("  absolute", np.abs(column("seeds")))
    random_lines("a network, and one with random weights", "random network")
    random_lines("the model, and one with random weights", "random weights")
    for key, what in (("masked", "are masked"), ("replaced", "are other songs'")):
        print(f"how far the value falls when a tenth of the cells {what}")
        for choice in ("raised", "random", "loudest", "lowered"):
            names = {"raised": "those that raised it most", "lowered": "those that lowered it most"}
            line(names.get(choice, choice), column(key, choice), form=".3f")
    print("how well what masks a cell agrees with other songs' sound there")
    for name in figures[0]["replacements"]:
        line(name, column("replacements", name))
    print("what a cell of each group of bands does")
    for band in range(N_BANDS):
        line(str(band), column("bands")[:, :, band], form=".4f")
    print_said([move for of_song in figures for move in of_song["said"]])


if __name__ == "__main__":
    run(main)
