import json
import math

import numpy as np
import pytest

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.evaluation.conformal import (
    Interval,
    fit_interval,
    measure_interval,
    read_correlation,
    read_intervals,
    without_interval,
    write_intervals,
    write_songs_scale,
)
from music_learning.files import read_json
from music_learning.paths import RELEASED_MODELS, ModelPaths

N_FOLDS = 5


def songs(n=1000, *, seed=0):
    """Predictions that lean towards the middle, less sure where they are low; their std, a tenth; and folds."""
    generator = np.random.default_rng(seed)
    predicted = generator.uniform(0.1, 0.9, n)
    truth = predicted + (0.25 - 0.2 * predicted) * generator.standard_normal(n)
    return truth.clip(0, 1), predicted, np.full(n, 0.1), np.arange(n) % N_FOLDS


def test_nine_of_ten_new_songs_are_inside():
    interval = fit_interval(*songs())
    truth, predicted, std, _ = songs(20_000, seed=1)
    low, high = interval.around(predicted, std)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.9, abs=0.02)
    assert np.mean(truth < low) == pytest.approx(0.05, abs=0.02)


def test_interval_is_wider_where_predictions_are_less_sure():
    low, high = fit_interval(*songs()).around([0.2, 0.8], 0.1)
    assert high[0] - low[0] > 1.5 * (high[1] - low[1])


def test_interval_is_wider_where_the_kernel_model_is_less_sure():
    generator, folds = np.random.default_rng(0), np.arange(2000) % N_FOLDS
    predicted, std = generator.uniform(0.3, 0.7, 2000), generator.choice([0.03, 0.09], 2000)
    truth = predicted + std * generator.standard_normal(2000)
    low, high = fit_interval(truth, predicted, std, folds).around(predicted, std)
    for sure in (0.03, 0.09):
        inside = ((low <= truth) & (truth <= high))[std == sure]
        assert inside.mean() == pytest.approx(0.9, abs=0.02)
    assert np.mean((high - low)[std == 0.09]) == pytest.approx(3 * np.mean((high - low)[std == 0.03]), rel=0.05)


def test_interval_stays_in_range_and_holds_the_prediction():
    interval = Interval(low=(0.5, -1, 0), high=(0.4, -1, 0), margin=0)
    predicted = np.array([0.0, 0.3, 0.45, 1.0])
    low, high = interval.around(predicted, 1.0)
    assert (low <= predicted).all()
    assert (predicted <= high).all()
    wide = Interval(low=(-1, 0, 0), high=(1, 0, 0), margin=0.5)
    assert [end.tolist() for end in wide.around([0.5], 1.0)] == [[0], [1]]


def test_songs_have_narrower_intervals_that_hold_the_prediction():
    interval = Interval(low=(-2, 0, 0), high=(4, 0, 0), margin=0, songs_scale=0.5)
    low, high = interval.around_song([0.1, 0.5, 0.9], 0.1)
    assert low == pytest.approx([0.05, 0.4, 0.8])  # half of what is left of the interval, which ends at 0
    assert high == pytest.approx([0.3, 0.7, 0.95])
    unmeasured = Interval(low=(-2, 0, 0), high=(4, 0, 0), margin=0)
    of_song, of_clip = unmeasured.around_song(0.5, 0.1), unmeasured.around(0.5, 0.1)
    assert [end.tolist() for end in of_song] == [end.tolist() for end in of_clip]


def test_ends_are_not_drawn_on_beyond_where_they_were_learned():
    interval = Interval(low=(0, -2, 0), high=(0, 2, 0), margin=0, span=(0.3, 0.8))
    low, high = interval.around([0.1, 0.3, 0.5, 0.8, 0.9], 0.1)
    assert (high - low).tolist() == pytest.approx([0.12, 0.12, 0.2, 0.32, 0.26])  # the last one ends at 1
    fitted = fit_interval(*songs())
    assert fitted.span == pytest.approx((0.12, 0.88), abs=0.01)


def test_measured_coverage_is_that_of_songs_not_fitted_to():
    truth, predicted, std, folds = songs()
    measured = measure_interval(truth, predicted, std, folds)
    assert measured["n"] == 1000
    assert measured["coverage"] == pytest.approx(0.9, abs=0.02)
    assert measured["coverage"] == pytest.approx(np.mean(measured["tercile_coverage"]), abs=0.01)
    assert 0 < min(measured["tercile_width"]) <= measured["width"] <= max(measured["tercile_width"])
    # A fold that is off by far is not covered by intervals that were fitted without it.
    shifted = measure_interval(np.where(folds == 0, 0.0, truth), np.where(folds == 0, 0.9, predicted), std, folds)
    assert shifted["coverage"] < 0.85


def test_interval_survives_json():
    interval = fit_interval(*songs(100))
    assert Interval.from_dict(json.loads(json.dumps(interval.to_dict()))) == interval


HOSTILE = {
    "low": ([1, 2], [], "abc", None, 1, {}, [True, 1, 0], ["0", 1, 0], [math.nan, 1, 0], [0, math.inf, 0]),
    "high": (
        [0, 1, 1e9],
        [0, 1, 10**400],
        [0, 1, 0, 0],
        [[0], 1, 0],
        [-3, 0, 0],
    ),  # the last one lies below the low end
    "margin": (None, "0.1", True, math.nan, -math.inf, 1e9, 10**400, []),
    "span": (None, 0.5, [0.1], [0.1, "1"], [0.6, 0.4], [-0.1, 1], [0, 1.1], [0, math.nan]),
    "coverage": (None, "0.9", True, math.nan, 0, 1, -0.9, 90, 10**400),
    "songs_scale": (None, "0.9", True, math.nan, 0, -0.9, 11, 10**400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_interval_is_refused(name):
    values = Interval((0, 1, 0), (0, 1, 0), 0.1).to_dict()
    for value in HOSTILE[name]:
        with pytest.raises(
            ValueError, match=r"three numbers|span is|margin is|coverage is|songs_scale is|low end lies above"
        ):
            Interval.from_dict(values | {name: value})


INTERVAL = Interval((0, 1, 0), (0, 1, 0), 0.1)
WEIGHTS = {target: str(k) * 64 for k, target in enumerate(TARGETS)}


def test_damaged_file_is_a_sentence(tmp_path):
    paths = ModelPaths(tmp_path)
    belongs_to = {"weights_sha256": WEIGHTS["energy"]}
    paths.intervals.write_text(json.dumps({"energy": INTERVAL.to_dict() | belongs_to | {"measured": {}}}))
    assert read_intervals(paths, WEIGHTS) == {"energy": INTERVAL}
    whole = INTERVAL.to_dict() | belongs_to
    damaged = ({"low": [0, 1, 0]}, [], "x", None, 1, {**whole, "margin": math.nan}, {**whole, "weights_sha256": [1]})
    for values in ({"energy": damage} for damage in damaged):
        paths.intervals.write_text(json.dumps(values))
        with pytest.raises(
            UserError,
            match=r"intervals\.json is damaged .*; delete it and make it again with model_train\.py --folds 5",
        ):
            read_intervals(paths, WEIGHTS)
        for use in (
            lambda: without_interval(paths, WEIGHTS),
            lambda: write_intervals(paths, {"valence": INTERVAL}, {"valence": {}}, WEIGHTS),
        ):
            with pytest.raises(UserError, match=r"intervals\.json is damaged"):
                use()
        assert json.dumps(json.loads(paths.intervals.read_text())) == json.dumps(values)


def test_models_without_intervals_have_none(tmp_path, caplog):
    assert read_intervals(ModelPaths(tmp_path), WEIGHTS) == {}
    assert not caplog.records


def test_written_intervals_are_read_for_their_weights(tmp_path, caplog):
    paths, measured = ModelPaths(tmp_path), {target: {"n": 1} for target in TARGETS}
    write_intervals(paths, dict.fromkeys(TARGETS, INTERVAL), measured, WEIGHTS)
    assert read_intervals(paths, WEIGHTS) == dict.fromkeys(TARGETS, INTERVAL)
    assert not caplog.records
    other = Interval((0, 1, 0), (0, 1, 0), 0.2)
    write_intervals(paths, {"valence": other}, measured, WEIGHTS)
    assert read_intervals(paths, WEIGHTS) == dict.fromkeys(TARGETS[:2], INTERVAL) | {"valence": other}
    assert json.loads(paths.intervals.read_text())["valence"]["measured"] == {"n": 1}


def test_correlation_is_kept_beside_the_intervals(tmp_path):
    paths, measured = ModelPaths(tmp_path), {target: {} for target in TARGETS}
    assert read_correlation(paths) == 0
    write_intervals(paths, {}, {}, {}, correlation=0.1)
    write_intervals(paths, dict.fromkeys(TARGETS, INTERVAL), measured, WEIGHTS, correlation=0.2)
    assert read_correlation(paths) == 0.2
    assert set(read_intervals(paths, WEIGHTS)) == set(TARGETS)
    write_intervals(paths, {"danceability": INTERVAL}, measured, WEIGHTS)  # which says nothing of it
    write_intervals(paths, dict.fromkeys(TARGETS, INTERVAL), measured, {}, correlation=0.3)  # of no model
    assert read_correlation(paths) == 0.2


@pytest.mark.parametrize("damage", [1, -1.5, "0.1", None, [], math.nan])
def test_damaged_correlation_is_a_sentence(tmp_path, damage):
    paths = ModelPaths(tmp_path)
    paths.intervals.write_text(json.dumps({"correlation": damage}))
    for read in (read_correlation, lambda paths: read_intervals(paths, WEIGHTS)):
        with pytest.raises(UserError, match=r"intervals\.json is damaged"):
            read(paths)


def test_scale_of_songs_is_kept_until_new_intervals_are_written(tmp_path):
    paths, measured = ModelPaths(tmp_path), {target: {"n": 1} for target in TARGETS}
    write_intervals(paths, dict.fromkeys(TARGETS, INTERVAL), measured, WEIGHTS)
    assert read_intervals(paths, WEIGHTS)["energy"].songs_scale == 1
    write_songs_scale(paths, 0.8, {target: {"n": 58} for target in TARGETS})
    assert {interval.songs_scale for interval in read_intervals(paths, WEIGHTS).values()} == {0.8}
    written = json.loads(paths.intervals.read_text())["energy"]
    assert (written["measured"], written["measured_songs"]) == ({"n": 1}, {"n": 58})
    write_intervals(paths, {"energy": INTERVAL}, measured, WEIGHTS)
    assert [read_intervals(paths, WEIGHTS)[target].songs_scale for target in TARGETS] == [1, 0.8, 0.8]


def test_intervals_of_other_weights_are_left_out_with_a_sentence(tmp_path, caplog):
    paths, measured = ModelPaths(tmp_path), {target: {} for target in TARGETS}
    write_intervals(paths, dict.fromkeys(TARGETS, INTERVAL), measured, WEIGHTS)
    assert read_intervals(paths, WEIGHTS | {"energy": "f" * 64}) == dict.fromkeys(TARGETS[1:], INTERVAL)
    (sentence,) = caplog.messages
    assert "intervals.json belongs to other weights of energy than these" in sentence
    assert sentence.endswith("make it again with model_train.py --folds 5")


@pytest.mark.parametrize("weights", [{}, {"energy": None}])
def test_intervals_of_no_weights_are_left_out(tmp_path, weights):
    paths = ModelPaths(tmp_path)
    write_intervals(paths, {"energy": INTERVAL}, {"energy": {}}, weights)
    assert read_intervals(paths, WEIGHTS) == {}


def test_released_intervals_belong_to_the_released_models(caplog):
    paths = ModelPaths(RELEASED_MODELS)
    weights = {target: read_json(paths.description(target), "")["weights_sha256"] for target in TARGETS}
    assert set(read_intervals(paths, weights)) == set(TARGETS)
    assert read_correlation(paths) != 0
    assert not caplog.records
