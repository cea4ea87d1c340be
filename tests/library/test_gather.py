import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from music_learning.commands.gather import main
from music_learning.errors import UserError
from music_learning.library import parts
from music_learning.library.database import Library
from music_learning.library.export import export
from music_learning.library.schema import Condition
from tests.library.test_parts import Scans, touch


@pytest.fixture
def music(tmp_path, monkeypatch):
    folder = tmp_path / "music"
    folder.mkdir()
    for name, text in {"a.mp3": "a", "b.mp3": "bb", "bad.mp3": "bad", "c.mp3": "ccc", "e.mp3": "eeeee"}.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def moods(music, monkeypatch):
    """A library of three parts, one of whose files is missing."""
    monkeypatch.setattr(parts, "BATCH_FILES", 2)
    scans = Scans("moods/")
    scans(music)
    (music / "b.mp3").unlink()
    scans(music)
    return scans


def rows(name="moods.sqlite"):
    with closing(sqlite3.connect(name)) as database:
        return pd.read_sql("SELECT * FROM songs ORDER BY path", database)


def test_every_row_is_in_the_library_and_exported(moods, music, capsys):
    assert main(["moods/"]) == 0
    assert capsys.readouterr().out == "5 rows in moods.sqlite\n"
    gathered, read = rows(), pd.read_parquet("moods").sort_values("file", ignore_index=True)
    assert [os.fsdecode(path) for path in gathered["path"]] == list(read["file"])
    names = [name for name in read.columns if name != "embedding"]
    assert (
        gathered[names].astype(object).fillna("none").values.tolist()
        == read[names].astype(object).fillna("none").values.tolist()
    )
    assert gathered["missing"].notna().sum() == 1
    heard = gathered[gathered["error"].isna()]
    assert all(np.frombuffer(one, "<f4").tolist() == [0, 1, 2] for one in heard["embedding"])
    assert gathered["embedding"].isna().sum() == 1
    with Library.open(music.parent / "moods.sqlite") as library:
        export(library, music.parent / "all.parquet", Condition())
    exported = pd.read_parquet("all.parquet")
    assert exported["file"].tolist() == gathered.sort_values("song_id")["file"].tolist()


def test_gathering_again_takes_what_was_heard_since(moods, music, capsys):
    main(["moods"])
    before = rows()
    main(["moods"])
    pd.testing.assert_frame_equal(rows(), before)
    touch(music / "a.mp3", "aaaaaaaa")
    (music / "b.mp3").write_text("bb")
    moods(music)
    main(["moods"])
    after = rows()
    assert after["energy"].dropna().tolist() == [0.008, 0.002, 0.003, 0.005]
    assert after["missing"].isna().all()
    assert list(after["song_id"]) == list(before["song_id"])


def test_row_that_was_heard_later_stays(moods):
    main(["moods"])
    with Library.write(Path("moods.sqlite")) as library:
        library.change("UPDATE songs SET heard = '2100-01-01T00:00:00Z', energy = 0.9 WHERE file LIKE '%a.mp3'")
        library.change("UPDATE songs SET heard = '2000-01-01T00:00:00Z', energy = 0.9 WHERE file LIKE '%c.mp3'")
    main(["moods"])
    assert rows()["energy"].dropna().tolist() == [0.9, 0.002, 0.003, 0.005]


def test_damaged_part_is_named_and_what_was_gathered_is_kept(moods):
    last = sorted(moods.parts())[-1]
    path = Path("moods", last)
    content = path.read_bytes()
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match=f"{last} is damaged"):
        main(["moods"])
    path.write_bytes(content)
    assert main(["moods"]) == 0
    assert len(rows()) == 5


def test_folder_without_parts_makes_no_library(music, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, sentence in (
        ("empty", "there are no parts of a library in empty/"),
        ("music", "music/ holds other things than a library's parts"),
        ("nowhere", "nowhere/ can't be read: No such file"),
    ):
        with pytest.raises(UserError, match=sentence):
            main([name])
    assert not (tmp_path / "moods.sqlite").exists()


def test_parts_on_a_server_are_gathered(moods, s3, capsys):
    for name, content in moods.parts().items():
        s3.put(f"moods/{name}", content)
    assert main(["s3://bucket/moods", "--library", "there.sqlite"]) == 0
    main(["moods", "--library", "here.sqlite"])
    here, there = (rows(name).drop(columns="song_id") for name in ("here.sqlite", "there.sqlite"))
    pd.testing.assert_frame_equal(here, there)
