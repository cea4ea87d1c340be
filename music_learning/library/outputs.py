"""Where the rows of a run go, and what of them people read."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from music_learning.columns import TARGETS
from music_learning.errors import printable
from music_learning.library.rows import AudioFile
from music_learning.predict.analysis import Analysis
from music_learning.predict.markets import Charts, Market
from music_learning.predict.predictor import Predictor

STANDARD_OUTPUT = "standard output"
MAX_NAME_WIDTH = 60
N_TOLD_MARKETS = 5
KEYS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Output:
    """Takes rows. Whatever it raises (OSError or UserError) ends this output alone."""

    path: str | Path
    lasts = False  # whether the same command goes on where this has its rows

    def expect(self, row: dict) -> bool:
        """Note which file comes next, by what `Listener.before` knows of it, and tell whether its row is needed."""
        return True

    def append(self, row: dict, analysis: Analysis | None) -> None:
        """Take a row, and the analysis that it is of, where the file could be used."""
        raise NotImplementedError

    def finish(self) -> None:
        """Have the rows that were expected alone, in that order."""


class Terminal(Output):
    """A line per row, for people."""

    path = STANDARD_OUTPUT

    def __init__(self, files: Sequence[AudioFile], *, only_new: bool = False) -> None:
        """
        Args:
            only_new: be content without the rows that the tables have already.
        """
        self.only_new = only_new
        self.width = min(max(len(printable(file.name)) for file in files), MAX_NAME_WIDTH)
        self.begun = False

    def expect(self, row: dict) -> bool:
        return not self.only_new

    def append(self, row: dict, analysis: Analysis | None) -> None:
        name = printable(row["file"])
        name = name if len(name) <= self.width else "…" + name[1 - self.width :]
        if row["error"] is None:
            values = "  ".join(f"{row[target]:12.2f}" for target in TARGETS)
            line = f"{name:{self.width}}  {row['duration_s']:8.1f}  {values}"
        else:
            line = f"{name:{self.width}}  {printable(row['error'])}"
        if not self.begun:
            line = f"{'file':{self.width}}  {'seconds':>8}  " + "  ".join(f"{t:>12}" for t in TARGETS) + "\n" + line
            self.begun = True
        with tqdm.external_write_mode():  # a progress bar steps aside
            print(line, flush=True)


class Telling(Output):
    """All that can be said of a single file, for people."""

    path = STANDARD_OUTPUT

    def __init__(self, file: AudioFile, predictor: Predictor) -> None:
        self.file, self.predictor = file, predictor

    def append(self, row: dict, analysis: Analysis | None) -> None:
        if analysis is None:
            Terminal([self.file]).append(row, analysis)
            return
        print(told(analysis, self.predictor, title=Path(row["file"]).stem), flush=True)


def key_name(features: dict[str, float | int | None]) -> str | None:
    """A key as people say it, `F# minor`, of what `Analysis.audio_features` knows; None if no tone stands out."""
    key = features["key"]
    return None if key is None or key < 0 else f"{KEYS[key]} {('minor', 'major')[features['mode']]}"


def measured(features: dict[str, float | int | None]) -> str:
    """Tempo, key and loudness as people say them, of what `Analysis.audio_features` knows; empty if it is none."""
    parts = []
    if (tempo := features["tempo"]) is not None:
        parts.append(f"{tempo:.0f} bpm")
    if key := key_name(features):
        parts.append(key)
    if (loudness := features["loudness"]) is not None:
        parts.append(f"{loudness:.1f} dB")
    return ", ".join(parts)


def told_markets(markets: Sequence[Market], charts: Charts) -> str:
    """The countries in words, and how far to trust them."""
    top = len(markets)
    share, guess = (f"{100 * part:.0f} %" for part in (charts.share(top), charts.guess(top)))
    names = ", ".join(market.name for market in markets)
    return (
        f"{names} (a hint: where a song charts in one or two countries, such a country is among the first {top} in "
        f"{share} of cases, by guessing in {guess})"
    )


def told_percentile(percentile: float) -> str:
    """A share of other songs as people say it; by rounding none becomes all of them or none of them."""
    if 0 < (rounded := round(percentile)) < 100:
        return f"{rounded} %"
    return "over 99 %" if percentile > 50 else "under 1 %"


def told(analysis: Analysis, predictor: Predictor, *, title: str, true: dict[str, float] | None = None) -> str:
    """All that can be said of one recording, on several lines; `true` has Spotify's values where they are known."""
    lines = [title, f"{'':14}{'predicted':>10}" + (f"{'Spotify':>10}{'error':>10}" if true else "")]
    for target in TARGETS:
        value, line = analysis.values[target], ""
        if true:
            error = round(value, 2) - round(true[target], 2)  # of the numbers that are shown
            line += f"{true[target]:10.2f}{error:+10.2f}"
        if target in analysis.intervals:
            line += "   {:.2f} to {:.2f} in 9 of 10 songs,".format(*analysis.intervals[target])
        percentile = told_percentile(analysis.percentiles[target])
        percentile = f"higher than {percentile} of {predictor.charts.n_songs:,} chart songs"
        lines.append(f"{target:14}{value:10.2f}{line}   {percentile}")
    if heard := measured(analysis.audio_features()):
        lines.append(f"heard: {heard}")
    lines += [f"mood: {analysis.mood}", *(f"warning: {warning}" for warning in analysis.warnings), "similar songs:"]
    for song in analysis.similar_songs[:5]:
        year = f", on a release of {song.year}" if song.year else ""
        lines += [f"  {song.name}{year} ({song.closeness})", *([f"    {song.path}"] if song.path else ())]
    if analysis.similar_artists:
        lines.append("similar artists: " + ", ".join(artist.artist for artist in analysis.similar_artists))
    if analysis.markets:
        lines.append("charts like it: " + told_markets(analysis.markets[:N_TOLD_MARKETS], predictor.charts))
    if analysis.explanation is not None:
        lines.append("why, as far as it can be told:")
        for target, sentences in analysis.explanation.sentences.items():
            lines += [f"  {target}: {sentence}" for sentence in sentences or ["nothing stands out"]]
    return "\n".join(map(printable, lines))
