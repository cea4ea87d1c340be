"""Pictures of a training: losses, predictions and calibration."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from music_learning.columns import TARGETS
from music_learning.evaluation.conformal import Interval
from music_learning.evaluation.metrics import Metrics
from music_learning.plots.style import REFERENCE, SERIES_COLORS, TARGET_COLORS, save_figure
from music_learning.training.checkpoint import TrainingRun


def draw_losses(target: str, runs: list[TrainingRun], path: Path) -> None:
    """Training and validation loss over the epochs, the epoch that was kept marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    column = TARGETS.index(target)
    training_color, validation_color, kept_color = SERIES_COLORS
    for training in runs:
        train = [losses[column] for losses, _ in training.history]
        validation = [(epoch, losses[column]) for epoch, (_, losses) in enumerate(training.history, 1) if losses]
        epochs, validation_losses = zip(*validation, strict=True)
        first = training is runs[0]  # the others would say the same in the legend
        axes.plot(range(1, len(train) + 1), train, color=training_color, label="training, augmented" if first else None)
        axes.plot(epochs, validation_losses, color=validation_color, marker=".", label="validation" if first else None)
        axes.axvline(training.best_epoch[target], color=kept_color, linewidth=0.8, label="kept" if first else None)
    axes.axhline(1, **REFERENCE, label="predicting the mean")
    axes.set(xlabel="epoch", ylabel="squared error / variance of the labels", title=f"{target}: loss", ylim=(0, 1.3))
    axes.legend()
    save_figure(figure, path)


def draw_predictions(
    target: str, truth: pd.Series, predicted: np.ndarray | pd.Series, metrics: Metrics, path: Path
) -> None:
    """Predicted against true values, a point per song: (songs,) both."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], **REFERENCE)
    axes.scatter(truth, predicted, s=14, alpha=0.5, color=TARGET_COLORS[target], linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Spotify's value", ylabel="predicted")
    axes.set_title(
        f"{target}, {metrics.n} songs by artists never heard in training\n"
        f"R2 {metrics.r2:.2f}, MAE {metrics.mae:.3f}, rho {metrics.rho:.2f}",
        fontsize=10,
    )
    save_figure(figure, path)


def draw_calibration(
    target: str, truth: np.ndarray, predicted: pd.DataFrame, interval: Interval, measured: dict, path: Path
) -> None:
    """Whether predictions mean what they say: songs in ten groups by prediction, and the intervals around them.

    Args:
        truth: (songs,) in [0, 1].
        predicted: (songs, `predicted` and `std`); the interval is drawn for the median of the latter.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes, color = figure.subplots(), TARGET_COLORS[target]
    axes.plot([0, 1], [0, 1], **REFERENCE)
    std, predicted = float(predicted["std"].median()), predicted["predicted"].to_numpy()
    grid = np.linspace(predicted.min(), predicted.max(), 100)
    low, high = interval.around(grid, std)
    axes.fill_between(grid, low, high, color=color, alpha=0.15, linewidth=0, label="90 % interval")
    axes.scatter(predicted, truth, s=8, alpha=0.3, color=color, linewidths=0)
    tenths = np.array_split(np.argsort(predicted, kind="stable"), 10)
    means = [(predicted[tenth].mean(), truth[tenth].mean(), truth[tenth].std()) for tenth in tenths]
    x, y, std = np.array(means).T
    axes.errorbar(x, y, std, fmt="o", color="black", capsize=2, label="mean and std of a tenth")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="predicted", ylabel="Spotify's value")
    axes.set_title(
        f"{target}: intervals hold {measured['coverage']:.0%} of {measured['n']} songs by unheard artists,\n"
        f"mean width {measured['width']:.2f}",
        fontsize=10,
    )
    axes.legend(loc="upper left", fontsize=8)
    save_figure(figure, path)
