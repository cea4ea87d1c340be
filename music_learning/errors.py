"""Errors that are meant for the user's eyes, and the one place where a script turns them into an exit status."""

import os
import re
import sys
import tempfile
import traceback
from contextlib import suppress
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


def report(error: UserError | str) -> None:
    """Say on stderr what went wrong."""
    lines = str(error).split("\n  ")  # what a message lists is indented, on lines of its own
    print("error: " + "\n  ".join(map(printable, lines)), file=sys.stderr)


def unexpected(error: Exception, about: str) -> str:
    """A sentence about an error that nobody foresaw, whose traceback goes to a file that the sentence names."""
    log = Path(tempfile.gettempdir()) / f"music-learning-{os.getpid()}.log"
    with open(log, "a", encoding="utf-8", errors="replace") as file:
        file.write(f"{about}\n{''.join(traceback.format_exception(error))}\n")
    reason = " ".join(str(error).split())[:200]
    return f"unexpected: {type(error).__name__}: {reason} (more in {log}; please report it)"


def run(main) -> None:
    """Run a script's `main()` and exit: 0 or what it returns, 1 after a UserError, 130 after Ctrl-C.

    Args:
        main: a function without arguments that returns an exit status or None.
    """
    for stream in (sys.stdout, sys.stderr):  # a title that the terminal can't show must not end the run
        stream.reconfigure(errors="replace")
    try:
        status = main()
        sys.stdout.flush()  # else a reader that has gone is noticed only when Python ends
    except UserError as error:
        report(error)
        status = 1
    except KeyboardInterrupt as interrupt:
        print(f"stopped {interrupt}".rstrip(), file=sys.stderr, flush=True)
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(130)  # at once: threads that are in the middle of a long file would be waited for
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        discard(sys.stdout)
        status = 1
    sys.exit(status)


def discard(stream: TextIO) -> None:
    """Send what a stream that can't be written still holds, and all that follows, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
