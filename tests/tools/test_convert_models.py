"""Models of version 0.1 predict the same after `tools/convert_models.py`."""

import hashlib
import json

import pytest
import torch
from conftest import call_main
from safetensors.torch import save, save_file

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.evaluation.conformal import read_intervals
from music_learning.features.config import FeatureConfig
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, EnsembleConfig, load_model
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.predict.no_music import NoMusicDetector
from music_learning.predict.similarity import SongIndex
from tools import convert_models

OLD_NAMES = {new: old for old, new in convert_models.TENSORS.items()}
OLD_PIPELINE = {
    name: value for name, value in PipelineConfig().to_dict().items() if name not in convert_models.ADDED_TO_PIPELINE
}


def ensemble(target, kernel):
    torch.manual_seed(0)
    model = Ensemble(EnsembleConfig(FeatureConfig(), NetworkConfig(outputs=(target,)), 1, 3, kernel, 0.3))
    model.svr.support_vectors.normal_(std=0.04)
    model.svr.dual_coef.normal_(std=0.1)
    model.svr.intercept.fill_(0.5)
    return model.eval()


def old_name(name):
    return OLD_NAMES.get(name, name.replace("svr.", "kernel_regression.")).replace("band_std_db", "band_deviation_db")


def save_as_before(paths, target, model, exponent):
    """Write a model as version 0.1 did. Returns the hash of its weights."""
    tensors = {old_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    weights = save(tensors | {"kernel_regression.exponent": torch.tensor(exponent)})
    network = model.config.network.to_dict()
    network["piece_frames"] = network.pop("segment_frames")
    kernel = {"gamma": 0.1, "exponent": exponent, "cost": 0.5, "group_weights": {"tonality": 4}}
    training = {"kernel_tolerance": 0.02, "warm_up": 0.15, "averaging": 0.99, "settled": 0.75, "n_members": 1}
    description = {
        "target": target,
        "network": network,
        "n_members": 1,
        "n_support": 3,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "pipeline": OLD_PIPELINE,
        "training": training | {"kernels": [kernel] * len(TARGETS)},
        "training_labels": {"mean": 0.5, "deviation": 0.2},
        "date": "2026-11-24",
    }
    paths.root.mkdir(exist_ok=True)
    paths.weights(target).write_bytes(weights)
    paths.description(target).write_text(json.dumps(description))
    return description["weights_sha256"]


@pytest.fixture
def before(tmp_path):
    """A folder as version 0.1 wrote it, with a model of each kernel."""
    paths = ModelPaths(tmp_path / "models")
    hashes = {
        target: save_as_before(paths, target, ensemble(target, kernel), exponent)
        for target, kernel, exponent in zip(
            TARGETS, ("gaussian", "exponential", "exponential"), (2.0, 1.0, 1.0), strict=True
        )
    }
    songs = [{"song_id": str(k), "title": "t", "artist": "a"} | dict.fromkeys(TARGETS, "0.5") for k in range(4)]
    SongIndex(songs, torch.randn(4, 8), torch.zeros(8), torch.eye(8)).save(paths.index, hashes)
    save_file({"deviation": torch.ones(650)}, paths.root / "familiarity.safetensors")
    interval = {"low": [0, 1, 0], "high": [0, 1, 0], "margin": 0.1, "coverage": 0.9, "measured": {}}
    paths.intervals.write_text(json.dumps(dict.fromkeys(TARGETS, interval)))
    return paths


@torch.inference_mode()
def test_converted_models_predict_the_same(before):
    assert call_main(convert_models, before.root) in (0, None)
    x = -50 + 15 * torch.randn(2, PipelineConfig().n_rows, 300, generator=torch.Generator().manual_seed(1))
    hashes = {}
    for target, kernel in zip(TARGETS, ("gaussian", "exponential", "exponential"), strict=True):
        model, description = load_model(before, target)
        assert torch.equal(model(x), ensemble(target, kernel)(x))
        assert description["training"]["kernels"][target]["group_weights"] == {"tonal-to-noise ratio": 4}
        assert description["training_labels"] == {"mean": 0.5, "std": 0.2}
        hashes[target] = description["weights_sha256"]
    assert len(SongIndex.open(before.index, hashes).songs) == 4
    NoMusicDetector.open(before.no_music, FeatureConfig())
    assert read_intervals(before, hashes).keys() == set(TARGETS)
    assert not (before.root / "familiarity.safetensors").exists()
    assert "features" not in json.loads((before.root.with_name("models.old") / "energy.json").read_text())


def test_converting_again_changes_nothing(before):
    call_main(convert_models, before.root)
    files = {path: path.read_bytes() for path in before.root.rglob("*") if path.is_file()}
    call_main(convert_models, before.root)
    assert {path: path.read_bytes() for path in before.root.rglob("*") if path.is_file()} == files


def test_spectrograms_get_the_settings_that_stood_in_the_code(tmp_path):
    (tmp_path / "pipeline.json").write_text(json.dumps(OLD_PIPELINE))
    call_main(convert_models, tmp_path)
    assert PipelineConfig.from_dict(json.loads((tmp_path / "pipeline.json").read_text())) == PipelineConfig()


def test_folder_of_something_else_and_changed_weights_are_refused(before, tmp_path):
    with pytest.raises(UserError, match="holds neither models nor spectrograms"):
        call_main(convert_models, tmp_path)
    before.weights(TARGETS[-1]).write_bytes(b"x")
    with pytest.raises(UserError, match="is not the file that"):
        call_main(convert_models, before.root)
    assert not any("features" in json.loads(before.description(target).read_text()) for target in TARGETS)


def test_killed_run_leaves_the_models_as_they_were(before, monkeypatch):
    files = {path: path.read_bytes() for path in before.root.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(convert_models, "convert_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        call_main(convert_models, before.root)
    assert {path: path.read_bytes() for path in before.root.rglob("*") if path.is_file()} == files
    call_main(convert_models, before.root)
    assert "features" in json.loads(before.description("energy").read_text())
