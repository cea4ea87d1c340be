import numpy as np
import pytest
import torch

from pipeline import N_PITCH_CLASSES, AudioPipeline, PipelineConfig
from statistics_layer import (
    FRAME_S,
    LAGS,
    LEVEL_COPIES,
    N_CEPSTRA,
    N_COARSE,
    N_MOVING,
    N_RHYTHM,
    PITCH_STEP,
    RHYTHM_EDGES,
    RHYTHM_FRAMES,
    TEMPO_EDGES_BPM,
    clip_statistics,
    n_statistics,
)

N_MELS = 96
N_LEVELS = 4 * N_COARSE + LEVEL_COPIES
N_CORRELATIONS = N_MOVING * (N_MOVING - 1) // 2
N_REPETITION = len(range(936)[LAGS]) + N_RHYTHM
FIRST = N_LEVELS + N_RHYTHM * (len(RHYTHM_EDGES) - 1) + 3 * N_CEPSTRA - 1
CORRELATIONS = slice(FIRST, FIRST + N_CORRELATIONS)
REPETITION = slice(-len(TEMPO_EDGES_BPM) - N_REPETITION, -len(TEMPO_EDGES_BPM))
N_HARMONY = 58
PEAKS = slice(CORRELATIONS.stop, n_statistics(N_MELS) - N_HARMONY + REPETITION.start)


def statistics_of(levels):
    """The statistics of spectrograms (B, n_mels, frames) that hold no tones, without those of the harmony."""
    n, _, frames = levels.shape
    return clip_statistics(torch.cat([levels, torch.zeros(n, N_PITCH_CLASSES, frames)], dim=1))[:, :-N_HARMONY]


def pulsating(periods_per_window, *, frames=936):
    """A spectrogram whose level goes up and down so often in 7.5 s."""
    phase = 2 * np.pi * periods_per_window * torch.arange(frames) / RHYTHM_FRAMES
    return (-40 + 10 * torch.sin(phase)).expand(1, N_MELS, frames).contiguous()


@pytest.mark.parametrize("frames", [92, RHYTHM_FRAMES, 500, 936])
def test_as_many_statistics_for_any_length(frames):
    statistics = clip_statistics(torch.randn(3, N_MELS + N_PITCH_CLASSES, frames))
    assert statistics.shape == (3, n_statistics(N_MELS))
    assert statistics.isfinite().all()


def test_levels_come_first():
    spectrogram = torch.arange(N_MELS, dtype=torch.float32)[None, :, None].expand(1, N_MELS, 300)
    levels = statistics_of(spectrogram)[0, : 4 * N_COARSE].view(4, N_COARSE)
    torch.testing.assert_close(levels[0], torch.arange(1, N_MELS, 3, dtype=torch.float32) - (N_MELS - 1) / 2)
    torch.testing.assert_close(levels[1:3], torch.full((2, N_COARSE), 0.01))  # nothing changes
    assert levels[3].abs().max() == 0


@pytest.mark.parametrize("periods", [2, 5, 17, 60])
def test_rhythm_is_found_at_its_tempo(periods):
    n_tempi = len(RHYTHM_EDGES) - 1
    rhythm = statistics_of(pulsating(periods))[0, N_LEVELS : N_LEVELS + N_RHYTHM * n_tempi].view(N_RHYTHM, n_tempi)
    expected = np.searchsorted(RHYTHM_EDGES, periods, side="right") - 1
    assert (rhythm.argmax(dim=1) == expected).all()


def test_a_tone_stands_out_and_noise_does_not():
    flat = torch.full((1, N_MELS, 300), -40.0)
    tone = flat.clone()
    tone[:, 50] += 30
    assert statistics_of(flat)[0, PEAKS].abs().max() == 0
    assert statistics_of(tone)[0, PEAKS].max() > 2


@pytest.mark.parametrize("bpm", [50, 90, 120, 170])
def test_beat_is_found_at_its_tempo(bpm):
    time_s = torch.arange(936) * FRAME_S
    clicks = torch.full((1, N_MELS, 936), -60.0)
    clicks[:, :, (time_s * bpm / 60) % 1 < FRAME_S * bpm / 60] = -20
    salience = statistics_of(clicks)[0, -len(TEMPO_EDGES_BPM) : -1]
    range_of_bpm = np.searchsorted(TEMPO_EDGES_BPM, bpm) - 1
    assert salience[range_of_bpm] > 3
    correlation = statistics_of(clicks)[0, REPETITION][: len(range(936)[LAGS])]
    lags_s = torch.arange(936)[LAGS] * FRAME_S
    beats = lags_s[correlation.argmax()] * bpm / 60
    assert abs(beats - beats.round()) < 0.06


def test_strongest_tempo_comes_last():
    time_s = torch.arange(936) * FRAME_S
    swell = (-60 + 20 * torch.sin(2 * np.pi * 100 / 60 * time_s)).expand(1, N_MELS, 936)
    assert statistics_of(swell)[0, -1].item() == pytest.approx(1.0, abs=0.02)


def test_bands_that_move_together_are_correlated():
    generator = torch.Generator().manual_seed(0)
    common, noise = torch.randn(1, 1, 600, generator=generator), torch.randn(1, N_MELS, 600, generator=generator)
    alone = statistics_of(noise)[0, CORRELATIONS]
    together = statistics_of(common * torch.linspace(0, 3, N_MELS)[:, None] + 0.1 * noise)[0, CORRELATIONS]
    assert alone.abs().max() < 0.3
    assert together.abs().max() > 0.8


def test_gain_changes_the_level_alone():
    clip = torch.randn(1, N_MELS, 400) * 10 - 50
    changed = (statistics_of(clip + 6) - statistics_of(clip))[0]
    torch.testing.assert_close(changed[4 * N_COARSE : N_LEVELS], torch.full((LEVEL_COPIES,), 6.0))
    changed[4 * N_COARSE : N_LEVELS] = 0
    assert changed.abs().max() < 1e-2


def test_each_clip_of_a_batch_is_on_its_own():
    batch = torch.randn(3, N_MELS + N_PITCH_CLASSES, 400)
    alone = torch.cat([clip_statistics(clip[None]) for clip in batch])
    torch.testing.assert_close(clip_statistics(batch), alone, atol=1e-4, rtol=1e-4)


MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
HARMONY_NAMES = ("in major", "in minor", "rather major", "major chords", "explained", "as major", "as minor")


def harmony(chords, *, chord_s=2.0):
    """The statistics of the harmony of chords, one after the other: each a root (semitones from A) and its steps."""
    config = PipelineConfig()
    rate_hz, tones = config.sample_rate_hz, []
    for root, steps in chords:
        time_s = np.arange(round(chord_s * rate_hz)) / rate_hz
        tones.append(sum(np.sin(2 * np.pi * 220 * 2 ** ((root + step) / 12) * time_s) for step in steps) / len(steps))
    spectrogram = AudioPipeline(config)(torch.from_numpy(np.concatenate(tones).astype(np.float32)))
    return clip_statistics(spectrogram[None])[0, -N_HARMONY:]


def test_major_is_told_from_minor():
    major = dict(zip(HARMONY_NAMES, harmony([(0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR)]).tolist(), strict=False))
    minor = dict(zip(HARMONY_NAMES, harmony([(0, MINOR), (5, MINOR), (7, MINOR), (0, MINOR)]).tolist(), strict=False))
    assert major["rather major"] > 0.05 and minor["rather major"] < -0.05
    assert major["major chords"] > 0.9 and minor["major chords"] < 0.1


def test_harmony_does_not_depend_on_the_key():
    chords = [(0, MAJOR), (5, MAJOR), (9, MINOR), (7, MAJOR)]
    here, there = (harmony([(root + shift, steps) for root, steps in chords]) for shift in (0, 5))
    assert (here - there).abs().max() < 0.4  # of numbers that go from -2 to 3: filters don't fit each pitch alike
    assert torch.corrcoef(torch.stack([here, there]))[0, 1] > 0.99


def test_roots_are_counted_from_the_tonic():
    roots = harmony([(3, MAJOR), (8, MAJOR), (10, MAJOR), (3, MAJOR)])[-23:-11]
    assert roots.argsort(descending=True)[:3].sort().values.tolist() == [0, 5, 7]
    assert roots.sum().item() == pytest.approx(1)


def test_steady_chord_does_not_change():
    steady, changing = harmony([(0, MAJOR)] * 4), harmony([(0, MAJOR), (2, MINOR)] * 2)
    assert steady[8] == 0
    assert changing[8] > 0
    assert steady[-11:].abs().max() == 0  # no moves


def test_pitch_classes_are_held_as_long_as_the_statistics_take_them_to_be():
    config = PipelineConfig()
    assert config.pitch_hop_samples == PITCH_STEP * config.hop_samples
