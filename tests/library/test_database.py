import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from music_learning.errors import UserError
from music_learning.library.database import PAGE_BYTES, Library, inside
from music_learning.library.schema import COLUMNS


def made_row(path: str, **values) -> dict:
    row = dict.fromkeys(COLUMNS) | {"path": os.fsencode(path), "file": path, "embedding": None}
    return row | {"sha256": f"hash of {path}", "model": "m1", "energy": 0.5} | values


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "moods.sqlite"


@pytest.fixture
def library(path):
    with Library.write(path, create=True) as library:
        yield library


def files_in(library, where="1", values=()):
    return [row[0] for row in library.select(("file",), f"{where} ORDER BY song_id", values)]


def test_rows_are_there_for_readers_at_once(path, library):
    library.add(made_row("/a.mp3", title="One", embedding=b"\0\0\x80?"))
    with Library.open(path) as reader:
        assert list(reader.select(("title", "energy", "embedding"))) == [("One", 0.5, b"\0\0\x80?")]
        library.add(made_row("/b.mp3"))
        assert files_in(reader) == ["/a.mp3", "/b.mp3"]


def test_new_library_has_large_pages(library):
    assert library.connection.execute("PRAGMA page_size").fetchone() == (PAGE_BYTES,)
    assert library.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_row_of_a_path_is_replaced_and_keeps_its_number(library):
    library.add(made_row("/a.mp3"))
    library.add(made_row("/b.mp3"))
    library.add(made_row("/a.mp3", energy=0.25))
    assert list(library.select(("song_id", "file", "energy"))) == [(1, "/a.mp3", 0.25), (2, "/b.mp3", 0.5)]


@pytest.mark.parametrize(
    "name", ["a'; DROP TABLE songs; --.mp3", 'a"b.mp3', "a\nb.mp3", "\x1b[2J.mp3", "夜.mp3", "a%_b.mp3", "x" * 250]
)
def test_names_and_titles_break_nothing(library, name):
    library.add(made_row(f"/{name}", title=name, artist=name * 100))
    assert list(library.select(("path", "title"))) == [(f"/{name}".encode(), name)]
    assert library.count("path = ?", (f"/{name}".encode(),)) == 1


def test_name_that_is_no_utf8_is_kept(library):
    name = os.fsdecode(b"/a\xff.mp3")
    library.add(made_row("/a") | {"path": os.fsencode(name)})
    assert [os.fsdecode(path) for (path,) in library.select(("path",))] == [name]


def test_copies_are_of_the_same_content_and_models(library):
    library.add(made_row("/a.mp3", sha256="x", title="A"))
    library.add(made_row("/b.mp3", sha256="y", error="silent"))
    library.add(made_row("/c.mp3", sha256="x", title="C"))
    assert [(copy["song_id"], copy["title"]) for copy in library.copies_of("x", "m1")] == [(1, "A"), (3, "C")]
    assert library.copies_of("x", "m2") == library.copies_of("y", "m1") == library.copies_of("z", "m1") == []


def test_row_set_aside_frees_its_path_and_may_be_found_again(library):
    for name in ("/a.mp3", "/b.mp3"):
        library.add(made_row(name))
    library.set_aside(b"/b.mp3", "2026Z")
    library.move(1, b"/b.mp3")
    assert list(library.select(("song_id", "path", "missing"))) == [(1, b"/b.mp3", None), (2, b"\x002", "2026Z")]
    library.set_aside(b"/b.mp3", "2026Z")
    library.move(2, b"/c.mp3")
    library.drop_set_aside()
    assert list(library.select(("song_id", "path"))) == [(2, b"/c.mp3")]
    library.add(made_row("/d.mp3"))
    assert list(library.select(("song_id",), "path = ?", (b"/d.mp3",))) == [(3,)]  # no number is given twice


def test_reader_in_the_middle_does_not_stop_the_writer(path, library, monkeypatch):
    monkeypatch.setattr("music_learning.library.database.ROWS_AT_ONCE", 1)
    library.connection.execute("PRAGMA busy_timeout = 50")
    for n in range(3):
        library.add(made_row(f"/{n}.mp3"))
    with Library.open(path) as reader:
        rows = reader.select(("file",))
        assert next(rows) == ("/0.mp3",)
        library.add(made_row("/3.mp3"))
        assert [file for (file,) in rows] == ["/1.mp3", "/2.mp3"]
        assert reader.count() == 4


def test_link_to_a_library_has_the_same_lock(path, library, tmp_path):
    (tmp_path / "link.sqlite").symlink_to(path)
    with pytest.raises(UserError, match="another run writes to"):
        Library.write(tmp_path / "link.sqlite")


def test_inside_is_below_a_folder_alone(library):
    for name in ("/m/a.mp3", "/m/n/b.mp3", "/m.mp3", "/m0/c.mp3", "/m-/d.mp3", "/l/m/e.mp3"):
        library.add(made_row(name))
    assert files_in(library, *inside(Path("/m"))) == ["/m/a.mp3", "/m/n/b.mp3"]
    assert len(files_in(library, *inside(Path("/")))) == 6


def test_change_is_all_or_nothing(library):
    library.add(made_row("/a.mp3"))
    with pytest.raises(UserError, match="can't be used: NOT NULL"):
        library.change("UPDATE songs SET path = ?", (b"/c.mp3",), (None,))
    assert files_in(library) == ["/a.mp3"]
    assert next(library.select(("path",))) == (b"/a.mp3",)


def test_second_writer_is_refused_and_readers_are_not(path, library):
    with pytest.raises(UserError, match=r"another run writes to .*moods\.sqlite; wait until it has ended"):
        Library.write(path)
    Library.open(path).close()
    library.close()
    Library.write(path).close()


def test_killed_writer_leaves_its_rows_and_no_lock(path):
    program = (
        "import os, signal, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from test_database import Library, made_row\n"
        "library = Library.write(Path(sys.argv[1]), create=True)\n"
        "for n in range(50): library.add(made_row(f'/{n}.mp3'))\n"
        "library.connection.execute('UPDATE songs SET energy = 0')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    folders = [str(Path(__file__).parent), *sys.path]
    subprocess.run([sys.executable, "-c", program, path, *folders], check=False)
    with Library.write(path) as library:
        assert library.count("energy = 0.5") == 50
        assert library.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def other_program(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE songs (title)")


def other_version(path):
    Library.write(path, create=True).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def damaged(path):
    Library.write(path, create=True).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("my notes " * 1000), "is no library; name another file"),
        (lambda path: path.write_text("my notes"), "is no library; name another file"),
        (other_program, "is a database of another program, not a library; name another file"),
        (other_version, "is a library of version 99, this program writes version 1; use a newer music-learning"),
        (damaged, "is damaged .*restore it from a backup"),
        (lambda path: path.mkdir(), "it is a folder"),
    ],
)
def test_what_is_no_library_is_a_sentence_and_stays(path, make, sentence):
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for opened in (Library.write, Library.open):
        if path.is_file() or opened is Library.write:
            with pytest.raises(UserError, match=sentence):
                opened(path)
    assert before is None or path.read_bytes() == before


def test_missing_library_names_the_next_command(path):
    for opened in (Library.write, Library.open):
        with pytest.raises(UserError, match=r"there is no library .*music-learning scan FOLDER --library"):
            opened(path)
    assert not path.exists()


def test_folder_that_can_t_be_written_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        Library.write(tmp_path / "gone" / "moods.sqlite", create=True)


def test_library_that_another_program_writes_to_is_a_sentence(path, library, monkeypatch):
    library.connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="is in use: another program writes to it"):
            library.add(made_row("/a.mp3"))
        other.execute("ROLLBACK")
    library.add(made_row("/a.mp3"))
    assert library.count() == 1


@pytest.mark.parametrize("opened", [Library.open, Library.write, partial(Library.write, create=True)])
def test_library_of_parts_is_to_be_gathered_first(tmp_path, monkeypatch, opened):
    monkeypatch.chdir(tmp_path)
    Path("moods").mkdir()
    with pytest.raises(UserError, match=r"moods can't be used: it is a folder, .* music-learning gather moods/ --lib"):
        opened(Path("moods/"))
    with pytest.raises(UserError, match=r"it lies on a server, .* music-learning gather s3://bucket/folder/ --lib"):
        opened(Path("s3://key:word@bucket/moods"))
    assert [path.name for path in tmp_path.iterdir()] == ["moods"]
