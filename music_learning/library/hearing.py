"""Hear many files and hand each one's row on as it comes: to tables, to a library, to the terminal."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from tqdm import tqdm

from music_learning.errors import UserError, report
from music_learning.library.outputs import STANDARD_OUTPUT, Output
from music_learning.library.rows import AudioFile, Files, Listener
from music_learning.parallel import cpu_count, in_order
from music_learning.predict.analysis import Analysis
from music_learning.streams import why_lost


@dataclass
class Outcome:
    """What became of a run."""

    heard: int = 0
    failed: int = 0  # of those heard
    known: int = 0  # that needed no hearing
    broken: list[str] = field(default_factory=list)  # the outputs that could not be written


def hear(files: Files, listener: Listener, outputs: Sequence[Output], *, bar: bool = True) -> Outcome:
    """Give every output the row of every file, on all cores, in memory that does not grow with their number.

    Files of which no output needs a row are not heard again. An output that can't be written any more is left out from
    there on, and the run ends where none is left; what reads our standard output may end whenever it likes.

    Args:
        bar: show a progress bar on a terminal.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with a sentence of what is kept; every row that was written stays.
    """
    outcome, living, total = Outcome(), list(outputs), len(files)
    with tqdm(total=total, desc="predicting", unit="file", disable=None if bar else True) as progress:

        def needed() -> Iterator[AudioFile]:
            for file in files:
                row = listener.before(file)
                needs = [output.expect(row) for output in living]
                if any(needs) or listener.explain:
                    yield file
                else:
                    outcome.known += 1
                    progress.total = total - outcome.known  # which takes no time, and is none to learn from

        rows = in_order(listener.hear, needed(), workers=cpu_count())
        try:
            for row, analysis in rows:
                outcome.heard += 1
                outcome.failed += row["error"] is not None
                _each(living, partial(_append, row=row, analysis=analysis), outcome)
                progress.update()
                if not living:
                    break
        except KeyboardInterrupt:
            kept = (
                "; every row that was written is kept, the same command goes on"
                if any(output.lasts for output in outputs)
                else ""
            )
            raise KeyboardInterrupt(f"after {outcome.known + outcome.heard:,} of {total:,} files{kept}") from None
        finally:
            rows.close()
    _each(living, lambda output: output.finish(), outcome)
    return outcome


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
