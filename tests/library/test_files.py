import os
from pathlib import Path

from music_learning.library.files import STANDARD_INPUT, find_files, named_paths


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_files_of_a_folder_come_sorted_and_without_others(tmp_path):
    make(tmp_path, "b.mp3", "a/c.FLAC", "a/notes.txt", "a/d.webm", ".hidden/e.mp3", "f.wma")
    assert [str(path.relative_to(tmp_path)) for path in find_files([tmp_path])] == [
        *("a/c.FLAC", "a/d.webm", "b.mp3", "f.wma")
    ]


def test_links_to_folders_are_followed_once_each(tmp_path):
    make(tmp_path / "elsewhere", "a.mp3")
    music = tmp_path / "music"
    make(music, "b.mp3")
    (music / "one").symlink_to(tmp_path / "elsewhere")
    (music / "two").symlink_to(tmp_path / "elsewhere")
    (music / "round").symlink_to(music)
    assert sorted(path.name for path in find_files([music])) == ["a.mp3", "b.mp3"]


def test_folder_that_can_t_be_read_gets_its_row(tmp_path, monkeypatch):
    """The tests may run as root, who may read everything, so the refusal is simulated."""
    make(tmp_path, "a.mp3", "closed/b.mp3")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [path.name for path in find_files([tmp_path])] == ["a.mp3", "closed"]


def test_folder_that_can_t_be_entered_costs_what_is_in_it(tmp_path, monkeypatch):
    """It can be listed, but nothing in it can be looked at: as root may, the refusal is simulated."""
    make(tmp_path, "a.mp3", "closed/b.mp3", "closed/deeper/c.mp3", "z.mp3")
    stat = Path.stat

    def refuse(path, **options):
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    found = [str(path.relative_to(tmp_path)) for path in find_files([tmp_path])]
    assert found == ["a.mp3", "closed/b.mp3", "closed/deeper", "z.mp3"]
    assert find_files([tmp_path / "closed" / "b.mp3"]) == [tmp_path / "closed" / "b.mp3"]


def test_links_to_nothing_are_no_files(tmp_path):
    make(tmp_path, "a.mp3")
    (tmp_path / "b.mp3").symlink_to("gone.mp3")
    assert [path.name for path in find_files([tmp_path])] == ["a.mp3"]


def test_hyphen_is_standard_input_and_a_file_called_so_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").mkdir()
    assert find_files(named_paths(["-", "./-", "a-"])) == [STANDARD_INPUT, tmp_path / "-", Path("a-")]


def test_what_is_named_stays_whatever_it_is(tmp_path):
    make(tmp_path, ".hidden.mp3", "notes.txt")
    (tmp_path / "empty").mkdir()
    named = [tmp_path / name for name in (".hidden.mp3", "notes.txt", "gone.mp3", "empty")]
    assert find_files(named) == named
