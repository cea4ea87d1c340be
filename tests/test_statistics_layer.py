import numpy as np
import pytest
import torch

from statistics_layer import N_COARSE, N_RHYTHM, RHYTHM_EDGES, RHYTHM_FRAMES, clip_statistics, n_statistics

N_MELS = 96
N_LEVELS = 4 * N_COARSE


def pulsating(periods_per_window, *, frames=936):
    """A spectrogram whose level goes up and down so often in 7.5 s."""
    phase = 2 * np.pi * periods_per_window * torch.arange(frames) / RHYTHM_FRAMES
    return (-40 + 10 * torch.sin(phase)).expand(1, N_MELS, frames).contiguous()


@pytest.mark.parametrize("frames", [92, RHYTHM_FRAMES, 500, 936])
def test_as_many_statistics_for_any_length(frames):
    statistics = clip_statistics(torch.randn(3, N_MELS, frames))
    assert statistics.shape == (3, n_statistics(N_MELS))
    assert statistics.isfinite().all()


def test_levels_come_first():
    spectrogram = torch.arange(N_MELS, dtype=torch.float32)[None, :, None].expand(1, N_MELS, 300)
    levels = clip_statistics(spectrogram)[0, :N_LEVELS].view(4, N_COARSE)
    torch.testing.assert_close(levels[0], torch.arange(1, N_MELS, 3, dtype=torch.float32))
    torch.testing.assert_close(levels[1:3], torch.full((2, N_COARSE), 0.01))  # nothing changes
    assert levels[3].abs().max() == 0


@pytest.mark.parametrize("periods", [2, 5, 17, 60])
def test_rhythm_is_found_at_its_tempo(periods):
    n_tempi = len(RHYTHM_EDGES) - 1
    rhythm = clip_statistics(pulsating(periods))[0, N_LEVELS : N_LEVELS + N_RHYTHM * n_tempi].view(N_RHYTHM, n_tempi)
    expected = np.searchsorted(RHYTHM_EDGES, periods, side="right") - 1
    assert (rhythm.argmax(dim=1) == expected).all()


def test_a_tone_stands_out_and_noise_does_not():
    flat = torch.full((1, N_MELS, 300), -40.0)
    tone = flat.clone()
    tone[:, 50] += 30
    n_peaks = n_statistics(N_MELS) - N_LEVELS - N_RHYTHM * (len(RHYTHM_EDGES) - 1) - 60
    assert clip_statistics(flat)[0, -n_peaks:].abs().max() == 0
    assert clip_statistics(tone)[0, -n_peaks:].max() > 2


def test_each_clip_of_a_batch_is_on_its_own():
    batch = torch.randn(3, N_MELS, 400)
    alone = torch.cat([clip_statistics(clip[None]) for clip in batch])
    torch.testing.assert_close(clip_statistics(batch), alone, atol=1e-4, rtol=1e-4)
