import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import PATIENCE_S, ROOT, chord, run_python, start, write_audio

from music_learning.library.database import Library
from music_learning.predict.predictor import Predictor


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    (folder / "deep").mkdir(parents=True)
    write_audio(folder / "a.wav", chord(level=0.4))
    write_audio(folder / "deep" / "b.flac", chord(level=0.1, seconds=3.5))
    (folder / "deep" / "c.mp3").write_bytes(b"no audio" * 100)
    return folder


def scan(*arguments, models):
    return run_python("-m", "music_learning", "scan", *arguments, "--models", models)


def rows_of(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM songs ORDER BY path").fetchall()


def test_scan_hears_as_the_predictor_does(music, trained, tmp_path):
    path = tmp_path / "moods.sqlite"
    done = scan(music, "--library", path, models=trained)
    assert done.returncode == 1
    assert done.stdout == "2 heard, 1 can't be used\n  1 not an audio file, or too damaged to open\n"
    assert done.stderr == "error: 1 of 3 files could not be used; the column error of the library says why\n"
    alone = Predictor.load(trained).predict(music / "a.wav")
    with Library.open(path) as library:
        columns = ("energy", "danceability", "tempo", "mood_probability", "embedding", "bytes")
        row = next(library.select(columns, "file = ?", (str(music / "a.wav"),)))
    values = alone.to_dict()
    assert row[:4] == tuple(values[name] for name in columns[:4])
    assert row[4] == alone.embedding.numpy().astype("<f4").tobytes()
    assert row[5] == (music / "a.wav").stat().st_size
    assert len(rows_of(path)) == 3
    again = scan(music, "--library", path, models=trained)
    assert (again.returncode, again.stdout, again.stderr) == (0, "0 heard, 3 unchanged\n", "")


def test_killed_scan_goes_on_and_ends_the_same(music, trained, tmp_path):
    for n in range(6):
        write_audio(music / f"more{n}.wav", chord(seconds=3.2 + n / 10))
    reference, killed = tmp_path / "reference.sqlite", tmp_path / "killed.sqlite"
    scan(music, "--library", reference, models=trained)
    command = ("-m", "music_learning", "scan", music, "--library", killed, "--models", trained)
    for wanted in (1, 4):
        with start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if killed.exists() and killed.stat().st_size and len(rows_if_there(killed)) >= wanted:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.01)
        assert len(rows_of(killed)) >= wanted
    kept = {row[1]: row for row in rows_of(killed)}
    scan(music, "--library", killed, models=trained)
    heard, song_id = [names_of(killed).index(name) for name in ("heard", "song_id")]
    ended = {row[1]: row for row in rows_of(killed)}
    assert all(ended[path] == row for path, row in kept.items())

    def plain(rows):
        return [[value for n, value in enumerate(row) if n not in (heard, song_id)] for row in rows]

    assert plain(rows_of(killed)) == plain(rows_of(reference))


def rows_if_there(path: Path) -> list[tuple]:
    try:
        return rows_of(path)
    except sqlite3.Error:  # it is being made
        return []


def names_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [column[1] for column in connection.execute("PRAGMA table_info (songs)")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone"], "error: there is no gone; name folders that hold audio files"),
        (["empty"], "error: there is no audio file in empty"),
        (["one.mp3", "--library", "notes.txt"], "error: notes.txt is no library; name another file"),
        (
            ["one.mp3", "--library", "gone/moods.sqlite"],
            "error: gone/moods.sqlite can't be written: there is no folder",
        ),
        (["one.mp3", "--library", "empty"], "error: empty can't be written: it is a folder"),
    ],
)
def test_bad_input_is_a_sentence(arguments, sentence, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.mp3").touch()
    (tmp_path / "notes.txt").write_text("my notes\n" * 100)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "music_learning", "scan", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "notes.txt").read_text() == "my notes\n" * 100


def test_file_called_scan_is_heard_by_its_path(trained, tmp_path):
    write_audio(tmp_path / "scan.wav", chord())
    (tmp_path / "scan.wav").rename(tmp_path / "scan")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "music_learning", "./scan", "--models", trained, "--no-picture"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "energy" in done.stdout
