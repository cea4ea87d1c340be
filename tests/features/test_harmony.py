import pytest
import torch
from conftest import MAJOR, MINOR, notes

from music_learning.audio import AudioPipeline
from music_learning.features.config import FeatureConfig
from music_learning.features.harmony import harmony, octave_mean, peaks_in, pitch_classes, tones_in

CONFIG = FeatureConfig()
RATE_HZ, N_PITCHES = CONFIG.pipeline.sample_rate_hz, CONFIG.pipeline.n_pitches
A_MIDDLE = 24  # the pitch of the A at 220 Hz


def groups_of(waveform):
    """(features,) for each group."""
    pitches = AudioPipeline().pitch_levels(waveform)
    return {group: values[0] for group, (_, values) in harmony(pitches[None], CONFIG).items()}


def noise():
    return torch.randn(8 * RATE_HZ, generator=torch.Generator().manual_seed(0)) / 10


def test_tones_are_what_stands_out():
    levels = torch.full((1, 1, N_PITCHES), -60.0)
    assert tones_in(levels).abs().max() == 0
    levels[0, 0, 30] = -34
    tones = tones_in(levels)[0, 0]
    assert tones[30] == pytest.approx(24)  # 26 dB less a thirteenth of them
    assert tones[:30].abs().max() == 0 and tones[31:].abs().max() == 0


def test_pitch_classes_fold_the_octaves():
    tones = torch.zeros(1, 2, N_PITCHES)
    tones[0, 0, [3, 15, 27]] = 5
    classes = pitch_classes(tones)[0]
    assert classes[0].argmax() == 3
    assert classes[0].norm() == pytest.approx(1)
    assert classes[1].abs().max() == 0  # no tone, no class


def test_major_is_told_from_minor():
    major = groups_of(notes([(0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR)]))["key and intervals"]
    minor = groups_of(notes([(0, MINOR), (5, MINOR), (7, MINOR), (0, MINOR)]))["key and intervals"]
    assert major[0] - major[1] > 0.05 and minor[0] - minor[1] < -0.05  # how well each fits a key
    assert major[2] > 0.9 and minor[2] < 0.1  # share of major chords


def test_harmony_does_not_depend_on_the_key():
    chords = [(0, MAJOR), (5, MAJOR), (9, MINOR), (7, MAJOR)]
    here, there = (groups_of(notes([(root + shift, steps) for root, steps in chords])) for shift in (0, 5))
    for name in ("key and intervals", "scale and chords"):
        # Of numbers that go from -2 to 3; the filters don't fit each pitch alike.
        assert (here[name] - there[name]).abs().max() < 0.4
        assert torch.corrcoef(torch.stack([here[name], there[name]]))[0, 1] > 0.99


def test_roots_are_counted_from_the_tonic():
    roots = groups_of(notes([(3, MAJOR), (8, MAJOR), (10, MAJOR), (3, MAJOR)]))["scale and chords"][12:24]
    assert roots.argsort(descending=True)[:3].sort().values.tolist() == [0, 5, 7]
    assert roots.sum().item() == pytest.approx(1)


def test_steady_chord_does_not_change():
    steady, changing = groups_of(notes([(0, MAJOR)] * 4)), groups_of(notes([(0, MAJOR), (2, MINOR)] * 2))
    assert steady["key and intervals"][6] == 0 and changing["key and intervals"][6] > 0
    assert steady["scale and chords"][-11:].abs().max() == 0  # no moves


def test_held_chord_persists_and_noise_does_not():
    held, quick = (
        groups_of(notes([(0, MAJOR)] * 4))["pitch self-similarity"],
        groups_of(noise())["pitch self-similarity"],
    )
    assert (held[:6] > 0.95).all()
    assert (quick[2:6] < 0.5).all()


def test_melody_is_where_the_tones_are_and_moves_as_they_do():
    low, high = groups_of(notes([(0, [0])] * 4))["melody"], groups_of(notes([(12, [0])] * 4))["melody"]
    assert low[2] == A_MIDDLE and high[2] == A_MIDDLE + 12
    assert low[6] == 1  # each step is none
    moving = groups_of(notes([(0, [0]), (7, [0])] * 16, chord_s=0.25))["melody"]
    assert moving[5] > 2 and moving[6] < 0.7


def test_tones_are_counted():
    few = groups_of(notes([(0, [0])] * 4))["pitch density"]
    many = groups_of(notes([(0, (0, 4, 7, 12, 16, 19))] * 4))["pitch density"]
    assert few[-1] < many[-1]
    assert few[2] == 1 and many[2] == 0  # four at the most, in all frames and in none


def test_sine_stands_out_and_noise_does_not():
    sine, hiss = groups_of(notes([(0, [0])] * 4)), groups_of(noise())
    assert sine["pitch salience"][1] > 2 * hiss["pitch salience"][1]
    assert sine["tonal-to-noise ratio"][0] > 0.9 > 0.5 > hiss["tonal-to-noise ratio"][0]  # share of the power in tones
    assert sine["tonal-to-noise ratio"][1] < hiss["tonal-to-noise ratio"][1]  # spread over the pitches


def test_bass_is_followed():
    steady, walking = (
        groups_of(notes([(root, [0]) for root in roots], chord_s=0.5))["bass"]
        for roots in ([-12] * 16, [-12, -7, -5, -10] * 4)
    )
    assert steady[0] == A_MIDDLE - 12 and steady[2] == 0 and steady[3] == 1
    assert walking[2] > 0.5 and walking[3] < 0.9


def test_silence_is_no_chord():
    for group, (names, values) in harmony(torch.full((2, N_PITCHES, 40), -90.0), CONFIG).items():
        unknown = [name for name, is_nan in zip(names, values.isnan().all(dim=0), strict=True) if is_nan]
        assert not values.isinf().any() and values.isnan().sum() == 2 * len(unknown)
        assert all("chord" in name or "roots" in name for name in unknown)
        assert bool(unknown) == (group in ("key and intervals", "scale and chords"))


def test_chords_are_those_of_the_frames_that_sound():
    pitches = torch.full((1, N_PITCHES, 80), -60.0)
    pitches[:, [15, 19, 22], :40] = -20  # a major chord
    with_silence, without = (harmony(x, CONFIG)["key and intervals"] for x in (pitches, pitches[:, :, :40]))
    names = without[0]
    for name in ("share of major chords", "chord changes"):
        assert with_silence[1][0, names.index(name)] == without[1][0, names.index(name)]


def test_a_sine_is_one_tone():
    sine = torch.sin(2 * torch.pi * 440 / 16_000 * torch.arange(64_000)) / 4
    pipeline = CONFIG.pipeline
    tones = tones_in(AudioPipeline(pipeline)(sine)[None, pipeline.n_mels : -1].transpose(1, 2))
    assert (tones > CONFIG.tone_db).sum(dim=2).min() > 1  # its flanks stand out as well
    assert (peaks_in(tones, CONFIG).sum(dim=2) == 1).all()


@pytest.mark.parametrize("pitch", [0, 3, N_PITCHES - 1])
def test_octave_mean_takes_no_pitch_twice(pitch):
    levels = torch.arange(N_PITCHES, dtype=torch.float32)
    around = levels[max(0, pitch - 6) : pitch + 7]
    assert octave_mean(levels[None, None])[0, 0, pitch] == pytest.approx(around.mean().item())
