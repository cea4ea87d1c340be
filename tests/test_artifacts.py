import dataclasses
import json

import numpy as np
import pytest

from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.errors import UserError
from music_learning.files import (
    atomic,
    copy_atomically,
    read_json,
    read_pipeline_config,
    read_table,
    sha256_of,
    write_json,
    write_table,
)
from music_learning.paths import DataPaths, ModelPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs

CONFIG = PipelineConfig(clip_s=4.0, n_mels=8)


def song(song_id, sha="aa"):
    return {"song_id": song_id, "preview_sha256": sha}


def spectrogram(value, frames=100):
    return np.full((CONFIG.n_rows, frames), value, np.float32)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    "not UTF-8": (b"id,title\n1,\xff\xfe\n", "can't be read as CSV"),
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


@pytest.mark.parametrize("label", ["", "high", "nan", "1.2", "-0.1"])
def test_song_with_a_damaged_label_is_named(tmp_path, label):
    row = dict.fromkeys(SONG_COLUMNS, "") | dict.fromkeys(TARGETS, "0.5") | {"song_id": "a"}
    write_table(tmp_path / "songs.csv", SONG_COLUMNS, [row | {"song_id": "b"}, row | {"valence": label}])
    with pytest.raises(UserError, match=rf"songs\.csv: the valence of a is '{label}'"):
        read_songs(DataPaths(tmp_path))


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


@pytest.mark.parametrize(
    "name", ["../x.mp3", "/etc/passwd", "other.mp3", "a.mp3/../../x", "a.", "a.mp3\n", "", "a/b.mp3"]
)
def test_unsafe_preview_file_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="unsafe preview_file"):
        DataPaths(tmp_path).preview({"song_id": "a", "preview_file": name})


@pytest.mark.parametrize("song_id", ["..", "a/b", "", "a b", "x" * 129])
def test_unsafe_song_id_is_refused(tmp_path, song_id):
    with pytest.raises(UserError, match="unsafe"):
        DataPaths(tmp_path).preview({"song_id": song_id, "preview_file": f"{song_id}.mp3"})


def test_safe_preview_file(tmp_path):
    path = DataPaths(tmp_path).preview({"song_id": "a-_1", "preview_file": "a-_1.mp3"})
    assert path == tmp_path / "previews" / "a-_1.mp3"


def test_paths_of_a_model_are_all_different(tmp_path):
    paths = ModelPaths(tmp_path)
    of_energy = {
        paths.weights("energy"),
        paths.description("energy"),
        paths.predictions("energy", "test"),
        paths.predictions("energy", "test", cached=True),
        paths.checkpoint("energy"),
        paths.picture("energy"),
    }
    assert len(of_energy) == 6
    assert all(path.is_relative_to(tmp_path) for path in of_energy)


def test_set_gives_back_what_was_appended(tmp_path):
    spectrograms = SpectrogramSet.create(tmp_path / "set", CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10)), (song("b"), spectrogram(-20, frames=60))])
    spectrograms.append([(song("c"), spectrogram(-30, frames=CONFIG.clip_frames + 7))])
    for opened in (spectrograms, SpectrogramSet.open(tmp_path / "set")):
        data = opened.memory_map()
        assert data.shape == (3, CONFIG.n_rows, CONFIG.clip_frames)
        assert data.dtype == np.float16
        assert [opened.frames(song_id) for song_id in "abc"] == [100, 60, CONFIG.clip_frames]
        assert (data[opened.rows["b"], :, :60] == -20).all()
        assert (data[opened.rows["b"], :, 60:] == CONFIG.floor_db).all()
        assert (data[opened.rows["c"]] == -30).all()
        assert opened.config == CONFIG


def test_set_can_t_be_changed_through_the_memory_map(tmp_path):
    spectrograms = SpectrogramSet.create(tmp_path, CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10))])
    with pytest.raises(ValueError, match="read-only"):
        spectrograms.memory_map()[0] = 0


def test_set_has_a_song_only_with_its_very_preview(tmp_path):
    spectrograms = SpectrogramSet.create(tmp_path, CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10))])
    assert spectrograms.has(song("a"))
    assert not spectrograms.has(song("a", sha="bb"))
    assert not spectrograms.has(song("b"))


def test_last_row_of_a_song_counts(tmp_path):
    spectrograms = SpectrogramSet.create(tmp_path, CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10)), (song("b"), spectrogram(-20))])
    spectrograms.append([(song("a", sha="bb"), spectrogram(-30, frames=50))])
    opened = SpectrogramSet.open(tmp_path)
    assert opened.frames("a") == 50
    assert (opened.memory_map()[opened.rows["a"], :, :50] == -30).all()
    assert opened.has(song("a", sha="bb"))


@pytest.mark.parametrize("torn", ["torn line", "half row", "both", "rows without lines"])
def test_set_goes_on_after_a_killed_run(tmp_path, torn):
    whole = SpectrogramSet.create(tmp_path / "whole", CONFIG)
    whole.append([(song(name), spectrogram(-k)) for k, name in enumerate("abc")])

    killed = SpectrogramSet.create(tmp_path / "killed", CONFIG)
    killed.append([(song(name), spectrogram(-k)) for k, name in enumerate("ab")])
    row = killed.memory_map()[0].tobytes()
    with open(killed.folder / "spectrograms.f16", "ab") as data, open(killed.folder / "index.csv", "ab") as index:
        data.write({"half row": row[:999], "both": row + row[:999], "rows without lines": row * 2}.get(torn, row))
        index.write(b"c,10" if torn in ("torn line", "both") else b"")
    again = SpectrogramSet.create(tmp_path / "killed", CONFIG)
    assert sorted(again.rows) == ["a", "b"]
    again.append([(song("c"), spectrogram(-2))])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_making_a_set_again_keeps_it(tmp_path):
    SpectrogramSet.create(tmp_path, CONFIG).append([(song("a"), spectrogram(-10))])
    before = contents(tmp_path)
    SpectrogramSet.create(tmp_path, CONFIG)
    assert contents(tmp_path) == before


def test_set_of_other_settings_is_refused_naming_both(tmp_path):
    SpectrogramSet.create(tmp_path, CONFIG).append([(song("a"), spectrogram(-10))])
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"hop_samples 512 and 256; delete .* and run data_loading\.py again"):
        SpectrogramSet.create(tmp_path, dataclasses.replace(CONFIG, hop_samples=256))
    assert contents(tmp_path) == before


def test_missing_set_names_the_next_command(tmp_path):
    with pytest.raises(UserError, match=r"is missing; run data_loading\.py first"):
        SpectrogramSet.open(tmp_path / "gone")


def test_empty_set_names_the_next_command(tmp_path):
    with pytest.raises(UserError, match=r"holds no spectrogram; run data_loading\.py first"):
        SpectrogramSet.create(tmp_path, CONFIG).memory_map()


def shorten_data(folder):
    data = (folder / "spectrograms.f16").read_bytes()
    (folder / "spectrograms.f16").write_bytes(data[:-1])


def change_index(old, new):
    def change(folder):
        text = (folder / "index.csv").read_text()
        assert old in text
        (folder / "index.csv").write_text(text.replace(old, new))

    return change


DAMAGED_SETS = {
    "data too short": (shorten_data, "shorter than its index; delete"),
    "data gone": (lambda folder: (folder / "spectrograms.f16").unlink(), "shorter than its index; delete"),
    "index gone": (lambda folder: (folder / "index.csv").unlink(), r"index\.csv is missing; run"),
    "frames no number": (change_index("100", "many"), r"index\.csv is damaged; delete"),
    "frames too many": (change_index("100", "100000"), r"index\.csv is damaged; delete"),
    "no frames": (change_index("100", "0"), r"index\.csv is damaged; delete"),
    "frames negative": (change_index("100", "-5"), r"index\.csv is damaged; delete"),
    "index of other columns": (change_index("frames", "length"), "has no column frames"),
    "settings no JSON": (lambda folder: (folder / "pipeline.json").write_text("{"), r"pipeline\.json is damaged"),
    "settings incomplete": (lambda folder: (folder / "pipeline.json").write_text("{}"), r"pipeline\.json is damaged"),
}


@pytest.mark.parametrize("case", DAMAGED_SETS)
def test_damaged_set_is_refused(tmp_path, case):
    damage, reason = DAMAGED_SETS[case]
    SpectrogramSet.create(tmp_path, CONFIG).append([(song("a"), spectrogram(-10))])
    damage(tmp_path)
    with pytest.raises(UserError, match=rf"{reason}.*data_loading\.py"):
        SpectrogramSet.open(tmp_path)


def test_settings_lie_beside_the_data_as_json(tmp_path):
    SpectrogramSet.create(tmp_path, CONFIG)
    assert json.loads((tmp_path / "pipeline.json").read_text()) == CONFIG.to_dict()
