import csv
import json
import os
import subprocess
import sys

import pytest
from conftest import read_rows

from music_learning.columns import PREDICTION_COLUMNS
from music_learning.errors import UserError
from music_learning.library import tables
from music_learning.library.processes import ENDED
from music_learning.library.rows import identity
from music_learning.library.tables import CSV, JSON_LINES, JSON_LIST, Table, json_format

FORMATS = {"csv": CSV, "json": JSON_LIST, "jsonl": JSON_LINES}
NAMES = ["a.mp3", "b\nc.mp3", 'd"e,f.mp3', "夜.mp3", "g\rh.mp3", "i.mp3"]


def made_row(name: str, *, error: str | None = None, size: int = 1000) -> dict:
    row = dict.fromkeys(PREDICTION_COLUMNS) | {"file": name, "error": error, "bytes": size, "modified": "2026Z"}
    row["model"] = "0-abc"
    if error is None:
        row |= {"duration_s": 30.0, "energy": 0.5, "warnings": ["one"], "timeline": [{"start_s": 0.0, "energy": 0.5}]}
        row |= {"similar_songs": [{"title": "T", "artist": "A"}], "similar_artists": [{"artist": "A"}], "mood": "calm"}
        row["markets"] = [{"country": "CL", "name": "Chile"}, {"country": "PE", "name": "Peru"}]
    return row


ROWS = [made_row(name) for name in NAMES]
KEYS = [identity(row) for row in ROWS]


def read(path) -> list[str]:
    """The names in a table, whatever its format."""
    if path.suffix == ".csv":
        return [row["file"] for row in read_rows(path)]
    text = path.read_text(encoding="utf-8")
    return [
        row["file"] for row in (json.loads(text) if path.suffix == ".json" else map(json.loads, text.split("\n")[:-1]))
    ]


@pytest.fixture(params=FORMATS)
def path(request, tmp_path):
    return tmp_path / f"moods.{request.param}"


def opened(path) -> Table:
    return Table(path, FORMATS[path.suffix[1:]])


def finish(table, keys):
    """End a run whose files had these identities when it began."""
    for file, n_bytes, modified, model in keys:
        table.expect({"file": file, "bytes": n_bytes, "modified": modified, "model": model})
    table.finish()


def written(path, rows=ROWS) -> bytes:
    """What a run that was not stopped writes."""
    with opened(path) as table:
        for row in rows:
            table.append(row)
        finish(table, [identity(row) for row in rows])
        return path.read_bytes()


def test_table_can_be_read_after_every_row(path):
    with opened(path) as table:
        assert read(path) == []
        for n, row in enumerate(ROWS):
            table.append(row)
            assert read(path) == NAMES[: n + 1]


def test_rows_of_a_killed_run_are_known_wherever_it_ended(path):
    whole = written(path)
    n_known = set()
    ends_of_rows = [at for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    for end in sorted({0, *range(1, len(whole), 97), *ends_of_rows, *(at + 1 for at in ends_of_rows)}):
        path.write_bytes(whole[:end])
        with opened(path) as table:
            known = [key for key in KEYS if table.has(key)]
            assert known == KEYS[: len(known)]
            assert read(path) == NAMES[: len(known)]
            n_known.add(len(known))
            for row in ROWS[len(known) :]:
                table.append(row)
            finish(table, KEYS)
            assert path.read_bytes() == whole
    assert n_known == set(range(len(ROWS) + 1))


def test_files_that_came_in_between_have_their_place(path):
    whole = written(path)
    written(path, ROWS[1::2])
    with opened(path) as table:
        for row in ROWS[::2]:
            table.append(row)
        finish(table, KEYS)
        assert path.read_bytes() == whole


def test_only_rows_of_this_run_remain(path):
    written(path)
    with opened(path) as table:
        assert read(path) == NAMES
        finish(table, KEYS[2:4])
        assert read(path) == NAMES[2:4]
    with opened(path) as table:
        table.append(made_row("other.mp3"))
        finish(table, [identity(made_row("other.mp3"))])
        assert path.read_bytes() == written(path.with_stem("another"), [made_row("other.mp3")])


@pytest.mark.parametrize("change", [{"bytes": 1001}, {"modified": "2027Z"}, {"model": "0-def"}, {"file": "z.mp3"}])
def test_changed_file_and_changed_model_are_not_known(path, change):
    written(path)
    with opened(path) as table:
        assert table.has(KEYS[0])
        assert not table.has(identity(ROWS[0] | change))


def test_file_that_ended_a_process_is_not_tried_again_unless_it_changes(path):
    with opened(path) as table:
        table.append(made_row("a.mp3", error=ENDED))
        finish(table, KEYS[:1])
    with opened(path) as table:
        assert not table.expect(made_row("a.mp3"))
        assert table.expect(made_row("a.mp3", size=1001))


def test_failed_file_is_tried_again(path):
    rows = [made_row("a.mp3", error="no sound"), made_row("gone.mp3", error="no such file") | {"bytes": None}, ROWS[1]]
    whole = written(path, rows)
    with opened(path) as table:
        keys = [identity(row) for row in rows]
        assert [table.has(key) for key in keys] == [False, False, True]
        table.append(rows[0])
        table.append(rows[1])
        finish(table, keys)
        assert path.read_bytes() == whole


def test_damaged_row_in_the_middle_costs_that_row(path):
    whole = written(path, [ROWS[0], ROWS[3], ROWS[5]])
    path.write_bytes(whole.replace("夜.mp3".encode(), b'\xff"\0\n"'))
    with opened(path) as table:
        assert [table.has(KEYS[n]) for n in (0, 3, 5)] == [True, False, True]
        table.append(ROWS[3])
        finish(table, [KEYS[n] for n in (0, 3, 5)])
        assert path.read_bytes() == whole


FOREIGN = [
    b"song_id,title\n1,a\n",
    b"[]",
    b'[\n  {\n    "file": "a"\n  }\n]\n',
    b"{}\n",
    b"\x89PNG",
    b'{"title": 1}\n',
    b'{"file": "my notes", "stars": 5}\n',
    b'[\n{"file": "my notes", "stars": 5}\n]\n',
    b"\n",
]


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_no_table_of_ours_is_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"holds something else .*; delete it or name another file"):
        opened(path)
    assert path.read_bytes() == content


def test_explained_row_stays_and_is_made_again(tmp_path):
    path = tmp_path / "moods.json"
    written(path, [ROWS[0] | {"explanation": {"moments": []}}])
    with opened(path) as table:
        assert len(json.loads(path.read_text())) == 1
        assert not table.has(KEYS[0])


def test_disk_that_is_full_leaves_whole_rows(path, monkeypatch):
    with opened(path) as table:
        table.append(ROWS[0])
        before = path.read_bytes()

        class Full:
            def __init__(self, file):
                self.file = file

            def write(self, data):
                if len(data) < 40:  # what closes a table fits where it was
                    return self.file.write(data)
                if len(data) < 100:
                    raise OSError(28, "No space left on device")
                return self.file.write(data[: len(data) - 50])

            def __getattr__(self, name):
                return getattr(self.file, name)

        table.file = Full(table.file)
        with pytest.raises(OSError, match="No space left"):
            table.append(ROWS[1])
        assert path.read_bytes() == before
        assert read(path) == NAMES[:1]


def test_second_writer_is_refused(path):
    with opened(path) as table:
        table.append(ROWS[0])
        program = (
            "import sys; from pathlib import Path; from music_learning.library.tables import CSV, Table\n"
            "try: Table(Path(sys.argv[1]), CSV)\n"
            "except Exception as error: print(error)"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, env=environment)
        assert done.stdout == f"another run writes to {path}; wait until it has ended\n"
        assert done.stderr == ""
        with pytest.raises(UserError, match="another run writes to"):
            opened(path)
    opened(path).close()


def test_writer_that_came_while_the_table_was_replaced_is_refused(path, monkeypatch):
    """It has opened a file that another run then replaces."""
    written(path)
    hold = tables.hold

    def replaced_meanwhile(file, refusal):
        path.rename(path.with_suffix(".old"))
        path.write_bytes(path.with_suffix(".old").read_bytes())
        hold(file, refusal)

    monkeypatch.setattr(tables, "hold", replaced_meanwhile)
    with pytest.raises(UserError, match="another run writes to"):
        opened(path)


def test_link_is_followed(path):
    path.with_stem("real").write_bytes(b"")
    path.symlink_to(path.with_stem("real"))
    written(path, ROWS[::-1])
    with opened(path) as table:
        finish(table, KEYS)
        assert path.is_symlink()
        assert read(path) == NAMES


def test_format_follows_the_name():
    assert [json_format(name) for name in ("a.json", "a.txt", "a.JSONL", "a.ndjson", "-")] == [
        *[JSON_LIST] * 2,
        *[JSON_LINES] * 3,
    ]


def test_row_of_a_mix_of_two_hours_is_known(path):
    timeline = [{"start_s": 3.75 * n, "energy": 0.5, "danceability": 0.5, "valence": 0.5} for n in range(20_000)]
    row = made_row("mix.mp3") | {"timeline": timeline}
    whole = written(path, [row, ROWS[0]])
    limit = csv.field_size_limit()
    with opened(path) as table:
        assert table.has(identity(row))
        assert table.has(KEYS[0])
    assert path.read_bytes() == whole
    assert csv.field_size_limit() == limit


def test_field_beyond_measure_is_not_ours(tmp_path, monkeypatch):
    path = tmp_path / "moods.csv"
    whole = written(path, ROWS[:1])
    monkeypatch.setattr(tables, "MAX_FIELD", 1000)
    path.write_bytes(whole + b"x" * 1001 + b"\n")
    with opened(path) as table:
        finish(table, KEYS[:1])
    assert path.read_bytes() == whole


def test_rows_that_go_are_kept_beside_the_table(path, capsys):
    whole = written(path)
    with opened(path) as table:
        finish(table, KEYS[:2])
    assert read(path) == NAMES[:2]
    assert path.with_name(f"{path.name}~").read_bytes() == whole
    assert capsys.readouterr().err == f"{path}~ keeps 4 rows of files that were not named now\n"


def test_row_of_a_changed_file_goes_without_a_word(path, capsys):
    written(path)
    changed = [row | {"bytes": 7} for row in ROWS]
    with opened(path) as table:
        for row in changed:
            table.append(row)
        finish(table, [identity(row) for row in changed])
    assert path.read_bytes() == written(path.with_stem("other"), changed)
    assert list(path.parent.glob("moods*~")) == []
    assert capsys.readouterr().err == ""


def test_row_that_is_there_is_not_written_twice(path):
    whole = written(path)
    with opened(path) as table:
        table.append(ROWS[2])
    assert path.read_bytes() == whole


def test_disk_that_is_full_from_the_start_is_a_sentence(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Table, "_write", full)
    with pytest.raises(UserError, match=r"can't be written: No space left on device$"):
        opened(path)
    assert not path.exists()
