import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, run_python, start

from music_learning.errors import UserError
from music_learning.files import (
    atomic,
    check_output,
    check_table,
    copy_atomically,
    damaged,
    only_writer,
    read_columns,
    read_json,
    read_pipeline_config,
    read_table,
    sha256_of,
    write_json,
    write_table,
)
from music_learning.paths import RELEASED_MODELS
from music_learning.pipeline_config import PipelineConfig

CONFIG = PipelineConfig(clip_s=4.0, n_mels=8)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_renames_at_the_end(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_atomic_leaves_the_old_file_when_the_block_raises(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk_is_a_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UserError, match=r"a\.txt can't be written: No space left"), atomic(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    copyfile = shutil.copyfile

    def half(source, destination):
        copyfile(source, destination)
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(shutil, "copyfile", half)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    with pytest.raises(UserError, match=r"/b can't be written: No space left on device"):
        copy_atomically(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "old"
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("name", ["x" * 255, "x" * 250 + ".csv", "." + "x" * 250, "é" * 127, "a." + "é" * 100])
def test_longest_names_can_be_written(tmp_path, name):
    write_table(tmp_path / name, ["a"], [{"a": 1}])
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [os.fsencode(name)]


@pytest.mark.parametrize("name", ["x" * 256, "x" * 300 + ".csv", "x" * 300 + "/a.csv", "loop/a.csv"])
def test_names_that_can_t_be_are_a_sentence(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = tmp_path / name
    with pytest.raises(UserError, match="can't be written: "):
        check_output(path)
    with pytest.raises(UserError, match=r"can't be written: (File name too long|Too many levels|File exists)"):
        write_table(path, ["a"], [])
    assert names(tmp_path) == ["loop"]


def test_read_only_folder_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"a\.csv can't be written: .* is read-only for you; name a file in another"):
        check_output(tmp_path / "a.csv")


def test_missing_file_is_named_whole_and_may_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = ", or start this in the folder that holds data/"
    for path, ending in ((Path("data/a.csv"), elsewhere), (tmp_path / "data/a.csv", ""), (Path("../data/a.csv"), "")):
        for read in (lambda path: read_table(path, ["id"], "make.py"), lambda path: read_json(path, "make.py")):
            with pytest.raises(UserError) as caught:
                read(path)
            assert str(caught.value) == f"{path.absolute()} is missing; run make.py first{ending}"


def test_table_takes_the_place_of_its_like_alone(tmp_path):
    path = tmp_path / "a.csv"
    check_table(path, ["id", "title"])
    write_table(path, ["id", "title"], [{"id": "1", "title": "A"}])
    check_table(path, ["id", "title"])
    for other in (b"id,title,more\n", b"SQLite format 3\0", b"\xff\xfe"):
        path.write_bytes(other)
        with pytest.raises(UserError, match=r"a\.csv is there and is another table or no table; name another file"):
            check_table(path, ["id", "title"])
    path.write_bytes(b"id,title,more\n")
    check_table(path, ["id", "title"], ["id", "title", "more"])
    path.write_bytes(b"")
    check_table(path, ["id", "title"])
    with pytest.raises(UserError, match="it is a folder"):
        check_table(tmp_path, ["id"])


def test_columns_are_those_of_the_rows(tmp_path):
    (tmp_path / "a.csv").write_text('id,title\n1,a\n\n2,"b\nc"\n')
    assert read_columns(tmp_path / "a.csv", ["id"], "make.py") == {"id": ["1", "2"], "title": ["a", "b\nc"]}
    (tmp_path / "b.csv").write_text("id,title\n")
    assert read_columns(tmp_path / "b.csv", ["id"], "make.py") == {"id": [], "title": []}


def test_file_in_place_of_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UserError, match="can't be written"):
        write_table(tmp_path / "data" / "songs.csv", ["a"], [])


def test_copy_is_equal_and_leaves_nothing_else(tmp_path):
    (tmp_path / "a").write_bytes(b"\0\1\2" * 1000)
    copy_atomically(tmp_path / "a", tmp_path / "b" / "c")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b" / "c")
    assert names(tmp_path / "b") == ["c"]


ODD_TEXTS = [
    "NA",
    "None",
    "",
    "=cmd()",
    'say "hi"',
    "a,b;c",
    "two\nlines",
    "CR\rhere",
    "CR\r\nLF",
    " spaced ",
    "夜 🎵",
    "'",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=repr)
def test_table_gives_back_what_was_written(tmp_path, text):
    rows = [{"id": "1", "title": text}, {"id": "2", "title": "next"}]
    write_table(tmp_path / "a.csv", ["id", "title"], rows)
    assert read_table(tmp_path / "a.csv", ["id", "title"], "make.py") == rows


def test_none_is_written_as_empty(tmp_path):
    write_table(tmp_path / "a.csv", ["id", "x"], [{"id": "1", "x": None}])
    assert (tmp_path / "a.csv").read_bytes() == b"id,x\n1,\n"


def test_unknown_column_is_a_bug(tmp_path):
    with pytest.raises(ValueError, match="fields not in"):
        write_table(tmp_path / "a.csv", ["id"], [{"id": "1", "x": "2"}])
    assert not (tmp_path / "a.csv").exists()


DAMAGED_TABLES = {
    "missing column": (b"id\n1\n", "has no column title"),
    "empty file": (b"", "has no column id, title"),
    "short row": (b"id,title\n1\n", "too few or too many values"),
    "long row": (b"id,title\n1,2,3\n", "too few or too many values"),
    "zero byte": (b"id,title\n1,a\0b\n", "a zero byte"),
    "nothing but zeros": (bytes(3_000_000), "a line of 1,000,000 letters"),
    "endless line": (b"id,title\n1," + b"x" * 2_000_000, "a line of 1,000,000 letters"),
    "endless field": (b"id,title\n1," + b"x" * 200_000 + b"\n", "field larger than field limit"),
    "open quote": (b'id,title\n1,"x\n' + b"2,y\n" * 50_000, "field larger than field limit"),
    "column twice": (b"id,title,id\n1,2,3\n", "it has a column twice"),
    "UTF-16": ("id,title\n1,2\n".encode("utf-16"), "no CSV"),
    "semicolons": (b"id;title\n1;2\n", "has no column id, title"),
    "not UTF-8": (b"id,title\n1,\xff\xfe\n", "no CSV"),
}


@pytest.mark.parametrize("case", DAMAGED_TABLES)
def test_damaged_table_names_the_next_command(tmp_path, case):
    text, reason = DAMAGED_TABLES[case]
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(UserError, match=rf"a\.csv .*{reason}.* with make\.py"):
        read_table(tmp_path / "a.csv", ["id", "title"], "make.py")


def test_missing_files_name_the_next_command(tmp_path):
    for read in (lambda path: read_table(path, ["id"], "make.py"), lambda path: read_json(path, "make.py")):
        with pytest.raises(UserError, match=r"gone is missing; run make\.py first"):
            read(tmp_path / "gone")


def test_folder_in_place_of_a_file_is_a_sentence(tmp_path):
    for read in (lambda path: read_table(path, ["id"], "make.py"), lambda path: read_json(path, "make.py")):
        with pytest.raises(UserError, match=r"make it again with make\.py"):
            read(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_would_never_end_in_place_of_a_file_is_a_sentence(tmp_path, make):
    make(tmp_path / "a")
    for read in (lambda path: read_table(path, ["id"], "make.py"), lambda path: read_json(path, "make.py")):
        with pytest.raises(UserError, match=r"is damaged .it is no file.; delete it and make it again with make\.py"):
            read(tmp_path / "a")


def test_released_file_is_restored_and_not_made_again():
    gone = RELEASED_MODELS / "gone.json"
    with pytest.raises(UserError, match=r"gone\.json is missing; restore it: git checkout models$"):
        read_json(gone, "model_train.py")
    assert str(damaged(gone, "why", "model_train.py")) == f"{gone} is damaged (why); restore it: git checkout models"


def test_released_file_of_an_installed_package_comes_with_the_package(tmp_path):
    shutil.copytree(ROOT / "music_learning", tmp_path / "music_learning", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "music_learning" / "released").mkdir()
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from music_learning import errors, files, paths\n"
        "errors.run(lambda: files.read_json(paths.RELEASED_MODELS / 'energy.json', 'model_train.py'))"
    )
    done = run_python("-c", program)
    sentence = rf"error: {tmp_path}\S+released/energy\.json is missing; reinstall the package music-learning\n"
    assert done.returncode == 1 and re.fullmatch(sentence, done.stderr)


def test_table_of_a_spreadsheet_program_is_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,title\r\n1,x\r\n")
    assert read_table(tmp_path / "a.csv", ["id", "title"], "make.py") == [{"id": "1", "title": "x"}]


def test_json_survives(tmp_path):
    value = {"a": 1.5, "b": ["夜", None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", "make.py") == value


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_damaged_json_names_the_next_command(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(UserError, match=r"a\.json is damaged .*make it again with make\.py"):
        read_json(tmp_path / "a.json", "make.py")


def test_damaged_pipeline_settings_name_the_next_command(tmp_path):
    with pytest.raises(UserError, match=r"p\.json is damaged .*hop_samples.*make\.py"):
        read_pipeline_config(CONFIG.to_dict() | {"hop_samples": "x"}, tmp_path / "p.json", "make.py")


def test_second_writer_is_refused_until_the_first_ends(tmp_path):
    with only_writer(tmp_path / "data", "data_loading.py"):
        for _ in range(10):
            with (
                pytest.raises(
                    UserError, match=r"another run of data_loading\.py writes to .*data; wait until it has ended"
                ),
                only_writer(tmp_path / "data", "data_loading.py"),
            ):
                raise AssertionError("two writers")
        with only_writer(tmp_path / "data", "model_train.py"):  # another command is no rival
            pass
    with only_writer(tmp_path / "data", "data_loading.py"):
        pass


def test_hold_ends_with_a_killed_process(tmp_path):
    program = (
        "import pathlib, sys, time; from music_learning.files import only_writer\n"
        f"with only_writer(pathlib.Path({str(tmp_path)!r}), 'a.py'): print('held', flush=True); time.sleep(600)"
    )
    with start("-c", program) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"another run of a\.py"), only_writer(tmp_path, "a.py"):
            pass
        process.kill()
        process.wait()
    with only_writer(tmp_path, "a.py"):
        pass


def test_folder_that_can_t_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("file", "file/deeper"):
        with (
            pytest.raises(UserError, match=f"{name} can't be written: there is a file in place of a folder; name"),
            only_writer(tmp_path / name, "a.py"),
        ):
            pass
    with (
        pytest.raises(UserError, match="can't be written: File name too long"),
        only_writer(tmp_path / ("x" * 300), ""),
    ):
        pass


@pytest.mark.parametrize(("text", "reason"), [("[" * 100_000, "is damaged"), (" " * 2_000_001, "larger than 2 MB")])
def test_json_that_is_too_deep_or_too_large_is_refused(tmp_path, text, reason):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        read_json(tmp_path / "a.json", "model_train.py")
