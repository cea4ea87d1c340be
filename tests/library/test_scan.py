import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from music_learning.errors import AudioError, UserError
from music_learning.library import hearing
from music_learning.library.database import Library
from music_learning.library.scan import LocalFiles, count_outdated, library_row, reason_of, scan, summary
from music_learning.library.schema import COLUMNS

VALUES = {"duration_s": 3.0, "energy": 0.1, "danceability": 0.2, "valence": 0.3, "mood": "calm", "lost_s": 0.0}
VALUES |= {
    "moods": {"calm": 0.9},
    "warnings": ["one.", "two."],
    "similar_songs": [],
    "similar_artists": [],
    "markets": [],
}
VALUES |= {"timeline": []}


class FakePredictor:
    """Hears the length of a file's text, as its energy in thousandths."""

    version = "0-abc"
    models_version = "m1"

    def __init__(self):
        self.heard = []

    def predict(self, path, *, explain):
        self.heard.append(path.name)
        text = path.read_text()
        if text.startswith("bad"):
            raise AudioError(f"only 0.{len(text)} s of sound")
        if text.startswith("worse"):
            raise ZeroDivisionError("by zero")
        if text.startswith("stop"):
            raise KeyboardInterrupt
        values = VALUES | {"energy": len(text) / 1000}
        return SimpleNamespace(to_dict=lambda: values, explanation=None, embedding=torch.arange(3.0))


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    for name, text in {"a.mp3": "a", "b.flac": "bb", "deep/c.ogg": "ccc", "bad.mp3": "bad", "notes.txt": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Scans:
    """Scans into one library, by one predictor."""

    def __init__(self, path):
        self.path, self.predictor = path, FakePredictor()

    def __call__(self, *folders):
        self.predictor.heard.clear()
        with Library.write(self.path, create=True) as library:
            outcome, found = scan(LocalFiles(list(folders)), library, self.predictor, bar=False)
        self.outcome, self.found = outcome, found
        return sorted(self.predictor.heard)

    def rows(self, *columns, where="1"):
        with Library.open(self.path) as library:
            rows = {os.fsdecode(path): rest for path, *rest in library.select(("path", *columns), where)}
        return {Path(path).name: rest[0] if len(rest) == 1 else rest for path, rest in rows.items()}


@pytest.fixture
def scans(tmp_path):
    return Scans(tmp_path / "moods.sqlite")


def test_every_song_has_its_row(scans, music):
    assert scans(music) == ["a.mp3", "b.flac", "bad.mp3", "c.ogg"]
    assert scans.rows("energy", "error") == {
        "a.mp3": [0.001, None],
        "b.flac": [0.002, None],
        "bad.mp3": [None, "only 0.3 s of sound"],
        "c.ogg": [0.003, None],
    }
    with closing(sqlite3.connect(scans.path)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM songs WHERE file LIKE '%a.mp3'").fetchone())
    assert set(row) == {"song_id", "path", *COLUMNS, "embedding"}
    assert (row["moods"], row["warnings"], row["model"], row["bytes"]) == ('{"calm": 0.9}', "one. two.", "m1", 1)
    assert row["embedding"] == b"\0\0\0\0\0\0\x80?\0\0\0@"
    assert row["heard"].endswith("Z") and row["missing"] is None


def test_unchanged_files_are_not_heard_again(scans, music):
    scans(music)
    assert scans(music) == []
    assert (scans.outcome.known, scans.outcome.heard) == (4, 0)


def test_changed_file_is_heard_again(scans, music):
    scans(music)
    (music / "a.mp3").write_text("other")
    assert scans(music) == ["a.mp3"]
    assert scans.rows("energy")["a.mp3"] == 0.005


def test_touched_file_is_known_by_its_content(scans, music):
    scans(music)
    os.utime(music / "a.mp3", ns=(1, 1))
    assert scans(music) == []
    assert (scans.found.copies, scans.found.moved) == (1, 0)
    assert scans(music) == []
    assert scans.outcome.known == 4


def test_moved_file_keeps_its_row(scans, music):
    scans(music)
    before = scans.rows("song_id", "energy", "heard")["c.ogg"]
    (music / "deep" / "c.ogg").rename(music / "moved.ogg")
    assert scans(music) == []
    assert (scans.found.moved, scans.found.missing) == (1, 0)
    assert scans.rows("song_id", "energy", "heard")["moved.ogg"] == before
    assert len(scans.rows("energy")) == 4


def test_moved_folder_is_found_wherever_it_went(scans, music, tmp_path):
    scans(music)
    music.rename(tmp_path / "elsewhere")
    assert scans(tmp_path / "elsewhere") == ["bad.mp3"]
    assert scans.found.moved == 3
    assert set(scans.rows("file", where="error IS NULL")) == {"a.mp3", "b.flac", "c.ogg"}


def test_files_that_change_their_names_keep_their_rows(scans, music):
    """A swap, and a chain: each takes the name of the next."""
    for n in range(4):
        (music / f"{n}.mp3").write_text("x" * (10 + n))
    scans(music)
    before = {energy: song_id for song_id, energy in scans.rows("song_id", "energy", where="error IS NULL").values()}
    (music / "a.mp3").rename(music / "other")
    (music / "b.flac").rename(music / "a.mp3")
    (music / "other").rename(music / "b.flac")
    for n in reversed(range(4)):
        (music / f"{n}.mp3").rename(music / f"{n + 1}.mp3")
    assert scans(music) == []
    assert (scans.found.moved, scans.found.copies, scans.found.missing) == (6, 0, 0)
    after = scans.rows("song_id", "energy", where="error IS NULL")
    assert {energy: song_id for song_id, energy in after.values()} == before
    assert after["a.mp3"] == [before[0.002], 0.002]
    assert [after[f"{n + 1}.mp3"][1] for n in range(4)] == [0.01, 0.011, 0.012, 0.013]
    assert len(scans.rows("path")) == 8


def test_file_that_takes_another_s_name_costs_neither(scans, music):
    scans(music)
    (music / "a.mp3").rename(music / "z.mp3")
    (music / "a.mp3").write_text("new one")
    assert scans(music) == ["a.mp3"]
    assert scans.found.moved == 1
    assert scans.rows("energy")["z.mp3"] == 0.001
    assert scans(music) == []


def test_renamed_copy_is_the_one_that_moves(scans, music):
    shutil.copy(music / "a.mp3", music / "k.mp3")
    scans(music)
    numbers = scans.rows("song_id")
    (music / "k.mp3").rename(music / "z.mp3")
    assert scans(music) == []
    assert (scans.found.moved, scans.found.copies) == (1, 0)
    assert scans.rows("song_id")["z.mp3"] == numbers["k.mp3"]


def test_disk_that_goes_away_takes_nothing_along(scans, music, monkeypatch):
    scans(music)
    before = scans.rows("energy", "sha256", "embedding")
    real = Library.select
    gone = []

    def unmounted(library, columns, *rest):
        if "model" in columns and not gone:  # in the middle of the second scan
            gone.append(music.rename(music.parent / "unplugged"))
        return real(library, columns, *rest)

    scans.predictor.models_version = "m2"
    monkeypatch.setattr(FakePredictor, "predict", lambda *_, **__: (_ for _ in ()).throw(AudioError("no such file")))
    monkeypatch.setattr(Library, "select", unmounted)
    scans(music)
    assert gone
    assert scans.rows("energy", "sha256", "embedding") == before
    assert scans.rows("missing", where="missing IS NULL") == {}
    monkeypatch.undo()
    (music.parent / "unplugged").rename(music)
    scans.predictor.models_version = "m1"
    assert set(scans(music)) <= {"bad.mp3"}
    assert scans.rows("energy", where="missing IS NULL") == {name: row[0] for name, row in before.items()}


def test_files_that_are_there_are_not_missing(scans, music):
    (music / ".hidden.mp3").write_text("hidden")
    (music / "aaa").symlink_to("deep")
    scans(music / ".hidden.mp3", music / "notes.txt", music / "deep")
    scans(music)
    assert scans.found.missing == 0
    assert scans.rows("energy", where="missing IS NOT NULL") == {}


def test_folders_inside_one_another_are_heard_once(scans, music):
    (music / ".hidden.mp3").write_text("hidden")
    files = LocalFiles([music, music / "deep", music / "a.mp3", music / ".hidden.mp3", music, music / "notes.txt"])
    assert files.named == [music, music / ".hidden.mp3", music / "notes.txt"]
    assert [file.path.name for file in files] == [
        *("a.mp3", "b.flac", "bad.mp3", "c.ogg"),
        *(".hidden.mp3", "notes.txt"),
    ]


def test_what_is_above_a_link_is_where_the_link_leads(scans, music, tmp_path):
    (tmp_path / "link").symlink_to(music / "deep")
    assert scans(tmp_path / "link" / "..") == ["a.mp3", "b.flac", "bad.mp3", "c.ogg"]


def test_copy_is_not_heard(scans, music):
    scans(music)
    shutil.copy(music / "a.mp3", music / "z.mp3")
    assert scans(music) == []
    assert scans.found.copies == 1
    assert scans.rows("energy")["z.mp3"] == scans.rows("energy")["a.mp3"] == 0.001


def test_missing_file_is_marked_and_found_again(scans, music):
    scans(music)
    content = (music / "a.mp3").stat()
    (music / "a.mp3").rename(music.parent / "away")
    scans(music)
    assert scans.found.missing == 1
    assert list(scans.rows("energy", where="missing IS NOT NULL")) == ["a.mp3"]
    scans(music)
    assert scans.found.missing == 0
    (music.parent / "away").rename(music / "a.mp3")
    assert (music / "a.mp3").stat().st_mtime_ns == content.st_mtime_ns
    assert scans(music) == []
    assert scans.rows("energy", where="missing IS NOT NULL") == {}


def test_other_folders_are_not_missing(scans, music, tmp_path):
    (tmp_path / "music2").mkdir()
    (tmp_path / "music2" / "other.mp3").write_text("other")
    scans(music, tmp_path / "music2")
    scans(music / "deep")
    assert scans.rows("missing", where="missing IS NOT NULL") == {}
    scans(music / "a.mp3")
    assert scans.rows("missing", where="missing IS NOT NULL") == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_songs_of_a_closed_folder_are_not_missing(scans, music):
    scans(music)
    (music / "deep").chmod(0)
    scans(music)
    (music / "deep").chmod(0o700)
    assert scans.found.missing == 0


def test_closed_folder_is_no_song(scans, music, monkeypatch):
    scans(music)
    real = os.scandir

    def refuse(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(FakePredictor, "predict", lambda *_, **__: (_ for _ in ()).throw(AudioError("closed")))
    scans(music)
    assert (scans.found.missing, scans.found.reasons) == (0, {"closed": 1})
    assert len(scans.rows("energy")) == 4


def test_other_models_hear_again_what_is_there(scans, music):
    scans(music)
    (music / "b.flac").unlink()
    scans.predictor.models_version = "m2"
    with Library.open(scans.path) as library:
        files = LocalFiles([music])
        assert [count_outdated(library, files, version) for version in ("m1", "m2")] == [0, 3]
        assert count_outdated(library, LocalFiles([music / "deep"]), "m2") == 1
    assert scans(music) == ["a.mp3", "c.ogg"]  # what can't be used is no matter of the models
    assert scans(music) == []


def test_file_that_can_t_be_used_is_tried_again_where_that_may_help(scans, music, monkeypatch):
    (music / "worse.mp3").write_text("worse")
    (music / "unread.mp3").write_text("unread")
    unread = pytest.MonkeyPatch()
    with unread.context() as patch:
        patch.setattr("music_learning.library.rows.sha256_of", lambda path: (_ for _ in ()).throw(OSError(5, "I/O")))
        patch.setattr(FakePredictor, "predict", lambda *_, **__: (_ for _ in ()).throw(AudioError("I/O error")))
        scans(music / "unread.mp3")
    assert scans.rows("error") == {"unread.mp3": "I/O error"}
    assert "unread.mp3" in scans(music)
    assert scans(music) == ["worse.mp3"]  # nobody foresaw it, so it may be mended
    monkeypatch.setattr("music_learning.library.scan.__version__", "99")
    assert scans(music) == ["bad.mp3", "worse.mp3"]


def test_stopped_scan_keeps_its_rows_and_marks_nothing(scans, music):
    (music / "gone.mp3").write_text("gone")
    scans(music)
    (music / "gone.mp3").unlink()
    for name in ("a.mp3", "d.mp3"):
        (music / name).write_text("new " + name)
    (music / "e.mp3").write_text("stop")
    stopped = "after 7 of 7 files|after [56] of 6 files; every row that was written is kept, the same command goes on"
    with pytest.raises(KeyboardInterrupt, match=stopped):
        scans(music)
    assert set(scans.rows("energy")) >= {"a.mp3", "d.mp3", "gone.mp3"}
    assert set(scans.rows("energy", where="missing IS NOT NULL")) <= {"\x001"}  # of the file that a.mp3 was
    (music / "e.mp3").write_text("fine")
    assert scans(music) == ["e.mp3"]
    assert scans.found.missing == 1


def test_library_that_can_t_be_written_any_more_ends_the_scan(scans, music, capsys, monkeypatch):
    for n in range(100):
        (music / f"{n}.mp3").write_text(f"{n}" * 3)
    real = Library.add

    def full(library, row):
        if library.count() >= 3:
            raise UserError("moods.sqlite can't be used: database or disk is full")
        real(library, row)

    monkeypatch.setattr(Library, "add", full)
    monkeypatch.setattr(hearing, "cpu_count", lambda: 2)  # each core has some files in work
    assert len(scans(music)) < 50
    assert scans.outcome.broken == [str(scans.path)]
    assert capsys.readouterr().err == "error: moods.sqlite can't be used: database or disk is full\n"
    assert len(scans.rows("energy")) == 3


def test_files_named_alone_and_twice(scans, music):
    assert scans(music / "a.mp3", music / "deep", music / "a.mp3") in (["a.mp3", "c.ogg"], ["a.mp3", "a.mp3", "c.ogg"])
    assert set(scans.rows("energy")) == {"a.mp3", "c.ogg"}


def test_path_is_absolute_wherever_the_scan_was_started(scans, music, monkeypatch):
    monkeypatch.chdir(music / "deep")
    scans(Path("..") / "a.mp3", Path())
    with Library.open(scans.path) as library:
        paths = {os.fsdecode(path) for (path,) in library.select(("path",))}
    assert paths == {str(music / "a.mp3"), str(music / "deep" / "c.ogg")}


def test_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*gone; name folders that hold audio files"):
        LocalFiles([tmp_path / "gone"])


def test_summary_counts_reasons(scans, music):
    for n in range(3):
        (music / f"bad{n}.mp3").write_text("bad" + "d" * n)
    (music / "worse.mp3").write_text("worse")
    scans(music)
    lines = summary(scans.outcome, scans.found)
    assert lines[0] == "3 heard, 5 can't be used"
    assert lines[1:] == ["  4 only … s of sound", "  1 unexpected: ZeroDivisionError: by zero"]
    scans(music)
    assert summary(scans.outcome, scans.found)[0] == "0 heard, 7 unchanged, 1 can't be used"


def test_reason_has_no_numbers():
    assert reason_of("only 1.5 s of sound in 3.0 s; 3 s are needed") == "only … s of sound in … s; … s are needed"


def test_row_of_a_failed_file_has_no_values():
    row = dict.fromkeys(COLUMNS) | {"file": "/a", "error": "no sound", "sha256": None, "path": b"/a"}
    kept = library_row(row, None)
    assert list(kept) == ["path", *COLUMNS, "embedding"]
    assert (kept["error"], kept["embedding"], kept["model"]) == ("no sound", None, None)
