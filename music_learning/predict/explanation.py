"""An explanation of a recording's values: what each cell of its spectrogram does to them, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from music_learning.columns import TARGETS
from music_learning.predict.pooling import window_weights
from music_learning.predict.words import SMALLEST_ATTRIBUTION, Finding, find, sentence

DECIMALS = 4


@dataclass(frozen=True)
class Explanation:
    """How much each cell of the spectrogram raised (above 0) or lowered the values of the window that it is in.

    A window that counts less in a recording's value has attributions that are smaller by as much: a soft intro's for
    energy, or those of a short last window. A cell is a group of mel bands during one moment of the timeline; see
    `occlusion.occlusion_attributions`.
    """

    edges_hz: tuple[float, ...]  # (bands + 1,), between the groups of bands, ascending
    stretches_s: tuple[tuple[float, float], ...]  # when each moment begins and ends
    attributions: Tensor  # (targets, bands, moments)
    above_usual_db: Tensor  # (bands, moments), by how much a cell is louder than the same bands of most songs
    largest_weights: tuple[float, ...]  # (targets,), how much the window that counts most does in the recording's value
    duration_s: float  # of the recording, whose silence has no moments

    @property
    def strongest_attribution(self) -> float:
        """The largest attribution of any target, up or down, never 0."""
        return max(float(self.attributions.abs().max()), SMALLEST_ATTRIBUTION)

    def strongest(self, target: str, sign: int) -> tuple[int, int, float] | None:
        """The band and the moment with the highest (`sign` 1) or the lowest (-1) attribution, and the attribution.

        None where no cell has one of that sign that shows.
        """
        attributions = self.attributions[TARGETS.index(target)]
        band, moment = divmod(int((sign * attributions).argmax()), len(self.stretches_s))
        attribution = float(attributions[band, moment])
        return (band, moment, attribution) if sign * attribution >= SMALLEST_ATTRIBUTION else None

    @property
    def findings(self) -> dict[str, list[Finding]]:
        """Of each target, what raises its value most, and what lowers it most, as far as there is something."""
        found = {
            target: [find(target, sign, self.attributions[row], self.largest_weights[row]) for sign in (1, -1)]
            for row, target in enumerate(TARGETS)
        }
        return {target: [one for one in of_target if one is not None] for target, of_target in found.items()}

    @property
    def sentences(self) -> dict[str, list[str]]:
        """The findings in musicians' words."""
        return {
            target: [
                sentence(one, self.edges_hz, self.stretches_s, self.above_usual_db, self.duration_s) for one in found
            ]
            for target, found in self.findings.items()
        }

    def to_dict(self) -> dict:
        """As JSON has it: for each moment and target the attribution of each group of bands, the lowest first."""
        return {
            "sentences": self.sentences,
            "edges_hz": [round(edge) for edge in self.edges_hz],
            "moments": [
                {"start_s": round(start_s, 2), "end_s": round(end_s, 2)}
                | {
                    target: [round(attribution, DECIMALS) for attribution in self.attributions[row, :, moment].tolist()]
                    for row, target in enumerate(TARGETS)
                }
                for moment, (start_s, end_s) in enumerate(self.stretches_s)
            ],
        }


@dataclass(frozen=True)
class ExplainedWindow:
    """What is known of one window of up to 30 s."""

    start_s: float
    duration_s: float
    level_db: float  # of its mean power
    attributions: Tensor  # (targets, bands, moments)
    above_usual_db: Tensor  # (bands, moments)

    @property
    def stretches_s(self) -> list[tuple[float, float]]:
        """When each of its moments begins and ends."""
        return list(pairwise(moment_edges(self.start_s, self.duration_s, self.attributions.shape[2])))


def moment_edges(start_s: float, duration_s: float, n: int) -> list[float]:
    """Where the n moments of a window begin, and where the last one ends."""
    return [start_s + moment * duration_s / n for moment in range(n + 1)]


def join(windows: Sequence[ExplainedWindow], edges_hz: Sequence[float], duration_s: float) -> Explanation:
    """One explanation of all windows of a recording that have sound.

    A cell moves its own window's value, which counts more or less in the recording's. All are put on the scale of the
    window that counts most, so that attributions are alike where they do as much to the recording.
    """
    weights = window_weights([window.level_db for window in windows], [window.duration_s for window in windows])
    largest = weights.amax(dim=1)
    shares = (weights / largest[:, None]).float()
    scaled = [share[:, None, None] * window.attributions for share, window in zip(shares.T, windows, strict=True)]
    return Explanation(
        tuple(edges_hz),
        tuple(stretch for window in windows for stretch in window.stretches_s),
        torch.cat(scaled, dim=2),
        torch.cat([window.above_usual_db for window in windows], dim=1),
        tuple(largest.tolist()),
        duration_s,
    )
