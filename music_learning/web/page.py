"""What the page shows for a recording: an analysis as HTML with drawings."""

from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.predict.analysis import Analysis
from music_learning.predict.mood import MOODS, Mood
from music_learning.predict.predictor import Predictor
from music_learning.predict.words import clock

TEMPLATES = Path(__file__).parent
COMPARISON = {"energy": "More energetic", "danceability": "More danceable", "valence": "More positive"}
MEANING = {
    "energy": "0 calm and quiet, 1 fast, loud and noisy",
    "danceability": "0 hardly, 1 a steady beat to move to",
    "valence": "0 sad or angry, 1 happy",
}
QUARTERS = tuple(  # where on the plane each mood is named
    (196 if is_positive else 4, 10 if is_high else 196, "end" if is_positive else "start", word)
    for (is_positive, is_high), word in MOODS.items()
)
TIMELINE_WIDTH, TIMELINE_HEIGHT, PLANE_SIZE = 600, 160, 200
N_TICKS = 5


def loudness_path(spectrogram: Tensor) -> str:
    """The outline of a recording's loudness, as the path of an SVG: amplitude against time, around the middle."""
    power = (10 ** (spectrogram / 10)).sum(dim=0)
    n_points = min(300, power.numel())
    amplitude = torch.nn.functional.adaptive_max_pool1d(power[None], n_points)[0].sqrt()
    heights = (amplitude / amplitude.max() * TIMELINE_HEIGHT / 2).tolist()
    x = np.linspace(0, TIMELINE_WIDTH, n_points) if n_points > 1 else [0]
    middle = TIMELINE_HEIGHT / 2
    upper = [f"{a:.1f} {middle - h:.1f}" for a, h in zip(x, heights, strict=True)]
    lower = [f"{a:.1f} {middle + h:.1f}" for a, h in zip(x, heights, strict=True)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def timeline_path(analysis: Analysis, target: str) -> str:
    """One target's timeline as the path of an SVG, level over each moment."""
    starts = [moment.start_s for moment in analysis.timeline] + [analysis.duration_s]
    points = []
    for moment, end_s in zip(analysis.timeline, starts[1:], strict=True):
        y = TIMELINE_HEIGHT * (1 - moment.values[target])
        points += [f"{TIMELINE_WIDTH * s / analysis.duration_s:.1f} {y:.1f}" for s in (moment.start_s, end_s)]
    return "M" + "L".join(points)


def outlines(mood: Mood) -> list[str]:
    """Where Spotify's own values lie on the plane of valence and energy, as paths of an SVG; the widest comes first."""
    paths = []
    for share in (0.9, 0.5) if mood.has_intervals else ():
        points = PLANE_SIZE * (mood.outline(share) * [1, -1] + [0, 1])  # an SVG's y points down
        paths.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z")
    return paths


class Page:
    """What the page shows for a recording."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        songs = predictor.training_songs.songs
        self.dots = [
            (round(PLANE_SIZE * float(song["valence"])), round(PLANE_SIZE * (1 - float(song["energy"]))))
            for song in songs
        ]
        errors = {t: predictor.descriptions[t].get("metrics", {}).get("test", {}).get("mae") for t in TARGETS}
        known = ", ".join(f"{error:.2f} ({target})" for target, error in errors.items() if error is not None)
        self.how_sure = (
            f"How sure is this? For artists that they never heard, the models are off by {known} on average; very low "
            "and very high values come out less extreme than Spotify's."
        )
        environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
        self.template = environment.get_template("result.html")

    def render(self, analysis: Analysis, *, title: str, took_s: float, true: dict[str, float] | None = None) -> str:
        """The result as HTML."""
        overall = ", ".join(f"{target} {analysis.values[target]:.2f}" for target in TARGETS)
        spans = []
        for target in TARGETS:
            values = [moment.values[target] for moment in analysis.timeline]
            spans.append(f"{target} between {min(values):.2f} and {max(values):.2f}")
        songs = len(self.predictor.training_songs.songs)
        return self.template.render(
            analysis=analysis,
            title=title,
            took_s=took_s,
            spotify=true,
            targets=TARGETS,
            comparison=COMPARISON,
            meaning=MEANING,
            n_songs=f"{songs:,}",
            n_indexed=f"{len(self.predictor.index.songs):,}",
            clock=clock,
            loudness_path=loudness_path(analysis.spectrogram),
            timeline_paths={target: timeline_path(analysis, target) for target in TARGETS},
            timeline_text=f"Over {clock(analysis.duration_s)}: {', '.join(spans)}.",
            plane_text=f"On the plane of valence and energy: {analysis.mood}; {overall}.",
            quarters=QUARTERS,
            outlines=outlines(analysis.mood),
            chances=dict(analysis.mood.chances()),
            ticks=[clock(analysis.duration_s * k / (N_TICKS - 1)) for k in range(N_TICKS)],
            dots=self.dots,
            how_sure=self.how_sure,
        )
