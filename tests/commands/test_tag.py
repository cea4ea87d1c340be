"""`music-learning tag`: what it says, what it writes and takes back, and that no kill damages anything."""

import json
import os
import random
import re
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import chord, start, write_with_ffmpeg

from music_learning.commands.tag import main
from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.rows import AudioFile, identified
from music_learning.library.schema import COLUMNS
from music_learning.library.tag_file import Value
from music_learning.library.tagging import opened, state_of
from music_learning.library.written_tags import FIELDS

RATE_HZ = 48_000
CODECS = {"a.mp3": "libmp3lame", "b.flac": "flac", "c.opus": "libopus", "d.m4a": "aac", "e.wav": "pcm_s16le"}
ENGLISH = {"title": "Tïtle 日本", "artist": "Ärtist"}
KNOWN = {"energy": 0.7312, "danceability": 0.5, "valence": 0.0004, "mood": "calm and content", "tempo": 120.44}
KNOWN |= {"key": 6, "mode": 0}
TEXTS = {
    "energy": "0.731",
    "danceability": "0.500",
    "valence": "0.000",
    "mood": "calm and content",
    "initialkey": "F#m",
}
N_KILLS = 3
KILLER = """
import json, os, signal, sys, time
from music_learning.commands.tag import main
for line in sys.stdin:
    seconds, arguments = json.loads(line)
    if not (child := os.fork()):
        os.close(1)
        os.open(os.devnull, os.O_WRONLY)
        main(arguments)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""  # which starts once, as the imports take longest


@pytest.fixture
def music(tmp_path, monkeypatch) -> Path:
    """A folder of songs in music/ with moods.sqlite, in which the command starts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name, codec in CODECS.items():
        path = tmp_path / "music" / name
        write_with_ffmpeg(path, chord(seconds=0.5, rate_hz=RATE_HZ), RATE_HZ, codec=codec, tags=ENGLISH)
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for path in sorted((tmp_path / "music").iterdir()):
            library.add(row_of(path))
    return tmp_path / "music"


def row_of(path: Path, /, **values: object) -> dict:
    file = AudioFile.at(path)
    n_bytes, modified = file.state()
    row = dict.fromkeys(COLUMNS) | KNOWN | identified(path) | {"embedding": bytes(256)}
    return row | {"path": os.fsencode(path), "file": file.name, "bytes": n_bytes, "modified": modified} | values


def change_row(path: Path, /, **values: object) -> None:
    with Library.write(path.parents[1] / "moods.sqlite") as library:
        library.add(row_of(path, **values))


def texts_in(path: Path) -> dict[str, list[str]]:
    tags = opened(path)
    return {field: value.texts for field in FIELDS if (value := tags.get(field)) is not None}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows_are_current(music: Path) -> bool:
    """Whether every row has its file as it is, so that a scan would not hear it again."""
    with Library.open(music.parent / "moods.sqlite") as library:
        rows = [*library.select(("path", "bytes", "modified", "sha256"))]
    return bool(rows) and all(
        (n_bytes, modified) == (state_of(path).bytes, state_of(path).modified) and identified(path)["sha256"] == sha256
        for path, n_bytes, modified, sha256 in ((Path(os.fsdecode(row[0])), *row[1:]) for row in rows)
    )


def samples_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


def test_without_yes_nothing_is_changed(music, capsys):
    before, library = contents(music), (music.parent / "moods.sqlite").read_bytes()
    assert main(["--write", *FIELDS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{music / 'a.mp3'}: energy none -> 0.731, danceability none -> 0.500")
    assert lines[-2:] == ["5 files would change", "nothing was changed yet: the same command with --yes does it"]
    assert contents(music) == before and (music.parent / "moods.sqlite").read_bytes() == library


def test_write_and_undo(music, capsys):
    before = contents(music)
    samples = {name: samples_of(music / name) for name in CODECS}
    assert main(["--write", *FIELDS, "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 files changed"
    for name in CODECS:
        bpm = "120.4" if name in ("b.flac", "c.opus") else "120"
        assert texts_in(music / name) == {field: [text] for field, text in (TEXTS | {"bpm": bpm}).items()}
        assert np.array_equal(samples_of(music / name), samples[name])
    assert rows_are_current(music)
    assert main(["--write", *FIELDS, "--yes"]) == 0
    assert capsys.readouterr().out == "0 files changed, 5 need no change\n"
    assert main(["--undo"]) == 0
    assert "5 files would change\nnothing was changed yet" in capsys.readouterr().out
    assert main(["--undo", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("5 files changed\n  4 are byte for byte what they were\n")
    assert contents(music).items() ^ before.items() == {
        ("d.m4a", (music / "d.m4a").read_bytes()),
        ("d.m4a", before["d.m4a"]),
    }
    assert not any(texts_in(music / name) for name in CODECS) and rows_are_current(music)
    assert main(["--undo", "--yes"]) == 0
    assert capsys.readouterr().out == "0 files changed\n"


def test_undo_without_anything_written(music, capsys):
    assert main(["--undo"]) == 0
    assert capsys.readouterr().out == "no tags were written from this library\n"


def test_undo_goes_back_to_what_was_there_first(music, capsys):
    """After several writings, between which another program may have changed a field."""
    path = music / "b.flac"
    set_tag(path, "mood", "mine")
    change_row(path)
    for energy in (0.1, 0.2, 0.3):
        change_row(path, energy=energy)
        assert main(["--write", "energy", "mood", "--yes"]) == 0
    assert texts_in(path) == {"energy": ["0.300"], "mood": ["calm and content"]}
    assert main(["--undo", "--yes"]) == 0
    assert texts_in(path) == {"mood": ["mine"]}


def test_undo_leaves_what_another_program_wrote(music, capsys):
    main(["--write", "energy", "mood", "--yes"])
    path = music / "a.mp3"
    set_tag(path, "mood", "other")
    capsys.readouterr()
    assert main(["--undo", "--yes"]) == 0
    assert f"{path}: mood changed since by another program, which stays\n" in capsys.readouterr().out
    assert texts_in(path) == {"mood": ["other"]}
    change_row(path)
    main(["--write", "mood", "--yes"])  # over it, which is undone to it
    main(["--undo", "--yes"])
    assert texts_in(path) == {"mood": ["other"]}


def set_tag(path: Path, field: str, text: str) -> None:
    """As another program does."""
    tags, copy = opened(path), path.with_name(f"copy{path.suffix}")
    tags.put(field, Value([text]))
    tags.save(path, copy)
    copy.replace(path)


def test_what_is_not_known_is_not_written(music):
    change_row(music / "a.mp3", mood=None, tempo=None, key=-1)
    change_row(music / "b.flac", mood="", key=None, mode=None, tempo=120.0)
    assert main(["--write", *FIELDS, "--yes"]) == 0
    assert texts_in(music / "a.mp3").keys() == {"energy", "danceability", "valence"}
    assert texts_in(music / "b.flac")["bpm"] == ["120"]
    assert "initialkey" not in texts_in(music / "b.flac")


def test_only_songs_that_meet_a_condition(music, capsys):
    change_row(music / "a.mp3", energy=0.2)
    assert main(["--write", "energy", "--where", "energy < .5 or file like '%.wav'", "--yes"]) == 0
    assert [path.name for path in sorted(music.iterdir()) if texts_in(path)] == ["a.mp3", "e.wav"]
    capsys.readouterr()
    assert main(["--undo", "--where", "energy < .5"]) == 0
    assert capsys.readouterr().out.startswith(f"{music / 'a.mp3'}: energy 0.200 -> none\n1 file would change\n")
    with pytest.raises(UserError):
        main(["--write", "energy", "--where", "energy; drop table songs"])


def test_files_that_cannot_be_changed_are_told_and_do_not_stop_the_rest(music, capsys):
    change_row(music / "a.mp3", error="no sound")
    (music / "b.flac").unlink()
    (music / "c.opus").chmod(0o444)
    os.utime(music / "d.m4a", (1, 1))
    with Library.write(music.parent / "moods.sqlite") as library:
        library.add(row_of(music / "e.wav", path=b"s3://bucket/f.mp3", file="s3://bucket/f.mp3"))
        library.add(row_of(music / "e.wav", path=b"/x/g.mp3", file="/x/g\x1b.mp3", missing="2026-01-01T00:00:00Z"))
    assert main(["--write", "energy", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith(f"{music / 'e.wav'}: energy none -> 0.731\n1 file changed, 6 can't be changed\n")
    reasons = (
        "no sound",
        "no such file",
        "read-only",
        "changed since it was heard",
        "not on this machine",
        "missing since",
    )
    assert all(reason in err for reason in reasons) and "/x/g\\x1b.mp3" in err and "\x1b" not in err
    assert texts_in(music / "e.wav") == {"energy": ["0.731"]}


def test_other_names_of_a_file_are_told(music, capsys):
    other = music.parent / "other.mp3"
    other.hardlink_to(music / "a.mp3")
    data = other.read_bytes()
    main(["--write", "energy", "--yes"])
    assert "  1 have other names (hard links), under which they stay as they are" in capsys.readouterr().out
    assert other.read_bytes() == data


def test_a_link_to_a_song_is_the_same_song(music, capsys):
    link = music / "f.mp3"
    link.symlink_to(music / "a.mp3")
    change_row(link)
    assert main(["--write", "energy", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("5 files changed, 1 need no change\n")
    assert link.is_symlink() and rows_are_current(music)
    assert main(["--undo", "--yes"]) == 0
    assert rows_are_current(music)


def test_names_and_old_values_do_nothing_to_the_terminal(music, capsys):
    path = music / "b.flac"
    set_tag(path, "mood", f"\x1b[31m{'x' * 100}")
    change_row(path)
    main(["--write", "mood"])
    out = capsys.readouterr().out
    assert "mood \\x1b[31mxxx" in out and "x... -> calm and content" in out and "\x1b" not in out


def test_an_unforeseen_error_costs_one_file(music, capsys, monkeypatch, temporary):
    monkeypatch.setattr("music_learning.library.written_tags.texts_of", lambda row, **_: row["nothing"])
    assert main(["--write", "energy"]) == 1
    assert capsys.readouterr().err.count("unexpected: KeyError") == 5


def test_arguments(capsys):
    for arguments in ([], ["--write"], ["--write", "loudness"], ["--write", "bpm", "--undo"]):
        with pytest.raises(SystemExit):
            main(arguments)
    with pytest.raises(UserError, match="there is no library"):
        main(["--undo", "--library", "missing.sqlite"])


def test_no_kill_damages_a_file(music):
    """Killed while it writes and while it takes back; then the same command ends well."""
    before, generator = contents(music), random.Random(0)
    samples = {name: samples_of(music / name) for name in CODECS}
    with start("-c", KILLER, stdin=subprocess.PIPE) as process:
        for n in range(N_KILLS):
            what = ["--undo"] if n % 2 else ["--write", *FIELDS]
            arguments = [*what, "--yes", "--library", str(music.parent / "moods.sqlite")]
            print(json.dumps([generator.uniform(0, 0.3), arguments]), file=process.stdin, flush=True)
            assert process.stdout.readline() == "killed\n"
            for name in CODECS:
                assert np.array_equal(samples_of(music / name), samples[name])
                texts = texts_in(music / name)
                assert not texts or texts.keys() == set(FIELDS)
        process.stdin.close()
    assert main(["--write", *FIELDS, "--yes"]) == 0
    assert all(texts_in(music / name)["energy"] == ["0.731"] for name in CODECS)
    assert rows_are_current(music)
    assert [path.name for path in sorted(music.iterdir())] == [*CODECS]  # no copy is left
    assert main(["--undo", "--yes"]) == 0
    same = {name for name, data in contents(music).items() if data == before[name]}
    assert same == {*CODECS} - {"d.m4a"} and not texts_in(music / "d.m4a")


def test_a_library_deletes_nothing_but_copies(music):
    main(["--write", "energy", "--yes"])
    with Library.write(music.parent / "moods.sqlite") as library:
        statement = "INSERT INTO unfinished_tags (song_id, copy) VALUES (?, ?)"
        copy = music / f".{'0' * 32}.tmp.mp3"
        copy.touch()
        library.change(statement, (1, os.fsencode(music / "b.flac")), (2, os.fsencode(copy)))
    main(["--undo", "--yes"])
    assert [path.name for path in sorted(music.iterdir())] == [*CODECS]


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_killed_run_is_put_right(step, music, monkeypatch):
    """Ended just before or after the copy takes the file's place, which leaves a copy, or a row of the old file."""
    path, replace = music / "a.mp3", Path.replace

    class Killed(BaseException):
        pass

    def killed(copy: Path, target: Path) -> None:
        if step == "after":
            replace(copy, target)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        patched.setattr(Path, "unlink", lambda _: None)
        with pytest.raises(Killed):
            main(["--write", "energy", "--where", "file like '%.mp3'", "--yes"])
    left = [path.name for path in music.iterdir() if path.name not in CODECS]
    assert [bool(re.fullmatch(r"\.[0-9a-f]{32}\.tmp\.mp3", name)) for name in left] == [True] * (step == "before")
    assert bool(texts_in(path)) == (step == "after")
    assert main(["--write", "mood", "--where", "file like '%.mp3'", "--yes"]) == 0
    assert rows_are_current(music) and [path.name for path in sorted(music.iterdir())] == [*CODECS]
    assert main(["--undo", "--yes"]) == 0
    assert not texts_in(path)


def test_the_dry_run_tells_what_can_not_be_written(music, capsys):
    data = (music / "a.mp3").read_bytes()
    (music / "a.mp3").write_bytes(data[:10] + b"junk" + data[14:])
    change_row(music / "a.mp3")
    (music / "b.flac").write_bytes((music / "b.flac").read_bytes().replace("Ärtist".encode(), b"Art\xfcist"))
    change_row(music / "b.flac")
    for arguments in (["--write", "energy"], ["--write", "energy", "--yes"]):
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert "3 files " in out and "2 can't be changed" in out
        assert "its ID3 tag is damaged" in err and "no UTF-8" in err
