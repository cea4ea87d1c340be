import dataclasses
import json

import pytest

from music_learning.columns import TARGETS
from music_learning.files import read_json, write_json
from music_learning.paths import DataPaths, ModelPaths
from music_learning.songs.corpus import read_corpus
from music_learning.training.config import TrainingConfig
from music_learning.training.description import settings, trained_model, weights_trained_with

CONFIG = TrainingConfig(n_members=1, epochs=1)  # as the models of the tests are trained


def test_saved_model_is_the_run_s_own(loaded, own_models):
    corpus, paths = read_corpus(DataPaths(loaded)), ModelPaths(own_models)
    assert trained_model("energy", corpus, CONFIG, paths) is not None
    assert trained_model("energy", corpus, dataclasses.replace(CONFIG, seed=1), paths) is None
    songs = corpus.songs.copy()
    songs.loc["song00", "energy"] = 0.5
    assert trained_model("energy", dataclasses.replace(corpus, songs=songs), CONFIG, paths) is None


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_damaged_model_is_none(loaded, own_models, suffix):
    (own_models / f"energy.{suffix}").write_bytes(b"{")
    assert trained_model("energy", read_corpus(DataPaths(loaded)), CONFIG, ModelPaths(own_models)) is None


def test_weights_are_those_trained_with_the_same_settings_on_the_same_songs(loaded, own_models):
    paths, corpus = ModelPaths(own_models), read_corpus(DataPaths(loaded))
    hashes = {target: read_json(paths.description(target), "")["weights_sha256"] for target in TARGETS}
    assert weights_trained_with(corpus, CONFIG, paths) == hashes
    assert weights_trained_with(corpus, dataclasses.replace(CONFIG, seed=5), paths) == hashes
    assert weights_trained_with(corpus, dataclasses.replace(CONFIG, epochs=2), paths) == {}
    assert weights_trained_with(corpus, dataclasses.replace(CONFIG, n_members=2), paths) == {}
    louder = dataclasses.replace(CONFIG.features, tone_db=9.0)
    assert weights_trained_with(corpus, dataclasses.replace(CONFIG, features=louder), paths) == {}
    wider = dataclasses.replace(CONFIG.network, hidden=64)
    assert weights_trained_with(corpus, dataclasses.replace(CONFIG, network=wider), paths) == {}
    mixed_anew = dataclasses.replace(CONFIG, networks_share=0.5)  # which a cross-validation changes afterwards
    assert weights_trained_with(corpus, mixed_anew, paths) == hashes
    others = dataclasses.replace(corpus, songs=corpus.songs.assign(energy=0.5))
    assert weights_trained_with(others, CONFIG, paths) == {}
    description = read_json(paths.description("energy"), "")
    write_json(paths.description("energy"), description | {"training": None})
    assert set(weights_trained_with(corpus, CONFIG, paths)) == set(TARGETS[1:])
    paths.description("valence").unlink()
    assert set(weights_trained_with(corpus, CONFIG, paths)) == {"danceability"}


def test_settings_survive_json():
    assert json.loads(json.dumps(settings(CONFIG)))["epochs"] == 1
    assert not {"network", "features"} & set(settings(CONFIG))
