import pytest
import torch

from music_learning.predict.analysis import MAX_COLUMNS, Overview, warnings_about


def test_warning_needs_half_of_the_windows():
    assert warnings_about([]) == warnings_about([None]) == warnings_about(["noise"] * 4 + [None] * 5) == ()
    assert warnings_about(["speech"]) == ("This sounds like speech, not like music. Don't rely on the numbers.",)
    assert warnings_about(["tones"])[0].startswith("This sounds like noise or tones, not")
    mixed = ["speech", "noise", None, "tones", None]
    assert warnings_about(mixed)[0].startswith("3 of its 5 windows sound like speech and noise or tones, not")


def test_overview_of_a_short_recording_is_its_spectrogram():
    spectrogram = torch.randn(4, 936)
    overview = Overview(4)
    overview.add(spectrogram)
    assert torch.equal(overview.columns, spectrogram)


@pytest.mark.parametrize("lengths", [[936] * 30, [1, 2, 3, 5000, 7], [936] * 7 + [100]])
def test_overview_stays_small_and_keeps_the_course(lengths):
    frames = sum(lengths)
    ramp = torch.linspace(0, 1, frames).expand(3, frames)
    overview = Overview(3)
    for part in ramp.split(lengths, dim=1):
        overview.add(part)
    width = overview.columns.shape[1]
    assert MAX_COLUMNS / 2 <= width <= MAX_COLUMNS
    assert (overview.columns.diff(dim=1) > 0).all()
    covered = width * overview.frames_per_column
    assert frames - overview.frames_per_column < covered <= frames
    torch.testing.assert_close(overview.columns.mean(dim=1), ramp[:, :covered].mean(dim=1))
