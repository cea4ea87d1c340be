import os
import sqlite3
import threading

import pytest
from conftest import run_python

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


def test_damaged_answer_is_a_sentence(path):
    answers = ResponseCache(path)
    answers.put("service", {"a": 1})
    answers.database.execute("UPDATE answers SET answer = x'0011'")
    with pytest.raises(UserError, match="is damaged"):
        answers.get("service", ["a"])
    answers.close()


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
