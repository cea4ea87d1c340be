"""What every command needs of the Python that runs it. Imported first, so that what is missing is one sentence.

Python 3.8 and one without a single package run this file, too: it keeps to what they know.
"""

import os
import sys

OLDEST = (3, 11)
PACKAGES = {"sklearn": "scikit-learn"}  # those that pip calls otherwise
OF_THE_PAGE = ("fastapi", "fastapi_offline", "python_multipart", "starlette", "uvicorn")
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def explain(kind, error, traceback):
    """Say what to install, in place of the traceback of an import that failed or was stopped; other errors keep theirs.

    An interactive Python goes on after Ctrl-C.
    """
    if was_stopped(error) and not hasattr(sys, "ps1"):
        print("stopped", file=sys.stderr, flush=True)
        os._exit(130)  # as `errors.run`, which isn't there yet
    name = (getattr(error, "name", None) or "").split(".")[0]
    if issubclass(kind, ModuleNotFoundError) and name not in ("", "music_learning", *sys.stdlib_module_names):
        print("error: this Python has no " + name + "; " + remedy(name), file=sys.stderr)
    else:
        BEFORE(kind, error, traceback)


def was_stopped(error):
    """Whether an error is Ctrl-C, or comes of it: some packages turn it into an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def remedy(name=None):
    """What to do about a package that is missing; without a name, about a Python that is too old."""
    own = os.path.join(PROJECT, ".venv", "bin", "python")
    if os.path.exists(own) and os.path.abspath(sys.executable) != own:
        return "start the same command with " + quoted(own)
    if not os.path.exists(os.path.join(PROJECT, "pyproject.toml")):  # installed as a package
        if name is None:
            return "install music-learning with a newer one"
        return "install it: {} -m pip install {}".format(quoted(sys.executable), PACKAGES.get(name, name))
    make = "make -C {} demo, then start the same command with {}".format(quoted(PROJECT), quoted(own))
    if name is None:
        return "install a newer one, then: " + make
    folder = PROJECT + ("[app]" if name in OF_THE_PAGE else "")
    return "install what is needed: {} -m pip install {}, or: {}".format(quoted(sys.executable), quoted(folder), make)


def quoted(text):
    """A path as the shell takes it."""
    is_plain = all(letter.isalnum() or letter in "/_-." for letter in text)
    return text if is_plain else "'" + text.replace("'", "'\\''") + "'"


if sys.version_info < OLDEST:
    sys.exit(
        "error: Python {}.{} or newer is needed, {} is {}.{}; ".format(
            OLDEST[0], OLDEST[1], sys.executable, sys.version_info[0], sys.version_info[1]
        )
        + remedy()
    )
BEFORE, sys.excepthook = sys.excepthook, explain
