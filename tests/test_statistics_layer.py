import numpy as np
import pytest
import torch

from music_learning.audio import AudioPipeline
from music_learning.features.clip import (
    FRAME_S,
    LAGS,
    N_CEPSTRA,
    N_COARSE,
    N_RHYTHM,
    PITCH_STEP,
    RHYTHM_EDGES,
    RHYTHM_FRAMES,
    TEMPO_EDGES_BPM,
    clip_statistics,
    statistic_groups,
    statistic_weights,
)
from music_learning.pipeline_config import N_PITCHES, PipelineConfig

N_MELS = 96
N_OTHERS = N_PITCHES + 1


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def statistics_of(levels, *, peak_db=0.0):
    """The groups of statistics of spectrograms (B, n_mels, frames) that hold no tones."""
    n, _, frames = levels.shape
    pitches, peaks = torch.full((n, N_PITCHES, frames), -90.0), torch.full((n, 1, frames), peak_db)
    return statistic_groups(torch.cat([levels, pitches, peaks], dim=1))


def pulsating(periods_per_window, *, frames=936):
    """A spectrogram whose level goes up and down so often in 7.5 s."""
    phase = 2 * np.pi * periods_per_window * torch.arange(frames) / RHYTHM_FRAMES
    return (-40 + 10 * torch.sin(phase)).expand(1, N_MELS, frames).contiguous()


def clicks(bpm, *, frames=936, bands=slice(None)):
    """Silence but for a frame at each beat, and a steady sound in the other bands."""
    time_s = torch.arange(frames) * FRAME_S
    levels = torch.full((1, N_MELS, frames), -60.0)
    struck = torch.full((1, N_MELS, frames), -60.0)
    struck[:, :, (time_s * bpm / 60) % 1 < FRAME_S * bpm / 60] = -20
    levels[:, bands] = struck[:, bands]
    return levels


@pytest.mark.parametrize("frames", [92, RHYTHM_FRAMES, 500, 936])
def test_as_many_statistics_for_any_length(frames):
    statistics = clip_statistics(random(3, N_MELS + N_OTHERS, frames))
    assert statistics.shape == (3, len(statistic_weights(N_MELS)))
    assert statistics.isfinite().all()


@pytest.mark.parametrize("level_db", [-100.0, 0.0, 1000.0])
def test_finite_where_nothing_happens(level_db):
    assert clip_statistics(torch.full((1, N_MELS + N_OTHERS, 300), level_db)).isfinite().all()


def test_groups_weigh_alike_unless_told_otherwise():
    sizes = [group.shape[1] for group in statistics_of(random(1, N_MELS, 300)).values()]
    shares = [part.sum().item() for part in statistic_weights(N_MELS).split(sizes)]
    assert shares == pytest.approx([1 / len(sizes)] * len(sizes))
    weighed = statistic_weights(N_MELS, {"dynamics": 3.0}).split(sizes)
    assert weighed[0].sum() / weighed[1].sum() == pytest.approx(3)
    assert sum(part.sum() for part in weighed) == pytest.approx(1)


def test_weight_of_no_group_is_refused():
    with pytest.raises(ValueError, match=r"dynamic$"):
        statistic_weights(N_MELS, {"dynamic": 3.0})


def test_balance_is_each_band_s_level_against_all():
    groups = statistics_of(torch.arange(N_MELS, dtype=torch.float32)[None, :, None].expand(1, N_MELS, 300))
    expected = torch.arange(1, N_MELS, 3, dtype=torch.float32) - (N_MELS - 1) / 2
    torch.testing.assert_close(groups["balance"][0], expected)
    for name in ("deviation", "change"):
        torch.testing.assert_close(groups[name][0], torch.full((N_COARSE,), 0.01))  # nothing changes
    assert groups["rise"].abs().max() == 0


def test_dynamics_are_the_level_below_the_peaks_and_its_course():
    steady = statistics_of(torch.full((1, N_MELS, 400), -30.0), peak_db=-5.0)["dynamics"][0]
    torch.testing.assert_close(steady[:2], torch.tensor([-25.0, -25.0]))
    assert steady[2:].abs().max() < 0.02
    louder = torch.full((1, N_MELS, 400), -30.0)
    louder[:, :, 200:] = -10
    swelling = statistics_of(louder)["dynamics"][0]
    assert swelling[0] == pytest.approx(-13, abs=0.1)  # half of the time at -10 dB
    assert swelling[4] == pytest.approx(20, abs=0.1)  # from the softest to the loudest second


def test_a_click_is_not_the_peak():
    spectrogram = torch.cat([torch.full((1, N_MELS + N_PITCHES, 400), -30.0), torch.full((1, 1, 400), -6.0)], dim=1)
    before = clip_statistics(spectrogram)
    spectrogram[:, -1, 100:103] = 0
    torch.testing.assert_close(clip_statistics(spectrogram), before)


@pytest.mark.parametrize("periods", [2, 5, 17, 60])
def test_modulation_is_found_at_its_tempo(periods):
    strength = statistics_of(pulsating(periods))["modulation"].view(N_RHYTHM, len(RHYTHM_EDGES) - 1)
    assert (strength.argmax(dim=1) == np.searchsorted(RHYTHM_EDGES, periods, side="right") - 1).all()


def test_a_tone_stands_out_and_noise_does_not():
    flat = torch.full((1, N_MELS, 300), -40.0)
    tone = flat.clone()
    tone[:, 50] += 30
    assert statistics_of(flat)["peaks"].abs().max() == 0
    assert statistics_of(tone)["peaks"].max() > 2


@pytest.mark.parametrize("bpm", [50, 90, 120, 170])
def test_beat_is_found_at_its_tempo(bpm):
    groups = statistics_of(clicks(bpm))
    assert groups["tempo"][0, np.searchsorted(TEMPO_EDGES_BPM, bpm) - 1] > 3
    correlation = groups["repetition"][0, : len(range(936)[LAGS])]
    lags_s = torch.arange(936)[LAGS] * FRAME_S
    beats = lags_s[correlation.argmax()] * bpm / 60
    assert abs(beats - beats.round()) < 0.06


def test_strongest_tempo_comes_last():
    time_s = torch.arange(936) * FRAME_S
    swell = (-60 + 20 * torch.sin(2 * np.pi * 100 / 60 * time_s)).expand(1, N_MELS, 936)
    assert statistics_of(swell)["tempo"][0, -1].item() == pytest.approx(1.0, abs=0.02)


def test_steady_beat_is_a_clear_pulse_and_noise_is_none():
    generator = torch.Generator().manual_seed(0)
    beat = statistics_of(clicks(125))["pulse"].view(6, 4)  # what is measured, in which range
    noise = statistics_of(-40 + 5 * torch.randn(1, N_MELS, 936, generator=generator))["pulse"].view(6, 4)
    assert (beat[0] > 0.8).all() and (noise[0] < 0.3).all()
    assert (beat[2] > 0.95).all() and (noise[2] < 0.5).all()  # steady
    beats = beat[3].exp() / 125  # a beat twice as fast or half as fast is the same beat
    assert torch.log2(beats).sub(torch.log2(beats).round()).abs().max() < 0.06
    assert beat[4].max() < 0.05 and noise[4].min() > 0.1  # always the same tempo


def test_pulse_is_found_in_the_range_where_it_is():
    clarity = statistics_of(clicks(125, bands=slice(0, 12)))["pulse"].view(6, 4)[0]
    assert clarity[0] > 0.8
    assert clarity[1:3].abs().max() < 0.1


def test_onsets_are_counted_and_measured():
    groups = statistics_of(clicks(120))
    per_frame = 2 * FRAME_S
    assert groups["onsets"][0, -4:].tolist() == pytest.approx([per_frame] * 4, rel=0.05)
    spacing = groups["spacing"].view(3, 4)
    assert spacing[0].exp().tolist() == pytest.approx([1 / per_frame] * 4, rel=0.05)
    assert spacing[1].max() < 0.1  # evenly
    assert spacing[2].exp().tolist() == pytest.approx([1 / per_frame] * 4, rel=0.05)
    assert (groups["lopsidedness"].view(3, 4)[0] > 2).all()  # seldom a rise, and then a large one


def test_no_onsets_have_no_spacing():
    assert statistics_of(torch.full((1, N_MELS, 300), -40.0))["spacing"].abs().max() == 0


def test_bands_that_move_together_are_correlated():
    generator = torch.Generator().manual_seed(0)
    common, noise = torch.randn(1, 1, 600, generator=generator), torch.randn(1, N_MELS, 600, generator=generator)
    alone = statistics_of(noise)["timbre together"]
    together = statistics_of(common * torch.linspace(0, 3, N_MELS)[:, None] + 0.1 * noise)["timbre together"]
    assert alone.abs().max() < 0.3
    assert together.abs().max() > 0.8


def test_timbre_leaves_the_level_out():
    assert statistics_of(torch.full((1, N_MELS, 300), -40.0))["timbre"].shape == (1, N_CEPSTRA - 1)
    assert statistics_of(torch.full((1, N_MELS, 300), -40.0))["timbre"].abs().max() < 1e-3


def test_gain_changes_nothing():
    clip = random(1, N_MELS + N_OTHERS, 400) * 10 - 50
    torch.testing.assert_close(clip_statistics(clip + 6), clip_statistics(clip), atol=1e-3, rtol=1e-3)


def test_gain_of_a_waveform_changes_nothing_above_the_floors():
    waveform = random(128_000) / 20
    soft, loud = (AudioPipeline()(gain * waveform) for gain in (1, 2))
    torch.testing.assert_close(clip_statistics(loud[None]), clip_statistics(soft[None]), atol=1e-2, rtol=1e-2)


def test_each_clip_of_a_batch_is_on_its_own():
    batch = random(3, N_MELS + N_OTHERS, 400)
    alone = torch.cat([clip_statistics(clip[None]) for clip in batch])
    torch.testing.assert_close(clip_statistics(batch), alone, atol=1e-4, rtol=1e-4)


def test_pitches_are_held_as_long_as_the_statistics_take_them_to_be():
    config = PipelineConfig()
    assert config.pitch_hop_samples == PITCH_STEP * config.hop_samples


def test_released_front_end_fits():
    spectrogram = AudioPipeline()(random(64_000) / 10)
    assert clip_statistics(spectrogram[None]).shape == (1, len(statistic_weights(N_MELS)))
