"""Errors that are meant for the user's eyes, and the one place where a script turns them into an exit status."""

import io
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TextIO

# Control characters, line separators, what turns the direction of writing, and halves of characters.
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class UserError(Exception):
    """Something the user can put right. The message says what was expected, what came and what to do next."""


class AudioError(UserError):
    """An audio file that can't be used. The message gives the reason, without the file's name."""


def printable(text: str) -> str:
    r"""A name from outside on one line that does nothing to a terminal: an escape character becomes `\x1b`, say."""
    return _NOT_PRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def unexpected(error: Exception, about: str) -> str:
    """A sentence about an error that nobody foresaw, whose traceback goes to a file that the sentence names."""
    reason = f"unexpected: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    try:
        log = Path(tempfile.gettempdir()) / f"music-learning-{os.getpid()}.log"
        with open(log, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{about}\n{''.join(traceback.format_exception(error))}\n")
    except OSError as log_error:
        return f"{reason} (where it came from could not be kept: {log_error.strerror})"
    return f"{reason} (more in {log}; please report it)"


def run(main) -> None:
    """Run a script's `main()` and exit: 0 or what it returns, 1 after a UserError, 130 after Ctrl-C.

    Where standard output takes no more, as when the disk is full or `head` has seen enough, the work goes on.

    Args:
        main: a function without arguments that returns an exit status or None.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_lasting, streams)
    try:
        status = _status_of(main)
        sys.stdout.flush()
        lost = getattr(getattr(sys.stdout.buffer, "raw", sys.stdout.buffer), "lost", None)
        if lost is not None and not isinstance(lost, BrokenPipeError):
            print(f"error: standard output can't be written: {lost.strerror}", file=sys.stderr)
            status = status or 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = streams
    sys.exit(status)


def _status_of(main) -> int | str | None:
    """What `main()` returns, or the status that belongs to its error, which is printed."""
    try:
        return main()
    except UserError as error:
        message = str(error)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except SystemExit as error:  # after `--help`, or a mistake in the arguments
        return error.code
    except OSError as error:  # a file or folder that nobody asked about first
        message = unexpected(error, "a run") if error.filename is None else f"{error.filename}: {error.strerror}"
    lines = message.split("\n  ")  # what a message lists is indented, on lines of its own
    print("error: " + "\n  ".join(map(printable, lines)), file=sys.stderr)
    return 1


class _LastingFile(io.FileIO):
    """A file whose writing never fails: what it can't take is lost, and `lost` says why."""

    lost: OSError | None = None

    def write(self, data: bytes) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            return memoryview(data).nbytes


def _lasting(stream: TextIO | None) -> TextIO:
    """A stream to print to that never fails, whatever it shows, in place of standard output or error."""
    if stream is None:  # closed, as by `>&-`: what is opened next would take its place
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        return open(descriptor, "w", encoding="utf-8", errors="replace")
    stream.reconfigure(errors="replace")  # a title that the terminal can't show must not end the run
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if not isinstance(raw, io.FileIO):
        return stream
    stream.flush()
    file = _LastingFile(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if raw is stream.buffer else io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
