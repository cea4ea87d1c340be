import os
import sqlite3
import threading
import zlib
from contextlib import closing

import pytest
from conftest import run_python

from music_learning.collect import cache
from music_learning.collect.cache import ResponseCache
from music_learning.errors import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "answers.sqlite"


def test_answers_survive(path):
    values = {"a": {"x": [1, None, "夜"]}, "b": None, "c": "", "d/../e?f='\"": [1.5]}
    answers = ResponseCache(path)
    answers.put("service", values)
    answers.close()
    answers = ResponseCache(path)
    assert answers.get("service", [*values, "unknown"]) == values
    assert answers.get("other", values) == {}
    assert answers.count() == 4
    answers.close()


def test_kill_9_loses_nothing_that_was_put(path):
    program = f"""
import os, signal
from pathlib import Path
from music_learning.collect.cache import ResponseCache
answers = ResponseCache(Path({str(path)!r}))
answers.put("service", {{"a": 1, "b": 2}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_python("-c", program).returncode == -9
    answers = ResponseCache(path)
    assert answers.get("service", "ab") == {"a": 1, "b": 2}
    answers.close()


def test_age(path):
    answers = ResponseCache(path)
    answers.put("service", {"new": 1, "old": 2})
    answers.database.execute("UPDATE answers SET asked_at = asked_at - 100 WHERE request = 'old'")
    assert answers.get("service", ["new", "old"], max_age_s=50) == {"new": 1}
    assert answers.get("service", ["new", "old"], max_age_s=500) == {"new": 1, "old": 2}
    answers.close()


def test_threads(path):
    answers = ResponseCache(path)

    def put(number):
        for k in range(20):
            answers.put("service", {f"{number} {k}": k})

    threads = [threading.Thread(target=put, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count() == 80
    answers.close()


def test_second_run_is_refused(path):
    answers = ResponseCache(path)
    with pytest.raises(UserError, match="another run collects into the same folder"):
        ResponseCache(path)
    answers.close()
    ResponseCache(path).close()


def test_damaged_file_is_a_sentence(path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="is damaged; delete it and run the same command again"):
        ResponseCache(path)


DAMAGED = {
    "not packed": b"\x00\x11",
    "a text": "text",
    "a number": 5,
    "nothing": None,
    "no JSON": zlib.compress(b"{"),
    "no UTF-8": zlib.compress(b'"\xff"'),
    "deep JSON": zlib.compress(b"[" * 1_000_000),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_answer_is_a_sentence(path, case):
    answers = ResponseCache(path)
    answers.put("service", {"a": 1})
    answers.database.execute("UPDATE answers SET answer = ?", (DAMAGED[case],))
    with pytest.raises(UserError, match="is damaged"):
        answers.get("service", ["a"])
    answers.close()


def test_answer_is_unpacked_within_bounds(path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_ANSWER_BYTES", 1000)
    answers = ResponseCache(path)
    answers.put("service", {"small": "x" * 100, "large": "x" * 10_000})
    assert answers.get("service", ["small"]) == {"small": "x" * 100}
    with pytest.raises(UserError, match="is damaged"):
        answers.get("service", ["large"])
    answers.close()


def test_answer_of_another_shape_is_left_out(path):
    answers = ResponseCache(path)
    answers.put("service", {"a": ["x"], "b": {"x": "y"}, "c": ["\ud83c"], "d": None})
    assert answers.get("service", "abcd", shape=[str]) == {"a": ["x"], "d": None}
    answers.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE answers (service TEXT, request TEXT)",
        "CREATE TABLE answers (request TEXT, service TEXT, answer BLOB, asked_at REAL)",
        "CREATE VIEW answers AS SELECT 1 service, 2 request, x'00' answer, 9e99 asked_at",
    ],
)
def test_file_of_another_program_is_a_sentence(path, statement):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
    with pytest.raises(UserError, match="is of another program or version; delete it and run the same command again"):
        ResponseCache(path)
    with closing(sqlite3.connect(path)) as database:  # let go of
        database.execute("BEGIN EXCLUSIVE")


def test_damage_in_the_middle_is_a_sentence(path):
    answers = ResponseCache(path)
    answers.put("service", {str(k): os.urandom(100).hex() for k in range(500)})
    answers.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged; delete it"):
        ResponseCache(path).get("service", map(str, range(500)))


def test_folder_that_is_a_file_is_a_sentence(path):
    path.parent.write_text("a file")
    with pytest.raises(UserError, match="data is a file; name a folder to write to"):
        ResponseCache(path)


def test_full_disk_is_a_sentence_and_loses_nothing(path):
    answers = ResponseCache(path)
    answers.put("service", {"a": 1})
    pages = answers.database.execute("PRAGMA page_count").fetchone()[0]
    answers.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(UserError, match=r"can't be written: database or disk is full; the same command goes on"):
        answers.put("service", {str(k): os.urandom(2000).hex() for k in range(10)})
    assert answers.get("service", ["a", "0"]) == {"a": 1}
    answers.close()


def test_nothing_but_sqlite_is_in_the_file(path):
    answers = ResponseCache(path)
    answers.put("service", {"a": 1})
    answers.close()
    with sqlite3.connect(path) as database:
        assert [row[0] for row in database.execute("SELECT service FROM answers")] == ["service"]
    database.close()
