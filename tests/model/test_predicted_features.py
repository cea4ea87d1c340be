import pytest
import torch

from music_learning.columns import PREDICTED
from music_learning.errors import UserError
from music_learning.features.clip import feature_names
from music_learning.features.config import FeatureConfig
from music_learning.files import read_json, write_json
from music_learning.model.audio_features import AudioFeatureModel
from music_learning.model.kernel import GaussianProcess
from music_learning.model.predicted_features import N_QUANTILES, PredictedFeatures
from music_learning.paths import ModelPaths

CONFIG = FeatureConfig()
N_SONGS, N_FEATURES = 5, len(feature_names(CONFIG))


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    songs = torch.randn(N_SONGS, N_FEATURES, generator=generator)
    model = PredictedFeatures(CONFIG, N_SONGS)
    for process in model.processes.values():
        process.songs.copy_(songs)
        process.alpha.copy_(0.3 * torch.randn(N_SONGS, generator=generator))
        process.prior_mean.fill_(0.5)
    model.quantiles.copy_(torch.linspace(0, 1, N_QUANTILES).square())
    return model.eval()


def test_what_is_saved_is_loaded(model, tmp_path):
    paths, features = ModelPaths(tmp_path), torch.randn(3, N_FEATURES)
    AudioFeatureModel(predicted=model, intervals={"speechiness": {}}).save(paths, CONFIG, {})
    loaded = AudioFeatureModel.load(paths, CONFIG)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.predicted(features), model(features))
    assert loaded.intervals == {"speechiness": {}}
    assert torch.equal(loaded.predicted.quantiles, model.quantiles)


def test_songs_are_kept_once(model, tmp_path):
    paths = ModelPaths(tmp_path)
    AudioFeatureModel(predicted=model).save(paths, CONFIG, {})
    processes = AudioFeatureModel.load(paths, CONFIG).predicted.processes.values()
    assert len({process.songs.data_ptr() for process in processes}) == 1
    assert sum(name.rpartition(".")[2] in GaussianProcess.SHARED for name in model.tensors()) == 3


def test_rank_is_read_as_the_value_there(model):
    values = model.values_of("speechiness", torch.tensor([-0.1, 0.0, 0.5, 0.7525, 1.0, 1.2]))
    assert values.tolist() == pytest.approx([0, 0, 0.25, 0.7525**2, 1, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_songs": 0}, "how many songs"),
        ({"n_songs": 6}, "shape"),
        ({"intervals": 3}, "which intervals"),
        ({"weights_sha256": "0"}, "not the file"),
        ({"features": CONFIG.to_dict() | {"tone_db": 9.0}}, "other settings than the models: tone_db"),
    ],
)
def test_damaged_description_is_refused(model, tmp_path, change, sentence):
    paths = ModelPaths(tmp_path)
    AudioFeatureModel(predicted=model).save(paths, CONFIG, {})
    description = read_json(paths.audio_features, "")
    write_json(paths.audio_features, description | {"predicted": description["predicted"] | change})
    with pytest.raises(UserError, match=sentence):
        AudioFeatureModel.load(paths, CONFIG)


def test_names_are_those_of_the_endpoint():
    assert PREDICTED == ("acousticness", "speechiness", "instrumentalness")
