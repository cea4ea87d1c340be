"""The command that makes playlists."""

import pytest
from conftest import kept_embedding, kept_row

from music_learning.commands.playlist import main
from music_learning.errors import UserError
from music_learning.library.database import Library


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with moods.sqlite, whose songs lie beside it."""
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number in range(60):
            values = {"energy": (number * 7 % 60) / 60, "duration_s": 100.0, "title": f"Title {number}."}
            library.add(kept_row(f"{tmp_path}/{number:02}.mp3", **values, embedding=kept_embedding(number, 0)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers_in(text: str) -> list[int]:
    return [int(line.rpartition("/")[2][:2]) for line in text.splitlines() if not line.startswith("#")]


def made(folder, *arguments) -> list[int]:
    """The numbers of the songs in a playlist that these arguments ask for."""
    assert main(["--to", "a.m3u8", *arguments]) == 0
    return numbers_in((folder / "a.m3u8").read_text())


def test_by_a_condition(folder, capsys):
    assert made(folder) == list(range(60))
    assert capsys.readouterr().out == "60 songs in a.m3u8, 1 h 40 min\n"
    assert made(folder, "--where", "energy < .1 and title != 'Title 0.'") == [9, 26, 35, 43, 52]
    assert made(folder, "--length", "3") == [0, 1, 2]
    assert capsys.readouterr().out.splitlines()[-1] == "3 songs in a.m3u8, 5 min"


def test_by_likeness(folder):
    assert made(folder, "--like", "title 0.", "--length", "5") == [0, 1, 2, 3, 4]
    assert made(folder, "--like", f"{folder}/59.mp3") == list(range(59, 9, -1))
    assert made(folder, "--like", "59.mp3", "--where", "energy > .9")[0] != 59


def test_as_an_arc(folder):
    numbers = made(folder, "--arc", "energy", "--length", "12")
    energies = [number * 7 % 60 for number in numbers]
    assert energies == sorted(energies)
    assert len(set(numbers)) == 12
    assert len(made(folder, "--arc", "energy")) == 50


def test_stream_has_whole_paths(folder, capsysbinary):
    assert main(["--to", "-", "--length", "1"]) == 0
    path = f"{folder}/00.mp3".encode()
    assert capsysbinary.readouterr().out == b"#EXTM3U\n#EXTINF:100,Title 0.\n" + path + b"\n"


def test_songs_heard_by_other_models_and_names_that_can_t_be_are_said(folder, capsys):
    with Library.write(folder / "moods.sqlite") as library:
        library.change("UPDATE songs SET model = 'm0' WHERE song_id > 50")
        library.add(kept_row("/a\nb.mp3", embedding=kept_embedding(0, 0), energy=0.01))
    assert main(["--to", "a.m3u8", "--like", "00.mp3"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "songs left out, since other models heard them: 10; scan their folders again",
        "left out, as no playlist can name it: /a\\nb.mp3",
    ]


def test_what_can_t_be_done_is_said(folder, capsysbinary):
    (folder / "mine.m3u8").write_text("my notes")
    for arguments, said in (
        (["--to", "a.m3u8", "--where", "energy > 1"], "no song is like that"),
        (["--to", "-", "--where", "energy > 1"], "no song is like that"),
        (["--to", "a.m3u"], "ends in .m3u8"),
        (["--to", "mine.m3u8"], "is no playlist"),
        (["--to", "a.m3u8", "--like", "nothing"], "'nothing' is no file"),
        (["--to", "a.m3u8", "--library", "none.sqlite"], "there is no library"),
    ):
        with pytest.raises(UserError) as refused:
            main(arguments)
        assert said in str(refused.value)
    assert (folder / "mine.m3u8").read_text() == "my notes"
    assert not (folder / "a.m3u8").exists()


@pytest.mark.parametrize(
    "arguments", [["--length", "0"], ["--like", ""], ["--like", "a", "--arc", "energy"], ["--arc", "x"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["--to", "a.m3u8", *arguments])
    assert "error: " in capsys.readouterr().err
