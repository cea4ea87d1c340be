import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import song_frame, song_row
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from music_learning.columns import SPLITS, TARGETS
from music_learning.evaluation.conformal import Interval
from music_learning.evaluation.metrics import evaluate
from music_learning.paths import DataPaths
from music_learning.plots.dataset import draw_labels, draw_spectrograms
from music_learning.plots.style import SERIES_COLORS, TARGET_COLORS, shorten_to_fit
from music_learning.plots.training import draw_calibration, draw_losses, draw_predictions
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs


@pytest.mark.parametrize("title", ["夜に駆ける 🎵", "Ночь", "$x^$ _{", "a\nb", "\\frac{", "x" * 200])
def test_odd_titles_are_drawn(loaded, tmp_path, title):
    paths = DataPaths(loaded)
    songs = read_songs(paths)[:2].assign(title=title, artist=f"{title} 2")
    draw_spectrograms(songs, SpectrogramSet.open(paths.spectrograms), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


def has_color(picture, color):
    """Whether a picture has a pixel of a colour, drawn over nothing else."""
    return bool((np.abs(picture[:, :, :3] - to_rgb(color)).max(axis=2) < 0.02).any())


def test_song_without_a_title_is_drawn(loaded, tmp_path):
    paths = DataPaths(loaded)
    songs = read_songs(paths)[:2].assign(title=pd.NA, artist=pd.NA)
    draw_spectrograms(songs, SpectrogramSet.open(paths.spectrograms), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


def test_colors_tell_the_targets_apart():
    assert list(TARGET_COLORS) == list(TARGETS)
    assert len(set(TARGET_COLORS.values())) == len(set(SERIES_COLORS)) == 3


def test_labels_have_a_colour_for_each_split_and_an_empty_split_is_no_error(tmp_path):
    songs = song_frame(*(song_row(f"s{k}", energy=str(k / 9)) for k in range(9)))
    draw_labels(songs.assign(split=[*SPLITS] * 3), tmp_path / "all.png")
    assert all(has_color(imread(tmp_path / "all.png"), color) for color in SERIES_COLORS)
    draw_labels(songs.assign(split="train"), tmp_path / "one.png")
    assert imread(tmp_path / "one.png").ndim == 3


@pytest.mark.parametrize("target", TARGETS)
def test_predictions_and_calibration_have_the_target_s_colour(tmp_path, target):
    truth = pd.Series(np.linspace(0, 1, 30), [f"s{k}" for k in range(30)])
    predicted = (0.3 + 0.4 * truth).to_numpy()
    draw_predictions(target, truth, predicted, evaluate(truth, predicted, truth.index), tmp_path / "predictions.png")
    interval, measured = Interval((-1, 0, 0), (1, 0, 0), 0.5), {"n": 30, "coverage": 0.9, "width": 0.3}
    table = pd.DataFrame({"predicted": predicted, "std": 0.1})
    draw_calibration(target, truth.to_numpy(), table, interval, measured, tmp_path / "c.png")
    for name in ("predictions", "c"):
        assert imread(tmp_path / f"{name}.png")[:, :, :3].std() > 0.05


class Run:
    """A finished training, as far as its picture goes."""

    history = ([[0.9] * 3, None], [[0.7] * 3, [0.8] * 3], [[0.5] * 3, [0.9] * 3])
    best_epoch = dict.fromkeys(TARGETS, 2)


def test_losses_of_all_networks_are_drawn_once_in_the_legend(tmp_path):
    draw_losses("energy", [Run(), Run()], tmp_path / "a.png")
    assert all(has_color(imread(tmp_path / "a.png"), color) for color in SERIES_COLORS[:2])


@pytest.mark.parametrize("content", ["W" * 500, "a short one", "i" * 90, "夜に駆ける" * 30, "x", " a\n b " * 40])
def test_text_is_shortened_to_what_fits(content):
    figure = Figure(figsize=(4, 1))
    text = figure.text(0, 0, "", parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shorten_to_fit(text, content, 200, end=": end")
    assert text.get_text().endswith(": end")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        assert text.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width <= 200
    shown = text.get_text().removesuffix(": end")
    assert shown == " ".join(content.split()) or (shown.endswith("…") and len(shown) >= 8)
