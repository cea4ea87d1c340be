import dataclasses
import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from music_learning.errors import UserError
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs.spectrograms import SpectrogramSet

CONFIG = PipelineConfig(clip_s=4.0, n_mels=8)


def song(song_id, sha="aa"):
    return {"song_id": song_id, "preview_sha256": sha}


def spectrogram(value, frames=100):
    return np.full((CONFIG.n_rows, frames), value, np.float32)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_set_gives_back_what_was_appended(tmp_path):
    spectrograms = SpectrogramSet.create(tmp_path / "set", CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10)), (song("b"), spectrogram(-20, frames=95))])
    spectrograms.append([(song("c"), spectrogram(-30, frames=CONFIG.clip_frames + 7))])
    for opened in (spectrograms, SpectrogramSet.open(tmp_path / "set")):
        assert opened.memory_map().dtype == np.float16
        assert [opened.frames(song_id) for song_id in "abc"] == [100, 95, CONFIG.clip_frames]
        for song_id, value in (("a", -10), ("b", -20), ("c", -30)):
            assert opened.spectrogram(song_id).shape == (CONFIG.n_rows, opened.frames(song_id))
            assert (opened.spectrogram(song_id) == value).all()
        assert (opened.memory_map()[opened.rows["b"]] == CONFIG.floor_db).sum() > 0
        assert (opened.memory_map()[opened.rows["c"]] == -30).all()
        assert opened.config == CONFIG


@pytest.mark.parametrize("frames", [CONFIG.min_frames, 95, CONFIG.clip_frames])
def test_pitches_are_kept_once_and_given_to_each_frame_again(tmp_path, frames):
    levels = np.random.default_rng(0).integers(-90, 0, (CONFIG.n_rows, frames)).astype(np.float32)
    first, after = CONFIG.n_mels, CONFIG.n_mels + CONFIG.n_pitches
    levels[first:after] = levels[first:after, list(CONFIG.pitch_of_frames(frames))]
    spectrograms = SpectrogramSet.create(tmp_path / "set", CONFIG)
    spectrograms.append([(song("a"), levels)])
    assert np.array_equal(spectrograms.spectrogram("a"), levels)
    assert spectrograms.row_size < 0.75 * CONFIG.n_rows * CONFIG.clip_frames


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
    spectrograms.append([(song("a", sha="bb"), spectrogram(-30, frames=94))])
    opened = SpectrogramSet.open(tmp_path)
    assert opened.frames("a") == 94
    assert (opened.spectrogram("a") == -30).all()
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


class Broken:
    """A file whose second write stops in the middle of it."""

    def __init__(self, file, error):
        self.file, self.error, self.writes = file, error, 0

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.writes += 1
        if self.writes == 1 and Path(self.file.name).suffix == ".f16":
            return self.file.write(data)
        self.file.write(data[: len(data) * 2 // 3])  # of an index, a line and a part of the next
        raise self.error


@pytest.mark.parametrize("name", ["spectrograms.f16", "index.csv"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")], ids=repr)
@pytest.mark.parametrize("is_new_run", [False, True], ids=["same run", "new run"])
def test_songs_keep_their_spectrograms_after_a_write_that_was_stopped(tmp_path, monkeypatch, name, error, is_new_run):
    def broken(path, *arguments, **options):
        file = open(path, *arguments, **options)  # noqa: SIM115
        return Broken(file, error) if Path(path).name == name else file

    spectrograms = SpectrogramSet.create(tmp_path, CONFIG)
    spectrograms.append([(song("a"), spectrogram(-10))])
    with monkeypatch.context() as patched, pytest.raises((KeyboardInterrupt, UserError)):
        patched.setattr("music_learning.songs.spectrograms.open", broken, raising=False)
        spectrograms.append([(song("b"), spectrogram(-20)), (song("c"), spectrogram(-30))])
    if is_new_run:
        spectrograms = SpectrogramSet.create(tmp_path, CONFIG)
    spectrograms.append([(song("c"), spectrogram(-30)), (song("d"), spectrogram(-40))])
    levels = {"a": -10, "c": -30, "d": -40} | ({"b": -20} if "b" in spectrograms.rows else {})
    for opened in (spectrograms, SpectrogramSet.open(tmp_path)):
        assert {song_id: opened.spectrogram(song_id).max() for song_id in opened.rows} == levels


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


def replace(name, make):
    def change(folder):
        (folder / name).unlink()
        make(folder / name)

    return change


def replace_data(make):
    return replace("spectrograms.f16", make)


def change_settings(**changes):
    return lambda folder: (folder / "pipeline.json").write_text(json.dumps(CONFIG.to_dict() | changes))


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
    **{
        f"frames {text}": (
            change_index("100", text),
            r"index\.csv is damaged .the frames of a are .* from 92 to 124.; delete",
        )
        for text in ("many", "100000", "0", "-5", "15", "91", "100.0", "1e2", "nan", "9" * 400, "")
    },
    "unsafe id": (change_index("a,", "../a,"), r"index\.csv is damaged .'\.\./a' is no song_id"),
    "data a folder": (replace_data(Path.mkdir), "shorter than its index; delete"),
    "data a pipe": (replace_data(os.mkfifo), "shorter than its index; delete"),
    "index a pipe": (replace("index.csv", os.mkfifo), r"index\.csv is damaged .it is no file"),
    "settings a pipe": (replace("pipeline.json", os.mkfifo), r"pipeline\.json is damaged .it is no file"),
    **{
        f"{name} {value}": (change_settings(**{name: value}), rf"pipeline\.json is damaged .pipeline setting {name}")
        for name, value in {
            "n_mels": 10**9,
            "hop_samples": 10**400,
            "clip_s": math.inf,
            "min_s": 31.0,
            "n_pitches": -1,
            "f_min_hz": math.nan,
            "sample_rate_hz": "16000",
            "lowest_midi": True,
            "n_fft": 512.5,
        }.items()
    },
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
