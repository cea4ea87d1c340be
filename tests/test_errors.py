import sys
import time

import pytest
from conftest import run_python, start

from music_learning.errors import AudioError, UserError, printable, run

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


@pytest.mark.parametrize("reason", ["", "after 3 files"])
def test_ctrl_c_is_no_traceback(reason):
    program = f"from music_learning.errors import run\ndef main(): raise KeyboardInterrupt({reason!r})\nrun(main)"
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"stopped {reason}\n".replace(" \n", "\n"))


def test_ctrl_c_waits_for_no_thread():
    program = """
import threading, time
from music_learning.errors import run
def main():
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("printed", end="")
    raise KeyboardInterrupt
run(main)
"""
    begun = time.monotonic()
    done = run_python("-c", program)
    assert (done.returncode, done.stdout) == (130, "printed")
    assert time.monotonic() - begun < 30


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_status_reaches_the_shell():
    program = (
        "from music_learning.errors import UserError, run\ndef main(): raise UserError('expected this')\nrun(main)"
    )
    done = run_python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: expected this\n")


@pytest.mark.parametrize("lines", [1, 100_000], ids=["little output", "much output"])
def test_reader_that_has_gone_is_no_traceback(lines):
    """As in `python model_demo.py album/ | head`; little output reaches the pipe only when Python ends."""
    program = f"""
import sys
from music_learning.errors import run
def main():
    sys.stdin.read()
    for _ in range({lines}):
        print("a line")
run(main)
"""
    with start("-c", program, stdin=-1) as process:
        process.stdout.close()
        process.stdin.close()
        stderr = process.stderr.read()
        status = process.wait(timeout=60)
    assert stderr == ""
    assert status in (0, 1)


def test_nothing_is_printed_on_success(capsys):
    with pytest.raises(SystemExit) as caught:
        run(lambda: print("done", file=sys.stdout))
    assert caught.value.code is None
    assert capsys.readouterr() == ("done\n", "")
