import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

from music_learning.commands.scan import main
from music_learning.errors import UserError
from music_learning.library import parts
from music_learning.library.parts import on_this_machine, open_parts, scan_into
from music_learning.library.remote import find_all
from music_learning.library.scan import summary
from tests.library.test_scan import FakePredictor


class Scans:
    """Scans into one library of parts of two songs, by one predictor."""

    def __init__(self, name):
        self.name, self.predictor = name, FakePredictor()

    def __call__(self, *folders, engine=None):
        self.predictor.heard.clear()
        with open_parts(self.name, self.predictor.models_version) as library:
            engine = engine or on_this_machine(self.predictor)
            outcome = scan_into(library, find_all(list(map(str, folders))), engine)
        self.summary = summary(*outcome)[0]
        return sorted(self.predictor.heard)

    def table(self):
        table = pd.read_parquet(self.name)
        assert not table["file"].duplicated().any()
        return table.set_index(table["file"].map(lambda name: Path(name).name)).sort_index()

    def parts(self):
        return {path.name: path.read_bytes() for path in Path(self.name).glob("part-*")}


@pytest.fixture
def scans(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "BATCH_FILES", 2)
    return Scans(f"{tmp_path}/moods/")


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "deep").mkdir(parents=True)
    for name, text in {"a.mp3": "a", "b.mp3": "bb", "c.mp3": "ccc", "bad.mp3": "bad", "deep/e.mp3": "eeeee"}.items():
        (folder / name).write_text(text)
    return folder


def touch(path, text):
    """Change a file, and its time as well, however quick the test is."""
    path.write_text(text)
    os.utime(path, (2_000_000_000, 2_000_000_000))


def test_every_song_has_its_row_once(scans, music):
    assert scans(music) == ["a.mp3", "b.mp3", "bad.mp3", "c.mp3", "e.mp3"]
    table = scans.table()
    assert table["energy"].dropna().to_dict() == {"a.mp3": 0.001, "b.mp3": 0.002, "c.mp3": 0.003, "e.mp3": 0.005}
    assert table["error"].dropna().to_dict() == {"bad.mp3": "only 0.3 s of sound"}
    assert list(table.loc["a.mp3", "embedding"]) == [0, 1, 2]
    assert table.loc["bad.mp3", "embedding"] is None
    assert table.loc["a.mp3", "sha256"] == hashlib.sha256(b"a").hexdigest()
    assert len(scans.parts()) == 3
    assert scans.summary == "4 heard, 1 can't be used"


def test_second_scan_hears_and_writes_nothing(scans, music):
    scans(music)
    before = scans.parts()
    assert scans(music) == []
    assert scans.parts() == before
    assert scans.summary == "0 heard, 5 unchanged"


def test_changed_file_takes_its_own_row_s_place(scans, music):
    scans(music)
    before = scans.parts()
    touch(music / "a.mp3", "aaaaaaaa")
    (music / "f.mp3").write_text("ffffff")
    assert scans(music) == ["a.mp3", "f.mp3"]
    assert scans.table().loc[["a.mp3", "b.mp3", "f.mp3"], "energy"].tolist() == [0.008, 0.002, 0.006]
    after = scans.parts()
    assert len(after) == len(before) + 1
    assert sum(before[name] != after[name] for name in before) == 1


def test_other_models_hear_all_again(scans, music):
    scans(music)
    names = set(scans.parts())
    scans.predictor.models_version = "m2"
    assert scans(music) == ["a.mp3", "b.mp3", "c.mp3", "e.mp3"]
    assert set(scans.table()["model"]) == {"m2", scans.table().loc["bad.mp3", "model"]}
    assert set(scans.parts()) == names


def test_missing_files_are_marked_until_they_are_back(scans, music, tmp_path):
    scans(music)
    (music / "b.mp3").rename(tmp_path / "b.mp3")
    assert scans(music / "deep") == []
    assert scans.table()["missing"].isna().all()
    scans(music)
    assert scans.summary == "0 heard, 4 unchanged, 1 missing now"
    assert scans.table()["missing"].notna().to_dict()["b.mp3"]
    assert scans.table()["missing"].notna().sum() == 1
    (tmp_path / "b.mp3").rename(music / "b.mp3")
    assert scans(music) == []
    assert scans.table()["missing"].isna().all()


def test_what_is_in_a_folder_that_cannot_be_read_is_not_missing(scans, music, monkeypatch):
    scans(music)
    real = os.scandir

    def closed(path):
        if path == music / "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("music_learning.library.files.os.scandir", closed)
    scans(music)
    assert scans.summary == "0 heard, 4 unchanged, 1 can't be used"
    assert scans.table()["missing"].isna().all()
    assert len(scans.table()) == 5


def test_stopped_scan_keeps_its_parts_and_goes_on(scans, music):
    def stops(batches):
        for n, result in enumerate(on_this_machine(scans.predictor)(batches)):
            if n == 1:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt, match=r"after 2 of 5 files; every part that was written is kept"):
        scans(music, engine=stops)
    assert list(scans.table().index) == ["a.mp3", "b.mp3"]
    assert scans(music) == ["bad.mp3", "c.mp3", "e.mp3"]
    assert len(scans.table()) == 5


def test_what_was_heard_stays_where_its_file_fails_for_a_while(scans, music, monkeypatch):
    scans(music)
    touch(music / "a.mp3", "worse")
    touch(music / "bad.mp3", "bad again")
    monkeypatch.setattr("music_learning.library.rows.sha256_of", lambda path: None)
    assert scans(music) == ["a.mp3", "bad.mp3"]
    assert scans.summary == "0 heard, 3 unchanged, 2 can't be used"
    table = scans.table()
    assert table.loc["a.mp3", "energy"] == 0.001
    assert table.loc["a.mp3", ["error", "missing"]].isna().all()
    assert table.loc["bad.mp3", "error"] == "only 0.9 s of sound"
    touch(music / "a.mp3", "aaaa")
    assert scans(music) == ["a.mp3", "bad.mp3"]
    assert scans.table().loc["a.mp3", "energy"] == 0.004


@pytest.mark.parametrize("times", [("2026-01-01", "2026-01-02"), ("2026-01-02", "2026-01-01")])
def test_later_of_two_rows_of_a_file_stays(scans, music, tmp_path, monkeypatch, times):
    other = Scans(f"{tmp_path}/other/")
    for library, text, heard in zip((scans, other), ("aa", "aaaa"), times, strict=True):
        monkeypatch.setattr("music_learning.library.scan.now", lambda heard=heard: heard)
        (music / "a.mp3").write_text(text)
        library(music / "a.mp3")
    for name, content in other.parts().items():
        (tmp_path / "moods" / name).write_bytes(content)
    scans(music / "b.mp3")
    assert scans.table().loc["a.mp3", "energy"] == (0.004 if times[1] > times[0] else 0.002)


def test_rows_of_two_runs_at_a_time_become_one(scans, music, tmp_path):
    scans(music)
    other = Scans(f"{tmp_path}/other/")
    other(music / "a.mp3")
    for name, content in other.parts().items():
        (tmp_path / "moods" / name).write_bytes(content)
    with pytest.raises(AssertionError):
        scans.table()
    assert scans(music) == []
    assert len(scans.table()) == 5


def test_names_from_outside_are_names(scans, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    for name in (b"'; DROP TABLE known; --.mp3", b"\xff\n\x1b[2J.mp3", "夜%_.mp3".encode()):
        Path(os.fsdecode(os.fsencode(music) + b"/" + name)).write_text("a")
    assert len(scans(music)) == 3
    assert scans(music) == []
    (music / "夜%_.mp3").unlink()
    scans(music)
    assert scans.table()["missing"].notna().sum() == 1


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_damaged_part_is_named(scans, music, content):
    scans(music)
    name, _ = scans.parts().popitem()
    (Path(scans.name) / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is damaged; delete it, and its songs are heard again"):
        scans(music)


def test_table_of_another_program_is_named(scans, music):
    scans(music)
    name, _ = scans.parts().popitem()
    pd.DataFrame({"file": ["a"]}).to_parquet(Path(scans.name) / name)
    with pytest.raises(UserError, match="was written by another version of this program"):
        scans(music)


def test_folder_with_other_things_is_left_alone(scans, music):
    scans.name = f"{music}/"
    with pytest.raises(
        UserError, match=r"holds other things than a library's parts, such as a.mp3; name an empty folder"
    ):
        scans(music)
    assert sorted(path.name for path in music.glob("*.*3")) == ["a.mp3", "b.mp3", "bad.mp3", "c.mp3"]


def test_one_run_writes_at_a_time(scans, music):
    with (
        open_parts(scans.name, "m1"),
        pytest.raises(UserError, match="another run of scan writes to"),
    ):
        scans(music)


def test_parts_on_a_server_have_the_rows_of_parts_here(s3, library, trained, tmp_path, capsys):
    clips = [library / "clips" / f"song{n:02}.wav" for n in range(2)]
    for clip in clips:
        s3.put(f"music/{clip.name}", clip.read_bytes())
    here = f"{tmp_path}/moods/"
    for name in (here, "s3://bucket/moods"):
        assert main(["s3://bucket/music", "--library", name, "--models", str(trained)]) == 0
        assert main(["s3://bucket/music", "--library", name, "--models", str(trained)]) == 0
    assert capsys.readouterr().out == "2 heard\n0 heard, 2 unchanged\n" * 2
    tables = [pd.read_parquet(name).drop(columns="heard") for name in (here, "s3://bucket/moods/")]
    pd.testing.assert_frame_equal(*tables)
    assert list(tables[0]["file"]) == [f"s3://bucket/music/{clip.name}" for clip in clips]


def test_address_and_engine_need_what_they_need(capsys, tmp_path):
    for options, sentence in (
        (["--address", "auto"], "--address goes with --engine ray"),
        (["--engine", "ray"], "--engine ray fills a folder of Parquet files: name --library moods/"),
    ):
        with pytest.raises(SystemExit):
            main([str(tmp_path), *options])
        assert sentence in capsys.readouterr().err
