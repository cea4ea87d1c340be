from itertools import pairwise

import pytest
import torch
from conftest import chord

from music_learning.columns import TARGETS
from music_learning.errors import AudioError
from music_learning.predict.explanation import ExplainedWindow, Explanation, join
from music_learning.predict.occlusion import N_BANDS
from music_learning.predict.predictor import Predictor

EDGES_HZ = (39.4, 412.7, 974.6, 1820.1, 3092.6, 5008.0, 7889.9)


def made_up(**cells):
    """An explanation of two moments with these attributions, by target, of (band, moment)."""
    attributions = torch.zeros(len(TARGETS), N_BANDS, 2)
    for target, values in cells.items():
        for cell, attribution in values.items():
            attributions[TARGETS.index(target)][cell] = attribution
    stretches_s = ((11.25, 15.0), (15.0, 18.75))
    return Explanation(EDGES_HZ, stretches_s, attributions, torch.zeros(N_BANDS, 2), (1.0,) * 3, 18.75)


def test_strongest_cells_are_those_that_show():
    found = made_up(energy={(1, 0): 0.0123, (4, 1): -0.02}, valence={(2, 0): 0.0004, (5, 0): -0.0009})
    assert found.strongest("energy", 1) == (1, 0, pytest.approx(0.0123))
    assert found.strongest("energy", -1) == (4, 1, pytest.approx(-0.02))
    assert found.strongest("valence", 1) is None
    assert found.strongest("valence", -1)[:2] == (5, 0)
    assert found.strongest_attribution == pytest.approx(0.02)
    assert made_up().strongest_attribution > 0


def test_sentences_are_in_the_json_and_of_every_target():
    found = made_up(energy={(5, 0): 0.05, (5, 1): 0.05}, valence={(1, 1): -0.09})
    assert found.sentences == {
        "energy": ["The highs throughout make it more energetic (above 5.0 kHz: cymbals, breath)."],
        "danceability": [],
        "valence": [
            "The low mids in the last 4 seconds make its mood darker (410 to 970 Hz: body of voices and guitars)."
        ],
    }
    assert found.to_dict()["sentences"] == found.sentences


def test_windows_that_count_less_are_scaled_down():
    """The second is 10 dB softer, which counts for energy alone, and half as long."""
    ones, above = torch.ones(len(TARGETS), N_BANDS, 2), torch.zeros(N_BANDS, 2)
    windows = [ExplainedWindow(0.0, 30.0, -20.0, ones, above), ExplainedWindow(30.0, 15.0, -30.0, 2 * ones, above + 1)]
    found = join(windows, EDGES_HZ, 45.0)
    assert found.stretches_s == ((0, 15), (15, 30), (30, 37.5), (37.5, 45))
    assert found.above_usual_db[0].tolist() == [0, 0, 1, 1]
    assert (found.attributions[:, :, :2] == 1).all()
    of_second = found.attributions[:, 0, 2]
    assert of_second[1:].tolist() == pytest.approx([1, 1])
    assert of_second[0] < 0.5
    assert found.largest_weights[1:] == pytest.approx([2 / 3, 2 / 3])
    assert found.largest_weights[0] == pytest.approx(1 / (1 + of_second[0] / 2))


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained)


def windows(predictor, seconds):
    return predictor.pipeline.windows(predictor.pipeline.waveforms_of(chord(seconds=seconds), 16_000))


def test_explanation_alone_is_that_of_the_prediction(predictor):
    alone = predictor.explain(windows(predictor, 34))
    beside = predictor.analyse(windows(predictor, 34), explain=True).explanation
    assert alone.to_dict() == beside.to_dict()
    assert len(alone.stretches_s) == 9
    starts, ends = zip(*alone.stretches_s, strict=True)
    assert list(ends[:-1]) == pytest.approx(starts[1:])
    assert list(pairwise(alone.edges_hz)) == sorted(pairwise(alone.edges_hz))


def test_sentences_know_the_silence_around_the_sound(predictor):
    """It has no moments, but is a part of the recording."""
    sound, silence = list(windows(predictor, 30)), [(None, 30.0)] * 4
    assert predictor.explain(sound + silence).duration_s == 150
    assert predictor.analyse(silence + sound, explain=True).explanation.duration_s == 150


def test_explanation_ends_with_what_its_windows_raise(predictor):
    class GoneError(Exception):
        pass

    explained = []

    def cancelled():
        for number, window in enumerate(windows(predictor, 100)):
            if number == 2:
                raise GoneError
            explained.append(number)
            yield window

    with pytest.raises(GoneError):
        predictor.explain(cancelled())
    assert explained == [0, 1]


def test_silence_has_no_explanation(predictor):
    with pytest.raises(AudioError, match="silent from beginning to end"):
        predictor.explain([(None, 30.0), (None, 10.0)])
