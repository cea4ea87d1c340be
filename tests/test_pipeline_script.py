import numpy as np
import pytest
from conftest import call_main, chord, write_audio
from matplotlib.image import imread

import pipeline as script
from music_learning.audio import AudioPipeline
from music_learning.errors import UserError
from music_learning.pipeline_config import PipelineConfig


def test_hands_on_the_pipeline():
    assert script.AudioPipeline is AudioPipeline and script.PipelineConfig is PipelineConfig


def test_file_is_drawn(tmp_path, capsys):
    song = write_audio(tmp_path / "song.wav", chord(seconds=5))
    assert call_main(script, song, "--picture", tmp_path / "a.png") == 0
    picture = imread(tmp_path / "a.png")[:, :, :3]
    assert picture.shape[:2] == (800, 1100)
    assert picture.std() > 0.1
    assert capsys.readouterr().out == f"picture: {tmp_path / 'a.png'}\n"


def test_window_is_the_first_with_sound_and_has_none_at_its_ends(tmp_path):
    """A minute of which the first half and two seconds are silent."""
    samples = np.concatenate([np.zeros(32 * 16_000), chord(seconds=28)])
    pipeline = AudioPipeline()
    waveform, spectrogram = script.first_window(pipeline, write_audio(tmp_path / "a.wav", samples))
    assert waveform.numel() == pytest.approx(28 * 16_000, abs=1_600)
    assert spectrogram.shape == pipeline(waveform).shape


@pytest.mark.parametrize(("content", "reason"), [(None, "there is no such file"), (b"x" * 5000, "not an audio file")])
def test_what_cannot_be_drawn_is_an_error(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        call_main(script, tmp_path / "a.mp3", "--picture", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
