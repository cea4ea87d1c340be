import dataclasses
import json
import re
import shutil
from unittest.mock import patch

import pytest
import torch
from conftest import call_main, library_splits, read_rows, run_python, some_weights_differ

import model_train
from music_learning.columns import SONG_COLUMNS, SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.evaluation import baselines
from music_learning.evaluation.conformal import Interval, read_intervals
from music_learning.evaluation.metrics import Metrics
from music_learning.evaluation.report import RESULT_COLUMNS
from music_learning.files import write_table
from music_learning.model.ensemble import load_model
from music_learning.paths import RELEASED_MODELS, DataPaths, ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict import predictor
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs
from music_learning.training import fit
from music_learning.training.device import select_device

CPU = torch.device("cpu")
FAST_FLAGS = ("--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu", "--baselines")


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
    labels = read_songs(DataPaths(loaded))["danceability"]
    rows = read_rows(ModelPaths(trained).predictions("danceability", "test"))
    assert all(float(row["true"]) == labels[row["song_id"]] for row in rows)


def test_written_predictions_are_those_of_the_saved_model(trained, loaded):
    spectrograms = SpectrogramSet.open(DataPaths(loaded).spectrograms)
    model, _ = load_model(ModelPaths(trained), "energy")
    for row in read_rows(ModelPaths(trained).predictions("energy", "test")):
        with torch.inference_mode():
            assert float(model(spectrograms.tensor(row["song_id"])[None])) == pytest.approx(
                float(row["predicted"]), abs=1e-5
            )


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
        assert path.suffix in ("", ".safetensors", ".json", ".csv", ".png", ".lock")


def test_trained_target_is_not_trained_again(loaded, own_models, capsys, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(fit, "train_network", fail)
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


@pytest.fixture(scope="module")
def cross_validated(loaded, tmp_path_factory):
    models = tmp_path_factory.mktemp("cross_validated")
    flags = ["--folds", 3, "--target", "energy", "--epochs", 1, "--members", 1, "--device", "cpu"]
    call_main(model_train, *flags, "--data", loaded, "--models", models)
    return ModelPaths(models)


def test_cross_validation_measures_all_songs_together(cross_validated):
    rows = read_rows(cross_validated.results)
    assert {(row["target"], row["model"], row["split"], row["n"]) for row in rows} == {
        ("energy", model, "3-fold", "18") for model in ("ours", "networks", "kernel", "ridge", "mean")
    }


def test_cross_validation_predicts_each_song_once(cross_validated, loaded):
    rows = read_rows(cross_validated.predictions("energy", "3-fold"))
    songs = read_songs(DataPaths(loaded))
    assert [row["song_id"] for row in rows] == list(songs.index)
    assert [float(row["true"]) for row in rows] == list(songs["energy"])
    assert all(0 < float(row["predicted"]) < 1 for row in rows)


def test_cross_validation_never_hears_the_held_out_artists(loaded, tmp_path, monkeypatch):
    folds = []

    class Done(Exception):
        pass

    def note(corpus, config, **_):
        folds.append(corpus)
        raise Done

    monkeypatch.setattr("music_learning.evaluation.cross_validation.train_ensembles", note)
    for seed in range(4):
        flags = ["--folds", 3, "--target", "energy", "--device", "cpu", "--seed", seed]
        with pytest.raises(Done):
            call_main(model_train, *flags, "--data", loaded, "--models", tmp_path)
    assert len(folds) == 4
    for corpus in folds:
        artists = [set(getattr(corpus, split)["artist"]) for split in SPLITS]
        assert all(artists)
        assert not artists[0] & artists[1]
        assert not artists[0] & artists[2]
        assert not artists[1] & artists[2]
        assert sum(len(getattr(corpus, split)) for split in SPLITS) == 18


def test_cross_validation_says_how_wide_the_intervals_are(cross_validated):
    intervals = json.loads(cross_validated.intervals.read_text())
    assert set(intervals) == {"energy"}
    low, high = Interval.from_dict(intervals["energy"]).around([0.2, 0.8], 0.1)
    assert (low < high).all()
    assert intervals["energy"]["measured"]["n"] == 18
    assert cross_validated.picture("energy_calibration").exists()


CROSS_VALIDATION = ("--folds", 3, "--epochs", 1, "--members", 1, "--device", "cpu", "--baselines")


def test_intervals_belong_to_the_models_that_are_there(loaded, own_models, capsys, caplog):
    paths = ModelPaths(own_models)

    def weights():
        return {target: json.loads(paths.description(target).read_text())["weights_sha256"] for target in TARGETS}

    call_main(model_train, *CROSS_VALIDATION, "--data", loaded, "--models", own_models)
    assert set(read_intervals(paths, weights())) == set(TARGETS)
    assert "there is no model" not in capsys.readouterr().out
    assert set(predictor.Predictor.load(own_models).intervals) == set(TARGETS)
    flags = ["--target", "energy", "--epochs", 1, "--members", 1, "--seed", 1, "--device", "cpu", "--baselines"]
    call_main(model_train, *flags, "--data", loaded, "--models", own_models)
    assert not caplog.records
    assert set(predictor.Predictor.load(own_models).intervals) == {"danceability", "valence"}
    assert "intervals.json belongs to other weights of energy than these" in caplog.text
    assert "model_train.py --folds 5" in caplog.text


@pytest.mark.parametrize("models_there", [False, True])
def test_intervals_of_other_settings_belong_to_no_model(loaded, own_models, tmp_path, capsys, models_there):
    models = own_models if models_there else tmp_path / "empty"
    flags = ["--folds", 3, "--target", "energy", "--epochs", 2, "--members", 1, "--device", "cpu", "--baselines"]
    call_main(model_train, *flags, "--data", loaded, "--models", models)
    assert "energy: there is no model in" in capsys.readouterr().out
    assert json.loads(ModelPaths(models).intervals.read_text())["energy"]["weights_sha256"] is None


def test_intervals_of_other_settings_replace_none_that_belong_to_weights(loaded, own_models):
    paths = ModelPaths(own_models)
    call_main(model_train, *CROSS_VALIDATION, "--data", loaded, "--models", own_models)
    before = paths.intervals.read_bytes()
    flags = ["--folds", 3, "--epochs", 2, "--members", 1, "--device", "cpu", "--baselines"]
    call_main(model_train, *flags, "--data", loaded, "--models", own_models)
    assert paths.intervals.read_bytes() == before


def test_model_that_is_up_to_date_stays_the_one_on_disk(loaded, own_models, monkeypatch):
    """One target is trained again; the index is made with the others as they are saved."""
    paths = ModelPaths(own_models)
    paths.weights("energy").write_bytes(b"damaged")
    used = {}
    monkeypatch.setattr(model_train, "describe_known_songs", lambda models, *_: used.update(models))
    real = model_train.train_ensembles

    def other_weights(*arguments, **options):
        models, runs = real(*arguments, **options)
        for target in ("danceability", "valence"):
            models[target].kernel.prior_mean += 1
        return models, runs

    monkeypatch.setattr(model_train, "train_ensembles", other_weights)
    call_main(model_train, *FAST_FLAGS[2:], "--data", loaded, "--models", own_models)
    for target in TARGETS:
        assert torch.equal(used[target].kernel.prior_mean, load_model(paths, target)[0].kernel.prior_mean)


def test_few_songs_are_warned_of(loaded, own_models, capsys):
    call_main(model_train, *FAST_FLAGS, "--data", loaded, "--models", own_models)
    assert "test: only 4 songs; figures from fewer than 50 mean little" in capsys.readouterr().out


def test_models_go_to_a_folder_of_their_own_by_default(monkeypatch):
    with patch("sys.argv", ["model_train.py"]):
        models = model_train.parse_arguments().models
    assert models.resolve() != RELEASED_MODELS.resolve()
    assert str(models) == "trained"


def test_end_says_how_to_use_the_models(loaded, own_models, capsys):
    call_main(model_train, *FAST_FLAGS, "--data", loaded, "--models", own_models)
    assert f"python model_demo.py --models {own_models}" in capsys.readouterr().out.splitlines()[-1]


def test_what_was_trained_is_not_read_again(loaded, tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(model_train, "load_models", fail)
    flags = ["--epochs", 1, "--members", 1, "--device", "cpu", "--baselines", "--data", loaded]
    call_main(model_train, *flags, "--models", tmp_path)
    monkeypatch.undo()
    assert set(predictor.Predictor.load(tmp_path).models) == set(TARGETS)


@pytest.fixture
def extra(own_data):
    """A data folder with other ids, by the same artists but for the first, which is by new ones."""
    paths = DataPaths(own_data)
    for path in (paths.songs, paths.splits, paths.spectrograms / "index.csv"):
        path.write_text(re.sub(r"song(\d\d)", r"more\1", path.read_text()))
    songs = read_rows(paths.songs)
    for number, song in enumerate(songs):
        song["artist"] = f"New artist {number}" if number % 2 else song["artist"]
    write_table(paths.songs, SONG_COLUMNS, songs)
    return own_data


def test_extra_songs_join_the_training_but_for_the_artists_held_out(loaded, extra, tmp_path, monkeypatch):
    seen = []
    real = fit.train_ensembles

    def note(corpus, config, **options):
        seen.append(corpus)
        return real(corpus, config, **options)

    monkeypatch.setattr("music_learning.evaluation.cross_validation.train_ensembles", note)
    monkeypatch.setattr(model_train, "train_ensembles", note)
    flags = [*FAST_FLAGS, "mean", "--data", loaded]
    call_main(model_train, *flags, "--extra", extra, "--models", tmp_path)
    call_main(model_train, *flags, "--extra", extra, "--models", tmp_path, "--folds", 3)
    assert len(seen) == 4
    for corpus in seen:
        held_out = {*corpus.validation["artist"], *corpus.test["artist"]}
        assert set(corpus.extra.index[corpus.extra["artist"].str.startswith("New")]) == {
            f"more{number:02}" for number in range(1, 18, 2)
        }
        assert not held_out & set(corpus.extra["artist"])
        assert list(corpus.train_and_extra.index) == [*corpus.train.index, *corpus.extra.index]
    counts = json.loads(ModelPaths(tmp_path).description("energy").read_text())["data"]
    assert counts["extra"] == len(seen[0].extra) > 9
    assert {row["n"] for row in read_rows(ModelPaths(tmp_path).results)} == {"4", "18"}


def test_extra_songs_with_other_settings_are_refused(loaded, extra, tmp_path):
    described = DataPaths(extra).spectrograms / "pipeline.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"f_min_hz": 40.0}))
    with pytest.raises(UserError, match=r"different settings: f_min_hz 30\.0 and 40\.0"):
        call_main(model_train, *FAST_FLAGS, "--data", loaded, "--extra", extra, "--models", tmp_path)


def test_cross_validation_leaves_the_models_alone(cross_validated):
    assert not cross_validated.weights("energy").exists()
    assert not cross_validated.description("energy").exists()
    assert cross_validated.picture("energy_3-fold").exists()


def test_cross_validation_goes_on_where_it_was(cross_validated, loaded, monkeypatch):
    before = cross_validated.results.read_bytes()

    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(fit, "train_network", fail)
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
    write_table(DataPaths(own_data).splits, ["song_id", "split"], rows)
    with pytest.raises(UserError, match=f"only 0 songs in the {split} split"):
        call_main(model_train, *FAST_FLAGS, "--data", own_data, "--models", tmp_path / "models")


def test_device_that_is_not_there_is_a_sentence(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(UserError, match=f"there is no {device} device here; use --device auto"):
            call_main(model_train, "--device", device, "--data", loaded, "--models", tmp_path)
    assert select_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert select_device("auto").type == "cuda"
    assert select_device("cpu") == CPU


BAD_FLAGS = [
    ("--device", "abacus"),
    ("--target", "loudness"),
    ("--epochs", "0"),
    ("--members", "0"),
    ("--folds", "2"),
    ("--baselines", "magic"),
]


@pytest.mark.parametrize(("flag", "value"), BAD_FLAGS)
def test_bad_flag_is_named(capsys, flag, value):
    with pytest.raises(SystemExit) as caught:
        call_main(model_train, flag, value)
    assert caught.value.code == 2
    assert flag in capsys.readouterr().err


KILLED_IN_THE_THIRD_EPOCH = """
import os, signal
from pathlib import Path
import model_train

write_bytes, written = Path.write_bytes, []

def write_or_die(self, data):
    written.append(self)
    if sum(path.parent.name == "checkpoints" for path in written) == 3:
        write_bytes(self, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write_bytes(self, data)

Path.write_bytes = write_or_die
model_train.main()
"""


def test_kill_9_and_again_ends_with_the_same_weights(loaded, tmp_path):
    flags = ["--target", "energy", "--epochs", 6, "--members", 2, "--device", "cpu", "--baselines", "--data", loaded]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    call_main(model_train, *flags, "--models", whole)
    done = run_python("-c", KILLED_IN_THE_THIRD_EPOCH, *flags, "--models", killed)
    assert done.returncode == -9, done.stderr
    assert len(list(killed.glob("checkpoints/[!.]*.safetensors"))) == 1
    assert not ModelPaths(killed).weights("energy").exists()
    call_main(model_train, *flags, "--models", killed)
    assert ModelPaths(killed).weights("energy").read_bytes() == ModelPaths(whole).weights("energy").read_bytes()
    assert not list(killed.glob("checkpoints/[!.]*.safetensors"))  # the killed run leaves a hidden half file
    descriptions = [json.loads(ModelPaths(root).description("energy").read_text()) for root in (killed, whole)]
    assert descriptions[0] == descriptions[1]


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "model_train.py")


def test_two_processes_train_and_cross_validate(loaded, tmp_path):
    paths, flags = ModelPaths(tmp_path), [*FAST_FLAGS, "mean", "--data", loaded, "--models", tmp_path]
    done = run_python(*TORCHRUN, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("energy: ours, test R2") == 1
    assert json.loads(paths.description("energy").read_text())["training"]["n_processes"] == 2
    done = run_python(*TORCHRUN, *flags, "--folds", 3)
    assert done.returncode == 0, done.stderr
    assert "for which alone the interval holds" not in done.stdout  # the model was trained as those of the folds
    assert {row["split"] for row in read_rows(paths.results)} == {"test", "3-fold"}
    assert set(json.loads(paths.intervals.read_text())) == {"energy"}
    assert not list(tmp_path.glob("checkpoints/*.safetensors"))


@pytest.mark.parametrize("flags", [("--data", "gone"), ("--epochs", "none")])
def test_two_processes_say_once_what_is_wrong(tmp_path, flags):
    done = run_python(*TORCHRUN, "--device", "cpu", "--models", tmp_path, *flags)
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert done.stderr.count("Traceback") == 1  # torchrun's own
