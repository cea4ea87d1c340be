"""What all pictures share: their colours, and how they are written."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure

from music_learning.files import atomic

# A colour for each target, as dark as text needs to be on white; the colour-blind tell them apart by brightness, too.
TARGET_COLORS = {"energy": "#c4601f", "danceability": "#2f6fb3", "valence": "#2a8a5c"}
# Series that are no targets, in the order in which they are needed.
SERIES_COLORS = (TARGET_COLORS["danceability"], TARGET_COLORS["energy"], TARGET_COLORS["valence"])
RAISED, LOWERED = "#d62728", "#1f5fd0"  # what has a sign; told apart by the colour-blind, too
HIGHLIGHT = "#d62f4b"  # one point among many
REFERENCE = {"color": "#999999", "linewidth": 0.8, "linestyle": ":"}  # a line to compare with


# How levels in dB relative to full scale are shown.
SPECTROGRAM = {"origin": "lower", "aspect": "auto", "cmap": "magma", "vmin": -90, "vmax": -10}


def shorten(text: str, length: int) -> str:
    """A text on one line, of no more characters than `length`."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure as PNG."""
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a title in another script shows boxes
        figure.savefig(temporary, dpi=100, format="png")
