"""What all pictures share: their colours, and how they are written."""

import warnings
from bisect import bisect_right
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from music_learning.files import atomic

# A colour for each target, as dark as text needs to be on white; the colour-blind tell them apart by brightness, too.
TARGET_COLORS = {"energy": "#c4601f", "danceability": "#2f6fb3", "valence": "#2a8a5c"}
# Series that are no targets, in the order in which they are needed.
SERIES_COLORS = (TARGET_COLORS["danceability"], TARGET_COLORS["energy"], TARGET_COLORS["valence"])
RAISED, LOWERED = "#d62728", "#1f5fd0"  # what has a sign; told apart by the colour-blind, too
HIGHLIGHT = "#d62f4b"  # one point among many
MISSING_GLYPH = "Glyph .* missing from font"  # a title in another script shows boxes
MAX_LENGTH = 300  # of a text in a picture
DPI = 100
REFERENCE = {"color": "#999999", "linewidth": 0.8, "linestyle": ":"}  # a line to compare with


# How levels in dB relative to full scale are shown.
SPECTROGRAM = {"origin": "lower", "aspect": "auto", "cmap": "magma", "vmin": -90, "vmax": -10}


def shorten(text: str, length: int) -> str:
    """A text on one line, of no more characters than `length`."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def shorten_to_fit(text: Text, content: str, width: float, *, end: str = "") -> None:
    """Give a text as much of the content as is no wider than `width` pixels, and then the end, whole."""
    figure = text.get_figure(root=True)
    renderer = FigureCanvasAgg(figure).get_renderer()

    def width_of(length: int) -> float:
        text.set_text(shorten(content, length) + end)
        return text.get_window_extent(renderer).width

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        lengths = range(1, min(len(content), MAX_LENGTH) + 1)
        width_of(max(bisect_right(lengths, width, key=width_of), 1))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure as PNG."""
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        figure.savefig(temporary, dpi=DPI, format="png")
