import numpy as np
import pytest
from conftest import song_row

from music_learning.columns import SONG_COLUMNS
from music_learning.errors import UserError
from music_learning.files import write_table
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.saved import SavedSongs, labels_of
from music_learning.songs.spectrograms import SpectrogramSet

CONFIG = PipelineConfig(clip_s=4.0)


@pytest.fixture
def paths(tmp_path):
    """Two songs with their spectrograms."""
    paths, songs = DataPaths(tmp_path), [song_row(name, title=name, preview_sha256="x") for name in "ab"]
    spectrograms = SpectrogramSet.create(paths.spectrograms, CONFIG)
    spectrograms.append([(song, np.full((CONFIG.n_rows, 100), -40.0)) for song in songs])
    write_table(paths.songs, SONG_COLUMNS, songs)
    return paths


def test_whole_songs_are_opened(paths):
    saved = SavedSongs.open(paths)
    assert [labels_of(song)["energy"] for song in saved.songs] == [0.5, 0.5]
    assert (saved.spectrograms.tensor("b") == -40).all()


@pytest.mark.parametrize("label", ["", "nan", "high", "1.5", "-0.1", "9" * 400])
def test_song_with_a_damaged_label_is_a_sentence(paths, label):
    write_table(paths.songs, SONG_COLUMNS, [song_row("a"), song_row("b", valence=label)])
    with pytest.raises(UserError, match=r"songs\.csv: the valence of b is '.*, no number from 0 to 1"):
        SavedSongs.open(paths)


@pytest.mark.parametrize("song_id", ["", "../a", "a b", "a" * 129])
def test_song_with_an_unsafe_id_is_a_sentence(paths, song_id):
    write_table(paths.songs, SONG_COLUMNS, [song_row(song_id)])
    with pytest.raises(
        UserError, match=r"songs\.csv is damaged .* is no song_id.*; .*make it again with data_loading\.py"
    ):
        SavedSongs.open(paths)


def test_hole_in_the_data_is_a_sentence(paths):
    data = paths.spectrograms / "spectrograms.f16"
    levels = np.fromfile(data, "<f2").reshape(2, -1)
    levels[1, 7 * CONFIG.clip_frames : 8 * CONFIG.clip_frames] = 0  # a mel band
    levels.tofile(data)
    with pytest.raises(UserError, match="the spectrogram of b has levels that none can have"):
        SavedSongs.open(paths).spectrograms.tensor("b")


@pytest.mark.parametrize("level", [np.nan, np.inf, -np.inf, -122.0, 6e4])
def test_level_that_none_can_have_is_a_sentence(paths, level):
    data = paths.spectrograms / "spectrograms.f16"
    levels = np.fromfile(data, "<f2").reshape(2, -1)
    levels[1, CONFIG.n_mels * CONFIG.clip_frames] = level  # the peak in the first frame of the last row
    levels.tofile(data)
    saved = SavedSongs.open(paths)
    assert (saved.spectrograms.tensor("a") == -40).all()
    with pytest.raises(UserError, match=r"f16 is damaged .the spectrogram of b has levels that none can have.; delete"):
        saved.spectrograms.tensor("b")
