"""The command that writes a library as a table."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, kept_row, read_rows

from music_learning.commands.export import main
from music_learning.errors import UserError
from music_learning.library.database import Library


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with moods.sqlite."""
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number in range(4):
            library.add(kept_row(f"/{number}.mp3", title=f"Title {number}", energy=number / 10))
        library.add(kept_row("/failed.mp3", error="no audio", energy=None))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_export_of_all_and_of_some(folder, capsys):
    assert main(["--to", "a.csv"]) == 0
    assert capsys.readouterr().out == "5 rows in a.csv\n"
    assert main(["--to", "a.csv", "--where", "energy >= .2 or error is not null", "--library", "moods.sqlite"]) == 0
    assert [row["file"] for row in read_rows(folder / "a.csv")] == ["/2.mp3", "/3.mp3", "/failed.mp3"]
    assert capsys.readouterr().out == "3 rows in a.csv\n"


def test_stream_is_json_lines(folder, capsysbinary):
    assert main(["--to", "-", "--where", "energy > .15"]) == 0
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [row["title"] for row in rows] == ["Title 2", "Title 3"]
    assert sorted(file.name for file in folder.iterdir()) == [".moods.sqlite.lock", "moods.sqlite"]


def test_reader_of_the_stream_may_end(folder):
    with Library.write(folder / "moods.sqlite") as library:
        for number in range(3000):
            library.add(kept_row(f"/more/{number}.mp3", title="x" * 300))
    command = [sys.executable, "-m", "music_learning", "export", "--to", "-", "--library", folder / "moods.sqlite"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["file"] == "/0.mp3"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "a.csv", "--library", "none.sqlite"], "there is no library none.sqlite"),
        (["--to", "a.txt"], "ends in .parquet, .csv"),
        (["--to", "a.csv", "--where", "loud > 1"], "no column “loud”"),
        (["--to", "none/a.csv"], "there is no folder"),
    ],
)
def test_what_can_t_be_done_is_said(folder, arguments, said):
    with pytest.raises(UserError) as refused:
        main(arguments)
    assert said in str(refused.value)
    assert not list(folder.glob("*.csv"))
