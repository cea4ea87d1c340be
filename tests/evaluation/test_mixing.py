import numpy as np
import pandas as pd
import pytest

from music_learning.evaluation.mixing import cross_mixed, learn_share, mixed

N_FOLDS = 4


def parts_of(truth, *, networks, kernel, seed=0):
    """Predictions whose errors are independent and have these standard deviations."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            name: truth + std * generator.standard_normal(len(truth))
            for name, std in (("networks", networks), ("kernel", kernel))
        }
    )


@pytest.mark.parametrize(("networks", "kernel", "share"), [(0.1, 0.1, 0.5), (0.2, 0.1, 0.2), (0.1, 0.3, 0.9)])
def test_what_errs_less_gets_more(networks, kernel, share):
    truth = np.linspace(0.2, 0.8, 20_000)
    parts = parts_of(truth, networks=networks, kernel=kernel)
    assert learn_share(truth, parts) == pytest.approx(share, abs=0.01)  # the errors' variances, the other way round
    best = np.mean((mixed(parts, learn_share(truth, parts)) - truth) ** 2)
    assert all(best <= np.mean((mixed(parts, other) - truth) ** 2) for other in (0, share - 0.1, share + 0.1, 1))


def test_share_is_from_none_to_all_and_a_half_where_both_are_equal():
    truth = np.linspace(0, 1, 50)
    worse = pd.DataFrame({"networks": truth + 0.2, "kernel": truth + 0.1})
    assert learn_share(truth, worse) == 0
    assert learn_share(truth, worse.rename(columns={"networks": "kernel", "kernel": "networks"})) == 1
    assert learn_share(truth, pd.DataFrame({"networks": truth, "kernel": truth})) == 0.5


def test_each_fold_has_the_share_of_the_others():
    truth, folds = np.linspace(0.2, 0.8, 400), np.arange(400) % N_FOLDS
    parts = parts_of(truth, networks=0.1, kernel=0.1)
    parts.loc[folds == 0, "networks"] = 5.0  # which no share of its own would leave in
    predicted = cross_mixed(truth, parts, folds)
    share = learn_share(truth[folds != 0], parts[folds != 0])
    assert share == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(predicted[folds == 0], mixed(parts[folds == 0], share))
