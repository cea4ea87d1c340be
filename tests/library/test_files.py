import os

from music_learning.library.files import find_files


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


def test_what_is_named_stays_whatever_it_is(tmp_path):
    make(tmp_path, ".hidden.mp3", "notes.txt")
    (tmp_path / "empty").mkdir()
    named = [tmp_path / name for name in (".hidden.mp3", "notes.txt", "gone.mp3", "empty")]
    assert find_files(named) == named
