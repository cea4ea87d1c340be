import json
import shutil
import unicodedata

import numpy as np
import pytest
from conftest import call_main, chord, read_rows, run_python, write_audio, write_catalog

import data_collection
import data_loading
from music_learning.collect import local
from music_learning.collect.local import LocalCatalog
from music_learning.columns import OTHER_FEATURES, REJECTED_COLUMNS, SONG_COLUMNS, TARGETS
from music_learning.errors import UserError
from music_learning.files import only_writer, sha256_of, write_table
from music_learning.paths import DataPaths
from music_learning.songs.table import read_song_rows

GOOD = {"title": "A title", "artist": "An artist", "energy": "0.5", "danceability": "0", "valence": "1"}


def good(song_id, **changes):
    return {"song_id": song_id, **GOOD, **changes}


def collect(folder, *, data=None):
    """Collect folder/catalog.csv and folder/clips/ to folder/data/."""
    data = data or folder / "data"
    arguments = ["--source", "local", "--catalog", folder / "catalog.csv", "--audio", folder / "clips", "--data", data]
    status = call_main(data_collection, *arguments)
    return status, DataPaths(data)


def visible_files(folder):
    """A killed run may leave temporary files, whose names begin with a dot."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def tables(paths):
    return paths.songs.read_bytes(), paths.rejected.read_bytes()


@pytest.fixture
def folder(tmp_path):
    """A folder with clips/ that holds a good clip each for songs a, b and c, and no catalog yet."""
    (tmp_path / "clips").mkdir()
    for number, song_id in enumerate("abc"):
        write_audio(tmp_path / "clips" / f"{song_id}.wav", chord(seconds=3.2, level=0.2 + 0.1 * number))
    return tmp_path


BAD_SONGS = {
    "missing label": (good("bad1", valence=""), "labels", "no valence label"),
    "label too large": (good("bad2", energy="1.7"), "labels", "energy is 1.7; expected a number from 0 to 1"),
    "negative label": (good("bad3", energy="-0.1"), "labels", "energy is -0.1; expected a number from 0 to 1"),
    "label nan": (good("bad4", danceability="nan"), "labels", "danceability is nan; expected a number"),
    "label inf": (good("bad5", valence="inf"), "labels", "valence is inf; expected a number"),
    "percentage": (good("bad16", energy="73"), "labels", "energy is 73; expected a number from 0 to 1; divide percent"),
    "percentage with a sign": (good("bad17", energy="73 %"), "labels", "from 0 to 1; divide percentages by 100"),
    "label no number": (good("bad6", energy="high"), "labels", "energy is high; expected a number"),
    "missing clip": (good("bad7"), "clip", "no clip bad7.* in clips/"),
    "broken clip": (good("bad8"), "clip", "not an audio file"),
    "silent clip": (good("bad9"), "clip", "silent"),
    "short clip": (good("bad10"), "clip", "only 1.0 s of audio"),
    "duplicate": (good("fine1", title="Again"), "labels", "duplicate id"),
    "duplicate but for the case": (good("FINE1"), "labels", "duplicate id"),
    "id that is a path": (good("../../x"), "labels", "id '../../x' is not made of"),
    "empty id": (good(""), "labels", "id '' is not made of"),
    "id too long": (good("x" * 129), "labels", "is not made of 1 to 128 letters"),
    "empty artist": (good("bad11", artist=" "), "labels", "no artist"),
    "clip outside the folder": (good("bad12", audio_file="../outside.wav"), "clip", "no clip ../outside.wav in clips/"),
    "clip by an absolute path": (good("bad13", audio_file="/etc/passwd"), "clip", "no clip /etc/passwd in clips/"),
    "clip that is no audio by its name": (good("bad14", audio_file="notes.txt"), "clip", "no audio file by its suffix"),
    "clip that is a folder": (good("bad15", audio_file="folder.wav"), "clip", "no clip folder.wav"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A collected catalog of 2 good and many bad songs."""
    folder = tmp_path_factory.mktemp("mixed")
    clips = folder / "clips"
    (clips / "folder.wav").mkdir(parents=True)
    for song_id in ("fine1", "fine2", "bad1", "bad2", "bad3", "bad4", "bad5", "bad6", "bad11"):
        write_audio(clips / f"{song_id}.wav", chord(seconds=3.2))
    write_audio(folder / "outside.wav", chord(seconds=3.2))
    write_audio(folder / "x.wav", chord(seconds=3.2))
    write_audio(clips / "bad9.wav", np.zeros(60_000))
    write_audio(clips / "bad10.wav", chord(seconds=1))
    (clips / "bad8.mp3").write_bytes(b"no audio" * 1000)
    (clips / "notes.txt").write_text("no audio")
    rows = [good("fine1"), good("fine2", audio_file="fine2.wav"), *(song for song, _, _ in BAD_SONGS.values())]
    write_catalog(folder / "catalog.csv", rows)
    status, paths = collect(folder)
    assert status == 0
    return paths, len(rows)


@pytest.mark.parametrize("case", BAD_SONGS)
def test_bad_song_is_rejected_with_its_reason(mixed, case):
    song, stage, reason = BAD_SONGS[case]
    paths, _ = mixed
    rows = [row for row in read_rows(paths.rejected) if row["song_id"] == song["song_id"]]
    assert len(rows) == 1
    assert rows[0]["stage"] == stage
    assert reason in rows[0]["reason"]
    assert rows[0]["title"] == song["title"]


def test_the_rest_is_kept(mixed):
    paths, found = mixed
    kept = read_rows(paths.songs)
    assert [song["song_id"] for song in kept] == ["fine1", "fine2"]
    assert len(kept) + len(read_rows(paths.rejected)) == found
    assert sorted(visible_files(paths.previews)) == ["fine1.wav", "fine2.wav"]


def test_tables_have_their_columns(mixed):
    paths, _ = mixed
    assert paths.songs.read_text().splitlines()[0] == ",".join(SONG_COLUMNS)
    assert paths.rejected.read_text().splitlines()[0] == ",".join(REJECTED_COLUMNS)


def test_kept_song_names_its_preview_and_hash(mixed):
    paths, _ = mixed
    for song in read_rows(paths.songs):
        assert song["preview_file"] == f"{song['song_id']}.wav"
        assert song["preview_sha256"] == sha256_of(paths.preview(song))
        assert (song["source"], song["label_source"]) == ("local", "catalog.csv")
        assert (song["energy"], song["danceability"], song["valence"]) == ("0.5", "0", "1")


def test_counts_are_printed(folder, capsys):
    write_catalog(folder / "catalog.csv", [good("a"), good("b"), good("zzz")])
    collect(folder)
    printed = capsys.readouterr().out
    assert "kept 2 of 3 songs found; 1 in " in printed
    assert "rejected    1: no clip zzz.* in clips/" in printed


def test_columns_of_spotify_and_kaggle_are_understood(folder):
    row = {
        "track_id": "a",
        "track_name": "Hello",
        "artists": "First;Second",
        "album_name": "Album",
        "Energy": "0.25",
        " danceability ": "0.5",
        "valence": "0.75",
        "loudness": "-5.5",
        "tempo": "120.5",
        "key": "-1",
        "mode": "0",
        "release_date": "2019-05-01",
        "popularity": "80",
    }
    write_catalog(folder / "catalog.csv", [row], encoding="utf-8-sig")
    _, paths = collect(folder)
    (song,) = read_rows(paths.songs)
    expected = {
        "song_id": "a",
        "title": "Hello",
        "artist": "First;Second",
        "album": "Album",
        "energy": "0.25",
        "danceability": "0.5",
        "valence": "0.75",
        "loudness_db": "-5.5",
        "tempo_bpm": "120.5",
        "key": "",  # Spotify's -1: not known
        "mode": "0",
        "release_year": "2019",
        "liveness": "",
    }
    assert {name: song[name] for name in expected} == expected


def test_columns_in_another_order(folder):
    (folder / "catalog.csv").write_text("valence,artist,energy,name,danceability,id\n0.1,Art,0.2,Name,0.3,b\n")
    _, paths = collect(folder)
    (song,) = read_rows(paths.songs)
    assert [song[name] for name in ("song_id", "title", "artist", "energy", "danceability", "valence")] == [
        "b",
        "Name",
        "Art",
        "0.2",
        "0.3",
        "0.1",
    ]


def test_our_own_songs_csv_is_a_catalog(mixed, tmp_path):
    paths, _ = mixed
    shutil.copy(paths.songs, tmp_path / "catalog.csv")
    shutil.copytree(paths.previews, tmp_path / "clips")
    _, again = collect(tmp_path)
    assert again.songs.read_bytes() == paths.songs.read_bytes()


def test_what_the_source_does_not_know_stays_empty(folder):
    write_catalog(folder / "catalog.csv", [good("a", tempo="", loudness="nan", acousticness="unknown", key="5")])
    _, paths = collect(folder)
    (song,) = read_rows(paths.songs)
    assert {name: song[name] for name in OTHER_FEATURES if song[name]} == {"key": "5"}


ODD_TITLES = [
    "NA",
    "None",
    "nan",
    "=cmd()",
    'She said "no"',
    "One, two; three",
    "Two\nlines",
    "Old\rMac",
    "夜に駆ける",
    "Ночь",
    "🎵",
    "$x^$",
    "'",
]


@pytest.mark.parametrize("title", ODD_TITLES, ids=repr)
def test_odd_title_survives(folder, title):
    write_catalog(folder / "catalog.csv", [good("a", title=title, artist=f"{title} & Co"), good("b")])
    _, paths = collect(folder)
    songs = read_song_rows(paths)
    assert [(song["title"], song["artist"]) for song in songs] == [(title, f"{title} & Co"), ("A title", "An artist")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_is_no_part_of_the_first_column(folder, encoding):
    write_catalog(folder / "catalog.csv", [good("a")], encoding=encoding)
    _, paths = collect(folder)
    assert len(read_rows(paths.songs)) == 1


def test_row_with_too_many_values_does_not_stop_the_rest(folder):
    """As an unquoted comma in a title makes it."""
    lines = [",".join(GOOD | {"song_id": ""}), "Hello, you,An artist,0.5,0.5,0.5,a", "Title,Artist,0.5,0.5,0.5,b"]
    (folder / "catalog.csv").write_text("\n".join(lines) + "\n")
    _, paths = collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["b"]
    assert len(read_rows(paths.rejected)) == 1


def test_row_with_too_few_values_is_rejected(folder):
    (folder / "catalog.csv").write_text("id,title,artist,energy,danceability,valence\na,T,A\nb,T,A,0.1,0.2,0.3\n\n")
    _, paths = collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["b"]
    assert [row["reason"] for row in read_rows(paths.rejected)] == ["line 2 has 3 values for 6 columns"]


def test_missing_columns_are_named_with_what_is_understood(folder):
    (folder / "catalog.csv").write_text("id,title,tempo\na,b,c\n")
    with pytest.raises(UserError, match=r"no column for artist \(artist, artists,.*energy.*it has: id, title, tempo"):
        collect(folder)


NO_CSV = {"empty": (b"", "is empty"), "noise": (bytes(range(256)) * 100, "has no column")}


@pytest.mark.parametrize("case", NO_CSV)
def test_catalog_that_is_no_csv_is_a_sentence(folder, case):
    content, expected = NO_CSV[case]
    (folder / "catalog.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"catalog\.csv {expected}"):
        collect(folder)


def test_missing_catalog_is_a_sentence(folder):
    with pytest.raises(UserError, match=r"--catalog .*catalog\.csv: there is no such file"):
        collect(folder)
    (folder / "catalog.csv").mkdir()
    with pytest.raises(UserError, match=r"--catalog .* is no file but a folder"):
        collect(folder)


def test_audio_that_is_no_folder_is_a_sentence(folder):
    write_catalog(folder / "catalog.csv", [good("a")])
    for audio in (folder / "gone", folder / "catalog.csv", folder / ("x" * 300)):
        with pytest.raises(UserError, match=r"--audio .* (is not a folder|can't be read: .*); name the folder"):
            LocalCatalog(folder / "catalog.csv", audio)


def test_no_usable_song_is_an_error_that_names_the_list(folder):
    write_catalog(folder / "catalog.csv", [good("gone1"), good("gone2")])
    with pytest.raises(UserError, match=r"no song could be used; .*rejected\.csv says why"):
        collect(folder)
    assert len(read_rows(folder / "data" / "rejected.csv")) == 2


def test_names_cannot_move_the_terminal(folder, capsys):
    rows = [
        good("a", title="\x1b[2J"),
        good("x", audio_file="\x1b]0;x\x07.wav"),
        good("\u202ey\nz"),
        good("b", energy="\x9b"),
    ]
    write_catalog(folder / "catalog.csv", rows)
    data = folder / "da\x1b[31mta"
    collect(folder, data=data)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\x9b" not in printed and "\u202e" not in printed
    assert r"no clip \x1b]0;x\x07.wav in clips/" in printed
    assert r"da\x1b[31mta/songs.csv holds 1 songs" in printed
    assert call_main(data_loading, "--data", data) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_what_was_checked_before_the_disk_was_full_is_saved(folder, monkeypatch):
    copy = local.copy_atomically

    def copy_or_fail(source, destination):
        if source.name == "c.wav":
            raise UserError("c.wav can't be written: No space left on device")
        copy(source, destination)

    monkeypatch.setattr(local, "copy_atomically", copy_or_fail)
    write_catalog(folder / "catalog.csv", [good("a"), good("gone"), good("b"), good("c")])
    with pytest.raises(UserError, match=r"c\.wav can't be written: No space left"):
        collect(folder)
    paths = DataPaths(folder / "data")
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["a", "b"]
    assert [row["song_id"] for row in read_rows(paths.rejected)] == ["gone"]
    monkeypatch.setattr(local, "copy_atomically", copy)
    collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["a", "b", "c"]


def test_second_run_on_the_same_folder_is_refused(folder):
    write_catalog(folder / "catalog.csv", [good("a")])
    with (
        only_writer(folder / "data", "data_collection.py"),
        pytest.raises(UserError, match=r"another run of data_collection\.py writes to"),
    ):
        collect(folder)


def test_data_folder_that_is_a_file_is_a_sentence(folder):
    write_catalog(folder / "catalog.csv", [good("a")])
    (folder / "data").write_text("a file")
    with pytest.raises(UserError, match=r"can't be written|is not a folder"):
        collect(folder)


def test_running_twice_changes_nothing(folder):
    write_catalog(folder / "catalog.csv", [good("c"), good("a"), good("zz"), good("b", energy="2")])
    _, paths = collect(folder)
    before = tables(paths), visible_files(paths.previews)
    collect(folder)
    assert (tables(paths), visible_files(paths.previews)) == before


def test_clip_that_is_there_is_not_decoded_again(folder, monkeypatch):
    write_catalog(folder / "catalog.csv", [good("a")])
    _, paths = collect(folder)
    before = tables(paths)

    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(local.AudioPipeline, "log_mels", fail)
    collect(folder)
    assert tables(paths) == before


def test_order_of_the_catalog_and_workers_do_not_matter(folder):
    write_catalog(folder / "catalog.csv", [good("a"), good("b"), good("c"), good("x"), good("y")])
    _, one = collect(folder, data=folder / "one")
    write_catalog(folder / "catalog.csv", [good("y"), good("c"), good("x"), good("b"), good("a")])
    source = ["--source", "local", "--catalog", folder / "catalog.csv", "--audio", folder / "clips"]
    call_main(data_collection, *source, "--data", folder / "two", "--workers", 3)
    assert tables(DataPaths(folder / "two")) == tables(one)


def test_workers_flag_reaches_the_pool(folder, monkeypatch):
    seen = []
    ordered_map = local.ordered_map

    def note(*arguments, **options):
        seen.append(options["workers"])
        return ordered_map(*arguments, **options)

    monkeypatch.setattr(local, "ordered_map", note)
    write_catalog(folder / "catalog.csv", [good("a")])
    source = ["--source", "local", "--catalog", folder / "catalog.csv", "--audio", folder / "clips"]
    call_main(data_collection, *source, "--data", folder / "data", "--workers", 3)
    assert seen == [3]


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_bad_number_of_workers(folder, workers, capsys):
    with pytest.raises(SystemExit) as caught:
        call_main(data_collection, "--source", "local", "--catalog", "x", "--audio", "y", "--workers", workers)
    assert caught.value.code == 2
    assert "--workers" in capsys.readouterr().err


def test_second_catalog_adds(folder):
    write_catalog(folder / "catalog.csv", [good("b"), good("gone")])
    collect(folder)
    write_catalog(folder / "catalog.csv", [good("a"), good("gone too")])
    _, paths = collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["a", "b"]
    assert [row["song_id"] for row in read_rows(paths.rejected)] == ["gone", "gone too"]


def test_song_collected_again_is_replaced(folder):
    write_catalog(folder / "catalog.csv", [good("a"), good("b")])
    collect(folder)
    write_catalog(folder / "catalog.csv", [good("a", energy="0.9")])
    write_audio(folder / "clips" / "a.wav", chord(seconds=3.5))
    _, paths = collect(folder)
    songs = read_rows(paths.songs)
    assert [(song["song_id"], song["energy"]) for song in songs] == [("a", "0.9"), ("b", "0.5")]
    assert songs[0]["preview_sha256"] == sha256_of(folder / "clips" / "a.wav") == sha256_of(paths.preview(songs[0]))


def test_song_that_became_bad_leaves_and_comes_back(folder):
    write_catalog(folder / "catalog.csv", [good("a"), good("b")])
    _, paths = collect(folder)
    before = tables(paths)
    write_catalog(folder / "catalog.csv", [good("a", energy="7"), good("b")])
    collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["b"]
    assert [row["song_id"] for row in read_rows(paths.rejected)] == ["a"]
    write_catalog(folder / "catalog.csv", [good("a"), good("b")])
    collect(folder)
    assert tables(paths) == before


def test_damaged_preview_is_copied_again(folder):
    write_catalog(folder / "catalog.csv", [good("a")])
    _, paths = collect(folder)
    (paths.previews / "a.wav").write_bytes(b"damaged")
    collect(folder)
    assert sha256_of(paths.previews / "a.wav") == sha256_of(folder / "clips" / "a.wav")


KILLED_WHILE_COPYING = """
import json, os, shutil, signal, sys
import data_collection

copyfile, copied = shutil.copyfile, []

def copy_or_die(source, destination):
    if len(copied) == 5:
        with open(source, "rb") as whole, open(destination, "wb") as part:
            part.write(whole.read(1000))
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(source)
    return copyfile(source, destination)

shutil.copyfile = copy_or_die
sys.argv[1:] = json.loads(sys.argv[1])
data_collection.main()
"""


def test_kill_9_and_again_equals_an_uninterrupted_run(library, collected, tmp_path):
    paths, whole = DataPaths(tmp_path / "data"), DataPaths(collected)
    arguments = ["--source", "local", "--catalog", library / "catalog.csv", "--audio", library / "clips"]
    arguments = [str(argument) for argument in [*arguments, "--data", paths.root]]
    killed = run_python("-c", KILLED_WHILE_COPYING, json.dumps([*arguments, "--workers", "1"]))
    assert killed.returncode == -9, killed.stderr
    assert len(visible_files(paths.previews)) == 5
    assert not paths.songs.exists()
    call_main(data_collection, *arguments)
    assert tables(paths) == tables(whole)
    assert visible_files(paths.previews) == visible_files(whole.previews)


def test_bad_catalog_is_one_line_and_status_1(folder):
    (folder / "catalog.csv").write_text("id,title\n")
    catalog, clips = folder / "catalog.csv", folder / "clips"
    done = run_python("data_collection.py", "--source", "local", "--catalog", catalog, "--audio", clips)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {catalog} has no column for ")
    assert done.stderr.count("\n") == 1


NFC, NFD = "Für Élise", unicodedata.normalize("NFD", "Für Élise")


@pytest.mark.parametrize(
    ("clip", "name"), [(NFC, NFD), (NFD, NFC), (NFC, NFC.upper()), (NFD.upper(), NFC), (NFD, NFD)], ids=ascii
)
def test_clip_is_found_in_other_case_and_unicode_form(folder, clip, name):
    (folder / "clips" / "a.wav").rename(folder / "clips" / f"{clip}.wav")
    (folder / "clips" / "b.wav").rename(folder / "clips" / "B.WAV")
    write_catalog(folder / "catalog.csv", [good("1", audio_file=f"{name}.WaV"), good("b", audio_file="")])
    _, paths = collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["1", "b"]
    assert sorted(visible_files(paths.previews)) == ["1.wav", "b.wav"]


def test_clips_that_differ_in_case_only_are_told_apart(folder):
    write_audio(folder / "clips" / "A.wav", chord(seconds=3.5))
    write_catalog(folder / "catalog.csv", [good("1", audio_file="A.wav"), good("2", audio_file="A.WAV"), good("a")])
    _, paths = collect(folder)
    assert {song["song_id"]: song["preview_sha256"] for song in read_rows(paths.songs)} == {
        "1": sha256_of(folder / "clips" / "A.wav"),
        "a": sha256_of(folder / "clips" / "a.wav"),
    }
    assert [row["reason"] for row in read_rows(paths.rejected)] == ["no clip A.WAV in clips/"]


def test_clip_whose_check_fails_unexpectedly_costs_that_clip(folder, monkeypatch):
    log_mels = local.AudioPipeline.log_mels

    def fail(self, clip):
        if clip.name == "b.wav":
            raise ZeroDivisionError("oh")
        return log_mels(self, clip)

    monkeypatch.setattr(local.AudioPipeline, "log_mels", fail)
    write_catalog(folder / "catalog.csv", [good("a"), good("b"), good("c")])
    _, paths = collect(folder)
    assert [song["song_id"] for song in read_rows(paths.songs)] == ["a", "c"]
    assert "unexpected: ZeroDivisionError: oh" in read_rows(paths.rejected)[0]["reason"]


def test_artists_written_as_a_python_list_are_told_apart(tmp_path):
    write_audio(tmp_path / "x.wav", chord())
    catalog = tmp_path / "catalog.csv"
    rows = ["['Drake', 'Rihanna']", "['Drake']", "[broken", "Sunn O)))"]
    write_table(
        catalog,
        ["id", "name", "artists", *TARGETS],
        [dict.fromkeys(TARGETS, "0.5") | {"id": f"s{i}", "name": "A", "artists": row} for i, row in enumerate(rows)],
    )
    songs = LocalCatalog(catalog, tmp_path).songs()
    assert [song["artist"] for song, _ in songs] == ["Drake; Rihanna", "Drake", "[broken", "Sunn O)))"]


def test_ids_that_differ_in_case_only_are_one_song_in_later_runs_too(tmp_path):
    (tmp_path / "clips").mkdir()
    for song_id in ("a", "A"):
        write_audio(tmp_path / "clips" / f"{song_id}.wav", chord())
        song = good(song_id) | {"audio_file": f"{song_id}.wav"}
        write_table(tmp_path / "catalog.csv", list(song), [song])
        _, paths = collect(tmp_path)
    assert [song["song_id"] for song in read_song_rows(paths)] == ["A"]
