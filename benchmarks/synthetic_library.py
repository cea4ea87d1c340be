"""A library of songs that nobody has, so that what works on libraries can be measured at any size.

python benchmarks/synthetic_library.py moods.sqlite --songs 1000000
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from music_learning.errors import run
from music_learning.library.database import Library
from music_learning.paths import RELEASED_MODELS
from music_learning.predict.predictor import Predictor

N_COMPONENTS = 64
N_ARTISTS = 50_000
SHARE_OF_FORMS = 0.01  # of songs that are another form of the one before
FORM_DISTANCE = 0.5
VALUES = ("danceability", "valence", "energy", "acousticness", "speechiness", "tempo", "key", "mode")
COLUMNS = ("path", "file", "title", "artist", "duration_s", "bytes", "sha256", "model", "embedding", *VALUES)


def random_songs(n: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Embeddings (n, components) of variance 1, lengths of 1 to 15 minutes, mostly 3 to 5, and VALUES of n songs."""
    generator = np.random.default_rng(0)
    embeddings = generator.standard_normal((n, N_COMPONENTS), dtype=np.float32)
    durations_s = generator.normal(230, 60, n).clip(60, 900)
    values = {name: generator.beta(4, 3, n) for name in VALUES[:3]} | {
        name: generator.beta(1, 8, n) for name in VALUES[3:5]
    }
    values["tempo"] = generator.normal(120, 25, n).clip(50, 200)
    values |= {"key": generator.integers(12, size=n), "mode": generator.integers(2, size=n)}
    forms = np.flatnonzero(generator.random(n) < SHARE_OF_FORMS)[1:]
    noise = generator.standard_normal((len(forms), N_COMPONENTS), dtype=np.float32)
    embeddings[forms] = embeddings[forms - 1] + noise * FORM_DISTANCE / N_COMPONENTS**0.5
    for column in (durations_s, *values.values()):
        column[forms] = column[forms - 1]
    return embeddings, durations_s, values


def rows(n: int, model: str) -> Iterator[tuple]:
    """The songs as rows of a library."""
    embeddings, durations_s, values = random_songs(n)
    artists = np.random.default_rng(1).integers(N_ARTISTS, size=n)
    for number in range(n):
        artist = f"The Synthetic Artist {artists[number]:05}"
        title = f"A song by the number {number:07}"
        file = f"/srv/music/{artist}/An album/{title}.mp3"
        duration_s = float(durations_s[number])
        content = hashlib.sha256(title.encode()).hexdigest()
        known = (file.encode(), file, title, artist, duration_s, round(32_000 * duration_s), content, model)
        yield *known, embeddings[number].tobytes(), *(column[number].item() for column in values.values())


def make_library(path: Path, n: int, model: str) -> None:
    """Write a library of n songs that the models of a version have heard."""
    statement = f"INSERT INTO songs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
    with Library.write(path, create=True) as library:
        library.change(statement, rows(n, model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--songs", type=int, default=1_000_000, help="how many (default: 1000000)")
    arguments = parser.parse_args()
    make_library(arguments.library, arguments.songs, Predictor.load(RELEASED_MODELS).models_version)


if __name__ == "__main__":
    run(main)
