"""How near the same recording is to itself in another form, how near different songs are, and what tells both apart.

    music-learning scan clips/ --library moods.sqlite
    python benchmarks/duplicates.py --library moods.sqlite --work duplicates/ --catalog catalog.csv
    python benchmarks/duplicates.py --synthetic 1000000

The first two: some clips of the library are encoded anew (FORMS) into the work folder and scanned into a library of
their own; a second run finds them there. In library/duplicates.py the distance and the tolerances of the values were
chosen by the table of one half of the clips, and that of the other half says what they are worth; only the tolerance of
the tempo and how far apart songs may be that agree were chosen with all in view. `catalog.csv` names the artist of each
`audio_file`. The third: time and memory among random songs, of random lengths and all of 30 s.
"""

import argparse
import csv
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from robustness import RATE_HZ, read_stereo
from synthetic import encoded
from synthetic_library import random_songs
from torch import Tensor
from tqdm import tqdm

from music_learning.errors import run
from music_learning.library.database import Library
from music_learning.library.duplicates import (
    MAX_DISTANCE,
    MAX_DISTANCE_OF_AGREEING,
    N_KEYS,
    TOLERANCES,
    agreement_points,
    longest,
    near_pairs,
    same_recordings,
)
from music_learning.library.scan import LocalFiles, scan
from music_learning.paths import RELEASED_MODELS
from music_learning.predict.predictor import Predictor

VALUES = (*TOLERANCES, "tempo", "key", "mode")
DISTANCES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
MANY = 1_000_000
REFERENCE = "flac.flac"


def by_gain(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Louder or softer; what exceeds full scale is cut off."""
    return np.clip(audio * 10 ** (gain_db / 20), -1, 1)


def flac(audio: np.ndarray) -> bytes:
    return encoded(audio, "flac", "flac")


def mp3(audio: np.ndarray, kbit_s: int) -> bytes:
    return encoded(audio, "mp3", "libmp3lame", bit_rate=1000 * kbit_s)


FORMS = {
    "flac.flac": flac,
    **{f"mp3-{kbit_s}.mp3": lambda audio, kbit_s=kbit_s: mp3(audio, kbit_s) for kbit_s in (64, 128, 320)},
    "opus-96.opus": lambda audio: encoded(audio, "ogg", "libopus", rate_hz=48_000, bit_rate=96_000),
    "louder.flac": lambda audio: flac(by_gain(audio, 6)),
    "softer.flac": lambda audio: flac(by_gain(audio, -6)),
    "trimmed.flac": lambda audio: flac(audio[RATE_HZ // 2 :]),
    "louder-trimmed-mp3-128.mp3": lambda audio: mp3(by_gain(audio[RATE_HZ // 2 :], 6), 128),
}


def write_forms(clips: list[Path], folder: Path) -> None:
    """Every form of each clip, as `<folder>/<clip>/<form>`."""
    for clip in tqdm(clips, desc="encode"):
        into = folder / clip.stem
        if into.exists():
            continue
        audio = read_stereo(clip)
        unfinished = folder / ".unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        for name, form in FORMS.items():
            (unfinished / name).write_bytes(form(audio))
        unfinished.rename(into)


@dataclass
class Heard:
    """Recordings with what tells whether they are the same."""

    files: list[Path]
    embeddings: Tensor  # (recordings, components)
    durations_s: np.ndarray  # ascending
    values: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path, wanted: Callable[[Path], bool]) -> Self:
        columns = ("path", "duration_s", *VALUES, "embedding")
        with Library.open(path) as library:
            rows = list(library.select(columns, "error IS NULL ORDER BY duration_s, path"))
        rows = [(file, row) for row in rows if wanted(file := Path(os.fsdecode(row[0])))]
        files, rows = zip(*rows, strict=True)
        _, durations_s, *values, embeddings = zip(*rows, strict=True)
        stacked = torch.from_numpy(np.array([np.frombuffer(one, "<f4") for one in embeddings]))
        named = {name: np.array(column, float) for name, column in zip(VALUES, values, strict=True)}
        return cls(list(files), stacked, np.array(durations_s), named)

    def pairs(self) -> set[tuple[int, int]]:
        return set(same_recordings(self.embeddings, self.durations_s, self.values))


def tell_forms(forms: Heard) -> None:
    """How many of the forms of a clip are recognised as another form of the same, and by what."""
    clips = sorted({file.parent for file in forms.files})
    rows = {file: row for row, file in enumerate(forms.files)}
    points, known = agreement_points(forms.values)
    places = dict(zip(known.tolist(), points, strict=True))
    found = forms.pairs()
    print(f"{len(clips)} clips, each form beside {REFERENCE}: distance of the embeddings, and what is found by what")
    print(f"{'':28}{'median':>8}{'9 of 10':>8}{'largest':>8}{'distance':>10}{'values':>8}{'either':>8}")
    for name in FORMS:
        pairs = [tuple(sorted((rows[clip / REFERENCE], rows[clip / name]))) for clip in clips]
        apart = [float((forms.embeddings[a] - forms.embeddings[b]).norm()) for a, b in pairs]
        agree = [a in places and b in places and float((places[a] - places[b]).norm()) < 1 for a, b in pairs]
        by_distance = np.mean(np.array(apart) < MAX_DISTANCE)
        by_values = np.mean(np.array(agree) & (np.array(apart) < MAX_DISTANCE_OF_AGREEING))
        either = np.mean([pair in found or name == REFERENCE for pair in pairs])
        print(f"{name:28}{np.median(apart):8.2f}{np.quantile(apart, 0.9):8.2f}{max(apart):8.2f}", end="")
        print(f"{by_distance:10.0%}{by_values:8.0%}{either:8.0%}")


def tell_songs(songs: Heard, artists: dict[str, str]) -> None:
    """How near different songs lie, and how many pairs of them count as the same."""
    n = len(songs.files)
    first, second = np.triu_indices(n, 1)
    apart = torch.cdist(songs.embeddings, songs.embeddings, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    apart = apart[first, second]
    names = np.array([artists.get(file.name, str(file)) for file in songs.files])
    same = names[first] == names[second]
    print(f"{n} different songs, {len(apart):,} pairs of them, {same.sum():,} by the same artist; pairs nearer than")
    print("  " + "".join(f"{distance:8g}" for distance in DISTANCES))
    for pairs in (apart, apart[same]):
        print("  " + "".join(f"{(pairs < distance).sum():8,}" for distance in DISTANCES))
    lowest = np.sort(apart)[:50]
    exponent = 1 / np.mean(np.log(lowest[-1] / lowest[:-1]))  # Hill's estimator, of P(nearer than d) ~ d^exponent
    rate = 50 / len(apart) * (MAX_DISTANCE / lowest[-1]) ** exponent
    print(f"the number grows as distance^{exponent:.1f}: nearer than {MAX_DISTANCE} would be {rate:.1e} of pairs")
    print(f"taken for the same: {len(songs.pairs())} pairs")
    any_key = songs.values | {"key": np.zeros(n), "mode": np.zeros(n)}
    points, rows = agreement_points(any_key)
    agree = [
        float((songs.embeddings[rows[a]] - songs.embeddings[rows[b]]).norm()) < MAX_DISTANCE_OF_AGREEING
        for a, b in near_pairs(points, songs.durations_s[rows], 1.0)
    ]
    keys = songs.values["key"] + N_KEYS * songs.values["mode"]
    same_key = np.mean(keys[first] == keys[second])
    by_values = sum(agree) * same_key / len(apart)
    print(f"{sum(agree)} pairs agree in all but the key, which {same_key:.1%} share: {by_values:.1e} of pairs")
    durations_s = np.sort(random_songs(MANY)[1])
    n_pairs = (np.searchsorted(durations_s, longest(durations_s), side="right") - np.arange(1, MANY + 1)).sum()
    print(f"of the {n_pairs:.1e} pairs of about the same length in a library of {MANY:,} songs: ", end="")
    print(f"{rate * n_pairs:,.0f} by distance, {by_values * n_pairs:,.0f} by values")


def measure(library: Path, work: Path, catalog: Path | None, n_clips: int) -> None:
    with Library.open(library) as opened:
        clips = [Path(os.fsdecode(path)) for (path,) in opened.select(("path",), "error IS NULL ORDER BY path")]
    chosen = [clips[row] for row in sorted(np.random.default_rng(0).permutation(len(clips))[:n_clips])]
    write_forms(chosen, work / "forms")
    with Library.write(work / "forms.sqlite", create=True) as forms:
        scan(LocalFiles([work / "forms"]), forms, Predictor.load(RELEASED_MODELS))
    artists = {}
    if catalog is not None:
        with open(catalog, encoding="utf-8", newline="") as file:
            artists = {row["audio_file"]: row["artist"] for row in csv.DictReader(file)}
    for half, name in enumerate(("chosen by", "counted on")):
        mine = {clip.stem for clip in chosen[half::2]}
        others = {clip.stem for clip in chosen[1 - half :: 2]}
        rest = {clip.stem for clip in clips[half::2]} - others
        print(f"\n{name} this half")
        tell_forms(Heard.read(work / "forms.sqlite", lambda file, mine=mine: file.parent.name in mine))
        tell_songs(Heard.read(library, lambda file, rest=rest | mine: file.stem in rest), artists)


def measure_synthetic(n: int) -> None:
    """Time and memory of the comparison alone."""
    embeddings, durations_s, values = random_songs(n)
    order = durations_s.argsort()
    embeddings, durations_s = torch.from_numpy(embeddings[order]), durations_s[order]
    values = {name: column[order] for name, column in values.items()}
    for name, lengths in (("of 1 to 15 minutes", durations_s), ("all of 30 s", np.full(n, 30.0))):
        if name.startswith("all") and n > 200_000:
            continue  # hours
        start = time.perf_counter()
        pairs = set(same_recordings(embeddings, lengths, values))
        took_s = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{n:,} songs {name}: {len(pairs):,} pairs, {took_s:.1f} s, {torch.get_num_threads()} threads, ", end="")
        print(f"peak memory {peak_mb:,.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="scanned clips")
    parser.add_argument("--work", type=Path, help="folder for their other forms")
    parser.add_argument("--catalog", type=Path, help="CSV with audio_file and artist")
    parser.add_argument("--clips", type=int, default=60, help="how many are encoded anew (default: 60)")
    parser.add_argument("--synthetic", type=int, help="how many random songs to compare instead")
    arguments = parser.parse_args()
    if arguments.synthetic:
        measure_synthetic(arguments.synthetic)
    elif arguments.library and arguments.work:
        measure(arguments.library, arguments.work, arguments.catalog, arguments.clips)
    else:
        parser.error("name a --library and a --work folder, or a number of --synthetic songs")
    return 0


if __name__ == "__main__":
    run(main)
