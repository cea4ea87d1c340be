"""How loud a recording is on the whole, in LUFS: ITU-R BS.1770-4, from the power in each mel band.

The spectrogram holds that power already, so that no second pass over the waveform is needed: over 100 real clips the
result is within 0.13 dB of `torchaudio.functional.loudness` (benchmarks/audio_features.py), which takes far longer.
"""

from functools import cache

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from music_learning.features.config import FeatureConfig
from music_learning.pipeline_config import PipelineConfig

BLOCK_S, BLOCK_HOP_S = 0.4, 0.1
ABSOLUTE_GATE, RELATIVE_GATE_DB = -70.0, -10.0  # in LUFS; below the loudness of what passes the first gate
OFFSET_DB = -0.691  # by which a sine of 1 kHz has its level as its loudness
BIN_DB = 0.1
N_BINS = 1000  # of the histogram: loudness from the absolute gate up, to 30 LUFS
# The summed spectrum of a Hann window over a full-scale sine's peak is 3 times the mean square: 1/2 of both halves of
# the spectrum, 3/8 the mean of the window's squares, 1/16 of the peak that the levels refer to.
SUM_TO_MEAN_SQUARE = 3.0
# The coefficients of BS.1770-4, table 1 (a shelf for the head) and table 2 (a high pass), at 48 kHz.
FILTER_RATE_HZ = 48_000
HEAD = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def loudness_histogram(levels: Tensor, config: FeatureConfig) -> Tensor:
    """How many blocks of 0.4 s there are of each loudness: what the loudness of many windows is made from, as a sum.

    Args:
        levels: (n_mels, frames) in dB relative to a full-scale sine.

    Returns:
        (N_BINS,) in steps of 0.1 dB from -70 LUFS up; softer blocks don't count at all.
    """
    weights = k_weights(config.pipeline).to(levels.device)
    power = weights @ torch.pow(10, levels / 10) / SUM_TO_MEAN_SQUARE
    frames = min(config.frames(BLOCK_S), len(power))
    blocks = power.unfold(0, frames, max(1, config.frames(BLOCK_HOP_S))).mean(dim=1)
    loudness = OFFSET_DB + 10 * blocks.clamp(min=1e-20).log10()
    bins = ((loudness[loudness > ABSOLUTE_GATE] - ABSOLUTE_GATE) / BIN_DB).long().clamp(max=N_BINS - 1)
    return torch.bincount(bins, minlength=N_BINS).float()


def integrated_loudness(histogram: Tensor) -> float | None:
    """The loudness in LUFS of all blocks of a histogram (N_BINS,) that pass both gates; None where there is none.

    As libebur128 does with long recordings, a block counts with the middle of its bin.
    """
    if not histogram.any():
        return None
    loudness = ABSOLUTE_GATE + BIN_DB * (torch.arange(N_BINS, dtype=torch.float64) + 0.5)
    power, counts = torch.pow(10, (loudness - OFFSET_DB) / 10), histogram.double()
    gate = _loudness_of(counts, power) + RELATIVE_GATE_DB
    return _loudness_of(counts * (loudness > gate), power)


def _loudness_of(counts: Tensor, power: Tensor) -> float:
    return OFFSET_DB + 10 * float(((counts @ power) / counts.sum()).log10())


@cache
def k_weights(pipeline: PipelineConfig) -> Tensor:
    """How much the power in each mel band counts for loudness, the mean over the band of the K curve: (n_mels,)"""
    n_bins = pipeline.n_fft // 2 + 1
    triangles = melscale_fbanks(
        n_bins, pipeline.f_min_hz, pipeline.f_max_hz, pipeline.n_mels, pipeline.sample_rate_hz
    )  # (bins, n_mels)
    frequency_hz = torch.linspace(0, pipeline.sample_rate_hz / 2, n_bins, dtype=torch.float64)
    delay = torch.exp(-2j * torch.pi * frequency_hz / FILTER_RATE_HZ)
    response = torch.ones_like(delay)
    for above, below in (HEAD, HIGH_PASS):
        response = response * _polynomial(above, delay) / _polynomial(below, delay)
    return (response.abs().square().float() @ triangles) / triangles.sum(dim=0).clamp(min=1e-6)


def _polynomial(coefficients: tuple[float, ...], z: Tensor) -> Tensor:
    return sum(coefficient * z**power for power, coefficient in enumerate(coefficients))
