"""Arcs: a value that rises, neighbours that are alike, no song twice."""

from itertools import pairwise, product

import numpy as np
import pytest
from conftest import kept_embedding, kept_row

from music_learning.errors import UserError
from music_learning.library import arc
from music_learning.library.arc import find_arc
from music_learning.library.conditions import parse_condition
from music_learning.library.database import Library
from music_learning.library.schema import Condition


def library_of(folder, rows) -> Library:
    library = Library.write(folder / "moods.sqlite", create=True)
    for row in rows:
        library.add(row)
    return library


def random_rows(n: int, **values) -> list[dict]:
    generator = np.random.default_rng(1)
    return [
        kept_row(
            f"/{number}.mp3",
            **{"energy": float(generator.random()), "embedding": kept_embedding(*generator.standard_normal(8))}
            | values,
        )
        for number in range(n)
    ]


def point(row: dict) -> np.ndarray:
    return np.frombuffer(row["embedding"], "<f4")


@pytest.mark.parametrize("at_once", [7, 1000])
def test_value_rises_from_end_to_end(tmp_path, at_once, monkeypatch):
    monkeypatch.setattr("music_learning.library.database.ROWS_AT_ONCE", at_once)
    rows = random_rows(200)
    with library_of(tmp_path, rows) as library:
        numbers, n_others = find_arc(library, Condition(), "energy", 20)
    energies = [rows[number - 1]["energy"] for number in numbers]
    assert len(set(numbers)) == 20
    assert n_others == 0
    assert all(before < after for before, after in pairwise(energies))
    ordered = sorted(row["energy"] for row in rows)
    assert all(energy in ordered[10 * step : 10 * step + 10] for step, energy in enumerate(energies))


def test_neighbours_are_as_alike_as_can_be(tmp_path):
    rows = sorted(random_rows(20), key=lambda row: row["energy"])
    with library_of(tmp_path, rows) as library:
        numbers, _ = find_arc(library, Condition(), "energy", 5)

    def length(path) -> float:
        return sum(float(np.linalg.norm(point(rows[a]) - point(rows[b]))) for a, b in pairwise(path))

    best = min(product(*(range(start, start + 4) for start in range(0, 20, 4))), key=length)
    assert [number - 1 for number in numbers] == list(best)


def test_neighbours_are_by_different_artists_where_that_can_be(tmp_path):
    rows = [
        kept_row(f"/{n}{artist}.mp3", energy=n / 10, artist=artist, embedding=kept_embedding(distance))
        for n in range(6)
        for artist, distance in (("One", 0), ("ONE ", 0), ("Two", 100))
    ]
    with library_of(tmp_path, rows) as library:
        numbers, _ = find_arc(library, Condition(), "energy", 6)
        artists = [rows[number - 1]["artist"].casefold().strip() for number in numbers]
        assert all(before != after for before, after in pairwise(artists))
        only_one, _ = find_arc(library, parse_condition("artist = 'One'"), "energy", 6)
    assert len(only_one) == 6


def test_songs_without_an_artist_are_not_by_one_artist(tmp_path):
    rows = [
        kept_row(f"/{n}{artist}.mp3", energy=n / 10, artist=artist, embedding=kept_embedding(distance))
        for n in range(4)
        for artist, distance in ((None, 0), ("Somebody", 100))
    ]
    with library_of(tmp_path, rows) as library:
        numbers, _ = find_arc(library, Condition(), "energy", 4)
    assert [rows[number - 1]["artist"] for number in numbers] == [None] * 4


def test_few_songs_and_copies(tmp_path):
    rows = random_rows(5)
    rows += [row | {"path": b"/copy" + row["path"]} for row in rows]
    rows += [kept_row("/gone.mp3", missing="2026-01-01T00:00:00Z", embedding=kept_embedding(*range(8)))]
    rows += [kept_row("/failed.mp3", error="no audio"), kept_row("/no energy.mp3", energy=None)]
    with library_of(tmp_path, rows) as library:
        numbers, _ = find_arc(library, Condition(), "energy", 50)
        none = find_arc(library, parse_condition("energy > 1"), "energy", 50)
    assert numbers == sorted(range(1, 6), key=lambda number: rows[number - 1]["energy"])
    assert none == ([], 0)


@pytest.mark.parametrize("damaged", [0, 4, 31, 36])
@pytest.mark.parametrize("length", [1, 4, 30])
def test_damaged_embedding_is_a_sentence(tmp_path, damaged, length):
    """Beside others of its step, and alone in it."""
    rows = random_rows(30)
    rows[12] |= {"embedding": bytes(damaged)}
    said = r"moods\.sqlite is damaged: it has embeddings of other sizes; restore it"
    with library_of(tmp_path, rows) as library, pytest.raises(UserError, match=said):
        find_arc(library, Condition(), "energy", length)


def test_songs_heard_by_other_models_are_left_out(tmp_path):
    rows = random_rows(30)
    for row in rows[:10]:
        row |= {"model": "m0", "embedding": kept_embedding(1, 2)}
    with library_of(tmp_path, rows) as library:
        numbers, n_others = find_arc(library, Condition(), "energy", 8)
    assert (min(numbers) > 10, len(numbers), n_others) == (True, 8, 10)


def test_copy_by_other_models_takes_no_song_away(tmp_path):
    rows = random_rows(30)
    for row in rows[:10]:
        row |= {"model": "m0", "sha256": "one"}
    for row in rows[10:20]:
        row |= {"sha256": "one"}
    with library_of(tmp_path, rows) as library:
        numbers, n_others = find_arc(library, Condition(), "energy", 50)
    assert (set(numbers), n_others) == ({11, *range(21, 31)}, 10)


def test_large_steps_are_searched_around_their_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(arc, "MAX_CANDIDATES", 4)
    rows = sorted(random_rows(60), key=lambda row: row["energy"])
    with library_of(tmp_path, rows) as library:
        numbers, _ = find_arc(library, Condition(), "energy", 3)
    assert [8 <= (number - 1) - 20 * step < 12 for step, number in enumerate(numbers)] == [True] * 3
