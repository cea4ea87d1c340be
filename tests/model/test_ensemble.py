import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from music_learning.errors import UserError
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.model import ensemble as ensemble_module
from music_learning.model.cnn import NetworkConfig
from music_learning.model.ensemble import Ensemble, EnsembleConfig, cut, load_model, save_model
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig

N_MELS, N_ROWS = PipelineConfig().n_mels, PipelineConfig().n_rows
OUTPUTS = ("energy", "valence", "tempo")
CONFIG = NetworkConfig(outputs=OUTPUTS, n_mels=N_MELS)
ONE_OUTPUT = NetworkConfig(outputs=("energy",), n_mels=N_MELS)
N_SUPPORT = 5
FEATURES = FeatureConfig()
SHARE = 0.4  # of the CNNs
DESCRIPTION = {"note": "夜"}


def spectrograms(n=3, frames=124, *, seed=0):
    return -50 + 15 * torch.randn(n, N_ROWS, frames, generator=torch.Generator().manual_seed(seed))


def weighed(by_networks, by_kernel_model):
    return SHARE * by_networks + (1 - SHARE) * by_kernel_model


def ensemble(*, seed=0, n_members=2):
    torch.manual_seed(seed)
    model = Ensemble(EnsembleConfig(FEATURES, ONE_OUTPUT, n_members, N_SUPPORT, "gaussian", SHARE))
    model.svr.support_vectors.normal_(std=0.04)
    model.svr.dual_coef.normal_(std=0.1)
    model.svr.intercept.fill_(0.5)
    for member in model.members:
        member.set_input_statistics(torch.full((N_MELS,), -50.0), torch.full((N_MELS,), 15.0))
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    """A saved model, its outputs, and its paths."""
    paths, model = ModelPaths(tmp_path / "models"), ensemble()
    save_model(paths, "energy", model, DESCRIPTION)
    with torch.inference_mode():
        return paths, model(spectrograms())


@pytest.mark.parametrize("frames", [93, 94, 124, 256, 936])
@pytest.mark.parametrize("batch", [1, 3])
@torch.inference_mode()
def test_any_length_gives_one_value_from_0_to_1(batch, frames):
    predicted = ensemble()(spectrograms(batch, frames))
    assert predicted.shape == (batch,)
    assert ((predicted >= 0) & (predicted <= 1)).all()


@torch.inference_mode()
def test_values_stay_in_range_for_extreme_input():
    model = ensemble()
    for level in (-100.0, 0.0, 1000.0):
        predicted = model(torch.full((2, N_ROWS, 100), level))
        assert predicted.isfinite().all()
        assert ((predicted >= 0) & (predicted <= 1)).all()


@torch.inference_mode()
def test_output_depends_on_the_input_and_not_on_the_batch():
    model, x = ensemble(), spectrograms(4)
    together = model(x)
    assert together.std() > 0
    alone = torch.cat([model(x[k : k + 1]) for k in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("frames", "segments"), [(92, 1), (128, 1), (129, 2), (256, 2), (936, 8)])
def test_segments_cover_all_frames(frames, segments):
    x = torch.arange(frames).expand(2, N_MELS, frames)
    parts = cut(x, 128)
    assert parts.shape == (2 * segments, N_MELS, min(frames, 128))
    assert set(parts[:segments].unique().tolist()) == set(range(frames))
    assert torch.equal(parts[:segments], parts[segments:])


@torch.inference_mode()
def test_long_clip_is_the_mean_of_its_segments_and_its_features():
    model, x = ensemble(n_members=1), spectrograms(2, 256)
    halves = [model.members[0](half)[:, 0] for half in (x[:, :, :128], x[:, :, 128:])]
    expected = weighed(sum(halves) / 2, model.svr(clip_features(x, FEATURES)))
    torch.testing.assert_close(model(x), expected)


@torch.inference_mode()
def test_ensemble_weighs_networks_and_kernel_model():
    model, x = ensemble(n_members=3), spectrograms()
    networks = torch.stack([member(x)[:, 0] for member in model.members])
    assert not torch.equal(networks[0], networks[1])
    torch.testing.assert_close(model(x), weighed(networks.mean(dim=0), model.svr(clip_features(x, FEATURES))))


@torch.inference_mode()
def test_timeline_has_a_value_for_each_segment_and_its_mean_is_the_clip_s():
    model, x = ensemble(), spectrograms(2, 300)
    features = clip_features(x, FEATURES)
    predicted = model.predict(x, features)
    assert predicted.timeline.shape == (2, 3)
    torch.testing.assert_close(predicted.values, model(x))
    start = x[:, :, :128]
    by_networks = sum(member(start)[:, 0] for member in model.members) / 2
    torch.testing.assert_close(predicted.timeline[:, 0], weighed(by_networks, model.svr(features)))


@torch.inference_mode()
def test_embedding_is_the_mean_of_the_segments_last_hidden_layers():
    model, x = ensemble(n_members=2), spectrograms(2, 256)
    embedding = model.predict(x, clip_features(x, FEATURES)).embedding
    assert embedding.shape == (2, 2 * ONE_OUTPUT.hidden)
    second = model.members[1]
    halves = [second.last_hidden(half) for half in (x[:, :, :128], x[:, :, 128:])]
    torch.testing.assert_close(embedding[:, ONE_OUTPUT.hidden :], sum(halves) / 2)
    torch.testing.assert_close(second.output(halves[0]).sigmoid(), second(x[:, :, :128]))


def test_loaded_model_gives_equal_outputs(saved):
    paths, outputs = saved
    model, description = load_model(paths, "energy")
    assert not model.training
    with torch.inference_mode():
        assert torch.equal(model(spectrograms()), outputs)
    assert description["note"] == "夜"


def test_description_says_what_the_model_is(saved):
    paths, _ = saved
    description = json.loads(paths.description("energy").read_text(encoding="utf-8"))
    assert description["target"] == "energy"
    assert description["n_members"] == 2
    assert NetworkConfig.from_dict(description["network"]) == ONE_OUTPUT
    assert PipelineConfig.from_dict(description["pipeline"]) == PipelineConfig()
    assert len(description["weights_sha256"]) == 64


def test_weights_are_safetensors_and_nothing_is_pickled(saved):
    paths, _ = saved
    assert set(load_file(paths.weights("energy"))) == set(ensemble().state_dict())
    for path in paths.root.rglob("*"):
        data = path.read_bytes()
        assert not data.startswith((b"\x80", b"PK"))  # pickle, and the zip that torch.save writes
    assert sorted(path.name for path in paths.root.iterdir()) == ["energy.json", "energy.safetensors"]


def test_killed_while_saving_keeps_the_model_before(saved, monkeypatch):
    paths, outputs = saved

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ensemble_module, "write_json", kill)
        save_model(paths, "energy", ensemble(seed=1), DESCRIPTION)
    save_model(paths, "energy", ensemble(seed=1), DESCRIPTION)
    previous, _ = load_model(ModelPaths(paths.previous), "energy")
    with torch.inference_mode():
        assert torch.equal(previous(spectrograms()), outputs)


def test_saving_again_keeps_the_model_before(saved):
    paths, outputs = saved
    save_model(paths, "energy", ensemble(seed=1), DESCRIPTION)
    previous, _ = load_model(ModelPaths(paths.previous), "energy")
    newest, _ = load_model(paths, "energy")
    with torch.inference_mode():
        assert torch.equal(previous(spectrograms()), outputs)
        assert not torch.equal(newest(spectrograms()), outputs)
    save_model(paths, "energy", ensemble(seed=2), DESCRIPTION)
    assert sorted(path.name for path in paths.previous.iterdir()) == ["energy.json", "energy.safetensors"]


def test_model_on_another_memory_layout_is_saved(tmp_path):
    model = ensemble().to(memory_format=torch.channels_last)
    save_model(ModelPaths(tmp_path), "energy", model, DESCRIPTION)
    loaded, _ = load_model(ModelPaths(tmp_path), "energy")
    with torch.inference_mode():
        torch.testing.assert_close(loaded(spectrograms()), model(spectrograms()))


def change_description(**changes):
    def change(paths):
        description = json.loads(paths.description("energy").read_text())
        paths.description("energy").write_text(json.dumps(description | changes))

    return change


def drop(name):
    def change(paths):
        description = json.loads(paths.description("energy").read_text())
        del description[name]
        paths.description("energy").write_text(json.dumps(description))

    return change


def flip_a_byte(paths):
    data = bytearray(paths.weights("energy").read_bytes())
    data[len(data) // 2] ^= 1
    paths.weights("energy").write_bytes(data)


def truncate(paths):
    data = paths.weights("energy").read_bytes()
    paths.weights("energy").write_bytes(data[: len(data) // 2])


def weights_of_another_model(paths):
    save_model(ModelPaths(paths.root / "other"), "energy", ensemble(seed=5), DESCRIPTION)
    (paths.root / "other" / "energy.safetensors").replace(paths.weights("energy"))


DAMAGED = {
    "flipped bit": (flip_a_byte, "is damaged, or is not the file"),
    "truncated": (truncate, "is damaged, or is not the file"),
    "empty": (lambda paths: paths.weights("energy").write_bytes(b""), "is damaged, or is not the file"),
    "another model's": (weights_of_another_model, "is damaged, or is not the file"),
    "weights gone": (lambda paths: paths.weights("energy").unlink(), r"safetensors is missing; run model_train\.py"),
    "description gone": (lambda paths: paths.description("energy").unlink(), r"json is missing; run model_train\.py"),
    "description no JSON": (lambda paths: paths.description("energy").write_text("{"), r"json is damaged"),
    "no pipeline": (drop("pipeline"), r"json is damaged .*model_train\.py"),
    "no features": (drop("features"), "doesn't describe a model of this version: it has no features"),
    "features of another version": (
        change_description(features=FEATURES.to_dict() | {"formulas": 0}),
        "these are features of version 0; this program computes 1",
    ),
    "unknown feature setting": (
        change_description(features=FEATURES.to_dict() | {"tone": 6}),
        "feature setting tone is",
    ),
    "feature setting of another type": (
        change_description(features=FEATURES.to_dict() | {"tone_db": "loud"}),
        "feature setting tone_db is 'loud', not like 6.0",
    ),
    "fewer features": (change_description(features=FEATURES.to_dict() | {"n_mfcc": 15}), "don't fit"),
    "bands that the features can't have": (
        change_description(pipeline=PipelineConfig(n_mels=80).to_dict()),
        "the features are made for n_mels 96; the pipeline has 80",
    ),
    "no length of a hop": (
        change_description(pipeline=PipelineConfig().to_dict() | {"hop_samples": 0}),
        "pipeline setting hop_samples is 0, no whole number above 0",
    ),
    "two numbers of three": (
        change_description(features=FEATURES.to_dict() | {"onset_lag_s": [0.1, 2.0]}),
        "feature setting onset_lag_s is",
    ),
    "segments of no length": (
        change_description(network=ONE_OUTPUT.to_dict() | {"segment_frames": 0}),
        "segment_frames is 0; at least 16 are needed",
    ),
    "another output": (
        change_description(network=ONE_OUTPUT.to_dict() | {"outputs": ["valence"]}),
        r"a model of energy with the outputs \['valence'\]",
    ),
    "another target": (change_description(target="valence"), r"a model of valence with the outputs \['energy'\]"),
    "no kernel": (drop("kernel"), "it has no kernel"),
    "unknown kernel": (change_description(kernel="cosine"), "there is no kernel called 'cosine'"),
    "no share": (drop("networks_share"), "it has no networks_share"),
    "share above 1": (change_description(networks_share=3), "networks_share is 3, not from 0 to 1"),
    "no network": (drop("network"), "doesn't describe a model of this version"),
    "no hash": (drop("weights_sha256"), "is damaged, or is not the file"),
    "more members": (change_description(n_members=3), "don't fit this version's network"),
    "fewer members": (change_description(n_members=1), "don't fit this version's network"),
    "other support": (change_description(n_support=N_SUPPORT + 1), "don't fit this version's network"),
    "no support": (drop("n_support"), "doesn't describe a model of this version"),
    "members no number": (change_description(n_members="two"), "doesn't describe a model of this version"),
    "network no object": (change_description(network=[1]), "doesn't describe a model of this version"),
    "unknown setting": (
        change_description(network=CONFIG.to_dict() | {"x": 1}),
        "doesn't describe a model of this version",
    ),
    "other bands": (change_description(network=CONFIG.to_dict() | {"n_mels": 2 * N_MELS}), "don't fit"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_model_is_refused(saved, case):
    paths, _ = saved
    damage, reason = DAMAGED[case]
    damage(paths)
    with pytest.raises(UserError, match=reason):
        load_model(paths, "energy")


def test_file_with_the_right_hash_that_is_no_safetensors_is_refused(saved):
    paths, _ = saved
    paths.weights("energy").write_bytes(b"nothing of the kind")
    change_description(weights_sha256=hashlib.sha256(b"nothing of the kind").hexdigest())(paths)
    with pytest.raises(UserError, match="don't fit this version's network"):
        load_model(paths, "energy")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    model = ensemble()
    model.svr.dual_coef[1] = value
    save_model(ModelPaths(tmp_path), "energy", model, DESCRIPTION)
    with pytest.raises(UserError, match="its weights hold NaN or infinite numbers"):
        load_model(ModelPaths(tmp_path), "energy")
