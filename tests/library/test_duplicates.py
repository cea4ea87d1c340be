import numpy as np
import pytest
import torch
from conftest import fill_library

from music_learning.library import duplicates
from music_learning.library.database import Library
from music_learning.library.duplicates import (
    MAX_DISTANCE,
    TOLERANCES,
    agreement_points,
    find_duplicates,
    joined,
    longest,
    near_pairs,
)


def found(path) -> list[list[str]]:
    with Library.open(path) as library:
        return [[copy.file for copy in copies] for copies in find_duplicates(library, "m1")]


FAR = {"embedding": [100, 0, 0]}
VALUES = {
    **{"danceability": 0.5, "valence": 0.5, "energy": 0.5, "acousticness": 0.1, "speechiness": 0.05},
    **{"tempo": 120.0, "key": 3, "mode": 1},
}


def test_pairs_are_those_that_are_near_and_of_about_the_same_length(monkeypatch):
    """In blocks that divide nothing evenly: the same pairs as one by one."""
    monkeypatch.setattr(duplicates, "ROWS", 7)
    monkeypatch.setattr(duplicates, "COLUMNS", 11)
    generator = np.random.default_rng(0)
    points = torch.from_numpy(generator.integers(0, 3, (100, 2)).astype(np.float32))
    durations_s = np.sort(generator.uniform(20, 120, 100))
    expected = {
        (a, b)
        for a in range(100)
        for b in range(a + 1, 100)
        if durations_s[b] <= longest(durations_s[a]) and float((points[a] - points[b]).norm()) < 1.2
    }
    assert len(expected) > 20
    assert sorted(near_pairs(points, durations_s, 1.2)) == sorted(expected)


@pytest.mark.parametrize(
    ("first_s", "second_s", "same"), [(30, 32, True), (30, 32.1, False), (396.1, 400, True), (395.9, 400, False)]
)
def test_lengths_may_differ_by_2_s_or_1_percent(tmp_path, first_s, second_s, same):
    path = fill_library(tmp_path / "a.sqlite", *({"duration_s": s, "embedding": [0]} for s in (second_s, first_s)))
    assert bool(found(path)) == same


def test_files_come_largest_first_with_their_distance(tmp_path):
    path = fill_library(
        tmp_path / "a.sqlite",
        {"embedding": [1, 0, 0], "bytes": 5, "title": "T", "artist": "A", "album": "L"},
        FAR,
        {"embedding": [1, 1, 0], "bytes": 7, "duration_s": 101.5},
    )
    with Library.open(path) as library:
        ((larger, smaller),) = find_duplicates(library, "m1")
    assert larger == duplicates.Copy("/music/3.mp3", 7, 101.5, None, None, None, 0.0)
    assert smaller == duplicates.Copy("/music/1.mp3", 5, 100.0, "T", "A", "L", 1.0)


def test_files_of_the_same_content_are_the_same_and_bring_their_likes(tmp_path):
    """Copies are compared once, and all of them are shown."""
    path = fill_library(
        tmp_path / "a.sqlite",
        {"sha256": "a", "embedding": [0, 0, 0]},
        {"sha256": "b", "embedding": [50, 0, 0]},
        {"sha256": "a", "embedding": [0, 0, 0]},
        {"sha256": "c", "embedding": [0, 1, 0]},
        {"sha256": "b", "embedding": [50, 0, 0]},
        {"sha256": "c", "embedding": [0, 1, 0], "missing": "2026-01-01T00:00:00Z"},
        {"sha256": "b", "embedding": [50, 0, 0], "model": "m0"},
        {"sha256": "d", "error": "silent", "embedding": []},
        {"sha256": "d", "error": "silent", "embedding": []},
    )
    assert found(path) == [["/music/1.mp3", "/music/3.mp3", "/music/4.mp3"], ["/music/2.mp3", "/music/5.mp3"]]


def test_songs_that_agree_are_the_same_if_their_embeddings_are_not_far_apart(tmp_path):
    songs = [VALUES | {"embedding": [0, 0, 0]}, VALUES | {"embedding": [4, 0, 0]}, VALUES | {"embedding": [0, 6.5, 0]}]
    assert MAX_DISTANCE < 4
    assert found(fill_library(tmp_path / "a.sqlite", *songs)) == [["/music/1.mp3", "/music/2.mp3"]]


@pytest.mark.parametrize(
    "change",
    [
        {"tempo": 121.0},
        {"key": 4},
        {"mode": 0},
        {"valence": 0.59},
        {"danceability": 0.53, "energy": 0.6, "valence": 0.55},
        {"tempo": None},
        {"key": -1},
        {"speechiness": None},
        {"duration_s": 104.0},
    ],
)
def test_songs_that_do_not_agree_are_not(tmp_path, change):
    other = VALUES | {"embedding": [4, 0, 0]} | change
    assert found(fill_library(tmp_path / "a.sqlite", VALUES | {"embedding": [0, 0, 0]}, other)) == []


def test_points_are_nearer_than_1_where_all_is_within_tolerance():
    values = {name: np.array([0.4, 0.4 + 0.9 * tolerance, 0.4]) for name, tolerance in TOLERANCES.items()}
    one = values | {name: np.array([0.4, 0.4, 0.4]) for name in list(TOLERANCES)[1:]}
    others = {"tempo": np.array([90, 90, np.nan]), "key": np.array([0, 0, 0]), "mode": np.array([1, 1, 1])}
    for name, near in ((values, False), (one, True)):
        points, rows = agreement_points(name | others)
        assert rows.tolist() == [0, 1]
        assert (float((points[0] - points[1]).norm()) < 1) == near


def test_no_songs_are_no_duplicates(tmp_path):
    assert found(fill_library(tmp_path / "a.sqlite")) == []
    assert found(fill_library(tmp_path / "a.sqlite", {})) == []


def test_chains_are_one_group():
    assert joined([(5, 6), (1, 9), (6, 2), (9, 4), (7, 8), (8, 7)]) == [[1, 4, 9], [2, 5, 6], [7, 8]]
