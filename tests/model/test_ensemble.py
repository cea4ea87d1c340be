import hashlib
import json
import math
import os

import pytest
import torch
from safetensors.torch import load_file

from music_learning.errors import UserError
from music_learning.features.clip import clip_features
from music_learning.features.config import FeatureConfig
from music_learning.model import ensemble as ensemble_module
from music_learning.model.cnn import MoodNetwork, NetworkConfig
from music_learning.model.ensemble import Ensemble, EnsembleConfig, cut, load_model, save_model
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig

N_MELS, N_ROWS = PipelineConfig().n_mels, PipelineConfig().n_rows
OUTPUTS = ("energy", "valence", "tempo")
CONFIG = NetworkConfig(outputs=OUTPUTS, n_mels=N_MELS)
ONE_OUTPUT = NetworkConfig(outputs=("energy",), n_mels=N_MELS)
N_SONGS = 5
FEATURES = FeatureConfig()
SHARE = 0.4  # of the CNNs
DESCRIPTION = {"note": "夜"}


def spectrograms(n=3, frames=124, *, seed=0):
    return -50 + 15 * torch.randn(n, N_ROWS, frames, generator=torch.Generator().manual_seed(seed))


def weighed(by_networks, by_kernel_model):
    return SHARE * by_networks + (1 - SHARE) * by_kernel_model


def ensemble(*, seed=0, n_members=2):
    torch.manual_seed(seed)
    model = Ensemble(EnsembleConfig(FEATURES, ONE_OUTPUT, n_members, N_SONGS, SHARE))
    model.kernel.songs.normal_()
    model.kernel.alpha.normal_(std=0.1)
    model.kernel.prior_mean.fill_(0.5)
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
    expected = weighed(sum(halves) / 2, model.kernel(clip_features(x, FEATURES)))
    torch.testing.assert_close(model(x), expected)


@torch.inference_mode()
def test_ensemble_weighs_networks_and_kernel_model():
    model, x = ensemble(n_members=3), spectrograms()
    networks = torch.stack([member(x)[:, 0] for member in model.members])
    assert not torch.equal(networks[0], networks[1])
    torch.testing.assert_close(model(x), weighed(networks.mean(dim=0), model.kernel(clip_features(x, FEATURES))))


@torch.inference_mode()
def test_timeline_has_a_value_for_each_segment_and_its_mean_is_the_clip_s():
    model, x = ensemble(), spectrograms(2, 300)
    features = clip_features(x, FEATURES)
    predicted = model.predict(x, features)
    assert predicted.timeline.shape == (2, 3)
    torch.testing.assert_close(predicted.values, model(x))
    start = x[:, :, :128]
    by_networks = sum(member(start)[:, 0] for member in model.members) / 2
    torch.testing.assert_close(predicted.timeline[:, 0], weighed(by_networks, model.kernel(features)))


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


def test_saving_over_what_is_no_model_needs_no_copy_of_it(saved):
    paths, _ = saved
    paths.weights("energy").unlink()
    os.mkfifo(paths.weights("energy"))
    save_model(paths, "energy", ensemble(seed=1), DESCRIPTION)
    load_model(paths, "energy")
    assert not paths.previous.exists()


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
    "flipped bit": (flip_a_byte, "is damaged .*or not the file that .*json describes"),
    "truncated": (truncate, r"energy\.safetensors is damaged .*model_train\.py"),
    "empty": (lambda paths: paths.weights("energy").write_bytes(b""), "is damaged .it has fewer bytes"),
    "another model's": (weights_of_another_model, "is damaged .*or not the file"),
    "weights gone": (lambda paths: paths.weights("energy").unlink(), r"safetensors is missing; run model_train\.py"),
    "description gone": (lambda paths: paths.description("energy").unlink(), r"json is missing; run model_train\.py"),
    "description no JSON": (lambda paths: paths.description("energy").write_text("{"), r"json is damaged"),
    "no pipeline": (drop("pipeline"), r"json is damaged .*model_train\.py"),
    "no features": (drop("features"), "doesn't describe a model of this version: it has no features"),
    "features of another version": (
        change_description(features=FEATURES.to_dict() | {"formulas": 0}),
        "these are features of version 0; this program computes 2",
    ),
    "unknown feature setting": (
        change_description(features=FEATURES.to_dict() | {"tone": 6}),
        "feature setting tone is",
    ),
    "feature setting of another type": (
        change_description(features=FEATURES.to_dict() | {"tone_db": "loud"}),
        "feature setting tone_db is 'loud', not like 6.0",
    ),
    "fewer features": (
        change_description(features=FEATURES.to_dict() | {"n_mfcc": 15}),
        r"has the shape \(650,\), not",
    ),
    "bands that the features can't have": (
        change_description(pipeline=PipelineConfig(n_mels=80).to_dict()),
        "the features are made for n_mels 96; the pipeline has 80",
    ),
    "no length of a hop": (
        change_description(pipeline=PipelineConfig().to_dict() | {"hop_samples": 0}),
        "pipeline setting hop_samples is 0, no whole number from 1 to 1,000,000",
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
        r"a model of 'energy' with the outputs \['valence'\]",
    ),
    "another target": (change_description(target="valence"), r"a model of 'valence' with the outputs \['energy'\]"),
    "no share": (drop("networks_share"), "it has no networks_share"),
    "share above 1": (change_description(networks_share=3), "networks_share is 3, not from 0 to 1"),
    "no network": (drop("network"), "doesn't describe a model of this version"),
    "no hash": (drop("weights_sha256"), "is damaged .*or not the file"),
    "more members": (change_description(n_members=3), r"fewer bytes than the model that .*energy\.json describes"),
    "fewer members": (change_description(n_members=1), r"tensor members\.1\..* is unknown"),
    "other songs": (change_description(n_songs=N_SONGS + 1), r"kernel\.\w+ has the shape \(5.*\), not \(6"),
    "no songs": (drop("n_songs"), "doesn't describe a model of this version"),
    "members no number": (change_description(n_members="two"), "doesn't describe a model of this version"),
    "network no object": (change_description(network=[1]), "doesn't describe a model of this version"),
    "unknown setting": (
        change_description(network=CONFIG.to_dict() | {"x": 1}),
        "doesn't describe a model of this version",
    ),
    "other bands": (change_description(network=ONE_OUTPUT.to_dict() | {"n_mels": 2 * N_MELS}), "has fewer bytes"),
}


# Each in place of one value of the description, which is the name: `network.hidden`, say.
HOSTILE = {
    "n_members": (10**9, 101, 0, -1, True, 2.0, 2.5, "2", None, [], 10**400, math.nan),
    "n_songs": (10**9, 0, -5, True, 5.0, "5", None, 10**400, math.inf),
    "networks_share": (True, "0.4", None, math.nan, math.inf, -0.1, 10**400),
    "target": (None, 1, ["energy"], {}),
    "weights_sha256": (None, 1, "", [], "0" * 64),
    "pipeline": (None, 1, [], "x"),
    "features": (None, 1, [], "x", {}),
    "network": (None, 1, [], "x", {}),
    "metrics": (1, [], "x", {"test": 1}, {"test": {"mae": "0.1"}}, {"test": {"mae": math.nan}}),
    "pipeline.hop_samples": (10**9, 10**400, math.nan, math.inf, True, "512", -512, 0.5),
    "pipeline.clip_s": (10**9, 0, -1, math.inf, None),
    "pipeline.floor_db": (math.nan, -math.inf, 10**9, "x"),
    "features.rhythm_s": (10**9, math.inf, 10**400, -1, True),
    "features.n_mfcc": (10**9, 20.5, -1, 0),
    "features.tone_counts": ([10**9], [[1]], [True], list(range(101)), {}),
    "features.tempo_transform_s": (10**9, 1e300),
    "network.hidden": (10**9, 10**400, 9_999, 0, -1, True, 128.0, "128", None, []),
    "network.channels": (10**9, 9_999, 0, 96.5, True),
    "network.n_blocks": (10**9, 13, 0, True),
    "network.stem_channels": ([16], [], [16, 32, 64], [16, -1], [16, 10**9], 16, [16, "x"], [True, 32]),
    "network.outputs": ([], "energy", [1], ["energy", "energy"], [None], 10**9),
    "network.dropout": (1, -0.1, math.nan, "x", True),
    "network.segment_frames": (15, 10**9, 128.5, True, math.nan),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_value_in_a_description_is_refused_before_a_network_is_made(saved, name, monkeypatch):
    paths, _ = saved
    whole = json.loads(paths.description("energy").read_text(encoding="utf-8"))
    above, _, key = name.rpartition(".")
    made = []
    monkeypatch.setattr(ensemble_module, "MoodNetwork", lambda config: made.append(config) or MoodNetwork(config))
    for value in HOSTILE[name]:
        description = whole | ({above: whole[above] | {key: value}} if above else {key: value})
        paths.description("energy").write_text(json.dumps(description))
        with pytest.raises(UserError, match=r"^\S+energy\.(json|safetensors) .{20,400}$"):
            load_model(paths, "energy")
    if name not in ("weights_sha256", "features.n_mfcc"):  # which a description alone doesn't show
        assert not made


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_model_is_refused(saved, case):
    paths, _ = saved
    damage, reason = DAMAGED[case]
    damage(paths)
    with pytest.raises(UserError, match=reason):
        load_model(paths, "energy")


def test_file_with_the_right_hash_that_is_no_safetensors_is_refused(saved):
    paths, _ = saved
    nothing = b"nothing of the kind" * 400_000
    paths.weights("energy").write_bytes(nothing)
    change_description(weights_sha256=hashlib.sha256(nothing).hexdigest())(paths)
    with pytest.raises(UserError, match=r"is damaged .its header is too long"):
        load_model(paths, "energy")


@pytest.mark.parametrize(("name", "value"), [("kernel.input_std", 0.0), ("kernel.noise_var", -1.0)])
def test_weights_that_others_are_divided_by_are_above_0(tmp_path, name, value):
    model = ensemble()
    model.get_buffer(name).fill_(value)
    save_model(ModelPaths(tmp_path), "energy", model, DESCRIPTION)
    with pytest.raises(UserError, match=rf"{name} is not above 0"):
        load_model(ModelPaths(tmp_path), "energy")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    model = ensemble()
    model.kernel.alpha[1] = value
    save_model(ModelPaths(tmp_path), "energy", model, DESCRIPTION)
    with pytest.raises(UserError, match=r"kernel\.alpha holds NaN or infinite numbers"):
        load_model(ModelPaths(tmp_path), "energy")


@torch.inference_mode()
def test_layers_that_models_share_run_once(monkeypatch):
    """Another output of the same network predicts from what the first one made; other networks make their own."""
    first, second, other = ensemble(), ensemble(), ensemble(seed=1)
    for member, known_member, unlike in zip(second.members, first.members, other.members, strict=True):
        member.output.weight.normal_()
        assert member.share(known_member) and not unlike.share(known_member)
    clips = spectrograms()
    features = clip_features(clips, FEATURES)
    alone = [model.predict(clips, features) for model in (first, second, other)]
    runs = []
    real = MoodNetwork.last_hidden
    monkeypatch.setattr(MoodNetwork, "last_hidden", lambda member, x: runs.append(member) or real(member, x))
    known = {}
    together = [model.predict(clips, features, known) for model in (first, second, other)]
    assert len(runs) == 4
    for one, same in zip(alone, together, strict=True):
        torch.testing.assert_close(same.timeline, one.timeline)
        torch.testing.assert_close(same.embedding, one.embedding)
    assert not torch.equal(together[0].timeline, together[1].timeline)
