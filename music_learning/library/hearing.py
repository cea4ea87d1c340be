"""Hear many files and hand each one's row on as it comes: to tables, to the terminal."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from music_learning.errors import UserError, report
from music_learning.library.outputs import STANDARD_OUTPUT, Output
from music_learning.library.rows import AudioFile, identity, predict_file, row_before
from music_learning.library.tables import Table
from music_learning.parallel import cpu_count, ordered_map
from music_learning.predict.analysis import Analysis
from music_learning.predict.predictor import Predictor
from music_learning.streams import why_lost


@dataclass
class Outcome:
    """What became of a run."""

    heard: int = 0
    failed: int = 0  # of those heard
    known: int = 0  # that needed no hearing
    broken: list[str] = field(default_factory=list)  # the outputs that could not be written


def hear(
    files: Sequence[AudioFile],
    predictor: Predictor,
    outputs: Sequence[Output],
    *,
    explain: bool = False,
    bar: bool = True,
) -> Outcome:
    """Give every output the row of every file, on all cores.

    Files of which every output has a row already are not heard again. An output that can't be written any more is left
    out from there on, and the run ends where none is left; what reads our standard output may end whenever it likes.

    Args:
        explain: also find what raised or lowered the values.
        bar: show a progress bar on a terminal.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with a sentence of what is kept; every row that was written stays.
    """
    keys = [identity(row_before(file, predictor)) for file in files]
    todo = [n for n, key in enumerate(keys) if explain or not all(output.has(key) for output in outputs)]
    outcome = Outcome(known=len(files) - len(todo))
    if outcome.known and bar:
        print(f"{outcome.known:,} of {len(files):,} files were heard before and have not changed", file=sys.stderr)
    living = list(outputs)
    one, heard = partial(predict_file, predictor=predictor, explain=explain), [files[n] for n in todo]
    rows = ordered_map(one, heard, workers=cpu_count(), description="predicting", unit="file", bar=bar)
    try:
        for n, (row, analysis) in zip(todo, rows, strict=True):
            keys[n] = identity(row)
            outcome.heard += 1
            outcome.failed += row["error"] is not None
            _each(living, partial(_append, row=row, analysis=analysis), outcome)
            if not living:
                break
    except KeyboardInterrupt:
        kept = "; the tables keep their rows, the same command goes on" if any(map(_is_kept, outputs)) else ""
        raise KeyboardInterrupt(f"after {outcome.known + outcome.heard:,} of {len(files):,} files{kept}") from None
    finally:
        rows.close()
    _each(living, lambda output: output.finish(keys), outcome)
    return outcome


def _is_kept(output: Output) -> bool:
    return isinstance(output, Table)


def _append(output: Output, *, row: dict, analysis: Analysis | None) -> None:
    output.append(row, analysis)


def _each(living: list[Output], act: Callable[[Output], None], outcome: Outcome) -> None:
    """Do something with each output, and drop those that fail."""
    for output in list(living):
        try:
            act(output)
            if output.path == STANDARD_OUTPUT and (lost := why_lost(sys.stdout)):
                raise lost
        except (OSError, UserError) as error:
            living.remove(output)
            if output.path != STANDARD_OUTPUT:  # of which `errors.run` says why in the end, where it is worth a word
                said = f"{output.path} can't be written: {error.strerror}" if isinstance(error, OSError) else str(error)
                outcome.broken.append(str(output.path))
                report(said)
