import pytest
import torch

from music_learning.errors import UserError
from music_learning.features.config import FeatureConfig
from music_learning.features.measurement import Measurement
from music_learning.files import read_json, write_json
from music_learning.model.audio_features import SHAPES, AudioFeatureModel
from music_learning.paths import ModelPaths
from music_learning.pipeline_config import PipelineConfig

CONFIG, PIPELINE = FeatureConfig(), PipelineConfig()


def model():
    generator = torch.Generator().manual_seed(0)
    return AudioFeatureModel(**{name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()})


def test_what_is_saved_is_loaded(tmp_path):
    paths = ModelPaths(tmp_path)
    model().save(paths, CONFIG, {"songs": 3})
    loaded = AudioFeatureModel.load(paths, CONFIG)
    for name in SHAPES:
        torch.testing.assert_close(getattr(loaded, name), getattr(model(), name), atol=1e-5, rtol=0)
    assert read_json(paths.audio_features, "")["songs"] == 3


def test_without_a_file_nothing_is_told(tmp_path):
    levels = torch.randn(PIPELINE.n_rows, 300, generator=torch.Generator().manual_seed(0)) * 5 - 30
    told = AudioFeatureModel.load(ModelPaths(tmp_path), CONFIG).features(Measurement.of(levels, CONFIG), CONFIG)
    assert told == dict.fromkeys(("key", "loudness", "mode", "tempo", "time_signature"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tempo": [1.0]}, "tempo holds other numbers"),
        ({"loudness": ["1", 2]}, "loudness holds other numbers"),
        ({"key": 3}, "key holds other numbers"),
        ({"bar": [1e9] * SHAPES["bar"][0]}, "bar holds other numbers"),
        ({"pipeline": PipelineConfig(hop_samples=256).to_dict()}, "other settings than the models: hop_samples"),
    ],
)
def test_damaged_file_is_refused(tmp_path, change, sentence):
    paths = ModelPaths(tmp_path)
    model().save(paths, CONFIG, {})
    write_json(paths.audio_features, read_json(paths.audio_features, "") | change)
    with pytest.raises(UserError, match=sentence):
        AudioFeatureModel.load(paths, CONFIG)


def test_windows_of_a_recording_are_summed():
    window = torch.randn(PIPELINE.n_rows, 300, generator=torch.Generator().manual_seed(1)) * 5 - 30
    one = Measurement.of(window, CONFIG)
    told, of_two = model().features(one, CONFIG), model().features(one + one, CONFIG)
    assert of_two == pytest.approx(told)
    assert 0 <= told["key"] < 12 and told["mode"] in (0, 1) and told["time_signature"] in (3, 4)
