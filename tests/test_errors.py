import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT, run_python, start

from music_learning.errors import AudioError, UserError, for_stdout, printable, run, unexpected

UNPRINTABLE = {
    "two\nlines": r"two\nlines",
    "\x1b]0;title\x07\x1b[2J": r"\x1b]0;title\x07\x1b[2J",
    "\x9b31m": r"\x9b31m",
    "back\r\tto": r"back\r\tto",
    "\u202egpj.exe": r"\u202egpj.exe",
    "\u2067a\u2069\u2028b": r"\u2067a\u2069\u2028b",
    "caf\udce9": r"caf\udce9",
    "a\0b\x7f": r"a\x00b\x7f",
}


@pytest.mark.parametrize("text", UNPRINTABLE, ids=ascii)
def test_what_moves_a_terminal_is_escaped(text):
    assert printable(text) == UNPRINTABLE[text]


@pytest.mark.parametrize("text", ["夜に駆ける", "Ночь", "👩\u200d🎤 שלום", "می\u200cخواهم", "C:\\a b", "é e\u0301"])
def test_names_of_all_scripts_are_printable(text):
    assert printable(text) == text


def test_status_of_main_is_the_exit_status():
    for status in (0, 1, None):
        with pytest.raises(SystemExit) as caught:
            run(lambda status=status: status)
        assert caught.value.code == status


@pytest.mark.parametrize("error", [UserError, AudioError])
def test_user_error_is_one_line_and_status_1(capsys, error):
    def main():
        raise error("songs.csv is missing")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 1
    assert capsys.readouterr() == ("", "error: songs.csv is missing\n")


def test_names_in_a_message_cannot_move_the_terminal(capsys):
    def main():
        raise UserError("\x1b[2Ja\nb is missing; there are:\n  one\n  two\x07")

    with pytest.raises(SystemExit):
        run(main)
    assert capsys.readouterr().err == "error: \\x1b[2Ja\\nb is missing; there are:\n  one\n  two\\x07\n"


STOPPED = {
    ("", "run(main)"): "stopped\n",
    ("", "run(main, goes_on=True)"): "stopped; what was done is kept, the same command goes on\n",
    ("after 3 files", "run(main)"): "stopped after 3 files\n",
}


@pytest.mark.parametrize("case", STOPPED, ids=str)
def test_ctrl_c_is_no_traceback_and_says_what_is_kept(case):
    reason, call = case
    program = f"from music_learning.errors import run\ndef main(): raise KeyboardInterrupt({reason!r})\n{call}"
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", STOPPED[case])


@pytest.mark.parametrize("script", ["data_collection", "data_loading", "model_train", "pipeline"])
def test_scripts_that_go_on_where_they_were_say_so(script, monkeypatch):
    calls = []
    monkeypatch.setattr("music_learning.errors.run", lambda main, **options: calls.append(options))
    runpy.run_path(str(ROOT / f"{script}.py"), run_name="__main__")
    assert calls == [{} if script == "pipeline" else {"goes_on": True}]


def test_ctrl_c_waits_for_no_thread():
    program = """
import threading, time
from music_learning.errors import run
def main():
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("printed", end="")
    raise KeyboardInterrupt
run(main)
"""
    begun = time.monotonic()
    done = run_python("-c", program)
    assert (done.returncode, done.stdout) == (130, "printed")
    assert time.monotonic() - begun < 120


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, RuntimeError, MemoryError, OSError], ids=lambda kind: kind.__name__
)
def test_a_bug_is_a_sentence_whose_log_keeps_the_traceback(capsys, temporary, error):
    def main():
        raise error("strange")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 1
    (log,) = temporary.iterdir()
    sentence = f"error: unexpected: {error.__name__}: strange (more in {log}; please report it)\n"
    assert capsys.readouterr() == ("", sentence)
    assert "Traceback" in log.read_text() and "in main" in log.read_text()


def test_package_that_is_missing_in_the_middle_is_told_as_at_the_beginning():
    program = "import music_learning.needs\nfrom music_learning.errors import run\ndef main(): import gone\nrun(main)"
    done = run_python("-c", program)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: this Python has no gone; ")


def test_status_reaches_the_shell():
    program = (
        "from music_learning.errors import UserError, run\ndef main(): raise UserError('expected this')\nrun(main)"
    )
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: expected this\n")


@pytest.mark.parametrize("lines", [1, 100_000], ids=["little output", "much output"])
def test_reader_that_has_gone_ends_the_printing_not_the_work(lines, tmp_path):
    """As in `python model_demo.py album/ | head`; little output reaches the pipe only when Python ends."""
    program = f"""
import pathlib, sys
from music_learning.errors import run
def main():
    sys.stdin.read()
    for _ in range({lines}):
        print("a line")
    pathlib.Path({str(tmp_path / "made")!r}).write_text("whole")
run(main)
"""
    with start("-c", program, stdin=-1) as process:
        process.stdout.close()
        process.stdin.close()
        stderr = process.stderr.read()
        status = process.wait(timeout=PATIENCE_S)
    assert (status, stderr) == (0, "")
    assert (tmp_path / "made").read_text() == "whole"


FULL = "error: standard output can't be written: No space left on device\n"
# How the streams are redirected, with the exit status, standard output and standard error that it leads to.
REDIRECTED = {
    "": (0, "begun\nmade\n", "warned\n"),
    ">&-": (0, "", "warned\n"),
    "2>&-": (0, "begun\nmade\n", ""),
    ">&- 2>&-": (0, "", ""),
    "<&- >&- 2>&-": (0, "", ""),
    ">/dev/full": (1, "", "warned\n" + FULL),
    "2>/dev/full": (0, "begun\nmade\n", ""),
    ">/dev/full 2>&1": (1, "", ""),
}


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("redirection", REDIRECTED)
def test_output_that_is_full_or_closed_ends_the_printing_not_the_work(redirection, unbuffered, tmp_path):
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    program = f"""
import sys
from music_learning.errors import run
def main():
    print("begun", flush=True)
    with open({str(tmp_path / "made")!r}, "w") as file:
        print("warned", file=sys.stderr, flush=True)
        print("whole", file=file)
    print("made")
run(main)
"""
    command = ["sh", "-c", f'exec "$0" "$@" {redirection}', sys.executable, "-c", program]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == REDIRECTED[redirection]
    assert (tmp_path / "made").read_text() == "whole\n"


@pytest.mark.parametrize(("main", "status"), [("print('x')", 1), ("sys.exit(0)", 0), ("print('x'); sys.exit(2)", 2)])
def test_printing_that_is_lost_makes_a_good_status_1(main, status):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    program = f"import sys; from music_learning.errors import run\ndef main(): {main}\nrun(main)"
    with open("/dev/full", "w") as full, start("-c", program, stdout=full) as process:
        assert process.stderr.read() == (FULL if status == 1 else "")
        assert process.wait(timeout=PATIENCE_S) == status


def test_file_that_nobody_asked_about_first_is_a_sentence(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        run(lambda: (tmp_path / ("x" * 300)).exists() or (tmp_path / "a\x1b").read_text())
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/")
    assert error.endswith((": File name too long\n", "a\\x1b: No such file or directory\n"))


def test_log_is_a_new_file_of_the_process_s_own(temporary):
    """Another user may have placed a link under a name that can be guessed."""
    mine, guessed = temporary / "mine", temporary / f"music-learning-{os.getpid()}.log"
    mine.write_text("precious")
    guessed.symlink_to(mine)
    sentences = [unexpected(ValueError(reason), "x") for reason in ("one", "two")]
    (log,) = set(temporary.iterdir()) - {mine, guessed}
    assert mine.read_text() == "precious"
    assert all(f"(more in {log}; please report it)" in sentence for sentence in sentences)
    assert [line for line in log.read_text().splitlines() if line.startswith("ValueError")] == [
        "ValueError: one",
        "ValueError: two",
    ]
    assert log.stat().st_mode & 0o077 == 0


def test_unexpected_error_whose_log_cannot_be_written_is_still_named(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "gone"))
    assert unexpected(ValueError("a\nb"), "x").startswith("unexpected: ValueError: a b (")


def test_nothing_is_printed_on_success(capsys):
    with pytest.raises(SystemExit) as caught:
        run(lambda: print("done", file=sys.stdout))
    assert caught.value.code is None
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, "\\x1b[2J 夜\n\\x9b\n"), (False, "\x1b[2J 夜\n\x9b\n")])
def test_lines_do_nothing_to_a_terminal(monkeypatch, is_terminal, expected):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    assert for_stdout("\x1b[2J 夜\n\x9b\n".encode()) == expected.encode()
