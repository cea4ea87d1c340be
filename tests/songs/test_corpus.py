import numpy as np
import pandas as pd
import pytest
from conftest import song_frame, song_row

from music_learning.columns import SPLITS
from music_learning.errors import UserError
from music_learning.files import write_table
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.corpus import Corpus, read_corpus
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs, read_splits, write_frame, write_songs

CONFIG = PipelineConfig(clip_s=4.0, n_mels=8)


@pytest.fixture
def corpus(tmp_path):
    """Songs a to h by artists A to H: two in each split, and two extra ones."""
    spectrograms = SpectrogramSet.create(tmp_path / "set", CONFIG)
    rows = [song_row(letter, artist=letter.upper(), preview_sha256="x") for letter in "abcdefgh"]
    spectrograms.append([(row, np.zeros((CONFIG.n_rows, 40), np.float32)) for row in rows])
    splits = [split for split in (*SPLITS, "extra") for _ in range(2)]
    return Corpus(song_frame(*rows).assign(split=splits, group=[*"abcdef", pd.NA, pd.NA]), spectrograms)


def ids(songs):
    return "".join(songs.index)


def test_parts_of_a_corpus(corpus):
    parts = (
        corpus.train,
        corpus.validation,
        corpus.test,
        corpus.extra,
        corpus.train_and_extra,
        corpus.fitted,
        corpus.without_extra,
    )
    assert [ids(part) for part in parts] == ["ab", "cd", "ef", "gh", "abgh", "abghcd", "abcdef"]
    assert ids(corpus.part("test", "train")) == "efab"


def test_extra_song_by_a_held_out_artist_is_not_trained_on(corpus):
    songs = corpus.songs.copy()
    songs.loc["g", "artist"] = "Somebody feat. C"
    songs.loc["h", "title"] = "A title (with F)"
    assert ids(Corpus(songs, corpus.spectrograms).train_and_extra) == "ab"


def test_other_splits_let_other_extra_songs_in(corpus):
    songs = corpus.songs.copy()
    songs.loc["g", "artist"] = "A"
    moved = Corpus(songs, corpus.spectrograms)
    assert ids(moved.train_and_extra) == "abgh"
    moved = moved.with_splits(pd.Series({letter: "test" if letter in "ab" else "train" for letter in "abcdef"}))
    assert (ids(moved.train_and_extra), ids(moved.test)) == ("cdefh", "ab")


def test_own_songs_and_their_groups_are_those_of_the_folder(loaded):
    corpus = read_corpus(DataPaths(loaded))
    assert list(corpus.without_extra.index) == list(read_songs(DataPaths(loaded)).index)
    assert corpus.extra.empty
    assert corpus.without_extra["group"].nunique() == 15
    assert {split: len(getattr(corpus, split)) for split in SPLITS} == {"train": 10, "validation": 4, "test": 4}


def test_song_of_two_folders_counts_once(loaded, own_data):
    paths = DataPaths(own_data)
    songs = read_songs(paths)
    write_songs(paths, songs.assign(energy=0.125, artist=[f"New {k}" for k in range(len(songs))]))
    corpus = read_corpus(DataPaths(loaded), [own_data, own_data])
    assert len(corpus.songs) == 18
    assert not (corpus.songs["energy"] == 0.125).any()


def test_songs_of_another_folder_are_extra(loaded, own_data):
    paths = DataPaths(own_data)
    songs = read_songs(paths)
    write_songs(paths, songs.rename(index=lambda song_id: f"more-{song_id}"))
    write_frame(paths.splits, read_splits(paths).rename(lambda song_id: f"more-{song_id}").to_frame())
    index = paths.spectrograms / "index.csv"
    index.write_text(index.read_text().replace("song", "more-song").replace("more-song_id", "song_id"))
    corpus = read_corpus(DataPaths(loaded), [own_data, own_data])
    assert len(corpus.songs) == 36
    assert (corpus.songs["split"][18:] == "extra").all()
    assert list(corpus.songs.index[18:]) == [f"more-{song_id}" for song_id in songs.index]
    assert list(corpus.songs.dtypes[["split", "group"]]) == ["string", "string"]


def test_song_without_a_split_is_left_out(own_data):
    paths = DataPaths(own_data)
    songs = read_songs(paths)
    write_songs(paths, pd.concat([songs, songs[:1].rename(index={songs.index[0]: "unplaced"})]))
    assert "unplaced" not in read_corpus(paths).songs.index


def test_nearly_empty_split_is_a_sentence(own_data):
    paths = DataPaths(own_data)
    rows = [{"song_id": song_id, "split": "train"} for song_id in read_songs(paths).index]
    write_table(paths.splits, ["song_id", "split"], rows)
    with pytest.raises(UserError, match="only 0 songs in the validation split, at least 2 are needed"):
        read_corpus(paths)
