import dataclasses

import pytest
import torch

from music_learning.training.augmentation import AugmentationConfig, augment

NOTHING = AugmentationConfig(gain_db=0.0, soften_db=0.0, tilt_db=0.0, shift_bands=0, mask_bands=0, mask_frames=0)
FILL_DB = torch.full((96, 1), -777.0)
FLOOR_DB = -150.0


def spectrograms(n=16):
    return -60 + 10 * torch.randn(n, 96, 50, generator=torch.Generator().manual_seed(5))


def changed(x, *, seed=0, **settings):
    config = dataclasses.replace(NOTHING, **settings)
    return augment(x, FILL_DB, FLOOR_DB, config, torch.Generator().manual_seed(seed))


def test_no_change_without_strength():
    x = spectrograms()
    torch.testing.assert_close(changed(x), x, rtol=0, atol=0)


def test_input_is_left_as_it_is():
    x = spectrograms()
    before = x.clone()
    augment(x, FILL_DB, FLOOR_DB, AugmentationConfig(), torch.Generator().manual_seed(0))
    assert torch.equal(x, before)


def test_generator_decides():
    x = spectrograms()
    first, again, other = (
        augment(x, FILL_DB, FLOOR_DB, AugmentationConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gain_moves_a_whole_spectrogram():
    x = spectrograms(400)
    gains = changed(x, gain_db=2.0) - x
    assert (gains.amax(dim=(1, 2)) - gains.amin(dim=(1, 2))).max() < 1e-4
    assert gains.mean(dim=(1, 2)).std() == pytest.approx(2, rel=0.2)


def test_each_second_spectrogram_is_softer():
    x = spectrograms(400).clamp(min=-80)
    softer_by = x - changed(x, soften_db=20.0)
    assert (softer_by.amax(dim=(1, 2)) - softer_by.amin(dim=(1, 2))).max() < 1e-4
    each = softer_by.mean(dim=(1, 2))
    assert (each.abs() < 1e-4).float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert each.min() > -1e-4
    assert 19 < each.max() < 20
    assert each[each > 0.01].mean().item() == pytest.approx(10, abs=1.2)


def test_nothing_is_below_the_floor():
    x = spectrograms(50).clamp(min=FLOOR_DB)
    assert changed(x, gain_db=60.0, soften_db=20.0, tilt_db=5.0).min() == FLOOR_DB


def test_tilt_turns_about_the_middle_band():
    x = spectrograms(400)
    tilt = (changed(x, tilt_db=2.0) - x).mean(dim=2)
    torch.testing.assert_close(tilt[:, 0], -tilt[:, -1], rtol=0, atol=1e-4)
    assert tilt[:, 47:49].abs().max() < 0.2
    assert tilt[:, -1].std() > 1


def test_shift_moves_the_bands():
    x = spectrograms(100)
    shifted = changed(x, shift_bands=2)
    seen = set()
    for before, after in zip(x, shifted, strict=True):
        fitting = [k for k in range(-2, 3) if torch.equal(after[2:-2], before[2 - k : 94 - k])]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert seen == {-2, -1, 0, 1, 2}


def test_masks_are_stretches_of_at_most_their_length():
    x = spectrograms(200)
    for settings, longest, across in (({"mask_bands": 12}, 12, 2), ({"mask_frames": 20}, 20, 1)):
        masked = changed(x, **settings) == -777
        lines = masked.all(dim=across)
        assert torch.equal(masked.any(dim=across), lines)
        assert lines.sum(dim=1).max() == longest
        assert lines.sum(dim=1).min() == 0
        assert (lines[:, 1:] & ~lines[:, :-1]).sum(dim=1).max() == 1
        torch.testing.assert_close(changed(x, **settings)[~masked], x[~masked])


def test_mask_longer_than_the_clip():
    x = spectrograms(50)[:, :, :5]
    assert (changed(x, mask_frames=40) == -777).any()
