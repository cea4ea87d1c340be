"""An arc of songs: one of their values rises from song to song, and neighbours are alike as far as that allows.

The songs are put in order of their value and cut into as many steps of equal size as the arc has songs, and one is
chosen from the middle of each. Of all ways through the steps it is the one with the fewest neighbours by one artist,
and among those the one whose neighbours' embeddings are nearest to each other in sum: the shortest path through layers,
found from step to step (A. Viterbi, IEEE Trans. Inf. Theory 13, 1967).
"""

from collections import defaultdict
from itertools import count

import numpy as np

from music_learning.library.database import Library
from music_learning.library.embeddings import as_points, copies
from music_learning.library.playlist import usable
from music_learning.library.schema import Condition

MAX_CANDIDATES = 200  # of a step, those nearest to its middle
SAME_ARTIST = 1e6  # what neighbours by one artist count for: more than the distances of any arc


def find_arc(library: Library, condition: Condition, column: str, length: int) -> tuple[list[int], int]:
    """The numbers of the songs of an arc.

    Args:
        condition: what its songs meet.
        column: of the value that rises, trusted.
        length: how many songs it has, if there are as many.

    Returns:
        the numbers, none of the same content twice, and how many songs are left out, since they were heard by other
        models than most.

    Raises:
        UserError: the library can't be read, or an embedding is damaged.
    """
    chosen = usable(condition)
    where = f'{chosen.sql} AND "{column}" IS NOT NULL AND embedding IS NOT NULL'
    parts: list[tuple[np.ndarray, ...]] = []
    models: dict[str, int] = defaultdict(count().__next__)  # their numbers, in the order in which they come
    for batch in library.batches(("song_id", column, "model"), where, chosen.values):
        song_ids, found, by = zip(*batch, strict=True)
        by = np.fromiter(map(models.__getitem__, by), int, len(by))
        parts.append((np.array(song_ids), np.array(found, float), by))
    if not parts:
        return [], 0
    numbers, values, by = map(np.concatenate, zip(*parts, strict=True))
    most = int(np.bincount(by).argmax())
    but = copies(Condition(f"{where} AND model = ?", (*chosen.values, list(models)[most])))
    left_out = [song_id for (song_id,) in library.select(("song_id",), but.sql, but.values)]
    kept = (by == most) & ~np.isin(numbers, left_out)
    numbers, values = numbers[kept], values[kept]
    ordered = numbers[np.lexsort((numbers, values))]
    steps = [_middle(step) for step in np.array_split(ordered, min(length, len(ordered)))]
    return _shortest_path(library, steps), int((by != most).sum())


def _middle(step: np.ndarray) -> np.ndarray:
    start = max(0, (len(step) - MAX_CANDIDATES) // 2)
    return step[start : start + MAX_CANDIDATES]


def _shortest_path(library: Library, steps: list[np.ndarray]) -> list[int]:
    """One song of each step (candidates,), by their numbers."""
    costs, before, choices = None, None, []  # of the best way to each candidate, and which one of the last step it has
    for step in steps:
        embeddings, artists = _candidates(library, step, None if before is None else before[0].shape[1])
        if before is None:
            costs = np.zeros(len(step))
        else:
            apart = before[0][:, None] - embeddings[None]
            apart = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
            same = (before[1][:, None] == artists[None]) & (artists[None] != "")
            ways = costs[:, None] + apart + SAME_ARTIST * same
            choices.append(ways.argmin(axis=0))
            costs = ways.min(axis=0)
        before = embeddings, artists
    place = int(costs.argmin())
    path = [int(steps[-1][place])]
    for step, choice in zip(reversed(steps[:-1]), reversed(choices), strict=True):
        place = int(choice[place])
        path.append(int(step[place]))
    return path[::-1]


def _candidates(library: Library, step: np.ndarray, n_components: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The embeddings (candidates, components) and artists (candidates,) of songs, by their numbers.

    Raises UserError where an embedding is damaged, or has not as many components as are known of others.
    """
    marks = ", ".join("?" * len(step))
    rows = library.select(("song_id", "embedding", "artist"), f"song_id IN ({marks})", step.tolist())
    found = {row[0]: row[1:] for row in rows}
    embeddings = as_points(library, [found[number][0] for number in step.tolist()], n_components)
    artists = [" ".join((found[number][1] or "").casefold().split()) for number in step.tolist()]
    return embeddings, np.array(artists)
