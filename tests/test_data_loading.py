import json
import shutil

import numpy as np
import pytest
import torch
from conftest import call_main, chord, library_splits, read_rows, run_python, write_audio
from matplotlib.image import imread

import data_loading
from data_loading import compute_spectrograms, write_demo
from music_learning.audio import AudioPipeline
from music_learning.columns import SONG_COLUMNS, SPLITS, TARGETS
from music_learning.errors import UserError
from music_learning.files import sha256_of, write_table
from music_learning.paths import DataPaths
from music_learning.pipeline_config import PipelineConfig
from music_learning.songs import artists
from music_learning.songs.artists import artist_groups, artist_names, assign_splits, read_splits
from music_learning.songs.dataset import SpectrogramDataset, collate, make_loader
from music_learning.songs.spectrograms import SpectrogramSet
from music_learning.songs.table import read_songs


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures take seconds."""
    for name in ("draw_spectrograms", "draw_labels"):
        monkeypatch.setattr(data_loading, name, lambda *_: None)


SET_FILES = ("spectrograms.f16", "index.csv", "pipeline.json")


def song(song_id, artist, *, title="A title", artist_id=""):
    return {"song_id": song_id, "artist": artist, "title": title, "artist_id": artist_id}


def many_songs(n_artists=120, *, first=0):
    """Two songs by each artist; every tenth artist made one with the next."""
    songs = []
    for k in range(first, first + n_artists):
        with_next = f"Artist {k} feat. Artist {k + 1}" if k % 10 == 0 else f"Artist {k}"
        songs += [song(f"s{k}a", f"Artist {k}"), song(f"s{k}b", with_next)]
    return songs


def artists_of(songs, splits, split):
    return {name for song in songs if splits.get(song["song_id"]) == split for name in artist_names(song)}


def assert_no_artist_in_two_splits(songs, splits):
    train, validation, test = (artists_of(songs, splits, split) for split in SPLITS)
    assert not train & validation
    assert not train & test
    assert not validation & test


CREDITS = [
    ("Alice", "A title", {"alice"}),
    ("ALICE", "A title", {"alice"}),
    ("Alice feat. Bob", "A title", {"alice", "bob"}),
    ("Alice ft. Bob", "A title", {"alice", "bob"}),
    ("Alice ft Bob", "A title", {"alice", "bob"}),
    ("Alice featuring Bob", "A title", {"alice", "bob"}),
    ("Alice (feat. Bob)", "A title", {"alice", "bob"}),
    ("Alice & Bob", "A title", {"alice", "bob"}),
    ("Alice, Bob & Carol", "A title", {"alice", "bob", "carol"}),
    ("Alice;Bob", "A title", {"alice", "bob"}),
    ("Alice x Bob", "A title", {"alice", "bob"}),
    ("Alice and Bob", "A title", {"alice", "bob"}),
    ("Alice", "A title (feat. Bob)", {"alice", "bob"}),
    ("Alice", "A title [ft. Bob & Carol]", {"alice", "bob", "carol"}),
    ("Alice", "A title (with Bob)", {"alice", "bob"}),
    ("Alice", "A title (Live)", {"alice"}),
    ("The Alices", "A title", {"alices"}),
    ("Beyoncé", "A title", {"beyoncé"}),
    ("Beyonce\u0301", "A title", {"beyoncé"}),  # the accent as a character of its own
    ("Sandy Andersson", "A title", {"sandy andersson"}),  # "and" inside a word is no "and"
    ("宇多田ヒカル", "A title", {"宇多田ヒカル"}),
]


@pytest.mark.parametrize(("artist", "title", "names"), CREDITS)
def test_artist_names(artist, title, names):
    assert artist_names(song("s", artist, title=title)) == names


def test_artist_ids_are_names_too():
    assert artist_names(song("s", "Alice", artist_id="1a, 2b")) == {"alice", "id:1a", "id:2b"}


def group_ids(songs):
    return {frozenset(song["song_id"] for song in group) for group in artist_groups(songs)}


def test_collaborations_join_groups():
    songs = [song("1", "A"), song("2", "B"), song("3", "C"), song("4", "A feat. B"), song("5", "the c"), song("6", "D")]
    assert group_ids(songs) == {frozenset("124"), frozenset("35"), frozenset("6")}


def test_chain_of_collaborations_is_one_group():
    songs = [song(str(k), f"Artist {k} & Artist {k + 1}") for k in range(9)]
    assert group_ids(songs) == {frozenset("012345678")}


def test_same_artist_id_joins_other_spellings():
    assert group_ids([song("1", "Prince", artist_id="p"), song("2", "Love Symbol", artist_id="p")]) == {frozenset("12")}


def test_every_song_is_in_one_group():
    songs = many_songs()
    grouped = [song["song_id"] for group in artist_groups(songs) for song in group]
    assert sorted(grouped) == sorted(song["song_id"] for song in songs)


@pytest.mark.parametrize("seed", range(3))
def test_no_artist_is_in_two_splits(seed):
    songs = many_songs()
    splits, unusable = assign_splits(songs, {}, seed=seed)
    assert unusable == []
    assert set(splits) == {song["song_id"] for song in songs}
    assert set(splits.values()) == set(SPLITS)
    assert_no_artist_in_two_splits(songs, splits)


def test_shares_of_the_splits():
    songs = [song(str(k), f"Artist {k}") for k in range(3000)]
    splits = list(assign_splits(songs, {}, seed=0)[0].values())
    for split, share in artists.SPLIT_SHARES.items():
        assert splits.count(split) / 3000 == pytest.approx(share, abs=0.03)


def test_same_seed_same_split():
    songs = many_songs()
    first, _ = assign_splits(songs, {}, seed=3)
    assert assign_splits(songs[::-1], {}, seed=3)[0] == first
    assert assign_splits(songs, {}, seed=4)[0] != first


def test_added_songs_move_none():
    old = many_songs()
    placed, _ = assign_splits(old, {}, seed=0)
    songs = old + many_songs(60, first=200) + [song("new", "Artist 7")]
    splits, unusable = assign_splits(songs, placed, seed=0)
    assert unusable == []
    assert {song_id: splits[song_id] for song_id in placed} == placed
    assert splits["new"] == placed["s7a"]
    assert_no_artist_in_two_splits(songs, splits)


def test_placed_songs_stay_with_another_seed():
    songs = many_songs()
    placed, _ = assign_splits(songs, {}, seed=0)
    assert assign_splits(songs, placed, seed=1)[0] == placed


def test_song_that_joins_two_splits_is_left_out():
    songs = [song("1", "A"), song("2", "B"), song("3", "A feat. B")]
    splits, unusable = assign_splits(songs, {"1": "train", "2": "test"}, seed=0)
    assert splits == {"1": "train", "2": "test"}
    assert [song["song_id"] for song in unusable] == ["3"]


def test_song_that_joins_two_splits_takes_no_other_with_it():
    """Song 4 is by B alone, who is in the test split, so it belongs there whatever song 3 is."""
    songs = [song("1", "A"), song("2", "B"), song("3", "A feat. B"), song("4", "B"), song("5", "A")]
    splits, unusable = assign_splits(songs, {"1": "train", "2": "test"}, seed=0)
    assert splits == {"1": "train", "2": "test", "4": "test", "5": "train"}
    assert [song["song_id"] for song in unusable] == ["3"]


def test_new_artist_follows_the_one_already_placed():
    songs = [song("1", "A"), song("2", "A feat. New"), song("3", "New")]
    splits, unusable = assign_splits(songs, {"1": "validation"}, seed=0)
    assert set(splits.values()) == {"validation"}
    assert unusable == []


@pytest.mark.parametrize("artist", ["&", "+", "/", " , "])
def test_artist_of_nothing_but_separators_is_placed(artist):
    songs = [song("1", artist), song("2", "B")]
    splits, unusable = assign_splits(songs, {}, seed=0)
    assert set(splits) == {"1", "2"}
    assert unusable == []


def test_unknown_split_is_a_sentence(tmp_path):
    write_table(tmp_path / "splits.csv", ["song_id", "split"], [{"song_id": "a", "split": "dev"}])
    with pytest.raises(UserError, match=r"unknown splits \['dev'\]; delete it and run data_loading\.py again"):
        read_splits(DataPaths(tmp_path))


def test_spectrograms_equal_the_pipeline_s_own(loaded):
    paths, pipeline = DataPaths(loaded), AudioPipeline()
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    data = spectrograms.memory_map()
    for song in read_songs(paths):
        (expected,), _ = pipeline.log_mels(paths.preview(song))
        frames = spectrograms.frames(song["song_id"])
        assert frames == expected.shape[1]
        stored = data[spectrograms.rows[song["song_id"]], :, :frames].astype(np.float32)
        np.testing.assert_allclose(stored, expected.numpy(), atol=0.04)  # float16 near 100


def preview_song(paths, song_id, samples):
    """A row of songs.csv, with its clip in data/previews/."""
    paths.previews.mkdir(parents=True, exist_ok=True)
    clip = write_audio(paths.previews / f"{song_id}.wav", samples)
    row = dict.fromkeys(SONG_COLUMNS, "") | dict.fromkeys(TARGETS, "0.5")
    return row | {"song_id": song_id, "artist": song_id, "preview_file": clip.name, "preview_sha256": sha256_of(clip)}


@pytest.mark.parametrize(("seconds", "middle"), [(30, 0), (62, 0), (95, 1), (125, 2)])
def test_long_clip_is_represented_by_its_middle_window(tmp_path, seconds, middle):
    """62 s are two windows (the rest is too short), and the earlier one is the middle."""
    paths = DataPaths(tmp_path)
    song = preview_song(paths, "a", np.concatenate([chord(seconds=1, level=0.9 - 0.006 * k) for k in range(seconds)]))
    if seconds == 125:
        middle = 1 if len(AudioPipeline().log_mels(paths.preview(song))[0]) == 4 else 2
    spectrograms = compute_spectrograms([song], paths, PipelineConfig(), workers=1)
    windows, _ = AudioPipeline().log_mels(paths.preview(song))
    np.testing.assert_allclose(spectrograms.memory_map()[0], windows[middle].numpy(), atol=0.04)


def test_spectrograms_that_are_there_are_kept(own_data, capsys, monkeypatch, no_pictures):
    def fail(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(AudioPipeline, "log_mels", fail)
    assert call_main(data_loading, "--data", own_data) == 0
    assert "spectrograms: 18 already here, 0 to do" in capsys.readouterr().out


def test_changed_preview_is_computed_again(own_data, capsys, no_pictures):
    paths = DataPaths(own_data)
    songs = read_songs(paths)
    write_audio(paths.preview(songs[3]), chord(seconds=3.3, level=0.9))
    songs[3]["preview_sha256"] = sha256_of(paths.preview(songs[3]))
    write_table(paths.songs, SONG_COLUMNS, songs)
    call_main(data_loading, "--data", own_data)
    assert "17 already here, 1 to do" in capsys.readouterr().out
    spectrograms = SpectrogramSet.open(paths.spectrograms)
    (expected,), _ = AudioPipeline().log_mels(paths.preview(songs[3]))
    stored = spectrograms.memory_map()[spectrograms.rows[songs[3]["song_id"]], :, : expected.shape[1]]
    np.testing.assert_allclose(stored, expected.numpy(), atol=0.04)
    assert spectrograms.frames(songs[3]["song_id"]) == expected.shape[1]


def test_workers_do_not_matter(loaded, own_data, no_pictures):
    paths = DataPaths(own_data)
    shutil.rmtree(paths.spectrograms)
    call_main(data_loading, "--data", own_data, "--workers", 3)
    for name in SET_FILES:
        assert (paths.spectrograms / name).read_bytes() == (DataPaths(loaded).spectrograms / name).read_bytes()


@pytest.mark.parametrize("damage", [lambda clip: clip.unlink(), lambda clip: clip.write_bytes(b"no audio" * 99)])
def test_bad_preview_is_named_and_what_was_done_is_kept(own_data, damage):
    paths = DataPaths(own_data)
    shutil.rmtree(paths.spectrograms)
    damage(paths.previews / "song09.wav")
    with pytest.raises(UserError, match=r"song09\.wav: .*; run data_collection\.py again"):
        call_main(data_loading, "--data", own_data)
    assert list(SpectrogramSet.open(paths.spectrograms).rows) == [f"song{k:02}" for k in range(9)]


def test_set_of_other_settings_is_refused(own_data):
    described = DataPaths(own_data).spectrograms / "pipeline.json"
    values = json.loads(described.read_text())
    described.write_text(json.dumps(values | {"f_min_hz": 55.0}))
    with pytest.raises(UserError, match=r"f_min_hz 55\.0 and [\d.]+; delete .* run data_loading\.py again"):
        call_main(data_loading, "--data", own_data)


KILLED_WHILE_WRITING = """
import os, signal, sys
import data_loading
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
data_loading.SONGS_PER_WRITE = 3
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


@pytest.fixture
def small_set(tmp_path):
    """Songs a, b and c of 100, 60 and 20 frames; the value of each cell is its frame's number."""
    config = PipelineConfig(clip_s=4.0, n_mels=8)
    spectrograms = SpectrogramSet.create(tmp_path / "set", config)
    songs = []
    for song_id, frames, energy in (("a", 100, "0.25"), ("b", 60, "0.5"), ("c", 20, "1")):
        songs.append({"song_id": song_id, "preview_sha256": "x", "energy": energy, "valence": "0.125"})
        spectrograms.append([(songs[-1], np.tile(np.arange(frames, dtype=np.float32), (config.n_rows, 1)))])
    return spectrograms, songs


def test_items_are_whole_spectrograms_with_their_label(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",))
    assert len(dataset) == 3
    for item, frames, label in ((0, 100, 0.25), (1, 60, 0.5), (2, 20, 1.0)):
        spectrogram, value = dataset[item]
        assert spectrogram.dtype == torch.float32
        assert value.tolist() == [label]
        assert torch.equal(
            spectrogram, torch.arange(frames, dtype=torch.float32).expand(small_set[0].config.n_rows, frames)
        )


def test_order_is_that_of_the_songs(small_set):
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, songs[::-1], ("energy",))
    assert [dataset[item][0].shape[1] for item in range(3)] == [20, 60, 100]
    assert dataset.labels.tolist() == [[1.0], [0.5], [0.25]]


def test_labels_come_in_the_order_of_the_targets(small_set):
    _, labels = SpectrogramDataset(*small_set, ("valence", "energy"))[1]
    assert labels.dtype == torch.float32
    assert labels.tolist() == [0.125, 0.5]


def test_crops_lie_within_the_valid_frames(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=30, generator=torch.Generator().manual_seed(0))
    for item, frames in ((0, 100), (1, 60)):
        starts = set()
        for _ in range(400):
            spectrogram, _ = dataset[item]
            start = int(spectrogram[0, 0])
            assert torch.equal(spectrogram[0], torch.arange(start, start + 30, dtype=torch.float32))
            starts.add(start)
        assert min(starts) == 0
        assert max(starts) == frames - 30
        assert len(starts) > 25


def test_clip_shorter_than_the_crop_is_whole(small_set):
    dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dataset[2][0][0], torch.arange(20, dtype=torch.float32))


def test_generator_decides_the_crops(small_set):
    def starts(seed):
        generator = torch.Generator().manual_seed(seed)
        dataset = SpectrogramDataset(*small_set, ("energy",), crop_frames=10, generator=generator)
        return [int(dataset[0][0][0, 0]) for _ in range(20)]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def test_collate_repeats_the_shorter():
    long, short = torch.arange(10.0).expand(4, 10), torch.arange(4.0).expand(4, 4)
    spectrograms, labels = collate([(long, torch.tensor([0.1, 0.3])), (short, torch.tensor([0.2, 0.4]))])
    assert spectrograms.shape == (2, 4, 10)
    assert torch.equal(spectrograms[0], long)
    assert spectrograms[1, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    torch.testing.assert_close(labels, torch.tensor([[0.1, 0.3], [0.2, 0.4]]))


def test_loader_gives_batches(small_set):
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, songs * 3, ("energy",))
    batches = list(make_loader(dataset, batch_size=4))
    n_rows = spectrograms.config.n_rows
    assert [tuple(x.shape) for x, _ in batches] == [(4, n_rows, 100), (4, n_rows, 100), (1, n_rows, 20)]
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.labels)


def test_loader_shuffles_by_its_generator(small_set):
    spectrograms, songs = small_set
    songs = [songs[0] | {"energy": str(k / 40)} for k in range(40)]

    def order(seed):
        dataset = SpectrogramDataset(spectrograms, songs, ("energy",), crop_frames=5, generator=torch.Generator())
        loader = make_loader(dataset, batch_size=7, shuffle=True, generator=torch.Generator().manual_seed(seed))
        return [round(label * 40) for _, labels in loader for label in labels[:, 0].tolist()]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == list(range(40))


@pytest.mark.parametrize(("n", "shuffle", "sizes"), [(9, True, [4, 4]), (9, False, [4, 4, 1]), (10, True, [4, 4, 2])])
def test_training_has_no_batch_of_one_song(small_set, n, shuffle, sizes):
    """Batch normalisation can't learn from one."""
    spectrograms, songs = small_set
    dataset = SpectrogramDataset(spectrograms, (songs * 4)[:n], ("energy",))
    assert [len(labels) for _, labels in make_loader(dataset, batch_size=4, shuffle=shuffle)] == sizes


def test_demo_holds_test_songs_of_different_artists(loaded):
    demo = DataPaths(DataPaths(loaded).demo)
    songs, splits = read_songs(demo), read_splits(DataPaths(loaded))
    assert len(songs) == 3  # four test songs, two of them by one artist
    assert {splits[song["song_id"]] for song in songs} == {"test"}
    assert len({song["artist"] for song in songs}) == 3
    ours, all_songs = SpectrogramSet.open(demo.spectrograms), SpectrogramSet.open(DataPaths(loaded).spectrograms)
    for song in songs:
        song_id = song["song_id"]
        assert ours.frames(song_id) == all_songs.frames(song_id)
        stored = ours.memory_map()[ours.rows[song_id]]
        assert np.array_equal(stored, all_songs.memory_map()[all_songs.rows[song_id]])


def test_demo_is_limited_and_drawn_by_the_seed(small_set, tmp_path, monkeypatch):
    spectrograms, songs = small_set
    empty = dict.fromkeys(SONG_COLUMNS, "") | dict.fromkeys(TARGETS, "0.5")
    songs = [empty | song | {"artist": song["song_id"]} for song in songs]
    monkeypatch.setattr(data_loading, "DEMO_SONGS", 1)
    drawn = set()
    for seed in range(12):
        paths = DataPaths(tmp_path / "data")
        assert write_demo(paths, songs, spectrograms, seed=seed) == 1
        (song,) = read_songs(DataPaths(paths.demo))
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


@pytest.mark.parametrize("title", ["夜に駆ける 🎵", "Ночь", "$x^$ _{", "a\nb", "\\frac{", "x" * 200])
def test_odd_titles_are_drawn(loaded, tmp_path, title):
    paths = DataPaths(loaded)
    songs = [song | {"title": title, "artist": f"{title} 2"} for song in read_songs(paths)[:2]]
    data_loading.draw_spectrograms(songs, SpectrogramSet.open(paths.spectrograms), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


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
    songs = read_songs(paths)
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
