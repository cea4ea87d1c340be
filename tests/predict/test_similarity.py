from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from music_learning.columns import TARGETS
from music_learning.errors import UserError
from music_learning.files import read_table, sha256_of, write_table
from music_learning.predict.similarity import (
    LABELLED_COLUMNS,
    OWN_COLUMNS,
    YEAR,
    SimilarArtist,
    SimilarSong,
    SongIndex,
    Songs,
    by_artist,
    check_place,
    year_of,
)

WEIGHTS = dict.fromkeys(TARGETS, "0" * 64)
N_SONGS = 30


def song(number):
    return {"song_id": f"id{number}", "title": f"Title {number}", "artist": f"Artist {number // 3}"} | dict.fromkeys(
        TARGETS, f"{number / N_SONGS:.3f}"
    )


def make_index(n=N_SONGS, *, components=8):
    points = torch.randn(n, components, generator=torch.Generator().manual_seed(0))
    return SongIndex([song(k) for k in range(n)], points, torch.zeros(components), torch.eye(components))


@pytest.fixture
def saved(tmp_path) -> Path:
    make_index().save(tmp_path / "index", WEIGHTS)
    return tmp_path / "index"


def test_nearest_song_is_the_song_itself_and_the_others_follow_by_distance():
    index = make_index()
    found = index.nearest(index.components[7], 5)
    assert found[0].song_id == "id7"
    order = torch.cdist(index.components[7:8], index.components)[0].argsort()[:5]
    assert [neighbour.song_id for neighbour in found] == [f"id{row}" for row in order.tolist()]
    percentiles = [neighbour.similarity_percentile for neighbour in found]
    assert percentiles == sorted(percentiles, reverse=True)
    assert percentiles[0] == 100


@pytest.mark.parametrize("row", range(5))
def test_one_window_finds_what_is_nearest_to_it(row):
    index = make_index()
    embedding = index.components[row] + 0.3
    assert index.nearest_to_windows([(embedding, 937.0)], 8) == index.nearest(embedding, 8)


def test_each_part_of_a_mix_has_its_neighbours_shown():
    """Five far-off groups of songs, a window from the middle of each: of each group one is among the first five."""
    generator = torch.Generator().manual_seed(0)
    centres = 100 * torch.eye(5)
    points = torch.cat([centre + torch.randn(20, 5, generator=generator) for centre in centres])
    index = SongIndex(
        [song(k % N_SONGS) | {"song_id": f"id{k}"} for k in range(100)], points, torch.zeros(5), torch.eye(5)
    )
    windows = [(centre, 900.0) for centre in centres]
    found = index.nearest_to_windows(windows, 10)
    assert {int(neighbour.song_id[2:]) // 20 for neighbour in found[:5]} == set(range(5))
    assert {neighbour.song_id for neighbour in found[:5]} == {index.nearest(c, 1)[0].song_id for c in centres}
    of_mean = index.nearest(centres.mean(dim=0), 5)
    assert {neighbour.song_id for neighbour in of_mean} != {neighbour.song_id for neighbour in found[:5]}


def test_song_that_is_near_throughout_comes_before_one_that_is_nearest_to_a_part():
    points = torch.tensor([[0.0, 0.1], [4.0, 0.1], [2.0, 0.0], [2.0, 50.0], [60.0, 0.0]])
    index = SongIndex([song(k) for k in range(5)], points, torch.zeros(2), torch.eye(2))
    found = index.nearest_to_windows([(torch.tensor([0.0, 0.0]), 1.0), (torch.tensor([4.0, 0.0]), 1.0)], 2)
    assert found[0].song_id == "id2"
    assert found[0].similarity_percentile == 100  # of the mean of both, on which it lies


def test_long_window_has_more_votes():
    index = make_index()
    first, second = index.components[3], index.components[9]
    assert index.nearest_to_windows([(first, 1.0), (second, 9.0)], 5)[0].song_id == "id9"
    assert index.nearest_to_windows([(first, 9.0), (second, 1.0)], 5)[0].song_id == "id3"


def test_similarity_percentile_is_a_share_of_pairs():
    index = make_index(200)
    middle = index.components[0] + torch.tensor([1.0] + [0.0] * 7) * index.pair_distances.median()
    far = index.components[0] + torch.tensor([1000.0] + [0.0] * 7)
    songs = index.nearest(middle, 200)
    distances = [float(torch.dist(index.project(middle), index.components[int(song.song_id[2:])])) for song in songs]
    farther = [float((index.pair_distances >= distance).float().mean()) for distance in distances]
    assert [song.similarity_percentile for song in songs] == pytest.approx([100 * share for share in farther], abs=0.1)
    assert min(farther) < 0.5 < max(farther)
    assert index.nearest(far, 1)[0].similarity_percentile == 0


def test_more_neighbours_than_songs_are_all_songs():
    assert len(make_index(4).nearest(torch.zeros(8), 10)) == 4


@pytest.mark.parametrize(
    ("percentile", "words"),
    [
        (100.0, "very alike"),
        (99.9, "very alike"),
        (99.899, "alike"),
        (99.0, "alike"),
        (98.999, "somewhat alike"),
        (90.0, "somewhat alike"),
        (89.999, "not very alike"),
        (0.0, "not very alike"),
    ],
)
def test_closeness_in_words(percentile, words):
    song = SimilarSong("1", "T", "A", percentile)
    assert song.closeness == song.to_dict()["closeness"] == SimilarArtist("A", song).to_dict()["closeness"] == words
    assert song.to_dict()["similarity_percentile"] == round(percentile, 2)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1987", 1987),
        ("2003-05-12", 2003),
        ("20030512", 2003),
        ("1999; 2004", 1999),
        ("0000", None),
        ("99", None),
        ("May 1987", None),
        ("\u0661\u0669\u0668\u0667", None),
        ("", None),
        (None, None),
    ],
)
def test_year_of_a_date(text, year):
    assert year_of(text) == year


def test_songs_have_their_years_where_the_index_knows_them(tmp_path):
    rows = [song(k) | {YEAR: year} for k, year in enumerate(("1987", "", "soon"))]
    index = SongIndex(rows, torch.eye(3), torch.zeros(3), torch.eye(3))
    index.save(tmp_path / "index", WEIGHTS)
    opened = SongIndex.open(tmp_path / "index", WEIGHTS, columns=LABELLED_COLUMNS)
    found = [opened.nearest(row, 1)[0] for row in torch.eye(3)]
    assert [neighbour.year for neighbour in found] == [1987, None, None]
    assert found[0].to_dict() == {
        "song_id": "id0",
        "title": "Title 0",
        "artist": "Artist 0",
        "year": 1987,
        "similarity_percentile": 100.0,
        "closeness": "very alike",
        "path": None,
    }


def test_index_without_years_is_an_older_one(saved):
    opened = SongIndex.open(saved, WEIGHTS, columns=LABELLED_COLUMNS)
    assert opened.nearest(torch.zeros(8), 1)[0].year is None


def test_artists_come_by_their_nearest_song():
    songs = [SimilarSong(str(k), f"t{k}", artist, 99 - k) for k, artist in enumerate("ABACBD")]
    artists = by_artist(songs, 3)
    assert [(artist.artist, artist.song.title) for artist in artists] == [("A", "t0"), ("B", "t1"), ("C", "t3")]


def test_every_song_of_a_large_index_is_nearest_to_itself():
    index = make_index(5_000, components=64)
    assert all(
        index.nearest(index.components[row], 1)[0].song_id == f"id{row}" for row in range(0, len(index.songs), 50)
    )


def test_saved_index_finds_the_same(saved):
    opened, index = SongIndex.open(saved, WEIGHTS), make_index()
    assert opened.nearest(index.components[3], 5) == index.nearest(index.components[3], 5)
    assert list(opened.songs) == index.songs


def test_nothing_is_pickled(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["embeddings.safetensors", "songs.csv"]
    assert set(load_file(saved / "embeddings.safetensors")) == {"components", "mean", "basis"}


def rename_a_song(folder):
    rows = read_table(folder / "songs.csv", LABELLED_COLUMNS, "")
    write_table(folder / "songs.csv", LABELLED_COLUMNS, [rows[0] | {"title": "Other"}, *rows[1:]])


DAMAGED = {
    "no songs": (
        lambda folder: (folder / "songs.csv").unlink(),
        r"songs\.csv is missing; run music-learning index",
    ),
    "no embeddings": (
        lambda folder: (folder / "embeddings.safetensors").unlink(),
        r"is missing; run music-learning index",
    ),
    "no safetensors": (lambda folder: (folder / "embeddings.safetensors").write_bytes(b"x" * 50), "is damaged"),
    "changed songs": (rename_a_song, r"songs\.csv is damaged .or changed"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_index_is_refused(saved, case):
    damage, reason = DAMAGED[case]
    damage(saved)
    with pytest.raises(UserError, match=reason):
        SongIndex.open(saved, WEIGHTS)


TENSORS = {"components": torch.ones(N_SONGS, 8), "mean": torch.zeros(8), "basis": torch.eye(8)}
DAMAGED_TENSORS = {
    "fewer rows than songs": ({"components": torch.ones(29, 8)}, r"components has the shape \(29, 8\), not \(30, 8\)"),
    "more rows than songs": ({"components": torch.ones(31, 8)}, r"components has the shape \(31, 8\), not \(30, 8\)"),
    "no components": ({"components": torch.ones(30, 0)}, "components has the shape"),
    "another basis": ({"basis": torch.ones(8, 7)}, r"basis has the shape \(8, 7\), not \(8, 8\)"),
    "of other networks": ({"mean": torch.ones(9), "basis": torch.ones(9, 8)}, r"mean has the shape \(9,\), not \(8\)"),
    "doubles": ({"mean": torch.zeros(8).double()}, "mean holds numbers of type F64"),
    "NaN": ({"components": torch.full((30, 8), torch.nan)}, "components holds NaN"),
    "no numbers": ({"components": torch.ones(30, 8, dtype=torch.bool)}, "components holds numbers of type BOOL"),
}


@pytest.mark.parametrize("case", DAMAGED_TENSORS)
def test_tensors_that_no_index_has_are_refused(saved, case):
    changes, reason = DAMAGED_TENSORS[case]
    path = saved / "embeddings.safetensors"
    metadata = WEIGHTS | {"songs_sha256": sha256_of(saved / "songs.csv")}
    save_file(TENSORS, path, metadata)
    assert len(SongIndex.open(saved, WEIGHTS, embedding=8).songs) == N_SONGS
    save_file(TENSORS | changes, path, metadata)
    with pytest.raises(UserError, match=rf"embeddings\.safetensors is damaged .{reason}"):
        SongIndex.open(saved, WEIGHTS, embedding=8)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "needs two songs"),
        ([song(0)], "needs two songs"),
        ([song(0) | {"energy": "nan"}, song(1)], "songs need labels from 0 to 1"),
        ([song(0) | {"valence": "2"}, song(1)], "songs need labels from 0 to 1"),
    ],
)
def test_songs_that_no_index_has_are_refused(saved, rows, reason):
    write_table(saved / "songs.csv", LABELLED_COLUMNS, rows)
    metadata = WEIGHTS | {"songs_sha256": sha256_of(saved / "songs.csv")}
    save_file(TENSORS | {"components": torch.ones(max(len(rows), 1), 8)}, saved / "embeddings.safetensors", metadata)
    with pytest.raises(UserError, match=rf"songs\.csv is damaged .its? {reason}"):
        SongIndex.open(saved, WEIGHTS, columns=LABELLED_COLUMNS)


def test_own_songs_need_no_labels_and_have_a_path(tmp_path):
    names = {"song_id": ["1", "2"], "title": ["A\r\n", '"B", b'], "artist": ["", "C"], "path": ["/a\n.mp3", "/b;,.mp3"]}
    components = torch.eye(2)
    SongIndex(Songs(names), components, torch.zeros(2), torch.eye(2)).save(tmp_path / "index", WEIGHTS)
    opened = SongIndex.open(tmp_path / "index", WEIGHTS)
    assert opened.songs.columns == names
    first, second = opened.nearest(components[0], 2)
    assert first == SimilarSong("1", "A\r\n", "", 100.0, "/a\n.mp3")
    assert (first.name, second.name) == ("A\r\n", '"B", b by C')
    assert second.to_dict()["path"] == "/b;,.mp3"
    with pytest.raises(UserError, match="has no column energy, danceability, valence"):
        SongIndex.open(tmp_path / "index", WEIGHTS, columns=LABELLED_COLUMNS)


def test_labelled_songs_have_no_path():
    assert make_index().nearest(torch.zeros(8), 1)[0].path is None


def test_songs_that_are_nearly_the_same_are_told_apart():
    """By a matrix product alone they would not be: 10 from 0, and a thousandth from one another."""
    generator = torch.Generator().manual_seed(0)
    points = torch.cat([10 + 0.001 * torch.rand(20, 8, generator=generator), torch.zeros(20, 8)])
    index = SongIndex(
        [song(k % N_SONGS) | {"song_id": f"id{k}"} for k in range(40)], points, torch.zeros(8), torch.eye(8)
    )
    blurred = torch.cdist(points[:20], points[:20], compute_mode="use_mm_for_euclid_dist").argmin(dim=1)
    assert blurred.tolist() != list(range(20))
    for row in range(20):
        assert index.nearest(points[row], 10)[0].song_id == f"id{row}"


def test_artists_that_nobody_knows_are_left_out():
    songs = [SimilarSong("1", "t", "", 99), SimilarSong("2", "u", "A", 98)]
    assert [artist.artist for artist in by_artist(songs, 5)] == ["A"]


def test_place_of_an_index(saved, tmp_path):
    check_place(tmp_path / "new", OWN_COLUMNS)
    check_place(saved, LABELLED_COLUMNS)
    with pytest.raises(UserError, match=r"songs\.csv is there and is another table"):
        check_place(saved, OWN_COLUMNS)
    older = Songs({name: ["1", "2"] for name in ("song_id", "title", "artist", "path")})
    SongIndex(older, torch.eye(2), torch.zeros(2), torch.eye(2)).save(tmp_path / "older", WEIGHTS)
    check_place(tmp_path / "older", OWN_COLUMNS)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder; name another"):
        check_place(tmp_path / "file", OWN_COLUMNS)


def test_index_of_other_models_is_refused(saved):
    with pytest.raises(UserError, match=r"made with other models than these; make it again with model_train\.py"):
        SongIndex.open(saved, WEIGHTS | {"valence": "1" * 64}, made_by="model_train.py")
