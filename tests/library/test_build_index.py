import json

import pytest
import torch
from conftest import call_main, read_rows, run_python

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import write_table
from music_learning.library import build_index
from music_learning.paths import DataPaths, ModelPaths
from music_learning.predict.similarity import SongIndex


def weights(models):
    return {
        target: json.loads(ModelPaths(models).description(target).read_text())["weights_sha256"] for target in TARGETS
    }


def test_index_holds_the_folder_s_songs(loaded, trained, tmp_path, capsys):
    assert call_main(build_index, "--data", loaded, "--models", trained, "--index", tmp_path / "index") == 0
    assert capsys.readouterr().out == f"18 songs in {tmp_path / 'index'}\n"
    index = SongIndex.open(tmp_path / "index", weights(trained))
    songs = read_rows(DataPaths(loaded).songs)
    assert [song["song_id"] for song in index.songs] == [song["song_id"] for song in songs]
    assert [song["title"] for song in index.songs] == [song["title"] for song in songs]
    embeddings = index.components @ torch.linalg.pinv(index.basis) + index.mean
    for row in (0, 17):
        assert index.nearest(embeddings[row], 1)[0].song_id == songs[row]["song_id"]


def test_song_of_a_changed_preview_is_left_out(own_data, trained, tmp_path):
    paths = DataPaths(own_data)
    songs = read_rows(paths.songs)
    songs[4]["preview_sha256"] = "0" * 64
    write_table(paths.songs, songs[0], songs)
    call_main(build_index, "--data", own_data, "--models", trained, "--index", tmp_path / "index")
    assert "song04" not in {song["song_id"] for song in SongIndex.open(tmp_path / "index", weights(trained)).songs}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_songs_are_a_sentence(own_data, trained, tmp_path, n):
    paths = DataPaths(own_data)
    songs = read_rows(paths.songs)
    write_table(paths.songs, songs[0], songs[:n])
    with pytest.raises(UserError, match=f"holds {n} of the songs, at least 2 are needed; run data_loading.py"):
        call_main(build_index, "--data", own_data, "--models", trained, "--index", tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_missing_models_name_the_next_command(loaded, tmp_path):
    with pytest.raises(UserError, match=r"energy\.json is missing; run model_train\.py first"):
        call_main(build_index, "--data", loaded, "--models", tmp_path / "gone", "--index", tmp_path / "index")


def test_command_starts_and_needs_its_folders():
    done = run_python("-m", "music_learning.library.build_index")
    assert done.returncode == 2
    assert "--data, --index" in done.stderr
