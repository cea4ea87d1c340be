import pytest
from conftest import song_frame, song_row

from music_learning.columns import SPLITS
from music_learning.songs import artists
from music_learning.songs.artists import artist_groups, artist_names, assign_splits, by_other_artists


def song(song_id, artist, *, title="A title", artist_id=""):
    return song_row(song_id, artist=artist, title=title, artist_id=artist_id)


def assign(songs, placed, *, seed):
    """The splits of the songs that have one, and the ids of the others."""
    splits = assign_splits(song_frame(*songs), placed, seed=seed)
    assert list(splits.index) == [song["song_id"] for song in songs]
    return splits.dropna().to_dict(), list(splits.index[splits.isna()])


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
    groups = artist_groups(song_frame(*songs))
    return {frozenset(groups.index[groups == name]) for name in groups.unique()}


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
    groups = artist_groups(song_frame(*songs))
    assert list(groups.index) == [song["song_id"] for song in songs]
    assert groups.notna().all()
    for name, group in groups.groupby(groups, sort=False):
        assert name == group.index[0]  # it is named by its first song


@pytest.mark.parametrize("seed", range(3))
def test_no_artist_is_in_two_splits(seed):
    songs = many_songs()
    splits, unusable = assign(songs, {}, seed=seed)
    assert unusable == []
    assert set(splits) == {song["song_id"] for song in songs}
    assert set(splits.values()) == set(SPLITS)
    assert_no_artist_in_two_splits(songs, splits)


def test_songs_of_nobody_are_in_groups_of_their_own():
    assert group_ids([song("1", ""), song("2", "", title=""), song("3", "A")]) == {
        frozenset("1"),
        frozenset("2"),
        frozenset("3"),
    }


def test_other_artists_are_those_of_no_taken_song():
    songs = song_frame(song("1", "A"), song("2", "B feat. C"), song("3", "D"))
    assert list(by_other_artists(songs, song_frame(song("9", "C"), song("8", "a"))).index) == ["3"]
    assert list(by_other_artists(songs, songs[:0]).index) == ["1", "2", "3"]
    none = by_other_artists(songs[:0], songs)
    assert none.empty and list(none.columns) == list(songs.columns)


def test_shares_of_the_splits():
    songs = [song(str(k), f"Artist {k}") for k in range(3000)]
    splits = list(assign(songs, {}, seed=0)[0].values())
    for split, share in artists.SPLIT_SHARES.items():
        assert splits.count(split) / 3000 == pytest.approx(share, abs=0.03)


def test_same_seed_same_split():
    songs = many_songs()
    first, _ = assign(songs, {}, seed=3)
    assert assign(songs[::-1], {}, seed=3)[0] == first
    assert assign(songs, {}, seed=4)[0] != first


def test_added_songs_move_none():
    old = many_songs()
    placed, _ = assign(old, {}, seed=0)
    songs = old + many_songs(60, first=200) + [song("new", "Artist 7")]
    splits, unusable = assign(songs, placed, seed=0)
    assert unusable == []
    assert {song_id: splits[song_id] for song_id in placed} == placed
    assert splits["new"] == placed["s7a"]
    assert_no_artist_in_two_splits(songs, splits)


def test_placed_songs_stay_with_another_seed():
    songs = many_songs()
    placed, _ = assign(songs, {}, seed=0)
    assert assign(songs, placed, seed=1)[0] == placed


def test_song_that_joins_two_splits_is_left_out():
    songs = [song("1", "A"), song("2", "B"), song("3", "A feat. B")]
    splits, unusable = assign(songs, {"1": "train", "2": "test"}, seed=0)
    assert splits == {"1": "train", "2": "test"}
    assert unusable == ["3"]


def test_song_that_joins_two_splits_takes_no_other_with_it():
    """Song 4 is by B alone, who is in the test split, so it belongs there whatever song 3 is."""
    songs = [song("1", "A"), song("2", "B"), song("3", "A feat. B"), song("4", "B"), song("5", "A")]
    splits, unusable = assign(songs, {"1": "train", "2": "test"}, seed=0)
    assert splits == {"1": "train", "2": "test", "4": "test", "5": "train"}
    assert unusable == ["3"]


def test_new_artist_follows_the_one_already_placed():
    songs = [song("1", "A"), song("2", "A feat. New"), song("3", "New")]
    splits, unusable = assign(songs, {"1": "validation"}, seed=0)
    assert set(splits.values()) == {"validation"}
    assert unusable == []


@pytest.mark.parametrize("artist", ["&", "+", "/", " , "])
def test_artist_of_nothing_but_separators_is_placed(artist):
    songs = [song("1", artist), song("2", "B")]
    splits, unusable = assign(songs, {}, seed=0)
    assert set(splits) == {"1", "2"}
    assert unusable == []
