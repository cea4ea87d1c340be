from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import song_frame, song_row

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.evaluation import cross_validation
from music_learning.evaluation.cross_validation import (
    fold_numbers,
    make_folds,
    predict_folds,
    predict_folds_with_baseline,
)
from music_learning.evaluation.predictions import PARTS, read_parts, read_predictions, write_predictions
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.artists import artist_groups
from music_learning.songs.corpus import Corpus
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.training.config import TrainingConfig

CONFIG = PipelineConfig(clip_s=4.0, n_mels=8)
CPU = torch.device("cpu")
N_FOLDS = 4


@pytest.fixture
def corpus(tmp_path):
    """48 songs by 20 artists, some of whom made songs together, and 5 extra ones; the level is the energy."""
    spectrograms = SpectrogramSet.create(tmp_path / "set", CONFIG)
    rows = []
    for k in range(53):
        artist = f"Artist {k % 20} & Artist {k % 20 + 1}" if k % 12 == 0 else f"Artist {k % 20}"
        rows.append(song_row(f"s{k:02}", artist=artist, energy=str(k / 52), preview_sha256="x"))
        spectrograms.append([(rows[-1], np.full((CONFIG.n_rows, 30), k - 90.0))])
    songs = song_frame(*rows)
    songs["split"] = ["train"] * 48 + ["extra"] * 5
    songs["group"] = artist_groups(songs[:48])
    return Corpus(songs, spectrograms)


def test_every_song_is_held_out_once(corpus):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    assert len(folds) == N_FOLDS
    held_out = pd.concat([fold.test for fold in folds])
    assert sorted(held_out.index) == list(corpus.without_extra.index)
    for fold in folds:
        assert sorted(fold.fitted.index.union(fold.test.index)) == sorted(
            [*corpus.without_extra.index, *fold.extra.index]
        )


@pytest.mark.parametrize("seed", range(3))
def test_no_artists_are_in_two_parts_of_a_fold(corpus, seed):
    for fold in make_folds(corpus, n_folds=N_FOLDS, seed=seed):
        train, validation, test = (set(part["group"]) for part in (fold.train, fold.validation, fold.test))
        assert train and validation and test
        assert not train & validation and not train & test and not validation & test
        held_out = {*fold.validation["artist"], *fold.test["artist"]}
        assert not held_out & set(fold.extra["artist"])


def test_extra_songs_are_in_the_folds_that_may_have_them(corpus):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    joined = pd.concat([fold.extra for fold in folds]).index
    assert set(joined) == set(corpus.songs.index[48:])
    assert len(joined) < 5 * N_FOLDS


def test_seed_decides_the_folds(corpus):
    def test_songs(seed):
        return [list(fold.test.index) for fold in make_folds(corpus, n_folds=N_FOLDS, seed=seed)]

    assert test_songs(1) == test_songs(1)
    assert test_songs(1) != test_songs(2)


def test_numbers_say_in_which_fold_a_song_is_held_out(corpus):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    numbers = fold_numbers(folds)
    for number, fold in enumerate(folds):
        assert list(corpus.without_extra.index[numbers == number]) == list(fold.test.index)


def test_baselines_are_fitted_without_the_held_out_songs(corpus):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    predicted = predict_folds_with_baseline("mean", folds)
    assert list(predicted.index) == list(corpus.without_extra.index)
    for fold in folds:
        others = corpus.without_extra["energy"].drop(fold.test.index)
        assert predicted.loc[fold.test.index, "energy"].to_numpy() == pytest.approx(others.mean())
    by_ridge = predict_folds_with_baseline("ridge", folds)
    np.testing.assert_allclose(by_ridge["energy"], corpus.without_extra["energy"], atol=0.03)


@pytest.fixture
def pretended(monkeypatch):
    """In place of training: models that predict the number of songs trained on, a thousandth for each."""
    trained = []

    def train(fold, config, *, device, paths, name):
        trained.append(name)
        model = SimpleNamespace(parts=len(fold.train_and_extra) / 1000, config=SimpleNamespace(networks_share=0.5))
        return dict.fromkeys(TARGETS, model), []

    monkeypatch.setattr(cross_validation, "train_ensembles", train)
    monkeypatch.setattr(
        cross_validation, "predict", lambda model, dataset, device: np.full((len(dataset), 3), model, np.float32)
    )
    return trained


def test_predictions_are_in_the_songs_order_and_kept(corpus, tmp_path, pretended):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    predicted = predict_folds(folds, TrainingConfig(), device=CPU, paths=ModelPaths(tmp_path))
    assert pretended == [f"fold{number}of4" for number in range(1, 5)]
    assert list(predicted) == list(TARGETS)
    for table in predicted.values():
        assert list(table.index) == list(corpus.without_extra.index)
        assert list(table.columns) == ["predicted", *PARTS]
        for fold in folds:
            assert table.loc[fold.test.index].to_numpy() == pytest.approx(len(fold.train_and_extra) / 1000)
    again = predict_folds(folds, TrainingConfig(), device=CPU, paths=ModelPaths(tmp_path))
    assert len(pretended) == 4
    for target in TARGETS:
        pd.testing.assert_frame_equal(again[target], predicted[target])


def test_only_a_fold_of_other_songs_is_trained_again(corpus, tmp_path, pretended):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    predict_folds(folds, TrainingConfig(), device=CPU, paths=ModelPaths(tmp_path))
    songs = folds[1].songs.copy()
    songs.loc[songs.index[0], "valence"] = 0.25
    folds[1] = Corpus(songs, corpus.spectrograms)
    predict_folds(folds, TrainingConfig(), device=CPU, paths=ModelPaths(tmp_path))
    assert pretended[4:] == ["fold2of4"]
    predict_folds(folds, TrainingConfig(epochs=3), device=CPU, paths=ModelPaths(tmp_path))
    assert len(pretended) == 9


def test_checkpoints_of_a_finished_fold_are_gone(corpus, tmp_path, pretended):
    folds = make_folds(corpus, n_folds=N_FOLDS, seed=0)
    config, paths = TrainingConfig(n_members=1), ModelPaths(tmp_path)
    (checkpoint,) = cross_validation.checkpoint_paths(folds[0], config, paths, "fold1of4")
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"left by a killed run")
    predict_folds(folds, config, device=CPU, paths=paths)
    assert not checkpoint.exists()


def test_predictions_survive_the_file_in_any_order(tmp_path):
    labels = pd.Series([0.25, 0.5], pd.Index(["b", "1,2"], dtype="string", name="song_id"))
    write_predictions(tmp_path / "a.csv", labels, np.array([0.1234567, 1]))
    assert (tmp_path / "a.csv").read_text() == 'song_id,true,predicted\nb,0.25,0.123457\n"1,2",0.5,1.000000\n'
    songs = pd.DataFrame(index=["1,2", "b"])
    assert read_predictions(tmp_path / "a.csv", songs).tolist() == [1, 0.123457]
    parts = pd.DataFrame({name: [0.1, 0.2] for name in PARTS}, index=labels.index)
    write_predictions(tmp_path / "a.csv", labels, np.array([0.5, 0.6]), parts)
    assert read_parts(tmp_path / "a.csv", songs).to_numpy().tolist() == [[0.6, 0.2, 0.2, 0.2], [0.5, 0.1, 0.1, 0.1]]


DAMAGED = {
    "a song gone": "b,0.25,0.1\n",
    "a song twice": "b,0.25,0.1\nb,0.25,0.1\na,0.5,0.2\n",
    "another song": "b,0.25,0.1\nc,0.5,0.2\n",
    "no prediction": "b,0.25,\na,0.5,0.2\n",
    "NaN": "b,0.25,nan\na,0.5,0.2\n",
    "above 1": "b,0.25,1.5\na,0.5,0.2\n",
    "text": "b,0.25,high\na,0.5,0.2\n",
    "nothing": "",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_predictions_are_a_sentence(tmp_path, case):
    (tmp_path / "a.csv").write_text("song_id,true,predicted\n" + DAMAGED[case])
    with pytest.raises(UserError, match=r"a\.csv"):
        read_predictions(tmp_path / "a.csv", pd.DataFrame(index=["a", "b"]))
