import pytest

from music_learning.columns import TARGETS
from music_learning.predict.versions import NOISE, exceeds_noise


@pytest.mark.parametrize("target", TARGETS)
def test_difference_counts_either_way_once_it_exceeds_the_noise(target):
    for sign in (1, -1):
        assert not exceeds_noise(target, sign * NOISE[target])
        assert exceeds_noise(target, sign * (NOISE[target] + 0.001))
    assert not exceeds_noise(target, 0.0)
    assert 0 < NOISE[target] < 0.05
