import json
import shutil

import numpy as np
import pytest
from conftest import (
    call_main,
    chord,
    library_splits,
    read_rows,
    run_python,
    song_frame,
    song_row,
    write_audio,
)
from matplotlib.image import imread

import data_loading
from music_learning.audio import AudioPipeline
from music_learning.columns import SONG_COLUMNS
from music_learning.errors import UserError
from music_learning.files import sha256_of, write_table
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs import preparation
from music_learning.songs.corpus import read_corpus
from music_learning.songs.preparation import compute_spectrograms, write_demo
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_song_rows, read_splits


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures take seconds."""
    for name in ("draw_spectrograms", "draw_labels"):
        monkeypatch.setattr(data_loading, name, lambda *_: None)


SET_FILES = ("spectrograms.f16", "index.csv", "pipeline.json")


def test_spectrograms_equal_the_pipeline_s_own(loaded):
    paths, pipeline = DataPaths(loaded), AudioPipeline()
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    for song in read_song_rows(paths):
        (expected,), _ = pipeline.log_mels(paths.preview(song))
        frames = spectrograms.frames(song["song_id"])
        assert frames == expected.shape[1]
        stored = spectrograms.spectrogram(song["song_id"])
        np.testing.assert_allclose(stored, expected.numpy(), atol=0.04)  # float16 near 100


def preview_song(paths, song_id, samples):
    """A row of songs.csv, with its clip in data/previews/."""
    paths.previews.mkdir(parents=True, exist_ok=True)
    clip = write_audio(paths.previews / f"{song_id}.wav", samples)
    return song_row(song_id, artist=song_id, preview_file=clip.name, preview_sha256=sha256_of(clip))


@pytest.mark.parametrize(("seconds", "middle"), [(30, 0), (62, 0), (95, 1), (125, 2)])
def test_long_clip_is_represented_by_its_middle_window(tmp_path, seconds, middle):
    """62 s are two windows (the rest is too short), and the earlier one is the middle."""
    paths = DataPaths(tmp_path)
    song = preview_song(paths, "a", np.concatenate([chord(seconds=1, level=0.9 - 0.006 * k) for k in range(seconds)]))
    if seconds == 125:
        middle = 1 if len(AudioPipeline().log_mels(paths.preview(song))[0]) == 4 else 2
    spectrograms, failed = compute_spectrograms(song_frame(song), paths, PipelineConfig(), workers=1)
    assert failed == {}
    windows, _ = AudioPipeline().log_mels(paths.preview(song))
    np.testing.assert_allclose(spectrograms.spectrogram("a"), windows[middle].numpy(), atol=0.04)


def test_spectrograms_that_are_there_are_kept(own_data, capsys, monkeypatch, no_pictures):
    def fail(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(AudioPipeline, "log_mels", fail)
    assert call_main(data_loading, "--data", own_data) == 0
    assert "spectrograms: 18 already here, 0 to do" in capsys.readouterr().out


def test_changed_preview_is_computed_again(own_data, capsys, no_pictures):
    paths = DataPaths(own_data)
    songs = read_song_rows(paths)
    write_audio(paths.preview(songs[3]), chord(seconds=3.3, level=0.9))
    songs[3]["preview_sha256"] = sha256_of(paths.preview(songs[3]))
    write_table(paths.songs, SONG_COLUMNS, songs)
    call_main(data_loading, "--data", own_data)
    assert "17 already here, 1 to do" in capsys.readouterr().out
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    (expected,), _ = AudioPipeline().log_mels(paths.preview(songs[3]))
    stored = spectrograms.spectrogram(songs[3]["song_id"])
    np.testing.assert_allclose(stored, expected.numpy(), atol=0.04)
    assert spectrograms.frames(songs[3]["song_id"]) == expected.shape[1]


def test_workers_do_not_matter(loaded, own_data, no_pictures):
    paths = DataPaths(own_data)
    shutil.rmtree(paths.spectrograms)
    call_main(data_loading, "--data", own_data, "--workers", 3)
    for name in SET_FILES:
        assert (paths.spectrograms / name).read_bytes() == (DataPaths(loaded).spectrograms / name).read_bytes()


@pytest.mark.parametrize("damage", [lambda clip: clip.unlink(), lambda clip: clip.write_bytes(b"no audio" * 99)])
def test_bad_preview_costs_its_song(own_data, damage, no_pictures, capsys):
    paths = DataPaths(own_data)
    shutil.rmtree(paths.spectrograms)
    damage(paths.previews / "song09.wav")
    others = [f"song{k:02}" for k in range(18) if k != 9]
    for _ in range(2):
        assert call_main(data_loading, "--data", own_data) == 1
        captured = capsys.readouterr()
        assert captured.out.count("left out: ") == 1
        assert f"left out: {paths.previews / 'song09.wav'}: " in captured.out
        assert captured.err.startswith("error: 1 of the clips can't be used, see above")
        assert list(SpectrogramSet.open(paths.spectrograms).rows) == others
        assert list(read_splits(paths).index) == others
    assert len(read_corpus(paths).songs) == 17


def test_unforeseen_error_costs_its_song(own_data, monkeypatch, no_pictures, capsys):
    paths, log_mels = DataPaths(own_data), AudioPipeline.log_mels
    shutil.rmtree(paths.spectrograms)

    def fail(self, path):
        return 1 / 0 if path.stem == "song09" else log_mels(self, path)

    monkeypatch.setattr(AudioPipeline, "log_mels", fail)
    assert call_main(data_loading, "--data", own_data) == 1
    assert "left out: unexpected: ZeroDivisionError" in capsys.readouterr().out
    assert len(read_splits(paths)) == 17


def test_write_that_is_stopped_is_not_tried_again(tmp_path, monkeypatch):
    written = []

    def stopped(self, items):
        written.append([song["song_id"] for song, _ in items])
        raise KeyboardInterrupt

    paths = DataPaths(tmp_path)
    songs = song_frame(*(preview_song(paths, song_id, chord(seconds=3.6)) for song_id in "abc"))
    monkeypatch.setattr(SpectrogramSet, "append", stopped)
    monkeypatch.setattr(preparation, "SONGS_PER_WRITE", 2)
    with pytest.raises(KeyboardInterrupt):
        compute_spectrograms(songs, paths, PipelineConfig(), workers=1)
    assert written == [["a", "b"]]


def test_no_clip_left_changes_no_table(own_data):
    paths = DataPaths(own_data)
    shutil.rmtree(paths.spectrograms)
    shutil.rmtree(paths.previews)
    with pytest.raises(UserError, match=r"none of the clips can be used; run data_collection\.py again"):
        call_main(data_loading, "--data", own_data)
    assert read_rows(paths.splits) == library_splits()


def test_set_of_other_settings_is_refused(own_data):
    described = DataPaths(own_data).spectrograms / "pipeline.json"
    values = json.loads(described.read_text())
    described.write_text(json.dumps(values | {"f_min_hz": 55.0}))
    with pytest.raises(UserError, match=r"f_min_hz 55\.0 and [\d.]+; delete .* run data_loading\.py again"):
        call_main(data_loading, "--data", own_data)


KILLED_WHILE_WRITING = """
import os, signal, sys
import data_loading
from music_learning.songs import preparation
from music_learning.songs.corpus import read_corpus
from music_learning.songs.spectrograms import SpectrogramSet

append, calls = SpectrogramSet.append, []

def append_or_die(self, items):
    calls.append(1)
    if len(calls) == 3:
        append(self, items[:1])
        with open(self.folder / "spectrograms.f16", "ab") as data, open(self.folder / "index.csv", "ab") as index:
            data.write(bytes(self.row_bytes * 3 // 2))
            index.write(b"song07,1")
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, items)

SpectrogramSet.append = append_or_die
preparation.SONGS_PER_WRITE = 3
data_loading.main()
"""


def test_kill_9_and_again_equals_an_uninterrupted_run(loaded, own_data, capsys, no_pictures):
    paths, whole = DataPaths(own_data), DataPaths(loaded)
    shutil.rmtree(paths.spectrograms)
    killed = run_python("-c", KILLED_WHILE_WRITING, "--data", own_data)
    assert killed.returncode == -9, killed.stderr
    assert (paths.spectrograms / "index.csv").read_bytes().endswith(b"song07,1")
    call_main(data_loading, "--data", own_data)
    assert "spectrograms: 7 already here, 11 to do" in capsys.readouterr().out
    for name in SET_FILES:
        assert (paths.spectrograms / name).read_bytes() == (whole.spectrograms / name).read_bytes()


def test_demo_holds_test_songs_of_different_artists(loaded):
    demo = DataPaths(DataPaths(loaded).demo)
    songs, splits = read_song_rows(demo), read_splits(DataPaths(loaded))
    assert len(songs) == 3  # four test songs, two of them by one artist
    assert {splits[song["song_id"]] for song in songs} == {"test"}
    assert len({song["artist"] for song in songs}) == 3
    ours, all_songs = SpectrogramSet.open(demo.spectrograms), SpectrogramSet.open(DataPaths(loaded).spectrograms)
    for song in songs:
        song_id = song["song_id"]
        assert ours.frames(song_id) == all_songs.frames(song_id)
        assert np.array_equal(ours.spectrogram(song_id), all_songs.spectrogram(song_id))


def test_demo_is_limited_and_drawn_by_the_seed(tmp_path, monkeypatch):
    config = PipelineConfig(clip_s=4.0, n_mels=8)
    spectrograms = SpectrogramSet.create(tmp_path / "set", config)
    rows = [song_row(song_id, artist=song_id, preview_sha256="x") for song_id in "abc"]
    spectrograms.append([(row, np.full((config.n_rows, 100), -50.0)) for row in rows])
    songs = song_frame(*rows)
    monkeypatch.setattr(preparation, "DEMO_SONGS", 1)
    drawn = set()
    for seed in range(12):
        paths = DataPaths(tmp_path / "data")
        assert write_demo(paths, songs, spectrograms, seed=seed) == 1
        (song,) = read_song_rows(DataPaths(paths.demo))
        assert list(SpectrogramSet.open(DataPaths(paths.demo).spectrograms).rows) == [song["song_id"]]
        drawn.add(song["song_id"])
    assert len(drawn) > 1


def test_pictures_are_drawn(loaded):
    for name in ("spectrograms", "labels"):
        picture = DataPaths(loaded).picture(name)
        assert picture.read_bytes().startswith(b"\x89PNG")
        height, width, _ = imread(picture).shape
        assert height >= 300
        assert width >= 600
        assert imread(picture)[:, :, :3].std() > 0.05


def test_one_song_is_enough(tmp_path):
    paths = DataPaths(tmp_path)
    write_table(paths.songs, SONG_COLUMNS, [preview_song(paths, "a", chord())])
    assert call_main(data_loading, "--data", tmp_path) == 0
    assert len(read_rows(paths.splits)) == 1


def test_splits_are_written_for_all_songs(loaded):
    assert read_rows(DataPaths(loaded).splits) == library_splits()


def test_seed_flag_decides_the_split(own_data, no_pictures):
    paths = DataPaths(own_data)
    written = []
    for seed in (0, 0, 1, 2):
        paths.splits.unlink()
        call_main(data_loading, "--data", own_data, "--seed", seed)
        written.append(paths.splits.read_bytes())
    assert written[0] == written[1]
    assert len(set(written)) > 1


def test_song_left_out_is_named(own_data, capsys, no_pictures):
    paths = DataPaths(own_data)
    songs = read_song_rows(paths)
    songs.append(songs[0] | {"song_id": "zz", "title": "Bridge", "artist": "Artist 1 feat. Artist 17"})
    write_table(paths.songs, SONG_COLUMNS, songs)
    call_main(data_loading, "--data", own_data)
    assert "left out: Bridge by Artist 1 feat. Artist 17" in capsys.readouterr().out
    assert "zz" not in read_splits(paths)


def test_missing_songs_name_the_next_command(tmp_path):
    with pytest.raises(UserError, match=r"songs\.csv is missing; run data_collection\.py first"):
        call_main(data_loading, "--data", tmp_path)
    write_table(tmp_path / "songs.csv", SONG_COLUMNS, [])
    with pytest.raises(UserError, match=r"holds no song; run data_collection\.py first"):
        call_main(data_loading, "--data", tmp_path)


def test_bad_number_of_workers(capsys):
    with pytest.raises(SystemExit) as caught:
        call_main(data_loading, "--workers", 0)
    assert caught.value.code == 2
    assert "--workers must be at least 1" in capsys.readouterr().err
