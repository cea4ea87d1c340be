"""The picture of an analysis: spectrogram, timeline, values, mood plane and similar songs.

Where the analysis explains them, the spectrogram is there once for each value, with what raised and lowered it.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from music_learning.columns import TARGETS
from music_learning.plots.style import (
    HIGHLIGHT,
    LOWERED,
    RAISED,
    SPECTROGRAM,
    TARGET_COLORS,
    save_figure,
    shorten_to_fit,
)
from music_learning.predict.analysis import MAX_COLUMNS, Analysis, even_edges
from music_learning.predict.markets import Charts
from music_learning.predict.mood import MIDDLE, MOODS
from music_learning.predict.words import hertz

LEGEND = """Each cell was masked in turn, with the mean level
of the training songs. Where the value fell, the
cell had raised it (red); where it rose, the cell
had lowered it (blue). Cells work together: the
attributions don't add up to the value."""
REGIONS = ((0.9, 0.13), (0.5, 0.22))  # the share of songs inside, and how opaque it is
BEHIND_TEXT = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}


def draw_analysis(
    analysis: Analysis,
    charts: Charts,
    *,
    title: str,
    path: Path,
    true: dict[str, float] | None = None,
) -> None:
    """Draw an analysis as PNG.

    Args:
        charts: its songs are the dots of the mood plane.
        title: of the recording.
        true: Spotify's values, where they are known.
    """
    explained = analysis.explanation is not None
    height, edge, indent, gap, low = (11.4, 0.071, 0.08, 0.44, 0.3) if explained else (7.4, 0.11, 0.05, 0.32, 0.02)
    rows = len(TARGETS) + 1 if explained else 2
    figure = Figure(figsize=(12, height))  # a constrained layout would take half as long again
    left = figure.add_gridspec(rows, 1, left=indent, right=0.61, bottom=edge, top=1 - edge, hspace=gap)
    right = figure.add_gridspec(
        3, 1, left=0.72, right=0.98, bottom=low, top=1 - edge, hspace=0.4, height_ratios=[1, 2.6, 1.4]
    )
    if explained:
        _draw_explanation([figure.add_subplot(left[row]) for row in range(len(TARGETS))], analysis)
        _draw_legend(figure.add_axes((0.74, 0.215, 0.2, 0.016)), analysis)
    else:
        _draw_spectrogram(figure.add_subplot(left[0]), analysis)
    _draw_timeline(figure.add_subplot(left[rows - 1]), analysis)
    _draw_values(figure.add_subplot(right[0]), analysis, true or {})
    _draw_plane(figure.add_subplot(right[1]), analysis, charts)
    _draw_similar(figure.add_subplot(right[2]), analysis)
    heading = figure.suptitle("", fontsize=14, weight="bold", parse_math=False)
    shorten_to_fit(heading, title, 0.96 * figure.bbox.width, end=f": {analysis.mood}")
    save_figure(figure, path)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _time_axis(axes: Axes, duration_s: float) -> None:
    axes.set_xlim(0, duration_s)
    if duration_s <= 90:
        axes.set_xlabel("seconds")
    else:
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(8, steps=[1, 1.5, 3, 6, 10]))
        axes.xaxis.set_major_formatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02}")
        axes.set_xlabel("minutes")


def _draw_spectrogram(axes: Axes, analysis: Analysis) -> None:
    spectrogram = analysis.spectrogram.numpy()
    extent = (0, analysis.duration_s, 0, len(spectrogram))
    axes.imshow(spectrogram, **SPECTROGRAM, extent=extent)
    _time_axis(axes, analysis.duration_s)
    axes.set(ylabel="mel band", title="log-mel spectrogram")


def _attribution_colors(shares: np.ndarray) -> np.ndarray:
    """The colours of attributions (rows, columns) as shares of the strongest, -1 to 1: (rows, columns, RGBA)"""
    raised, lowered = (mpl.colors.to_rgb(color) for color in (RAISED, LOWERED))
    colors = np.where(shares[:, :, None] > 0, raised, lowered)
    return np.concatenate([colors, 0.8 * np.abs(shares[:, :, None])], axis=2)


def _draw_explanation(panels: list[Axes], analysis: Analysis) -> None:
    """For each target the spectrogram in grey, under the colours of what raised and lowered the target's value."""
    explanation, spectrogram = analysis.explanation, analysis.spectrogram.numpy()
    attributions = explanation.attributions.numpy()
    starts_s, ends_s = np.transpose(explanation.stretches_s)
    edges = even_edges(len(spectrogram), attributions.shape[1])
    times_s = (np.arange(MAX_COLUMNS) + 0.5) * analysis.duration_s / MAX_COLUMNS
    moments = (np.searchsorted(starts_s, times_s, side="right") - 1).clip(min=0)
    sounding = (times_s >= starts_s[moments]) & (times_s < ends_s[moments])  # the rest is silent
    shares = np.repeat(
        attributions[:, :, moments] * sounding / explanation.strongest_attribution, np.diff(edges), axis=1
    )
    image = {"origin": "lower", "aspect": "auto", "extent": (0, analysis.duration_s, 0, len(spectrogram))}
    for row, (axes, target) in enumerate(zip(panels, TARGETS, strict=True)):
        axes.imshow(spectrogram, cmap="gray", vmin=-100, vmax=-10, **image)
        axes.imshow(_attribution_colors(shares[row]), interpolation="nearest", **image)
        for sign in (1, -1):
            if strongest := explanation.strongest(target, sign):
                band, moment, attribution = strongest
                middle_s = (starts_s[moment] + ends_s[moment]) / 2
                inside_s = np.clip(middle_s, 0.05 * analysis.duration_s, 0.95 * analysis.duration_s)
                place = inside_s, (edges[band] + edges[band + 1]) / 2
                style = {"ha": "center", "va": "center", "fontsize": 9, "weight": "bold", "bbox": BEHIND_TEXT}
                axes.text(*place, f"{attribution:+.3f}".replace("-", "−"), **style)
        _time_axis(axes, analysis.duration_s)
        if row < len(panels) - 1:
            axes.set_xlabel("")
        axes.set_yticks(edges[1:-1], [hertz(edge) for edge in explanation.edges_hz[1:-1]])
        axes.set_title(f"what raised and lowered {target}")


def _draw_legend(axes: Axes, analysis: Analysis) -> None:
    shares = np.linspace(-1, 1, 201)[None]
    axes.imshow(np.full((1, 1), 0.6), cmap="gray", vmin=0, vmax=1, aspect="auto", extent=(-1, 1, 0, 1))
    axes.imshow(_attribution_colors(shares), aspect="auto", extent=(-1, 1, 0, 1))
    strongest = f"by {analysis.explanation.strongest_attribution:.3f}"
    axes.set_xticks([-1, 0, 1], [f"lowered\n{strongest}", "no change", f"raised\n{strongest}"])
    axes.set_yticks([])
    axes.set_title("what the colours mean", loc="left", x=-0.1)
    axes.text(-0.1, -4.2, LEGEND, va="top", fontsize=9.5, color="#444444", transform=axes.transAxes)


def _draw_timeline(axes: Axes, analysis: Analysis) -> None:
    starts = [moment.start_s for moment in analysis.timeline]
    edges = np.append(starts, analysis.duration_s)
    for target in TARGETS:
        values = [moment.values[target] for moment in analysis.timeline]
        axes.stairs(values, edges, baseline=None, color=TARGET_COLORS[target], linewidth=2, label=target)
    _time_axis(axes, analysis.duration_s)
    axes.set(ylim=(0, 1), title="timeline")
    axes.grid(axis="y", alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=3, ncols=3, frameon=False)
    _clean(axes)


def _draw_values(axes: Axes, analysis: Analysis, true: dict[str, float]) -> None:
    values = [analysis.values[target] for target in TARGETS]
    axes.barh(TARGETS, values, color=[TARGET_COLORS[target] for target in TARGETS], height=0.55)
    for row, target in enumerate(TARGETS):
        if target in analysis.intervals:
            axes.hlines(row, *analysis.intervals[target], color="black", linewidth=1.4)
        text = f"{analysis.values[target]:.2f}"
        if target in true:
            axes.scatter(true[target], row, marker="D", color="white", edgecolor="black", zorder=3)
            text += f"  (Spotify: {true[target]:.2f})"
        axes.text(1.04, row, text, va="center", color=TARGET_COLORS[target], weight="bold")
    axes.set(xlim=(0, 1.9), xticks=np.linspace(0, 1, 5))  # room for the texts
    axes.set_title("predicted values", x=0.26)
    axes.invert_yaxis()
    _clean(axes)


def _draw_plane(axes: Axes, analysis: Analysis, charts: Charts) -> None:
    axes.scatter(charts.values["valence"], charts.values["energy"], s=7, color="#999999", alpha=0.45, linewidths=0)
    axes.axhline(MIDDLE, color="#bbbbbb", linewidth=0.8)
    axes.axvline(MIDDLE, color="#bbbbbb", linewidth=0.8)
    mood = analysis.mood
    if mood.has_intervals:
        for share, alpha in REGIONS:
            color = mpl.colors.to_rgba(HIGHLIGHT, alpha)
            axes.add_patch(mpl.patches.Polygon(mood.outline(share), facecolor=color, edgecolor=HIGHLIGHT, linewidth=1))
        note = "Spotify's values lie inside for 5 and 9 of 10 songs"
        axes.text(0.5, 1.03, note, ha="center", fontsize=9, color="#333333", transform=axes.transAxes)
    chances = dict(mood.chances())
    for (is_positive, is_high), word in MOODS.items():
        style = {"ha": "right" if is_positive else "left", "va": "top" if is_high else "bottom", "color": "#333333"}
        style["weight"] = "bold" if word == mood.word else "normal"
        lines = f"{word}\n{chances[word]}" if word in chances else word
        place = 0.98 if is_positive else 0.02, 0.97 if is_high else 0.03
        axes.text(*place, lines, fontsize=9, bbox=BEHIND_TEXT, **style)
    point = analysis.values["valence"], analysis.values["energy"]
    axes.scatter(*point, s=70, color=HIGHLIGHT, edgecolor="white", linewidth=1.5, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="valence", ylabel="energy")
    axes.set_title(f"mood, among {charts.n_songs:,} chart songs", pad=18 if mood.has_intervals else None)
    _clean(axes)


def _draw_similar(axes: Axes, analysis: Analysis) -> None:
    axes.axis("off")
    axes.set_title("similar songs", loc="left")
    width = axes.get_window_extent().width
    for row, song in enumerate(analysis.similar_songs[:5]):
        text = axes.text(0, 0.95 - 0.2 * row, "", va="top", fontsize=9.5, parse_math=False, transform=axes.transAxes)
        shorten_to_fit(text, song.name, width)
