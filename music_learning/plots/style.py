"""What all pictures share."""

import warnings
from pathlib import Path

from matplotlib.figure import Figure

from music_learning.files import atomic


def save_figure(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure as PNG."""
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a title in another script shows boxes
        figure.savefig(temporary, dpi=100, format="png")
