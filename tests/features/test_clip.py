import numpy as np
import pytest
import torch

from music_learning.audio import AudioPipeline
from music_learning.features.clip import clip_features, feature_groups, feature_names, group_names
from music_learning.features.config import FeatureConfig

CONFIG = FeatureConfig()
FRAME_S, RHYTHM_FRAMES, N_PITCHES = CONFIG.frame_s, CONFIG.rhythm_frames, CONFIG.pipeline.n_pitches
N_MELS = 96
N_OTHERS = N_PITCHES + 1


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def features_of(levels, *, peak_db=0.0):
    """The groups of features of spectrograms (B, n_mels, frames) that hold no tones."""
    n, _, frames = levels.shape
    pitches, peaks = torch.full((n, N_PITCHES, frames), -90.0), torch.full((n, 1, frames), peak_db)
    groups = feature_groups(torch.cat([levels, pitches, peaks], dim=1), CONFIG)
    return {group: values for group, (_, values) in groups.items()}


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
def test_as_many_features_for_any_length(frames):
    features = clip_features(random(3, N_MELS + N_OTHERS, frames), CONFIG)
    assert features.shape == (3, len(feature_names(CONFIG)))
    assert features.isfinite().all()


@pytest.mark.parametrize("level_db", [-100.0, 0.0, 1000.0])
def test_finite_where_nothing_happens(level_db):
    assert clip_features(torch.full((1, N_MELS + N_OTHERS, 300), level_db), CONFIG).isfinite().all()


def test_spectral_envelope_is_each_band_s_level_against_all():
    groups = features_of(torch.arange(N_MELS, dtype=torch.float32)[None, :, None].expand(1, N_MELS, 300))
    expected = torch.arange(1, N_MELS, 3, dtype=torch.float32) - (N_MELS - 1) / 2
    torch.testing.assert_close(groups["spectral envelope"][0], expected)
    for name in ("band std", "band delta"):
        torch.testing.assert_close(groups[name][0], torch.full((CONFIG.n_coarse_bands,), 0.01))  # nothing changes
    assert groups["spectral flux"].abs().max() == 0


def test_dynamics_are_the_level_below_the_peaks_and_its_course():
    steady = features_of(torch.full((1, N_MELS, 400), -30.0), peak_db=-5.0)["dynamics"][0]
    torch.testing.assert_close(steady[:2], torch.tensor([-25.0, -25.0]))
    assert steady[2:].abs().max() < 0.02
    louder = torch.full((1, N_MELS, 400), -30.0)
    louder[:, :, 200:] = -10
    swelling = features_of(louder)["dynamics"][0]
    assert swelling[0] == pytest.approx(-13, abs=0.1)  # half of the time at -10 dB
    assert swelling[4] == pytest.approx(20, abs=0.1)  # from the softest to the loudest second


def test_a_click_is_not_the_peak():
    spectrogram = torch.cat([torch.full((1, N_MELS + N_PITCHES, 400), -30.0), torch.full((1, 1, 400), -6.0)], dim=1)
    before = clip_features(spectrogram, CONFIG)
    spectrogram[:, -1, 100:103] = 0
    torch.testing.assert_close(clip_features(spectrogram, CONFIG), before)


@pytest.mark.parametrize("periods", [2, 5, 17, 60])
def test_modulation_is_found_at_its_tempo(periods):
    strength = features_of(pulsating(periods))["modulation spectrum"].view(CONFIG.n_rhythm_bands, -1)
    assert (strength.argmax(dim=1) == np.searchsorted(CONFIG.modulation_periods, periods, side="right") - 1).all()


def test_a_tone_stands_out_and_noise_does_not():
    flat = torch.full((1, N_MELS, 300), -40.0)
    tone = flat.clone()
    tone[:, 50] += 30
    assert features_of(flat)["spectral contrast"].abs().max() == 0
    assert features_of(tone)["spectral contrast"].max() > 2


@pytest.mark.parametrize("bpm", [50, 90, 120, 170])
def test_beat_is_found_at_its_tempo(bpm):
    groups = features_of(clicks(bpm))
    assert groups["tempogram"][0, np.searchsorted(CONFIG.tempo_edges_bpm, bpm) - 1] > 3
    correlation = groups["onset autocorrelation"][0, : len(range(936)[CONFIG.onset_lags])]
    lags_s = torch.arange(936)[CONFIG.onset_lags] * FRAME_S
    beats = lags_s[correlation.argmax()] * bpm / 60
    assert abs(beats - beats.round()) < 0.06


def test_strongest_tempo_comes_last():
    time_s = torch.arange(936) * FRAME_S
    swell = (-60 + 20 * torch.sin(2 * np.pi * 100 / 60 * time_s)).expand(1, N_MELS, 936)
    assert features_of(swell)["tempogram"][0, -1].item() == pytest.approx(1.0, abs=0.02)


def test_steady_beat_is_a_clear_pulse_and_noise_is_none():
    generator = torch.Generator().manual_seed(0)
    beat = features_of(clicks(125))["pulse clarity"].view(6, 4)  # what is measured, in which range
    noise = features_of(-40 + 5 * torch.randn(1, N_MELS, 936, generator=generator))["pulse clarity"].view(6, 4)
    assert (beat[0] > 0.8).all() and (noise[0] < 0.3).all()
    assert (beat[2] > 0.95).all() and (noise[2] < 0.5).all()  # steady
    beats = beat[3].exp() / 125  # a beat twice as fast or half as fast is the same beat
    assert torch.log2(beats).sub(torch.log2(beats).round()).abs().max() < 0.06
    assert beat[4].max() < 0.05 and noise[4].min() > 0.1  # always the same tempo


def test_pulse_is_found_in_the_range_where_it_is():
    clarity = features_of(clicks(125, bands=slice(0, 12)))["pulse clarity"].view(6, 4)[0]
    assert clarity[0] > 0.8
    assert clarity[1:3].abs().max() < 0.1


def test_onsets_are_counted_and_measured():
    groups = features_of(clicks(120))
    per_frame = 2 * FRAME_S
    assert groups["onset strength"][0, -4:].tolist() == pytest.approx([per_frame] * 4, rel=0.05)
    intervals = groups["inter-onset intervals"].view(3, 4)
    assert intervals[0].exp().tolist() == pytest.approx([1 / per_frame] * 4, rel=0.05)
    assert intervals[1].max() < 0.1  # evenly
    assert intervals[2].exp().tolist() == pytest.approx([1 / per_frame] * 4, rel=0.05)
    assert (groups["skewness"].view(3, 4)[0] > 2).all()  # seldom a rise, and then a large one


def test_no_onsets_have_no_intervals():
    assert features_of(torch.full((1, N_MELS, 300), -40.0))["inter-onset intervals"].abs().max() == 0


def test_bands_that_move_together_are_correlated():
    generator = torch.Generator().manual_seed(0)
    common, noise = torch.randn(1, 1, 600, generator=generator), torch.randn(1, N_MELS, 600, generator=generator)
    alone = features_of(noise)["delta-mfcc correlation"]
    together = features_of(common * torch.linspace(0, 3, N_MELS)[:, None] + 0.1 * noise)["delta-mfcc correlation"]
    assert alone.abs().max() < 0.3
    assert together.abs().max() > 0.8


def test_mean_mfcc_leave_the_level_out():
    assert features_of(torch.full((1, N_MELS, 300), -40.0))["mfcc mean"].shape == (1, CONFIG.n_mfcc - 1)
    assert features_of(torch.full((1, N_MELS, 300), -40.0))["mfcc mean"].abs().max() < 1e-3


def test_gain_changes_nothing():
    clip = random(1, N_MELS + N_OTHERS, 400) * 10 - 50
    torch.testing.assert_close(clip_features(clip + 6, CONFIG), clip_features(clip, CONFIG), atol=1e-3, rtol=1e-3)


def test_gain_of_a_waveform_changes_nothing_above_the_floors():
    waveform = random(128_000) / 20
    soft, loud = (AudioPipeline()(gain * waveform) for gain in (1, 2))
    torch.testing.assert_close(
        clip_features(loud[None], CONFIG), clip_features(soft[None], CONFIG), atol=1e-2, rtol=1e-2
    )


def test_each_clip_of_a_batch_is_on_its_own():
    batch = random(3, N_MELS + N_OTHERS, 400)
    alone = torch.cat([clip_features(clip[None], CONFIG) for clip in batch])
    torch.testing.assert_close(clip_features(batch, CONFIG), alone, atol=1e-4, rtol=1e-4)


def test_pitches_are_held_as_long_as_the_features_take_them_to_be():
    assert CONFIG.pipeline.pitch_hop_samples == CONFIG.frames_per_pitch * CONFIG.pipeline.hop_samples


def test_released_front_end_fits():
    spectrogram = AudioPipeline()(random(64_000) / 10)
    assert clip_features(spectrogram[None], CONFIG).shape == (1, len(feature_names(CONFIG)))


def test_every_feature_has_a_name_of_its_own():
    names = feature_names(CONFIG)
    assert len(names) == len(set(names)) == 650
    groups = feature_groups(random(2, N_MELS + N_OTHERS, 300), CONFIG)
    assert {group: tuple(names) for group, (names, _) in groups.items()} == group_names(CONFIG)
    assert all(values.shape == (2, len(names)) for names, values in groups.values())
