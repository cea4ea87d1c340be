"""What the released models say, and which features they say it from, stays what it was when this was last written.

`python tests/test_golden.py` writes tests/golden.safetensors anew, which only new models give a reason for.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, write_audio, write_with_ffmpeg
from safetensors.torch import load_file, save_file

from music_learning.columns import TARGETS
from music_learning.features.clip import clip_features
from music_learning.paths import DataPaths
from music_learning.predict.predictor import Predictor
from music_learning.songs.spectrograms import SpectrogramSet

GOLDEN = Path(__file__).with_name("golden.safetensors")
# Bit for bit on the machine that wrote them; another processor, or a library's other order of sums, rounds otherwise.
VALUE_TOLERANCE = 1e-5
FEATURE_TOLERANCE = 1e-3


def music(*, seconds: float, rate_hz: int, bpm: float) -> np.ndarray:
    """A beat of noise, a bass and chords of four tones, in stereo: (samples, 2)"""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    beat = t * bpm / 60
    drum = np.random.default_rng(0).standard_normal(len(t)) * np.exp(-12 * (beat % 1))
    root = 110 * 2 ** (np.array([0, 5, 7, 3])[(beat // 4).astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(root) / rate_hz
    chords = sum(np.sin(ratio * phase) / ratio for ratio in (1, 2, 2.52, 3))
    left, right = 0.2 * drum + 0.2 * chords, 0.1 * drum + 0.25 * chords
    return np.stack([left, right], axis=1).clip(-1, 1)


def recordings(folder: Path) -> dict[str, Path]:
    """Three synthesised recordings: one for libsndfile, one of two windows, and one for FFmpeg."""
    return {
        "wav": write_audio(folder / "stereo.wav", music(seconds=30, rate_hz=44_100, bpm=120), 44_100),
        "flac": write_audio(folder / "mono.flac", music(seconds=40, rate_hz=22_050, bpm=90)[:, 0], 22_050),
        "mka": write_with_ffmpeg(
            folder / "short.mka", music(seconds=12, rate_hz=48_000, bpm=140), 48_000, codec="pcm_f32le"
        ),
    }


def measure(folder: Path) -> dict[str, torch.Tensor]:
    """The values (targets,) and the first window's features of each recording and of each song of the demo."""
    predictor = Predictor.load(ROOT / "models")
    demo = DataPaths(ROOT / "data" / "demo")
    spectrograms = SpectrogramSet.open(demo.spectrograms)
    measured = {}

    def note(name: str, analysis, spectrogram: torch.Tensor) -> None:
        measured[f"{name}/values"] = torch.tensor([analysis.values[target] for target in TARGETS])
        measured[f"{name}/features"] = clip_features(spectrogram[None], predictor.features)[0]

    for song_id in sorted(spectrograms.rows):
        spectrogram = spectrograms.tensor(song_id)
        note(song_id, predictor.analyse([(spectrogram, 30.0)]), spectrogram)
    for name, path in recordings(folder).items():
        note(name, predictor.predict(path), predictor.pipeline.log_mels(path)[0][0])
    return measured


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, torch.Tensor]:
    if demo_is_another(load_file(GOLDEN)):
        pytest.skip("data/demo holds songs of your own; git checkout data/demo brings the released ones back")
    return measure(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


def demo_is_another(golden) -> bool:
    """Whether data_loading.py has put songs of the user's own in data/demo/."""
    names = {
        f"{song_id}/values" for song_id in SpectrogramSet.open(DataPaths(ROOT / "data" / "demo").spectrograms).rows
    }
    return not names <= golden.keys()


def test_the_same_songs(measured, golden):
    assert measured.keys() == golden.keys()
    assert len(golden) == 2 * (24 + 3)


@pytest.mark.parametrize("what, tolerance", [("values", VALUE_TOLERANCE), ("features", FEATURE_TOLERANCE)])
def test_stay(measured, golden, what, tolerance):
    names = [name for name in golden if name.endswith(what)]
    off = {name: (measured[name] - golden[name]).abs().max().item() for name in names}
    assert max(off.values()) <= tolerance, sorted(off.items(), key=lambda item: -item[1])[:5]


def test_values_differ_between_songs(golden):
    values = torch.stack([tensor for name, tensor in golden.items() if name.endswith("values")])
    assert (values.std(dim=0) > 0.1).all()


if __name__ == "__main__":
    import tempfile

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        save_file(measure(Path(name)), GOLDEN)
