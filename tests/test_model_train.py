import dataclasses
import json
import shutil
import time

import numpy as np
import pytest
import torch
from conftest import call_main, library_splits, read_rows, start

import baselines
import model_train
from artifacts import SPLITS, TARGETS, DataPaths, ModelPaths, SpectrogramSet, read_songs
from errors import UserError
from evaluation import Metrics
from model_train import RESULT_COLUMNS, Songs, TrainingConfig, learning_rate_factor, train_network
from network import NetworkConfig, load_model
from pipeline import AudioPipeline, PipelineConfig

CPU = torch.device("cpu")
PIPELINE = PipelineConfig(clip_s=4.0)
QUICK = dataclasses.replace(
    TrainingConfig(),
    network=NetworkConfig(n_mels=PIPELINE.n_mels),
    n_members=1,
    epochs=3,
    settled=0.0,
    validate_every=1,
    smoothing=1,
    patience=10,
    batch_size=4,
    crop_frames=48,
)
FAST_FLAGS = ("--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu", "--baselines")


@pytest.fixture(scope="module")
def loud_and_quiet(tmp_path_factory):
    """Noise whose level is the label: 24 training, 8 validation and 4 test songs."""
    generator = np.random.default_rng(0)
    spectrograms = SpectrogramSet.create(tmp_path_factory.mktemp("loud_and_quiet") / "set", PIPELINE)
    pipeline, songs = AudioPipeline(PIPELINE), []
    for number in range(36):
        energy = generator.random()
        noise = generator.standard_normal(48_000) * 10 ** (2 * energy - 2.5)
        song = dict.fromkeys(TARGETS, f"{energy:.4f}") | {"song_id": f"s{number}", "preview_sha256": "x"}
        spectrograms.append([(song, pipeline(torch.tensor(noise, dtype=torch.float32)).numpy())])
        songs.append(song)
    return Songs(spectrograms, songs[:24], songs[24:32], songs[32:])


def train(songs, config, checkpoint, *, progress=lambda training: None):
    return train_network(songs, config, device=CPU, checkpoint=checkpoint, progress=progress)


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def assert_same_best(one, other):
    for target in TARGETS:
        assert_same_weights(one.best[target], other.best[target])


def some_weights_differ(one, other):
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def uninterrupted(loud_and_quiet, tmp_path_factory):
    return train(loud_and_quiet, QUICK, tmp_path_factory.mktemp("uninterrupted") / "a.safetensors")


def test_training_beats_the_mean_on_validation_songs(loud_and_quiet, tmp_path):
    config = dataclasses.replace(QUICK, epochs=12, patience=12)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    truth = np.array([float(song["energy"]) for song in loud_and_quiet.validation])
    mean = np.mean([float(song["energy"]) for song in loud_and_quiet.train])
    dataset = model_train.SpectrogramDataset(loud_and_quiet.spectrograms, loud_and_quiet.validation, ("energy",))
    network = training.average.only("energy")
    network.load_state_dict(training.best["energy"])
    predicted = model_train.predict(network, dataset, CPU)[:, 0]
    assert np.mean((predicted - truth) ** 2) < 0.5 * np.mean((mean - truth) ** 2)


def test_history_has_two_losses_for_each_epoch_and_target(uninterrupted):
    assert np.shape(uninterrupted.history) == (3, 2, len(TARGETS))
    assert np.isfinite(uninterrupted.history).all()
    validation = np.array([losses for _, losses in uninterrupted.history])
    assert list(uninterrupted.best_epoch.values()) == (np.argmin(validation, axis=0) + 1).tolist()


def test_same_seed_same_weights(loud_and_quiet, uninterrupted, tmp_path):
    torch.manual_seed(12345)  # whatever chance was used before
    again = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")
    assert again.history == uninterrupted.history
    assert_same_best(again, uninterrupted)


def test_other_seed_other_weights(loud_and_quiet, uninterrupted, tmp_path):
    other = train(loud_and_quiet, dataclasses.replace(QUICK, seed=1), tmp_path / "a.safetensors")
    assert all(some_weights_differ(other.best[target], uninterrupted.best[target]) for target in TARGETS)


@pytest.mark.parametrize("done", [1, 2])
def test_interrupted_training_ends_with_the_same_weights(loud_and_quiet, uninterrupted, tmp_path, done):
    def stop(training):
        if len(training.history) == done:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(loud_and_quiet, QUICK, checkpoint, progress=stop)
    epochs = []
    again = train(loud_and_quiet, QUICK, checkpoint, progress=lambda training: epochs.append(len(training.history)))
    assert epochs == list(range(done + 1, 4))
    assert again.history == uninterrupted.history
    assert_same_best(again, uninterrupted)
    assert_same_weights(again.network.state_dict(), uninterrupted.network.state_dict())


def test_finished_training_is_not_done_again(loud_and_quiet, uninterrupted, tmp_path):
    train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")

    def fail(training):
        raise AssertionError("trained again")

    again = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors", progress=fail)
    assert_same_best(again, uninterrupted)


DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "no safetensors": lambda data: b"no checkpoint" * 100,
    "damaged header": lambda data: data[:40] + b"\xff" * 40 + data[80:],
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_checkpoint_is_ignored(loud_and_quiet, uninterrupted, tmp_path, case):
    def stop(training):
        raise KeyboardInterrupt

    checkpoint = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(loud_and_quiet, QUICK, checkpoint, progress=stop)
    checkpoint.write_bytes(DAMAGE[case](checkpoint.read_bytes()))
    assert_same_best(train(loud_and_quiet, QUICK, checkpoint), uninterrupted)


@pytest.mark.parametrize("label", ["0.5", "0", "1"])
def test_equal_labels_are_learned_without_a_crash(loud_and_quiet, tmp_path, label):
    songs = [[song | {"energy": label} for song in getattr(loud_and_quiet, split)] for split in SPLITS]
    config = dataclasses.replace(QUICK, epochs=1)
    training = train(Songs(loud_and_quiet.spectrograms, *songs), config, tmp_path / "a.safetensors")
    assert np.isfinite(training.history).all()
    assert all(tensor.isfinite().all() for best in training.best.values() for tensor in best.values())


def test_training_stops_without_improvement(loud_and_quiet, tmp_path, monkeypatch):
    """Labels of chance can't be learned; the losses are set, so that the first epoch stays the best."""
    predictions = iter([0.5, 3, 4, 5, 6, 7, 8])
    monkeypatch.setattr(model_train, "predict", lambda *_: np.full((8, 3), next(predictions), np.float32))
    config = dataclasses.replace(QUICK, epochs=7, patience=2)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    assert len(training.history) == 3
    assert set(training.best_epoch.values()) == {1}


def test_best_weights_are_those_of_the_best_epoch(loud_and_quiet, uninterrupted, tmp_path, monkeypatch):
    predictions = iter([3, 0.5, 4])
    monkeypatch.setattr(model_train, "predict", lambda *_: np.full((8, 3), next(predictions), np.float32))
    averages = []
    training = train(
        loud_and_quiet,
        QUICK,
        tmp_path / "a.safetensors",
        progress=lambda training: averages.append(training.average.only("valence").state_dict()),
    )
    assert training.best_epoch["valence"] == 2
    assert_same_weights(training.best["valence"], averages[1])
    assert some_weights_differ(training.best["valence"], averages[2])


def test_each_target_keeps_its_own_best_epoch(loud_and_quiet, tmp_path, monkeypatch):
    predictions = iter(np.array([[0.5, 3, 4], [3, 0.5, 3], [4, 4, 0.5]], np.float32))
    monkeypatch.setattr(model_train, "predict", lambda *_: np.tile(next(predictions), (8, 1)))
    training = train(loud_and_quiet, QUICK, tmp_path / "a.safetensors")
    assert training.best_epoch == dict(zip(TARGETS, (1, 2, 3), strict=True))


def test_validation_begins_when_training_has_settled(loud_and_quiet, tmp_path):
    config = dataclasses.replace(QUICK, epochs=6, settled=0.5, validate_every=2)
    training = train(loud_and_quiet, config, tmp_path / "a.safetensors")
    assert [validation is not None for _, validation in training.history] == [False, False, True, False, True, True]
    assert all(epoch in (3, 5, 6) for epoch in training.best_epoch.values())


def test_learning_rate_rises_and_falls():
    rates = [learning_rate_factor(done, 0.15) for done in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert np.argmax(rates) == 15
    assert rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:16]) > 0).all()
    assert (np.diff(rates[15:]) < 0).all()


def test_band_statistics_are_those_of_the_training_frames(loud_and_quiet):
    mean, deviation = loud_and_quiet.band_statistics
    spectrograms = loud_and_quiet.spectrograms
    rows = [(spectrograms.rows[s["song_id"]], spectrograms.frames(s["song_id"])) for s in loud_and_quiet.train]
    frames = np.concatenate(
        [spectrograms.memory_map()[row, :, :length].astype(np.float64) for row, length in rows], axis=1
    )
    np.testing.assert_allclose(mean, frames.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(deviation, frames.std(axis=1), rtol=1e-3)


def test_fingerprint_changes_with_all_that_decides_a_model(loud_and_quiet):
    songs = loud_and_quiet
    relabelled = [songs.train[0] | {"valence": "0.123"}, *songs.train[1:]]
    other_clip = [songs.train[0] | {"preview_sha256": "y"}, *songs.train[1:]]
    moved = Songs(songs.spectrograms, songs.train[1:], [*songs.validation, songs.train[0]], songs.test)
    prints = [
        model_train.fingerprint(songs, QUICK),
        model_train.fingerprint(songs, dataclasses.replace(QUICK, learning_rate=1e-5)),
        model_train.fingerprint(songs, dataclasses.replace(QUICK, seed=1)),
        model_train.fingerprint(dataclasses.replace(songs, train=relabelled), QUICK),
        model_train.fingerprint(dataclasses.replace(songs, train=other_clip), QUICK),
        model_train.fingerprint(moved, QUICK),
    ]
    assert len(set(prints)) == len(prints)
    assert model_train.fingerprint(dataclasses.replace(songs), QUICK) == prints[0]


def test_script_writes_its_files(trained):
    paths = ModelPaths(trained)
    for target in TARGETS:
        assert paths.picture(f"{target}_loss").read_bytes().startswith(b"\x89PNG")
        assert paths.picture(f"{target}_test").read_bytes().startswith(b"\x89PNG")
        rows = read_rows(paths.predictions(target, "test"))
        assert [row["song_id"] for row in rows] == ["song14", "song15", "song16", "song17"]
        assert all(0 <= float(row["predicted"]) <= 1 for row in rows)
    assert not list(trained.glob("checkpoints/*.safetensors"))


def test_predictions_are_beside_the_true_labels(trained, loaded):
    labels = {song["song_id"]: song["danceability"] for song in read_songs(DataPaths(loaded))}
    rows = read_rows(ModelPaths(trained).predictions("danceability", "test"))
    assert all(row["true"] == labels[row["song_id"]] for row in rows)


def test_written_predictions_are_those_of_the_saved_model(trained, loaded):
    spectrograms = SpectrogramSet.open(DataPaths(loaded).spectrograms)
    model, _ = load_model(ModelPaths(trained), "energy")
    for row in read_rows(ModelPaths(trained).predictions("energy", "test")):
        frames = spectrograms.frames(row["song_id"])
        clip = spectrograms.memory_map()[spectrograms.rows[row["song_id"]], :, :frames].astype(np.float32)
        with torch.inference_mode():
            assert float(model(torch.from_numpy(clip)[None])) == pytest.approx(float(row["predicted"]), abs=1e-5)


def test_results_have_a_row_for_each_measurement(trained):
    path = ModelPaths(trained).results
    assert path.read_text().splitlines()[0].split(",") == list(RESULT_COLUMNS)
    rows = read_rows(path)
    expected = {
        (target, model, split)
        for target in TARGETS
        for model, split in (("ours", "test"), ("mean", "test"), ("ridge", "test"))
    }
    assert {(row["target"], row["model"], row["split"]) for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert row["n"] == "4"
        assert float(row["r2_low"]) <= float(row["r2_high"]) <= 1
        assert 0 <= float(row["mae_low"]) <= float(row["mae"]) <= float(row["mae_high"])


def test_description_says_how_the_model_was_made(trained):
    for target in TARGETS:
        description = json.loads(ModelPaths(trained).description(target).read_text())
        assert description["target"] == target
        assert description["n_members"] == 1
        assert description["training"]["epochs"] == 1
        assert description["training"]["seed"] == 0
        assert description["best_epochs"] == [1]
        assert {split: description["data"][split] for split in SPLITS} == {"train": 10, "validation": 4, "test": 4}
        assert set(description["metrics"]) == {"test"}
        assert len(description["best_validation_losses"]) == len(description["best_epochs"])
        assert set(description["metrics"]["test"]) == {field.name for field in dataclasses.fields(Metrics)}
        assert description["versions"]["torch"] == torch.__version__
        assert PipelineConfig.from_dict(description["pipeline"]) == PipelineConfig()


def test_nothing_is_pickled(trained):
    for path in trained.rglob("*"):
        assert path.suffix in ("", ".safetensors", ".json", ".csv", ".png")


def test_trained_target_is_not_trained_again(loaded, own_models, capsys, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(model_train, "train_network", fail)
    weights = ModelPaths(own_models).weights("energy")
    before = weights.read_bytes(), weights.stat().st_mtime_ns
    call_main(model_train, *FAST_FLAGS, "mean", "--data", loaded, "--models", own_models)
    assert "energy: trained already with these settings" in capsys.readouterr().out
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == before
    assert not ModelPaths(own_models).previous.exists()


def test_damaged_model_is_trained_again(loaded, own_models):
    weights = ModelPaths(own_models).weights("energy")
    before = weights.read_bytes()
    weights.write_bytes(b"damaged")
    call_main(model_train, *FAST_FLAGS, "--data", loaded, "--models", own_models)
    assert weights.read_bytes() == before


def test_other_settings_train_again_and_keep_the_model_before(loaded, own_models):
    paths = ModelPaths(own_models)
    before = paths.weights("energy").read_bytes()
    flags = ["--target", "energy", "--epochs", 1, "--members", 1, "--seed", 1, "--device", "cpu", "--baselines"]
    call_main(model_train, *flags, "--data", loaded, "--models", own_models)
    assert paths.weights("energy").read_bytes() != before
    assert (paths.previous / "energy.safetensors").read_bytes() == before


def test_flags_reach_the_training(loaded, tmp_path):
    flags = [
        "--target",
        "valence",
        "--epochs",
        2,
        "--members",
        2,
        "--seed",
        7,
        "--device",
        "cpu",
        "--baselines",
        "mean",
    ]
    call_main(model_train, *flags, "--data", loaded, "--models", tmp_path)
    paths = ModelPaths(tmp_path)
    description = json.loads(paths.description("valence").read_text())
    assert description["n_members"] == 2
    assert len(description["best_epochs"]) == 2
    assert description["training"]["epochs"] == 2
    assert description["training"]["seed"] == 7
    model, _ = load_model(paths, "valence")
    assert some_weights_differ(model.members[0].state_dict(), model.members[1].state_dict())
    assert not paths.description("energy").exists()
    assert {row["model"] for row in read_rows(paths.results)} == {"ours", "mean"}


def test_more_epochs_give_other_weights(loaded, trained, tmp_path):
    flags = ["--target", "energy", "--epochs", 2, "--members", 1, "--device", "cpu", "--baselines"]
    call_main(model_train, *flags, "--data", loaded, "--models", tmp_path)
    ours, theirs = (load_model(ModelPaths(models), "energy")[0] for models in (tmp_path, trained))
    assert some_weights_differ(ours.state_dict(), theirs.state_dict())


def test_target_may_be_repeated(loaded, trained, tmp_path):
    flags = ["--target", "valence", "--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu"]
    call_main(model_train, *flags, "--baselines", "--data", loaded, "--models", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["energy.safetensors", "valence.safetensors"]
    for target in ("energy", "valence"):  # one target's training does not change another's
        weights = [ModelPaths(models).weights(target).read_bytes() for models in (tmp_path, trained)]
        assert weights[0] == weights[1]


def test_original_recipe_is_measured_and_remembered(loaded, own_models, monkeypatch):
    monkeypatch.setattr(baselines, "RECIPE_EPOCHS", dict.fromkeys(TARGETS, 1))
    flags = [*FAST_FLAGS, "original", "--data", loaded, "--models", own_models]
    call_main(model_train, *flags)
    (row,) = (row for row in read_rows(own_models / "results.csv") if row["model"] == "original")
    assert (row["target"], row["split"], row["n"]) == ("energy", "test", "4")

    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(baselines, "train_original_recipe", fail)
    call_main(model_train, *flags)
    assert row in read_rows(own_models / "results.csv")


def test_original_recipe_names_a_preview_that_is_gone(own_data, own_models):
    preview = DataPaths(own_data).previews / "song05.wav"
    preview.unlink()
    with pytest.raises(UserError, match=r"song05\.wav"):
        call_main(model_train, *FAST_FLAGS, "original", "--data", own_data, "--models", own_models)


def test_results_of_other_measurements_stay(tmp_path):
    def row(model, r2):
        return dict.fromkeys(RESULT_COLUMNS, "0") | {"target": "energy", "model": model, "split": "test", "r2": r2}

    model_train.update_results(tmp_path / "results.csv", [row("ours", "0.1"), row("mean", "0.0")])
    model_train.update_results(tmp_path / "results.csv", [row("ours", "0.2")])
    assert [(row["model"], row["r2"]) for row in read_rows(tmp_path / "results.csv")] == [
        ("mean", "0.0"),
        ("ours", "0.2"),
    ]


@pytest.fixture(scope="module")
def cross_validated(loaded, tmp_path_factory):
    models = tmp_path_factory.mktemp("cross_validated")
    flags = ["--folds", 3, "--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu"]
    call_main(model_train, *flags, "--data", loaded, "--models", models)
    return ModelPaths(models)


def test_cross_validation_measures_all_songs_together(cross_validated):
    rows = read_rows(cross_validated.results)
    assert {(row["target"], row["model"], row["split"], row["n"]) for row in rows} == {
        ("energy", model, "3-fold", "18") for model in ("ours", "ridge", "mean")
    }


def test_cross_validation_predicts_each_song_once(cross_validated, loaded):
    rows = read_rows(cross_validated.predictions("energy", "3-fold"))
    songs = read_songs(DataPaths(loaded))
    assert [row["song_id"] for row in rows] == [song["song_id"] for song in songs]
    assert [row["true"] for row in rows] == [song["energy"] for song in songs]
    assert all(0 < float(row["predicted"]) < 1 for row in rows)


def test_cross_validation_never_hears_the_held_out_artists(loaded, tmp_path, monkeypatch):
    folds = []

    class Done(Exception):
        pass

    def note(songs, config, **_):
        folds.append(songs)
        raise Done

    monkeypatch.setattr(model_train, "train_ensembles", note)
    for seed in range(4):
        flags = ["--folds", 3, "--target", "energy", "--device", "cpu", "--seed", seed]
        with pytest.raises(Done):
            call_main(model_train, *flags, "--data", loaded, "--models", tmp_path)
    assert len(folds) == 4
    for songs in folds:
        artists = [{song["artist"] for song in getattr(songs, split)} for split in SPLITS]
        assert all(artists)
        assert not artists[0] & artists[1]
        assert not artists[0] & artists[2]
        assert not artists[1] & artists[2]
        assert sum(len(getattr(songs, split)) for split in SPLITS) == 18


def test_cross_validation_leaves_the_models_alone(cross_validated):
    assert not cross_validated.weights("energy").exists()
    assert not cross_validated.description("energy").exists()
    assert cross_validated.picture("energy_3-fold").exists()


def test_cross_validation_goes_on_where_it_was(cross_validated, loaded, monkeypatch):
    before = cross_validated.results.read_bytes()

    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(model_train, "train_network", fail)
    flags = ["--folds", 3, "--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu"]
    call_main(model_train, *flags, "--data", loaded, "--models", cross_validated.root)
    assert cross_validated.results.read_bytes() == before


def test_more_folds_than_artists_is_a_sentence(loaded, tmp_path):
    with pytest.raises(UserError, match="--folds 15 needs twice as many artists; there are 15"):
        call_main(model_train, "--folds", 15, "--data", loaded, "--models", tmp_path, "--device", "cpu")


def test_missing_stages_name_the_next_command(own_data, tmp_path):
    paths = DataPaths(own_data)
    flags = [*FAST_FLAGS, "--data", own_data, "--models", tmp_path / "models"]
    shutil.rmtree(paths.spectrograms)
    with pytest.raises(UserError, match=r"pipeline\.json is missing; run data_loading\.py first"):
        call_main(model_train, *flags)
    paths.splits.unlink()
    with pytest.raises(UserError, match=r"splits\.csv is missing; run data_loading\.py first"):
        call_main(model_train, *flags)
    with pytest.raises(UserError, match=r"(splits|songs)\.csv is missing; run data_\w+\.py first"):
        call_main(model_train, *FAST_FLAGS, "--data", tmp_path / "gone", "--models", tmp_path / "models")


def test_song_without_an_up_to_date_spectrogram_is_named(own_data, tmp_path):
    songs = DataPaths(own_data).songs
    row = next(line for line in songs.read_text().splitlines() if line.startswith("song04,"))
    songs.write_text(songs.read_text().replace(row, row[:-4] + "0000"))
    with pytest.raises(UserError, match=r"1 songs, song04 first, lack .*; run data_loading\.py first"):
        call_main(model_train, *FAST_FLAGS, "--data", own_data, "--models", tmp_path / "models")


@pytest.mark.parametrize("split", SPLITS)
def test_nearly_empty_split_is_named(own_data, tmp_path, split):
    rows = [row for row in library_splits() if row["split"] != split]
    model_train.write_table(DataPaths(own_data).splits, ["song_id", "split"], rows)
    with pytest.raises(UserError, match=f"only 0 songs in the {split} split"):
        call_main(model_train, *FAST_FLAGS, "--data", own_data, "--models", tmp_path / "models")


def test_device_that_is_not_there_is_a_sentence(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"there is no {device} device here; use --device auto"):
            call_main(model_train, "--device", device, "--data", loaded, "--models", tmp_path)
    assert model_train.select_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert model_train.select_device("auto").type == "cuda"
    assert model_train.select_device("cpu") == CPU


BAD_FLAGS = [
    ("--device", "abacus"),
    ("--target", "loudness"),
    ("--epochs", "0"),
    ("--members", "0"),
    ("--folds", "1"),
    ("--baselines", "magic"),
]


@pytest.mark.parametrize(("flag", "value"), BAD_FLAGS)
def test_bad_flag_is_named(capsys, flag, value):
    with pytest.raises(SystemExit) as caught:
        call_main(model_train, flag, value)
    assert caught.value.code == 2
    assert flag in capsys.readouterr().err


def test_kill_9_and_again_ends_with_the_same_weights(loaded, tmp_path):
    flags = ["--target", "energy", "--epochs", 6, "--members", 2, "--device", "cpu", "--baselines", "--data", loaded]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    call_main(model_train, *flags, "--models", whole)
    with start("model_train.py", *flags, "--models", killed) as process:
        while not list(killed.glob("checkpoints/[!.]*.safetensors")) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        stderr = process.stderr.read()
    assert process.returncode == -9, stderr
    assert not ModelPaths(killed).weights("energy").exists()
    call_main(model_train, *flags, "--models", killed)
    assert ModelPaths(killed).weights("energy").read_bytes() == ModelPaths(whole).weights("energy").read_bytes()
    assert not list(killed.glob("checkpoints/[!.]*.safetensors"))  # the killed run may leave a hidden half file
    descriptions = [json.loads(ModelPaths(root).description("energy").read_text()) for root in (killed, whole)]
    assert descriptions[0] == descriptions[1]
