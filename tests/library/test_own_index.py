from types import SimpleNamespace

import pytest
import torch
from conftest import fill_library

from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.embeddings import count_others
from music_learning.library.own_index import own_index
from music_learning.predict.similarity import SongIndex


def training_songs():
    songs = [{"song_id": str(n), "title": "", "artist": ""} for n in range(2)]
    return SongIndex(songs, torch.ones(2, 3), torch.arange(5.0), torch.ones(5, 3))


PREDICTOR = SimpleNamespace(models_version="m1", training_songs=training_songs())


def make(tmp_path, *songs):
    with Library.open(fill_library(tmp_path / "moods.sqlite", *songs)) as library:
        return own_index(library, PREDICTOR)


def test_songs_are_called_by_their_tags_or_their_files(tmp_path):
    index = make(
        tmp_path,
        {"title": "Title", "artist": "Artist", "file": "/music/one.mp3", "embedding": [1, 2, 3]} | {"date": "1987-05"},
        {"title": None, "artist": "Artist", "file": "/music/a\n.b/two.x.mp3", "embedding": [4, 5, 6]},
        {"title": "", "artist": None, "file": "s3://songs/three.flac", "embedding": [7, 8, 9]} | {"date": "?"},
    )
    assert list(index.songs) == [
        {"song_id": "1", "title": "Title", "artist": "Artist", "path": "/music/one.mp3", "release_year": "1987"},
        {"song_id": "2", "title": "two.x", "artist": "Artist", "path": "/music/a\n.b/two.x.mp3", "release_year": ""},
        {"song_id": "3", "title": "three", "artist": "", "path": "s3://songs/three.flac", "release_year": ""},
    ]
    assert index.components.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert torch.equal(index.mean, PREDICTOR.training_songs.mean)
    assert torch.equal(index.basis, PREDICTOR.training_songs.basis)


def test_only_usable_songs_count_and_copies_once(tmp_path):
    """Of copies the first that is usable counts, whatever is wrong with another one."""
    index = make(
        tmp_path,
        {"sha256": "a", "missing": "2026-01-01T00:00:00Z"},
        {"sha256": "a", "model": "m0"},
        {"sha256": "a"},
        {"sha256": "a"},
        {"sha256": "b", "error": "silent"},
        {"sha256": None},
        {"sha256": None},
    )
    assert [song["song_id"] for song in index.songs] == ["3", "6", "7"]


def test_tags_that_no_table_holds_are_cut(tmp_path):
    index = make(tmp_path, {"title": "a\0b", "artist": "x" * 2_000_000}, {"title": "\0"})
    index.save(tmp_path / "index", {})
    opened = SongIndex.open(tmp_path / "index", {})
    assert [song["title"] for song in opened.songs] == ["ab", "2"]
    assert opened.songs[0]["artist"] == "x" * 1000


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_songs_are_a_sentence(tmp_path, n):
    path = tmp_path / "moods.sqlite"
    with pytest.raises(UserError, match=f"has {n} songs that these models heard, .* FOLDER --library {path}"):
        make(tmp_path, {"error": "silent"}, *[{}] * n)


@pytest.mark.parametrize("embeddings", [([1, 2, 3], [1, 2]), ([], []), ([1, 2], [3, 4])])
def test_damaged_embeddings_are_a_sentence(tmp_path, embeddings):
    with pytest.raises(UserError, match=r"is damaged: its? .*embeddings"):
        make(tmp_path, *({"embedding": embedding} for embedding in embeddings))


def test_songs_of_other_models_are_counted(tmp_path):
    path = fill_library(
        tmp_path / "moods.sqlite", {}, {"model": "m2"}, {"model": "m0", "error": "silent"}, {"model": "m3"}
    )
    with Library.open(path) as library:
        assert count_others(library, "m1") == 2
        assert count_others(library, "m1", "model = ?", ("m3",)) == 1
    with Library.open(fill_library(tmp_path / "other.sqlite", {})) as library:
        assert count_others(library, "m1") == 0
