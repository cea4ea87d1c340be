"""What is printed of a run."""

from music_learning.collect.report import print_report
from music_learning.paths import DataPaths


def test_reasons_cannot_steer_the_terminal(tmp_path, capsys):
    print_report(DataPaths(tmp_path), [], [{"reason": "energy is \x1b[2J\r\n\ud83c; expected a number"}], 0)
    assert r"rejected    1: energy is \x1b[2J\r\n\ud83c; expected a number" in capsys.readouterr().out
