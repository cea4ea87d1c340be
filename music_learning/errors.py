"""Errors that are meant for the user's eyes, and the one place where a script turns them into an exit status."""

import errno
import os
import re
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

from music_learning.streams import lasting, why_lost

# Control characters, line separators, what turns the direction of writing, and halves of characters.
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


UNEXPECTED = "unexpected: "  # how the sentence about an error begins that nobody foresaw


class UserError(Exception):
    """Something the user can put right. The message says what was expected, what came and what to do next."""


class AudioError(UserError):
    """An audio file that can't be used. The message gives the reason, without the file's name."""


class ServerError(UserError):
    """A server of files that is away or refuses all of them: it costs the run, and no file its row."""


def printable(text: str) -> str:
    r"""A name from outside on one line that does nothing to a terminal: an escape character becomes `\x1b`, say."""
    return _NOT_PRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def for_stdout(lines: bytes) -> bytes:
    """Whole lines as standard output gets them: as they are for a program, and `printable` on a terminal."""
    if not sys.stdout.isatty():
        return lines
    text = lines.decode("utf-8", "backslashreplace")
    return "\n".join(map(printable, text.split("\n"))).encode("utf-8", "replace")


def report(error: UserError | str) -> None:
    """Say on stderr what went wrong."""
    lines = str(error).split("\n  ")  # what a message lists is indented, on lines of its own
    print("error: " + "\n  ".join(map(printable, lines)), file=sys.stderr)


def unexpected(error: Exception, about: str) -> str:
    """A sentence about an error that nobody foresaw, whose traceback goes to a file that the sentence names."""
    reason = f"{UNEXPECTED}{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    try:
        log = _log()
        with open(log, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{about}\n{''.join(traceback.format_exception(error))}\n")
    except OSError as log_error:
        return f"{reason} (where it came from could not be kept: {log_error.strerror})"
    return f"{reason} (more in {log}; please report it)"


@cache
def _log() -> Path:
    """This process's file for the errors that nobody foresaw: a new one, whose name nobody could guess and take."""
    descriptor, name = tempfile.mkstemp(prefix="music-learning-", suffix=".log")
    os.close(descriptor)
    return Path(name)


def run(main, *, goes_on: bool = False) -> None:
    """Run a script's `main()` and exit: 0 or what it returns, 1 after an error, 130 after Ctrl-C.

    Where standard output takes no more, as when the disk is full or `head` has seen enough, the work goes on.

    Args:
        main: a function without arguments that returns an exit status or None.
        goes_on: the same command goes on where Ctrl-C stopped it, and says so.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(lasting, streams)
    try:
        status = _status_of(main, goes_on)
        lost = why_lost(sys.stdout)
        if lost and not status and lost.errno not in (errno.EPIPE, errno.EBADF):
            report(f"standard output can't be written: {lost.strerror}")
            status = 1
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = streams
    sys.exit(status)


def _status_of(main, goes_on: bool) -> int | str | None:
    """What `main()` returns, or the status that belongs to its error, which is printed."""
    try:
        return main()
    except UserError as error:
        report(error)
    except KeyboardInterrupt as interrupt:
        kept = "; what was done is kept, the same command goes on" if goes_on else ""
        print(f"stopped {interrupt}".rstrip() + kept, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # at once: threads that are in the middle of a long file would be waited for
    except SystemExit as error:  # after `--help`, or a mistake in the arguments
        return error.code
    except ModuleNotFoundError:
        raise  # `needs` says what to install
    except Exception as error:  # of a file or folder that nobody asked about first, or a bug
        is_named = isinstance(error, OSError) and error.filename is not None
        report(f"{error.filename}: {error.strerror}" if is_named else unexpected(error, "a run"))
    return 1
