"""The picture of the audio front end: a recording's waveform, and what becomes of it."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from music_learning.pipeline_config import PipelineConfig
from music_learning.plots.style import SPECTROGRAM, save_figure

BAND_TICKS_HZ = (100, 250, 500, 1000, 2000, 4000, 7000)
MAX_POINTS = 2000  # of the waveform, each its loudest sample


def draw_pipeline(waveform: Tensor, spectrogram: Tensor, config: PipelineConfig, *, title: str, path: Path) -> None:
    """Draw as PNG what the front end makes of a window.

    Args:
        waveform: (samples,) in [-1, 1].
        spectrogram: (n_rows, frames) in dB, of the waveform without the silence at its ends.
        config: the pipeline's settings.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    waves, bands, pitches, peaks = figure.subplots(4, 1, height_ratios=[1.2, 3, 2, 1])
    levels, tones, peak = spectrogram.split([config.n_mels, config.n_pitches, 1])
    duration_s = spectrogram.shape[1] / config.frames_per_s
    _draw_waveform(waves, waveform.numpy(), config)
    bands.imshow(levels.numpy(), extent=(0, duration_s, -0.5, config.n_mels - 0.5), **SPECTROGRAM)
    centres_hz = [config.hz_at(band) for band in range(config.n_mels)]
    bands.set_yticks(np.interp(BAND_TICKS_HZ, centres_hz, range(config.n_mels)), [f"{hz:,}" for hz in BAND_TICKS_HZ])
    bands.set(
        title=f"log-mel spectrogram: {config.n_mels} bands every {1000 / config.frames_per_s:.0f} ms", ylabel="Hz"
    )
    pitches.imshow(tones.numpy(), extent=(0, duration_s, -0.5, config.n_pitches - 0.5), **SPECTROGRAM)
    pitches.set_yticks(
        range(0, config.n_pitches, 12), [f"A{1 + octave}" for octave in range(-(-config.n_pitches // 12))]
    )
    pitches.set(title=f"the level around each of {config.n_pitches} semitones")
    peaks.plot(np.arange(peak.shape[1]) / config.frames_per_s, peak[0].numpy(), linewidth=0.8)
    peaks.set(title="the largest sample of each frame", ylabel="dB", xlabel="seconds", xlim=(0, duration_s))
    figure.suptitle(title, parse_math=False)
    save_figure(figure, path)


def _draw_waveform(axes: Axes, samples: np.ndarray, config: PipelineConfig) -> None:
    """The envelope of a waveform: at each place the range of its samples."""
    places = np.array_split(samples, min(MAX_POINTS, len(samples)))
    time_s = np.linspace(0, len(samples) / config.sample_rate_hz, len(places))
    axes.fill_between(time_s, [place.min() for place in places], [place.max() for place in places], linewidth=0)
    axes.set(title=f"waveform: mono, {config.sample_rate_hz:,} samples a second", xlim=(0, time_s[-1]), ylim=(-1, 1))
