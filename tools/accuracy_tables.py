"""Write the tables of accuracy into the documents, from what was measured: models/results.csv and intervals.json, and
markets.json beside the chart songs.

    python tools/accuracy_tables.py            rewrites the tables
    python tools/accuracy_tables.py --check    says which are not what was measured; exit status 1 if any

A document holds a table between `<!-- table NAME -->` and `<!-- end of table -->`; the names are those of TABLES.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from music_learning.columns import TARGETS
from music_learning.errors import UserError, run
from music_learning.evaluation.report import RESULT_DTYPES
from music_learning.files import atomic, read_json
from music_learning.paths import ModelPaths
from music_learning.predict.markets import Charts
from music_learning.songs.table import read_frame

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "MODEL_CARD.md", "docs/accuracy.md")
BLOCK = re.compile(r"(<!-- table (.+?) -->\n).*?(<!-- end of table -->)", re.DOTALL)
MODELS = {
    "ours": "**this project**",
    "kernel": "its kernel model alone",
    "networks": "its networks alone",
    "mean of windows": "mean of the windows",
    "ridge": "ridge",
    "original": "original recipe",
    "mean": "training mean",
}
METRICS = {"r2": 2, "mae": 3, "rho": 2}  # with so many decimals


def number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def cell(row: dict, metric: str, *, bold: bool) -> str:
    """A metric and its interval, such as `0.73 [0.68, 0.78]`."""
    value, low, high = (number(row[f"{metric}{end}"], METRICS[metric]) for end in ("", "_low", "_high"))
    return f"**{value}** [{low}, {high}]" if bold else f"{value} [{low}, {high}]"


def accuracy_table(paths: ModelPaths, split: str) -> str:
    """What was measured of the models and the baselines on a split."""
    results = read_frame(paths.results, RESULT_DTYPES, "model_train.py").reset_index()
    rows = {(row["target"], row["model"]): row for row in results[results["split"] == split].to_dict("records")}
    lines = ["| target | model | R2 | MAE | rho |", "|---|---|---|---|---|"]
    for target in TARGETS:
        for model, name in MODELS.items():
            if row := rows.get((target, model)):
                cells = " | ".join(cell(row, metric, bold=model == "ours") for metric in METRICS)
                lines.append(f"| {target} | {name} | {cells} |")
    return "\n".join(lines)


def error_sentence(paths: ModelPaths) -> str:
    """How far the models are off on average, in the cross-validation."""
    results = read_frame(paths.results, RESULT_DTYPES, "model_train.py").reset_index()
    ours = results[(results["split"] == "5-fold") & (results["model"] == "ours")].set_index("target")
    *first, last = (f"{ours.loc[target, 'mae']:.2f} ({target})" for target in TARGETS)
    return (
        f"Expect to be off by about {', '.join(first)} and {last} on average, for artists that\nthe models never heard."
    )


def interval_table(paths: ModelPaths) -> str:
    """How often intervals hold Spotify's value, and how wide they are."""
    intervals = read_json(paths.intervals, "model_train.py --folds 5")
    lines = ["| target | holds | of the lowest, middle, highest third | mean width |", "|---|---|---|---|"]
    for target in TARGETS:
        measured = intervals[target]["measured"]
        thirds = ", ".join(f"{100 * coverage:.0f}" for coverage in measured["tercile_coverage"])
        lines.append(f"| {target} | {100 * measured['coverage']:.1f} % | {thirds} % | {measured['width']:.2f} |")
    return "\n".join(lines)


def song_interval_table(paths: ModelPaths) -> str:
    """How often the intervals of whole songs hold Spotify's value, and how wide they are."""
    intervals = read_json(paths.intervals, "model_train.py --folds 5")
    lines = ["| target | holds | mean width | n |", "|---|---|---|---|"]
    for target in TARGETS:
        if measured := intervals[target].get("measured_songs"):
            coverage, width, n = (measured[name] for name in ("coverage", "width", "n"))
            lines.append(f"| {target} | {100 * coverage:.0f} % | {width:.2f} | {n} |")
        else:
            lines.append(f"| {target} | not measured | | |")
    return "\n".join(lines)


def market_table(_: ModelPaths) -> str:
    """How often the country where a song charts is among the first of its list."""
    charts, tops = Charts.open(), (1, 3, 5, 10)
    rows = {"the country where a song charts": charts.share, f"by chance, of {charts.n_countries}": charts.guess}
    lines = [f"| among the first | {' | '.join(map(str, tops))} |", "|---" * (len(tops) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{100 * part(top):.1f} %' for top in tops)} |" for name, part in rows.items()]
    return "\n".join(lines)


TABLES: dict[str, Callable[[ModelPaths], str]] = {
    "5-fold": lambda paths: accuracy_table(paths, "5-fold"),
    "test": lambda paths: accuracy_table(paths, "test"),
    "intervals": interval_table,
    "whole songs": lambda paths: accuracy_table(paths, "whole songs"),
    "song intervals": song_interval_table,
    "error": error_sentence,
    "markets": market_table,
}


def with_tables(text: str, paths: ModelPaths) -> str:
    """A document with its tables as they were measured. Raises UserError for a table that there is not."""

    def table(block: re.Match) -> str:
        start, name, end = block.groups()
        if name not in TABLES:
            raise UserError(f"there is no table {name!r}; known are {', '.join(TABLES)}")
        return f"{start}{TABLES[name](paths)}\n{end}"

    return BLOCK.sub(table, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and say what would change")
    arguments = parser.parse_args()
    stale = []
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if (new := with_tables(text, ModelPaths(ROOT / "models"))) != text:
            stale.append(name)
            if not arguments.check:
                with atomic(path) as temporary:
                    temporary.write_text(new, encoding="utf-8")
    if arguments.check and stale:
        print(f"error: run python tools/accuracy_tables.py for {', '.join(stale)}", file=sys.stderr)
        return 1
    print(f"tables written: {', '.join(stale) or 'none had to be'}")
    return 0


if __name__ == "__main__":
    run(main)
