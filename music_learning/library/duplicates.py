"""Which files of a library are the same recording, in other formats, bit rates or levels as well.

Two files of about the same length are where their embeddings are nearly the same, as those of another format or bit
rate are. A change of level, or of where a recording begins, moves an embedding farther, up to where other songs are,
but hardly moves the values: so two files are the same as well where tempo, key and mode agree, their values nearly do,
and their embeddings are not far apart.

The songs are sorted by length, and each is compared with those that follow until they are too long, block by block: in
time that grows with the number of songs of about the same length, and in memory that does not.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from music_learning.library.database import Library
from music_learning.library.embeddings import HAS_COPIES, current, read_embeddings

# All by benchmarks/duplicates.py, which counts what they miss and what they take for the same.
MAX_DISTANCE = 1.5  # of embeddings
MAX_DISTANCE_OF_AGREEING = 6.0  # of embeddings whose values agree
TOLERANCES = {  # by which values that agree may differ; together, by Pythagoras, by no more than one of them alone
    "danceability": 0.05,
    "valence": 0.08,
    "energy": 0.12,
    "acousticness": 0.1,
    "speechiness": 0.05,
}
TEMPO_TOLERANCE = 0.004  # of the tempo
N_KEYS = 12
MAX_LENGTH_DIFFERENCE_S = 2.0  # between two files, or
MAX_LENGTH_DIFFERENCE = 0.01  # of the longer one
ROWS, COLUMNS = 1024, 4096  # of a block, which takes 17 MB
SLACK = 0.1  # of squared distances, which a matrix product blurs


@dataclass(frozen=True)
class Copy:
    """A file of a recording that is there more than once."""

    file: str
    bytes: int
    duration_s: float
    title: str | None
    artist: str | None
    album: str | None
    distance: float  # to the group's largest file; 0 where the content is the same


def longest(durations_s: np.ndarray) -> np.ndarray:
    """Up to which length another file may be the same recording as one of this length."""
    return np.maximum(durations_s + MAX_LENGTH_DIFFERENCE_S, durations_s / (1 - MAX_LENGTH_DIFFERENCE))


def near_pairs(
    points: Tensor, durations_s: np.ndarray, max_distance: float, *, bar: bool = False
) -> Iterator[tuple[int, int]]:
    """The pairs of songs (first < second) of about the same length that lie near one another.

    Args:
        points: (songs, components).
        durations_s: (songs,), ascending.
        max_distance: of two points that are near.
        bar: show the progress on stderr where that is a terminal.
    """
    n = len(durations_s)
    ends = np.searchsorted(durations_s, longest(durations_s), side="right")
    halves = torch.linalg.vector_norm(points, dim=1).square() / 2
    nearness = halves - (max_distance**2 + SLACK) / 2  # |x - y|² < d² where x·y - |y|²/2 > |x|²/2 - d²/2
    for start in tqdm(range(0, n, ROWS), desc="compare", unit_scale=ROWS, disable=None if bar else True):
        rows = slice(start, start + ROWS)
        last = int(ends[min(start + ROWS, n) - 1])
        for left in range(start, last, COLUMNS):
            columns = slice(left, min(left + COLUMNS, last))
            scores = torch.addmm(-halves[columns], points[rows], points[columns].T)
            scores -= nearness[rows, None]
            if scores.amax() > 0:
                for first, second in (scores > 0).nonzero().add(torch.tensor([start, left])).tolist():
                    if first < second < ends[first] and distance(points[first], points[second]) < max_distance:
                        yield first, second


def agreement_points(values: dict[str, np.ndarray]) -> tuple[Tensor, np.ndarray]:
    """Points that lie nearer than 1 where the values of two songs agree, and the rows of the songs that have all.

    Args:
        values: (songs,) of each of TOLERANCES, of tempo, key and mode; NaN is unknown, and so is a key of -1.
    """
    scaled = [values[name] / tolerance for name, tolerance in TOLERANCES.items()]
    with np.errstate(divide="ignore"):
        scaled.append(np.log(values["tempo"]) / TEMPO_TOLERANCE)
    keys = values["key"] + N_KEYS * values["mode"]
    stacked = np.stack([*scaled, np.where(values["key"] >= 0, keys, np.nan)], axis=1)
    rows = np.flatnonzero(np.isfinite(stacked).all(axis=1))
    numbers, keys = stacked[rows, :-1], stacked[rows, -1].astype(int)
    is_key = np.eye(2 * N_KEYS, dtype=np.float32)[keys]
    middle = numbers.mean(axis=0) if len(rows) else 0  # the smaller the numbers, the less a matrix product blurs them
    return torch.from_numpy(np.hstack([(numbers - middle).astype(np.float32), is_key])), rows


def distance(first: Tensor, second: Tensor) -> float:
    return float(torch.linalg.vector_norm(first - second))


def same_recordings(
    embeddings: Tensor, durations_s: np.ndarray, values: dict[str, np.ndarray], *, bar: bool = False
) -> Iterator[tuple[int, int]]:
    """The pairs of songs (first < second) that are the same recording; some come twice.

    Args:
        embeddings: (songs, components).
        durations_s: (songs,), ascending.
        values: as `agreement_points` takes them.
        bar: show the progress on stderr where that is a terminal.
    """
    yield from near_pairs(embeddings, durations_s, MAX_DISTANCE, bar=bar)
    points, rows = agreement_points(values)
    for pair in near_pairs(points, durations_s[rows], 1.0, bar=bar):
        first, second = rows[list(pair)].tolist()
        if distance(embeddings[first], embeddings[second]) < MAX_DISTANCE_OF_AGREEING:
            yield first, second


def find_duplicates(library: Library, model: str, *, bar: bool = False) -> Iterator[list[Copy]]:
    """The recordings that are there more than once: the files of each, the largest first.

    Args:
        library: to read; counted are the songs that the models of the version `model` heard.
        bar: show the progress on stderr where that is a terminal.

    Raises:
        UserError: the library can't be read.
    """
    names = (*TOLERANCES, "tempo", "key", "mode")
    (numbers, durations_s, *values), embeddings = read_embeddings(
        library, ("song_id", "duration_s", *names), model, order="duration_s"
    )
    values = {name: np.array(column, float) for name, column in zip(names, values, strict=True)}
    pairs = same_recordings(torch.from_numpy(embeddings), np.array(durations_s, float), values, bar=bar)
    near = ((numbers[first], numbers[second]) for first, second in pairs)
    chosen = current(model)
    where = f"{chosen.sql} AND {HAS_COPIES} ORDER BY sha256"
    by_content = library.select(("sha256", "song_id"), where, chosen.values)
    for group in joined(chain(near, _of_same_key(by_content))):
        yield _copies(library, model, group)


def _of_same_key(keyed: Iterable[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Pairs of numbers that follow one another under the same key."""
    for (key, number), (next_key, next_number) in pairwise(keyed):
        if key == next_key:
            yield number, next_number


def joined(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Numbers in groups, of which each is linked to another by a pair; in order, by the smallest of each group."""
    links: dict[int, int] = {}

    def root(number: int) -> int:
        while links.setdefault(number, number) != number:
            links[number] = links[links[number]]
            number = links[number]
        return number

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        links[high] = low
    groups: dict[int, list[int]] = {}
    for number in sorted(links):
        groups.setdefault(root(number), []).append(number)
    return list(groups.values())


def _copies(library: Library, model: str, group: list[int]) -> list[Copy]:
    columns = ("file", "bytes", "duration_s", "title", "artist", "album", "embedding")
    chosen = current(model)
    where = f"{chosen.sql} AND song_id IN (SELECT value FROM json_each(?)) ORDER BY bytes DESC, file"
    rows = list(library.select(columns, where, (*chosen.values, json.dumps(group))))
    embeddings = torch.from_numpy(np.frombuffer(bytearray(b"".join(row[-1] for row in rows)), "<f4")).unflatten(
        0, (len(rows), -1)
    )
    return [Copy(*row[:-1], distance(embeddings[0], other)) for row, other in zip(rows, embeddings, strict=True)]
