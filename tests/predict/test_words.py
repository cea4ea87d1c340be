from itertools import pairwise

import numpy as np
import pytest
import torch

from music_learning.columns import TARGETS
from music_learning.predict import words
from music_learning.predict.words import DIRECTIONS, RANGES, USUAL, Finding, find, range_hz, range_name, sentence

EDGES_HZ = (39.4, 412.7, 974.6, 1820.1, 3092.6, 5008.0, 7889.9)  # of the released models
N_BANDS = len(EDGES_HZ) - 1


def moments(n, length_s=30.0):
    return list(pairwise(np.linspace(0, length_s, n + 1).tolist()))


def cells(n=8, **bands):
    """Attributions (bands, moments): of each band `b0` to `b5` that is named one number, or one of each moment."""
    attributions = torch.zeros(N_BANDS, n)
    for band, values in bands.items():
        attributions[int(band[1])] = torch.as_tensor(values)
    return attributions


def said(target, sign, attributions, stretches_s=None, above_usual_db=0.0, duration_s=None):
    stretches_s = stretches_s or moments(attributions.shape[1])
    found = find(target, sign, attributions)
    above = torch.full_like(attributions, above_usual_db)
    return found and sentence(found, EDGES_HZ, stretches_s, above, duration_s or stretches_s[-1][1])


@pytest.fixture
def nothing_usual(monkeypatch):
    monkeypatch.setattr(words, "USUAL", dict.fromkeys(TARGETS, (0.0,) * N_BANDS))


@pytest.mark.parametrize(
    ("target", "sign", "direction"),
    [
        ("energy", 1, "it more energetic"),
        ("energy", -1, "it calmer"),
        ("danceability", 1, "it more danceable"),
        ("danceability", -1, "it less danceable"),
        ("valence", 1, "its mood more positive"),
        ("valence", -1, "its mood darker"),
    ],
)
def test_each_direction_has_its_words(nothing_usual, target, sign, direction):
    attributions = sign * cells(b0=0.01)
    assert said(target, sign, attributions) == f"The lows throughout make {direction} (below 410 Hz: bass, kick drum)."
    assert said(target, -sign, attributions) is None


def test_nothing_is_said_where_nothing_shows(nothing_usual):
    for attributions in (cells(), cells(b0=0.002), cells(b3=[0.019, 0, 0, 0, 0, 0, 0, 0])):
        assert find("energy", 1, attributions) is None
        assert find("energy", -1, -attributions) is None


def test_what_a_range_does_to_nearly_every_song_is_left_out():
    usual = torch.tensor([USUAL[target] for target in TARGETS])[:, :, None].expand(3, N_BANDS, 8)
    for target, attributions in zip(TARGETS, usual, strict=True):
        for sign in (1, -1):
            assert find(target, sign, attributions) is None
    of_energy = usual[0].clone()
    of_energy[0] -= 0.01
    assert said("energy", -1, of_energy) == "The lows throughout make it calmer (below 410 Hz: bass, kick drum)."


def test_less_than_usual_is_not_the_opposite():
    """The lows of most songs raise valence: where they do so less, nothing lowers it."""
    assert find("valence", -1, cells(b0=0.01)) is None
    assert find("valence", 1, cells(b0=0.01)) is None
    assert find("valence", -1, cells(b0=-0.01)) == Finding("valence", -1, (0,), 0, 8)


def test_moments_of_a_short_recording_usually_do_more():
    usual = torch.tensor(USUAL["energy"])[:, None]
    assert find("energy", -1, 4 * usual.expand(N_BANDS, 2)) is None
    assert find("energy", -1, 8 * usual) is None
    assert find("energy", -1, 2 * usual.expand(N_BANDS, 8)) is not None


def test_two_ranges_that_do_as_much_are_named_together(nothing_usual):
    assert said("energy", 1, cells(b1=0.01, b5=0.02)) == (
        "The highs throughout make it more energetic (above 5.0 kHz: cymbals, breath)."
    )
    assert said("energy", 1, cells(b1=0.015, b4=0.014, b5=0.02)) == (
        "The low mids and the highs throughout make it more energetic "
        "(410 to 970 Hz: body of voices and guitars; above 5.0 kHz: cymbals, breath)."
    )


def test_range_that_does_it_for_a_while_is_no_second_one_throughout(nothing_usual):
    attributions = cells(b0=0.01, b1=[0.08, 0, 0, 0, 0, 0, 0, 0])
    assert find("energy", 1, attributions) == Finding("energy", 1, (0,), 0, 8)


def test_what_is_softer_than_in_most_songs_is_called_soft(nothing_usual):
    attributions = -cells(b5=0.01)
    assert said("energy", -1, attributions, above_usual_db=-6.0).startswith("The soft highs throughout make it calmer")
    assert said("energy", -1, attributions, above_usual_db=-5.9).startswith("The highs throughout make it calmer")
    assert said("energy", -1, -cells(b4=0.01)).startswith("The presence range throughout makes it calmer")


@pytest.mark.parametrize(
    ("values", "length_s", "when"),
    [
        ([1, 1, 1, 1, 1, 1, 1, 1], 30, "throughout"),
        ([2, 1, 2, 1, 2, 1, 1, 2], 30, "throughout"),
        ([1], 3, "throughout"),
        ([1, 1, 1, 1, 0, 0, 0, 0], 30, "in the first half"),
        ([0, 0, 0, 0, 1, 1, 1, 1], 30, "in the second half"),
        ([1, 1, 0, 0, 0, 0, 0, 0], 30, "in the first 8 seconds"),
        ([0, 0, 0, 0, 0, 0, 1, 1], 30, "in the last 8 seconds"),
        ([0, 0, 0, 1, 0, 0, 0, 0], 30, "around 0:13"),
        ([0, 0, 1, 1, 1, 0, 0, 0], 30, "from 0:08 to 0:19"),
        ([-1, 0, 0, -1, 1, 1, 1, 0], 30, "from 0:15 to 0:26"),
        ([1] * 8 + [0] * 72, 300, "in the first half-minute"),
        ([1] * 16 + [0] * 64, 300, "up to 1:00"),
        ([0] * 56 + [1] * 24, 300, "from 3:30 on"),
        ([0] * 72 + [1] * 8, 300, "in the last half-minute"),
        ([0] * 16 + [1] * 8 + [0] * 56, 300, "from 1:00 to 1:30"),
    ],
)
def test_when_is_said_as_people_say_it(nothing_usual, values, length_s, when):
    values = 0.1 * torch.tensor(values)
    text = said("energy", 1, cells(len(values), b0=values), moments(len(values), float(length_s)))
    assert text == f"The lows {when} make it more energetic (below 410 Hz: bass, kick drum)."


def test_beginning_that_is_silent_is_no_first_half(nothing_usual):
    stretches_s = [(30 + start_s, 30 + end_s) for start_s, end_s in moments(16, 60.0)]
    attributions = cells(16, b0=[0.1] * 8 + [0.0] * 8)
    assert "The lows from 0:30 to 1:00 make" in said("energy", 1, attributions, stretches_s)


@pytest.mark.parametrize(
    ("values", "when"),
    [
        ([1] * 8 + [0] * 8, "in the first half-minute"),
        ([0] * 8 + [1] * 8, "from 0:30 to 1:00"),
        ([0] * 14 + [1] * 2, "around 0:56"),
        ([1] * 16, "throughout"),
    ],
)
def test_silence_at_the_end_is_a_part_of_the_recording(nothing_usual, values, when):
    """A minute of sound and two of silence."""
    attributions = cells(16, b0=0.1 * torch.tensor(values))
    assert f"The lows {when} make" in said("energy", 1, attributions, moments(16, 60.0), duration_s=180.0)


@pytest.mark.parametrize(("n_windows", "least"), [(1, 0.02), (2, 0.01), (120, 0.01)])
def test_what_hardly_moves_the_recording_is_not_said(nothing_usual, n_windows, least):
    """A stretch of half a window; those of a recording count alike."""
    n = 8 * n_windows

    def found(effect):
        attributions = cells(n, b0=[0.0] * (n - 4) + [effect * n_windows / 4] * 4)
        return find("energy", 1, attributions, weight=1 / n_windows)

    assert found(0.99 * least) is None
    assert found(1.01 * least) == Finding("energy", 1, (0,), n - 4, n)


def test_what_moves_the_recording_most_is_said(nothing_usual):
    """A little throughout is more than much for a while."""
    attributions = cells(80, b0=0.01, b1=[0.0] * 72 + [0.05] * 8)
    assert find("energy", 1, attributions, weight=0.1) == Finding("energy", 1, (0,), 0, 80)


def test_names_are_true_for_the_edges():
    """Each band of the released models has a name of its own, and other edges get the names of where they lie."""
    names = [range_name(*band)[0] for band in pairwise(EDGES_HZ)]
    assert names == [name for _, name, _ in RANGES]
    assert range_name(30.0, 90.0)[0] == "lows"
    assert range_name(6000.0, 20_000.0)[0] == "highs"
    assert range_name(0.0, 100.0)[0] == "lows"
    assert [range_hz(band, EDGES_HZ) for band in range(N_BANDS)] == [
        "below 410 Hz",
        "410 to 970 Hz",
        "970 Hz to 1.8 kHz",
        "1.8 to 3.1 kHz",
        "3.1 to 5.0 kHz",
        "above 5.0 kHz",
    ]


def test_every_target_has_directions_and_what_is_usual():
    assert set(DIRECTIONS) == set(USUAL) == set(TARGETS)
    assert {len(of_target) for of_target in USUAL.values()} == {N_BANDS}
