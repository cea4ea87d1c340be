"""Stage 2: previews -> log-mel spectrograms and an artist-disjoint split -> data/spectrograms/, data/splits.csv.

    python data_loading.py

Reads data/songs.csv and data/previews/. Writes, besides the above, data/demo/ (a few songs of the test split, for
model_demo.py) and pictures of what was made in data/pictures/. Spectrograms that are there already are kept, so that a
stopped run goes on where it was, and added songs cost only their own time.

Also home of the datasets and loaders that model_train.py uses.
"""

import argparse
import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from music_learning.audio import AudioPipeline, PipelineConfig
from music_learning.errors import AudioError, UserError, run
from music_learning.files import (
    SONG_COLUMNS,
    SPLIT_COLUMNS,
    SPLITS,
    TARGETS,
    DataPaths,
    SpectrogramSet,
    read_songs,
    read_table,
    save_figure,
    write_table,
)
from music_learning.parallel import cpu_count, ordered_map

SPLIT_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}  # of the artists
DEMO_SONGS = 24
SONGS_PER_WRITE = 32

# What stands between the names of artists who made a song together. Cutting a band's name in two ("Earth, Wind & Fire")
# does no harm: its parts stay together. A collaboration left whole would let an artist into two splits.
BETWEEN_ARTISTS = re.compile(r"\s+(?:feat\.?|ft\.?|featuring|with|vs\.?|and|und|y|et|x)\s+|\s*[,;/&+]\s*")
FEATURED = re.compile(r"[(\[]\s*(?:feat\.?|ft\.?|featuring|with)\s+([^)\]]+)[)\]]")


def artist_names(song: dict[str, str]) -> set[str]:
    """All artists of a song as comparable keys: those named, those featured in the title, and the ids."""
    artist, title = (unicodedata.normalize("NFKC", song[key]).casefold() for key in ("artist", "title"))
    credits = [FEATURED.sub(" ", artist), *FEATURED.findall(artist), *FEATURED.findall(title)]
    names = {name.strip().removeprefix("the ") for text in credits for name in BETWEEN_ARTISTS.split(text)}
    ids = {f"id:{artist_id}" for artist_id in re.split(r"[,;\s]+", song["artist_id"]) if artist_id}
    return {name for name in names if name} | ids


def artist_groups(songs: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Songs grouped so that no artist is in two groups; a collaboration joins the groups of its artists."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    keys = {song["song_id"]: sorted(artist_names(song)) or [song["song_id"]] for song in songs}
    for first, *others in keys.values():
        for other in others:
            parent[root(other)] = root(first)
    groups = defaultdict(list)
    for song in songs:
        groups[root(keys[song["song_id"]][0])].append(song)
    return list(groups.values())


def groups_of(songs: list[dict[str, str]]) -> dict[str, str]:
    """song_id -> the name of its group of artists."""
    return {song["song_id"]: group[0]["song_id"] for group in artist_groups(songs) for song in group}


def assign_splits(
    songs: list[dict[str, str]], placed: dict[str, str], *, seed: int
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Place songs in train, validation or test, so that no artist is in two of them.

    A group of artists is placed by a hash of its names and the seed, so the same seed gives the same split. A song
    that is placed already stays; a new song goes where its artists are. One whose artists are in two splits already
    can't be used.

    Args:
        songs: rows of songs.csv.
        placed: song_id -> split of an earlier run.

    Returns:
        song_id -> split, and the songs that can't be used.
    """
    splits = {song["song_id"]: placed[song["song_id"]] for song in songs if song["song_id"] in placed}
    split_of_artist = {
        name: splits[song["song_id"]] for song in songs if song["song_id"] in splits for name in artist_names(song)
    }

    def place(song: dict[str, str], split: str) -> None:
        splits[song["song_id"]] = split
        split_of_artist.update(dict.fromkeys(artist_names(song), split))

    waiting, unusable, moved = [song for song in songs if song["song_id"] not in splits], [], True
    while moved:
        still_waiting = []
        for song in waiting:
            homes = {split_of_artist[name] for name in artist_names(song) if name in split_of_artist}
            if len(homes) == 1:
                place(song, homes.pop())
            else:
                (unusable if homes else still_waiting).append(song)
        moved, waiting = len(still_waiting) < len(waiting), still_waiting
    for group in artist_groups(waiting):
        home = _drawn_split(group, seed)
        for song in group:
            place(song, home)
    return splits, unusable


def _drawn_split(group: list[dict[str, str]], seed: int) -> str:
    name = min(name for song in group for name in artist_names(song) or {song["song_id"]})
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SPLIT_SHARES.items():
        if position < share:
            return split
        position -= share
    return SPLITS[-1]


def read_splits(paths: DataPaths) -> dict[str, str]:
    """song_id -> split. Raises UserError where data/splits.csv is missing or damaged."""
    rows = read_table(paths.splits, SPLIT_COLUMNS, "data_loading.py")
    if bad := {row["split"] for row in rows} - set(SPLITS):
        raise UserError(f"{paths.splits} has unknown splits {sorted(bad)}; delete it and run data_loading.py again")
    return {row["song_id"]: row["split"] for row in rows}


def compute_spectrograms(
    songs: list[dict[str, str]], paths: DataPaths, config: PipelineConfig, *, workers: int
) -> SpectrogramSet:
    """Bring data/spectrograms/ up to date with the songs. A long clip is represented by its middle window.

    Raises:
        UserError: a clip is missing or broken (data_collection.py checked them all), or the set that is there was
            made with other settings.
    """
    spectrograms = SpectrogramSet.create(paths.spectrograms, config)
    missing = [song for song in songs if not spectrograms.has(song)]
    print(f"spectrograms: {len(songs) - len(missing):,} already here, {len(missing):,} to do")
    pipeline = AudioPipeline(config)
    batch = []
    try:
        middle_window = partial(_middle_window, paths=paths, pipeline=pipeline)
        for item in ordered_map(middle_window, missing, workers=workers, description="spectrograms", unit="song"):
            batch.append(item)
            if len(batch) == SONGS_PER_WRITE:
                spectrograms.append(batch)
                batch = []
    finally:
        if batch:
            spectrograms.append(batch)
    return spectrograms


def _middle_window(
    song: dict[str, str], *, paths: DataPaths, pipeline: AudioPipeline
) -> tuple[dict[str, str], np.ndarray]:
    clip = paths.preview(song)
    try:
        windows, _ = pipeline.log_mels(clip)
    except AudioError as error:
        raise UserError(f"{clip}: {error}; run data_collection.py again") from None
    return song, windows[(len(windows) - 1) // 2].numpy()


class SpectrogramDataset(Dataset):
    """Spectrograms with the labels of the given targets.

    An item is (spectrogram, labels): float32 (n_rows, frames), and float32 (targets,) in [0, 1].
    """

    def __init__(
        self,
        spectrograms: SpectrogramSet,
        songs: list[dict[str, str]],
        targets: tuple[str, ...],
        *,
        crop_frames: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """
        Args:
            spectrograms: an opened set that holds all the songs.
            songs: the rows of songs.csv to use.
            targets: the columns that hold the labels.
            crop_frames: cut a random stretch of this length out of each item; None gives each item whole.
            generator: the source of chance for the crops.
        """
        self.songs = songs
        self.labels = torch.tensor([[float(song[target]) for target in targets] for song in songs])
        self.spectrograms = spectrograms
        self.frames = [spectrograms.frames(song["song_id"]) for song in songs]
        self.crop_frames = crop_frames
        self.generator = generator

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        start, stop = 0, self.frames[item]
        if self.crop_frames is not None:
            start = int(torch.randint(max(stop - self.crop_frames, 0) + 1, (), generator=self.generator))
            stop = min(stop, start + self.crop_frames)
        spectrogram = self.spectrograms.spectrogram(self.songs[item]["song_id"])[:, start:stop]
        return torch.from_numpy(spectrogram.astype(np.float32)), self.labels[item]


def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stack items to (B, n_rows, frames) and (B, targets). A shorter item is repeated to the longest's length."""
    frames = max(spectrogram.shape[1] for spectrogram, _ in items)
    spectrograms = [s if s.shape[1] == frames else s.repeat(1, -(-frames // s.shape[1]))[:, :frames] for s, _ in items]
    return torch.stack(spectrograms), torch.stack([labels for _, labels in items])


def make_loader(
    dataset: SpectrogramDataset, *, batch_size: int, shuffle: bool = False, generator: torch.Generator | None = None
) -> DataLoader:
    """A loader of (B, n_rows, frames) float32 and labels (B, targets).

    When shuffled, `generator` decides the order, and a last batch of one song is left out: it has no deviation for
    batch normalisation to learn from.
    """
    drop_last = shuffle and len(dataset) > batch_size and len(dataset) % batch_size == 1
    return DataLoader(
        dataset, batch_size, shuffle=shuffle, generator=generator, collate_fn=collate, drop_last=drop_last
    )


def write_demo(paths: DataPaths, songs: list[dict[str, str]], spectrograms: SpectrogramSet, *, seed: int) -> int:
    """Put up to 24 of the given test songs, each by another artist, in data/demo/. Returns their number."""
    chosen = [min(group, key=lambda song: _draw(song["song_id"], seed)) for group in artist_groups(songs)]
    chosen = sorted(sorted(chosen, key=lambda song: _draw(song["song_id"], seed))[:DEMO_SONGS], key=_song_id)
    demo = DataPaths(paths.demo)
    for name in ("pipeline.json", "index.csv", "spectrograms.f16"):
        (demo.spectrograms / name).unlink(missing_ok=True)
    demo_set = SpectrogramSet.create(demo.spectrograms, spectrograms.config)
    for song in chosen:
        demo_set.append([(song, spectrograms.spectrogram(song["song_id"]))])
    write_table(demo.songs, SONG_COLUMNS, chosen)
    return len(chosen)


def _song_id(song: dict[str, str]) -> str:
    return song["song_id"]


def _draw(song_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{song_id}".encode()).digest()


def draw_spectrograms(songs: list[dict[str, str]], spectrograms: SpectrogramSet, path: Path) -> None:
    """A grid of up to 12 songs, from the least to the most energetic, with their titles and labels."""
    songs = sorted(songs, key=lambda song: float(song["energy"]))
    songs = [songs[i] for i in np.unique(np.linspace(0, len(songs) - 1, 12).round().astype(int))]
    config = spectrograms.config
    figure = Figure(figsize=(15, 10), layout="constrained")
    for axes, song in zip(figure.subplots(3, 4, squeeze=False).flat, songs, strict=False):
        spectrogram = spectrograms.spectrogram(song["song_id"])[: config.n_mels].astype(np.float32)
        image = axes.imshow(
            spectrogram,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-90,
            vmax=-10,
            extent=(0, spectrogram.shape[1] / config.frames_per_s, 0, config.n_mels),
        )
        labels = "   ".join(f"{target} {float(song[target]):.2f}" for target in TARGETS)
        title, artist = (shorten(song[key], 34) for key in ("title", "artist"))
        axes.set_title(f"{title}\n{artist}\n{labels}", fontsize=9, parse_math=False)
        axes.set_xlabel("seconds", fontsize=8)
        axes.set_ylabel("mel band", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.colorbar(image, ax=figure.axes, label="dB relative to a full-scale sine", shrink=0.6)
    figure.suptitle("Log-mel spectrograms, from the least to the most energetic song")
    save_figure(figure, path)


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def draw_labels(songs: list[dict[str, str]], splits: dict[str, str], path: Path) -> None:
    """Histograms of the three labels in each split, as shares of the split."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, target in zip(figure.subplots(1, 3, sharey=True), TARGETS, strict=True):
        for split, color in zip(SPLITS, ("#4c72b0", "#dd8452", "#55a868"), strict=True):
            values = [float(song[target]) for song in songs if splits[song["song_id"]] == split]
            axes.hist(
                values,
                bins=np.linspace(0, 1, 21),
                weights=np.full(len(values), 100 / max(len(values), 1)),
                histtype="step",
                linewidth=1.8,
                color=color,
                label=f"{split} ({len(values):,})",
            )
        axes.set_title(target)
        axes.set_xlabel("Spotify's label")
    figure.axes[0].set_ylabel("% of the split's songs")
    figure.axes[0].legend(loc="upper left")
    save_figure(figure, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder to read and write (default: data)")
    parser.add_argument("--seed", type=int, default=0, help="decides the split of artists not yet placed (default: 0)")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="clips at a time (default: all cores)")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")

    paths = DataPaths(arguments.data)
    songs = read_songs(paths)
    if not songs:
        raise UserError(f"{paths.songs} holds no song; run data_collection.py first")
    placed = read_splits(paths) if paths.splits.exists() else {}
    splits, unusable = assign_splits(songs, placed, seed=arguments.seed)
    for song in unusable:
        print(f"left out: {song['title']} by {song['artist']}, whose artists are in two splits already")
    songs = [song for song in songs if song["song_id"] in splits]
    write_table(paths.splits, SPLIT_COLUMNS, ({"song_id": s["song_id"], "split": splits[s["song_id"]]} for s in songs))
    counts = Counter(splits.values())
    print("split: " + ", ".join(f"{counts[split]:,} {split}" for split in SPLITS))

    spectrograms = compute_spectrograms(songs, paths, PipelineConfig(), workers=arguments.workers)
    test_songs = [song for song in songs if splits[song["song_id"]] == "test"]
    print(f"demo: {write_demo(paths, test_songs, spectrograms, seed=arguments.seed)} test songs in {paths.demo}")
    draw_spectrograms(songs, spectrograms, paths.picture("spectrograms"))
    draw_labels(songs, splits, paths.picture("labels"))
    print(f"pictures: {paths.picture('spectrograms')}, {paths.picture('labels')}")
    return 0


if __name__ == "__main__":
    run(main)
