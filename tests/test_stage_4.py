import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    PATIENCE_S,
    ROOT,
    call_main,
    chord,
    ended,
    own_index,
    read_rows,
    run_python,
    start,
    write_audio,
    write_with_ffmpeg,
)
from matplotlib.image import imread

import music_learning
from music_learning.audio import AudioPipeline
from music_learning.columns import SONG_COLUMNS, TARGETS
from music_learning.commands import predict as model_demo
from music_learning.errors import UserError
from music_learning.files import read_table, write_table
from music_learning.library.files import find_files
from music_learning.model.ensemble import load_model
from music_learning.paths import DataPaths, ModelPaths
from music_learning.plots import analysis as picture
from music_learning.predict.predictor import Predictor
from music_learning.predict.saved import SavedSongs
from music_learning.songs.table import read_song_rows

COLUMNS = [
    *("file", "duration_s", "energy", "danceability", "valence", "error"),
    *("energy_low", "energy_high", "danceability_low", "danceability_high", "valence_low", "valence_high"),
    *("energy_percentile", "danceability_percentile", "valence_percentile"),
    *("key", "loudness", "mode", "speechiness", "acousticness", "instrumentalness", "liveness", "tempo"),
    *("duration_ms", "time_signature", "acousticness_low", "acousticness_high", "speechiness_low", "speechiness_high"),
    *("instrumentalness_low", "instrumentalness_high"),
    *("lost_s", "mood", "mood_probability", "moods", "warnings", "similar_songs", "similar_artists", "markets"),
    *("timeline", "title", "artist", "album", "date", "isrc", "bytes", "modified", "sha256", "model"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """By default the demo writes its picture to the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A folder of four clips in two levels, and of files to be skipped."""
    folder = tmp_path_factory.mktemp("album") / "album"
    (folder / "disc 2").mkdir(parents=True)
    write_audio(folder / "b.wav", chord(seconds=3.5, level=0.1))
    write_audio(folder / "a.FLAC", chord(seconds=3.2), format="FLAC")
    write_audio(folder / "disc 2" / "c.mp3", chord(seconds=3.4, rate_hz=44_100), 44_100)
    write_with_ffmpeg(folder / "夜.m4a", chord(seconds=3.6, rate_hz=44_100), 44_100, codec="aac")
    write_audio(folder / ".hidden.wav", chord(seconds=3.5))
    (folder / "cover.jpg").write_bytes(b"no audio")
    (folder / "notes.txt").write_text("no audio")
    return folder


def predict(models, *arguments):
    """Run the demo on files. Returns its exit status and its rows."""
    status = call_main(model_demo, *arguments, "--models", models, "--json", "rows.json")
    with open("rows.json", encoding="utf-8") as file:
        return status, json.load(file)


def test_folder_is_heard_in_sorted_order(trained, album):
    status, rows = predict(trained, album)
    assert status == 0
    assert [row["file"] for row in rows] == [
        str(album / name) for name in ("a.FLAC", "b.wav", "disc 2/c.mp3", "夜.m4a")
    ]
    for row in rows:
        assert list(row) == COLUMNS
        assert row["error"] is None
        assert 3 < row["duration_s"] < 4
        assert all(0 <= row[target] <= 1 for target in TARGETS)
    assert len({row["energy"] for row in rows}) > 1


def test_files_come_in_the_order_given(trained, album):
    files = [album / "b.wav", album / "disc 2", album / "a.FLAC", album / "b.wav"]
    _, rows = predict(trained, *files)
    names = ["b.wav", "disc 2/c.mp3", "a.FLAC", "b.wav"]
    assert [row["file"] for row in rows] == [str(album / name) for name in names]
    assert rows[0] == rows[3]


def test_file_alone_gives_the_same_numbers_as_in_a_folder(trained, album):
    _, together = predict(trained, album)
    for row in together:
        assert predict(trained, row["file"])[1] == [row]


def test_numbers_are_those_of_the_models(trained, album):
    _, (row,) = predict(trained, album / "b.wav")
    (spectrogram,), duration_s = AudioPipeline().log_mels(album / "b.wav")
    assert row["duration_s"] == duration_s == 3.5
    for target in TARGETS:
        model, _ = load_model(ModelPaths(trained), target)
        with torch.inference_mode():
            assert row[target] == pytest.approx(float(model(spectrogram[None])), abs=1e-4)


def test_hidden_file_is_heard_when_named(trained, album):
    status, rows = predict(trained, album / ".hidden.wav")
    assert (status, len(rows)) == (0, 1)


def test_hidden_folders_are_skipped(album, tmp_path):
    shutil.copytree(album, tmp_path / "music" / "album")
    shutil.copytree(album, tmp_path / "music" / ".Trash")
    assert len(find_files([tmp_path / "music"])) == 4


def test_hidden_folder_is_heard_when_named(album, tmp_path):
    shutil.copytree(album, tmp_path / ".music")
    assert len(find_files([tmp_path / ".music"])) == 4


def test_csv_has_exactly_these_columns(trained, album):
    assert call_main(model_demo, album, "--models", trained, "--csv", "moods.csv", "--json", "rows.json") == 0
    with open("moods.csv", encoding="utf-8", newline="") as file:
        assert file.readline() == ",".join(COLUMNS) + "\n"
    with open("rows.json", encoding="utf-8") as file:
        rows = json.load(file)
    for line, row in zip(read_table(Path("moods.csv"), COLUMNS, "model_demo.py"), rows, strict=True):
        assert json.loads(line["timeline"]) == row["timeline"]
        assert line["similar_songs"].split("; ")[0] == "{title} by {artist}".format(**row["similar_songs"][0])
        assert line["similar_artists"].split("; ") == [artist["artist"] for artist in row["similar_artists"]]
        assert line["markets"] == "; ".join(market["name"] for market in row["markets"])
        assert line["warnings"] == " ".join(row["warnings"])
        assert line["moods"] == "" and row["moods"] == {}  # without intervals
        lists = {"moods", "timeline", "similar_songs", "similar_artists", "markets", "warnings"}
        assert all(line[name] == ("" if row[name] is None else str(row[name])) for name in COLUMNS if name not in lists)


def test_terminal_shows_a_line_per_file(trained, album, capsys):
    call_main(model_demo, album, "--models", trained)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["file", "seconds", "energy", "danceability", "valence"]
    assert len(lines) == 4
    assert all(re.search(r" 3\.\d( +0\.\d\d){3}$", line) for line in lines)


def test_single_file_is_told_of_and_drawn(trained, album, tmp_path, capsys):
    status, (row,) = predict(trained, album / "b.wav", "--picture", "b.png")
    out = capsys.readouterr().out
    assert status == 0
    assert out.splitlines()[0] == "b"
    for target in TARGETS:
        assert re.search(
            rf"^{target} +{row[target]:.2f} +higher than (over |under )?\d+ % of 1,799 chart songs$", out, re.MULTILINE
        )
    assert f"mood: {row['mood']} (how likely is not known)" in out
    assert "  {title} by {artist}, on a release of {year} ({closeness})\n".format(**row["similar_songs"][0]) in out
    assert imread(tmp_path / "b.png").shape[1] > 1000
    assert not (tmp_path / "demo.png").exists()


def test_single_bad_file_gets_no_picture(trained, tmp_path, capsys):
    assert call_main(model_demo, "gone.wav", "--models", trained) == 1
    captured = capsys.readouterr()
    assert "there is no such file" in captured.out
    assert captured.err == "error: 1 of 1 files could not be used; the table says why\n"
    assert not (tmp_path / "demo.png").exists()


def test_own_index_is_searched(trained, album, tmp_path, capsys):
    own_index(trained, tmp_path / "index", songs=12)
    _, (by_default,) = predict(trained, album / "b.wav")
    _, (by_own,) = predict(trained, album / "b.wav", "--index", tmp_path / "index")
    assert by_own["energy"] == by_default["energy"]
    assert len(by_own["similar_songs"]) == len(by_default["similar_songs"]) == 10
    assert by_default["similar_songs"][0]["path"] is None
    nearest = by_own["similar_songs"][0]
    assert nearest["path"] == f"/music/{nearest['title']}.mp3"
    assert by_own["similar_artists"] == []
    capsys.readouterr()
    assert call_main(model_demo, album / "b.wav", "--models", trained, "--index", tmp_path / "index") == 0
    assert f"  {nearest['title']} ({nearest['closeness']})\n" in (out := capsys.readouterr().out)
    assert f"\n    {nearest['path']}\n" in out
    assert "similar artists" not in out


def test_bad_files_have_their_reason_and_stop_nothing(trained, album, tmp_path, capsys):
    (tmp_path / "broken.mp3").write_bytes(b"no audio" * 100)
    files = [tmp_path / "broken.mp3", album / "b.wav", tmp_path / "gone.wav", album / "cover.jpg"]
    status, rows = predict(trained, *files)
    assert status == 1
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert [row["error"] for row in rows] == [
        "not an audio file, or too damaged to open",
        None,
        "there is no such file",
        "not an audio file, or too damaged to open",
    ]
    assert [row["energy"] is None for row in rows] == [True, False, True, True]
    assert [row["duration_s"] is None for row in rows] == [True, False, True, True]
    captured = capsys.readouterr()
    assert captured.err == "error: 3 of 4 files could not be used; the table says why\n"
    assert "there is no such file" in captured.out


def test_bad_file_s_row_in_the_table(trained, tmp_path):
    (tmp_path / "broken.mp3").write_bytes(b"no audio" * 100)
    assert call_main(model_demo, "broken.mp3", "--models", trained, "--csv", "moods.csv") == 1
    (row,) = read_rows(tmp_path / "moods.csv")
    assert row["model"].startswith(music_learning.__version__)
    expected = {"file": "broken.mp3", "error": "not an audio file, or too damaged to open", "bytes": "800"}
    expected |= {"sha256": hashlib.sha256(b"no audio" * 100).hexdigest()}
    assert row == dict.fromkeys(COLUMNS, "") | expected | {name: row[name] for name in ("modified", "model")}


def test_bad_file_is_status_1_in_the_shell(trained, album, tmp_path):
    (tmp_path / "broken.mp3").write_bytes(b"no audio" * 100)
    done = run_python("model_demo.py", tmp_path / "broken.mp3", album / "b.wav", "--models", trained)
    assert done.returncode == 1
    # The mp3 decoder may write notes of its own before.
    assert done.stderr.splitlines()[-1] == "error: 1 of 2 files could not be used; the table says why"
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_long_file_follows_from_its_windows(trained, tmp_path):
    """As the mean by their length for valence; for the others see the tests of pooling."""
    samples = np.concatenate([chord(seconds=30, level=0.02), chord(seconds=10, level=0.9)])
    write_audio(tmp_path / "long.wav", samples)
    predictor = Predictor.load(trained)
    windows, duration_s = predictor.pipeline.log_mels(tmp_path / "long.wav")
    assert (len(windows), duration_s) == (2, 40)
    first, second = (predictor.analyse([(window, 1.0)]).values for window in windows)
    _, (row,) = predict(trained, "long.wav")
    assert first["valence"] != second["valence"]
    assert row["valence"] == pytest.approx(
        np.average([first["valence"], second["valence"]], weights=[30, 10]), abs=1e-4
    )


def test_name_that_is_no_utf_8(trained, album):
    name = os.fsdecode(b"caf\xe9.wav")
    shutil.copy(album / "b.wav", name)
    status = call_main(model_demo, name, "--models", trained, "--csv", "moods.csv", "--json", "rows.json")
    assert status == 0
    with open("rows.json", encoding="utf-8") as file:
        assert len(json.load(file)) == 1


@pytest.mark.parametrize("name", ["a\nb.wav", "a\rb.wav", "a,b.wav", 'a"b.wav', "=a.wav", "x" * 100 + ".wav"])
def test_odd_names_survive_in_the_table(trained, album, name):
    shutil.copy(album / "b.wav", name)
    assert call_main(model_demo, name, "--models", trained, "--csv", "moods.csv") == 0
    (row,) = read_table(Path("moods.csv"), COLUMNS, "model_demo.py")
    assert row["file"] == name


def test_folder_without_audio_has_its_row_and_stops_nothing(trained, album, tmp_path):
    (tmp_path / "empty").mkdir()
    status, rows = predict(trained, "empty", album / "b.wav")
    assert status == 1
    assert [row["error"] for row in rows] == ["it is a folder, and holds no audio file", None]


def test_samples_far_beyond_full_scale_are_an_error(trained, tmp_path):
    write_audio(tmp_path / "huge.wav", 3e24 * chord(seconds=3.5), subtype="FLOAT")
    status, rows = predict(trained, "huge.wav")
    assert status == 1
    assert "far beyond full scale" in rows[0]["error"]


def test_link_is_followed_and_a_device_is_refused(trained, album, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "moods.csv")
    assert call_main(model_demo, album / "b.wav", "--models", trained, "--csv", "link.csv") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_rows(tmp_path / "moods.csv")) == 1
    with pytest.raises(UserError, match="name a file in a folder that exists"):
        call_main(model_demo, album / "b.wav", "--models", trained, "--csv", "/dev/null")


@pytest.mark.parametrize("flag", ["--csv", "--json"])
@pytest.mark.parametrize("path", ["gone/moods.txt", "."])
def test_table_that_can_t_be_written_is_refused_before_work(album, trained, flag, path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("worked before the check")

    monkeypatch.setattr(model_demo.Predictor, "load", fail)
    with pytest.raises(UserError, match=r"can't be written: .*; name a file in a folder that exists"):
        call_main(model_demo, album, "--models", trained, flag, path)


def test_output_that_can_t_be_written_costs_that_output(trained, album, tmp_path, capsys):
    assert call_main(model_demo, album, "--models", trained, "--csv", "gone/moods.csv", "--json", "rows.json") == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"error: gone/moods.csv can't be written: there is no folder {tmp_path / 'gone'}; "
        "name a file in a folder that exists\n"
    )
    assert len(captured.out.splitlines()) == 5
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 4


def test_single_song_is_told_of_where_its_picture_can_t_be_drawn(trained, album, capsys):
    status, rows = predict(trained, album / "b.wav", "--picture", "gone/b.png")
    captured = capsys.readouterr()
    assert (status, len(rows)) == (1, 1)
    assert captured.out.startswith("b\n")
    assert "picture" not in captured.out
    assert captured.err.startswith("error: gone/b.png can't be written")


def test_other_table_is_not_overwritten(trained, album, tmp_path):
    (tmp_path / "songs.csv").write_text("song_id,title\n")
    with pytest.raises(UserError, match=r"songs\.csv holds something else .* name another file"):
        call_main(model_demo, album, "--models", trained, "--csv", "songs.csv")
    assert (tmp_path / "songs.csv").read_text() == "song_id,title\n"


def test_second_run_goes_on(trained, album, tmp_path, capsys):
    for n, name in enumerate(["a.FLAC", "b.wav"]):
        shutil.copy(album / name, tmp_path)
        status = call_main(model_demo, tmp_path, "--models", trained, "--csv", "moods.csv", "--no-picture")
        captured = capsys.readouterr()
        assert status == 0
        assert [row["file"] for row in read_rows(tmp_path / "moods.csv")] == [
            str(tmp_path / known) for known in ["a.FLAC", "b.wav"][: n + 1]
        ]
    assert captured.err == "1 of 2 files were heard before and have not changed\n"
    assert captured.out.splitlines()[1].split()[0].endswith("b.wav")
    assert len(captured.out.splitlines()) == 2
    assert not (tmp_path / "demo.png").exists()


def test_names_that_lead_nowhere_cost_themselves(trained, album, tmp_path):
    (tmp_path / "circle.wav").symlink_to("circle.wav")
    long = "x" * 300 + ".wav"
    status, rows = predict(trained, long, "circle.wav", album / "b.wav")
    assert status == 1
    assert [row["error"] for row in rows] == [
        "it can't be opened: File name too long",
        "it can't be opened: Too many levels of symbolic links",
        None,
    ]


def test_table_that_leads_in_a_circle_is_a_sentence(trained, album, tmp_path):
    (tmp_path / "circle.csv").symlink_to("circle.csv")
    with pytest.raises(UserError, match=r"circle\.csv can't be written: "):
        call_main(model_demo, album, "--models", trained, "--csv", "circle.csv")


def test_explanation_is_added_to_a_row_that_is_there(trained, album):
    for flags in ([], ["--explain"], ["--explain"], []):
        _, (row,) = predict(trained, album / "b.wav", *flags)
        assert ("explanation" in row) == bool(flags)


@pytest.mark.parametrize("flag", ["--json", "--csv"])
def test_rows_alone_on_standard_output(trained, album, flag, tmp_path):
    done = run_python("model_demo.py", album, "--models", trained, flag, "-")
    assert (done.returncode, done.stderr) == (0, "")
    _, rows = predict(trained, album, "--csv", "moods.csv")
    if flag == "--json":
        assert [json.loads(line) for line in done.stdout.splitlines()] == rows
    else:
        assert done.stdout == (tmp_path / "moods.csv").read_text(encoding="utf-8")


def test_standard_input_is_heard(trained, album, tmp_path):
    with open(album / "disc 2" / "c.mp3", "rb") as song:
        command = ["model_demo.py", "-", album / "b.wav", "--models", trained, "--json", tmp_path / "rows.json"]
        with start(*command, stdin=song) as process:
            stdout, stderr = ended(process)
    assert (process.returncode, stderr) == (0, "")
    assert stdout.splitlines()[1].startswith("-   ")
    row, _ = json.loads((tmp_path / "rows.json").read_text())
    _, (expected,) = predict(trained, album / "disc 2" / "c.mp3")
    assert row == expected | {name: row[name] for name in ("file", "modified")}
    assert row["file"] == "-"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.wav", "--csv", "-", "--json", "-"], "can't write to the same place"),
        (["a.wav", "--csv", "same", "--json", "./same"], "can't write to the same place"),
        (["a.wav", "--csv", "same", "--picture", "same"], "can't write to the same place"),
        (["a.wav", ""], "an empty name is no file"),
        (["a.wav", "--csv", ""], "an empty name is no file"),
        (["-", "-"], "can be heard once"),
        (["a.wav", "b.wav", "--quiet"], "--quiet leaves nothing to do"),
        (["a.wav", "--picture", "a.png", "--no-picture"], "not allowed with"),
    ],
)
def test_flags_that_do_not_go_together(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        call_main(model_demo, *arguments)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_quiet_prints_errors_alone(trained, album, tmp_path, capsys):
    (tmp_path / "broken.mp3").write_bytes(b"no audio" * 100)
    files = (album, tmp_path / "broken.mp3")
    assert call_main(model_demo, *files, "--models", trained, "--csv", "moods.csv", "--quiet") == 1
    assert capsys.readouterr() == ("", "error: 1 of 5 files could not be used; the table says why\n")
    assert len(read_rows(tmp_path / "moods.csv")) == 5


def in_shell(command: str, **names) -> subprocess.CompletedProcess:
    """Run `$demo` and what stands around it in a shell."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "demo": f"{sys.executable} {ROOT / 'model_demo.py'}"}
    environment |= {name: str(value) for name, value in names.items()}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, env=environment)


STREAMS = {
    "head": ("$demo $album --models $models --csv moods.csv | head -1; exit ${PIPESTATUS[0]}", 0, ""),
    "full": (
        "$demo $album --models $models --csv moods.csv >/dev/full",
        1,
        "error: standard output can't be written: No space left on device\n",
    ),
    "closed": ("$demo $album --models $models --csv moods.csv >&-", 0, ""),
    "all closed": ("$demo $album --models $models --csv moods.csv >&- 2>&- <&-", 0, ""),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_tables_are_whole_whatever_becomes_of_the_printing(trained, album, tmp_path, stream):
    command, status, stderr = STREAMS[stream]
    done = in_shell(command, album=album, models=trained)
    assert (done.returncode, done.stderr) == (status, stderr)
    predict(trained, album, "--csv", "expected.csv")
    assert (tmp_path / "moods.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


@pytest.mark.parametrize("flag", ["--csv", "--json"])
def test_tables_need_files(flag, capsys):
    with pytest.raises(SystemExit) as caught:
        call_main(model_demo, flag, "moods.txt")
    assert caught.value.code == 2
    assert "--csv and --json go with files or folders" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--song", "Title 14"], ["--seed", "1"]])
def test_flags_of_a_saved_song_do_not_go_with_files(trained, album, flags):
    with pytest.raises(SystemExit) as caught:
        call_main(model_demo, album / "b.wav", "--models", trained, *flags)
    assert caught.value.code == 2


def predict_saved_song(loaded, trained, capsys, *arguments):
    """Run the demo without files. Returns the title line and, per target, what was predicted, true and between."""
    assert call_main(model_demo, "--data", loaded, "--models", trained, *arguments) == 0
    title, _, *lines = capsys.readouterr().out.splitlines()
    return title, {line.split()[0]: [float(value) for value in line.split()[1:4]] for line in lines[: len(TARGETS)]}


def test_saved_song_is_shown_beside_the_truth(loaded, trained, capsys, tmp_path):
    title, values = predict_saved_song(loaded, trained, capsys)
    songs = {f"{song['title']} by {song['artist']}": song for song in read_song_rows(DataPaths(DataPaths(loaded).demo))}
    song = songs[title]
    written = {row["song_id"]: row for row in read_rows(ModelPaths(trained).predictions("energy", "test"))}
    assert list(values) == list(TARGETS)
    for target, (predicted, true, error) in values.items():
        assert true == pytest.approx(float(song[target]), abs=0.006)
        assert error == pytest.approx(predicted - true, abs=0.011)
    assert values["energy"][0] == pytest.approx(float(written[song["song_id"]]["predicted"]), abs=0.006)
    picture = imread(tmp_path / "demo.png")
    assert picture.shape[0] >= 300
    assert picture[:, :, :3].std() > 0.05


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr(picture, "draw_analysis", lambda *_, **__: None)


def test_seed_draws_the_same_song(loaded, trained, capsys, no_picture):
    titles = [predict_saved_song(loaded, trained, capsys, "--seed", seed)[0] for seed in (0, 0, *range(1, 12))]
    assert titles[0] == titles[1]
    assert len(set(titles)) > 1


def test_song_by_id_and_by_part_of_its_title(loaded, trained, capsys, no_picture):
    for song in read_song_rows(DataPaths(DataPaths(loaded).demo)):
        number = song["title"].removeprefix("Title ")
        for wanted in (song["song_id"], song["title"], f"tItLe {number}", number):
            title, _ = predict_saved_song(loaded, trained, capsys, "--song", wanted)
            assert title == f"{song['title']} by {song['artist']}"


def test_unknown_song_lists_those_there_are(loaded, trained):
    with pytest.raises(UserError, match="no saved song has the id or title 'Yesterday'; there are:\n") as caught:
        call_main(model_demo, "--data", loaded, "--models", trained, "--song", "Yesterday")
    songs = read_song_rows(DataPaths(DataPaths(loaded).demo))
    assert str(caught.value).splitlines()[1:] == [f"  {s['song_id']}  {s['title']} by {s['artist']}" for s in songs]


def test_id_goes_before_title():
    songs = [{"song_id": "x", "title": "about y", "artist": ""}, {"song_id": "y", "title": "z", "artist": ""}]
    assert SavedSongs(None, songs, None).choose("y", None)["song_id"] == "y"


def test_seed_0_is_a_seed():
    songs = [{"song_id": str(k)} for k in range(100)]
    assert len({SavedSongs(None, songs, None).choose(None, 0)["song_id"] for _ in range(5)}) == 1


def test_picture_flag(loaded, trained, capsys, tmp_path):
    predict_saved_song(loaded, trained, capsys, "--picture", tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3
    assert not (tmp_path / "demo.png").exists()
    capsys.readouterr()
    for place in ("gone/a.png", "."):
        assert call_main(model_demo, "--data", loaded, "--models", trained, "--picture", place) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith(f"error: {place} can't be written: ")
        assert "mood: " in captured.out


def test_default_picture_that_can_t_be_drawn_is_no_error(loaded, trained, album, tmp_path, capsys):
    (tmp_path / "demo.png").mkdir()
    for arguments in ([album / "b.wav"], ["--data", loaded]):
        assert call_main(model_demo, *arguments, "--models", trained) == 0
        captured = capsys.readouterr()
        assert captured.err.startswith("no picture: demo.png can't be written: it is a folder")
        assert "mood: " in captured.out


def test_picture_takes_the_place_of_pictures_alone(loaded, trained, album, tmp_path, capsys):
    shutil.copy(album / "b.wav", tmp_path / "b.wav")
    sound = (tmp_path / "b.wav").read_bytes()
    for arguments in (["b.wav"], ["--data", loaded]):
        assert call_main(model_demo, *arguments, "--models", trained, "--picture", "b.wav") == 1
        assert capsys.readouterr().err == "error: b.wav is there and is no PNG picture; name another file\n"
        assert (tmp_path / "b.wav").read_bytes() == sound
    for _ in range(2):
        assert call_main(model_demo, "b.wav", "--models", trained, "--picture", "b.png") == 0


@pytest.mark.parametrize("title", ["夜に駆ける 🎵", "$x^$", "a\nb", "x" * 300])
def test_odd_title_is_drawn(own_data, trained, tmp_path, title):
    demo = DataPaths(DataPaths(own_data).demo)
    songs = [song | {"title": title} for song in read_song_rows(demo)]
    write_table(demo.songs, SONG_COLUMNS, songs)
    assert call_main(model_demo, "--data", own_data, "--models", trained) == 0
    assert imread(tmp_path / "demo.png").ndim == 3


def change_json(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_models_with_different_pipelines_are_refused(own_models, album):
    description = ModelPaths(own_models).description("valence")
    change_json(description, lambda values: values["pipeline"].update(silence_db=-50.0))
    with pytest.raises(
        UserError, match=r"models of energy and valence .* silence_db -60\.0 and -50\.0.*model_train\.py"
    ):
        call_main(model_demo, album, "--models", own_models)


def test_models_with_different_features_are_refused(own_models, album):
    description = ModelPaths(own_models).description("valence")
    change_json(description, lambda values: values["features"].update(tone_db=9.0))
    with pytest.raises(UserError, match=r"models of energy and valence .* tone_db 6\.0 and 9\.0.*model_train\.py"):
        call_main(model_demo, album, "--models", own_models)


def test_features_that_all_models_changed_are_not_those_of_the_no_music_detector(own_models, album):
    for target in TARGETS:
        description = ModelPaths(own_models).description(target)
        change_json(description, lambda values: values["features"].update(tone_db=9.0))
    with pytest.raises(UserError, match=r"no_music\.safetensors .* tone_db 6\.0 and 9\.0; make it again"):
        call_main(model_demo, album, "--models", own_models)


def test_saved_songs_of_other_settings_are_refused(own_data, trained):
    described = DataPaths(DataPaths(own_data).demo).spectrograms / "pipeline.json"
    change_json(described, lambda values: values.update(f_min_hz=55.0))
    with pytest.raises(
        UserError, match=r"different pipeline settings: f_min_hz 55\.0 and [\d.]+; run data_loading\.py"
    ):
        call_main(model_demo, "--data", own_data, "--models", trained)


@pytest.mark.parametrize("target", TARGETS)
def test_missing_model_names_the_next_command(own_models, album, target):
    ModelPaths(own_models).description(target).unlink()
    with pytest.raises(UserError, match=rf"{target}\.json is missing; run model_train\.py first"):
        call_main(model_demo, album, "--models", own_models)


def test_missing_saved_songs_name_the_next_command(trained, tmp_path, own_data):
    with pytest.raises(UserError, match=r"songs\.csv is missing; run data_loading\.py first"):
        call_main(model_demo, "--data", tmp_path / "gone", "--models", trained)
    demo = DataPaths(DataPaths(own_data).demo)
    write_table(demo.songs, SONG_COLUMNS, [])
    with pytest.raises(UserError, match=r"holds no song; run data_loading\.py first"):
        call_main(model_demo, "--data", own_data, "--models", trained)


def test_saved_song_without_spectrogram_is_named(own_data, trained):
    demo = DataPaths(DataPaths(own_data).demo)
    songs = [song | {"song_id": f"stranger{k}"} for k, song in enumerate(read_song_rows(demo))]
    write_table(demo.songs, SONG_COLUMNS, songs)
    with pytest.raises(UserError, match=r"lacks song stranger\d; run data_loading\.py again"):
        call_main(model_demo, "--data", own_data, "--models", trained)


@pytest.mark.skipif(not (ROOT / "models" / "energy.safetensors").exists(), reason="no released models here")
def test_released_models_on_a_released_song(tmp_path):
    done = run_python("model_demo.py", "--seed", 0, "--picture", tmp_path / "demo.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert all(re.search(rf"^{target} +0\.\d\d +[01]\.\d\d", done.stdout, re.MULTILINE) for target in TARGETS)
    assert (tmp_path / "demo.png").exists()


def test_error_that_nobody_foresaw_costs_its_file(trained, album, capsys, monkeypatch):
    real = model_demo.Predictor.predict

    def fail(self, path, **options):
        if path.name == "b.wav":
            raise ZeroDivisionError("of all things")
        return real(self, path, **options)

    monkeypatch.setattr(model_demo.Predictor, "predict", fail)
    status, rows = predict(trained, album)
    assert status == 1
    errors = {Path(row["file"]).name: row["error"] for row in rows}
    log = re.fullmatch(
        r"unexpected: ZeroDivisionError: of all things \(more in (.+); please report it\)", errors["b.wav"]
    )[1]
    assert "Traceback" in Path(log).read_text(encoding="utf-8")
    assert sum(row["energy"] is not None for row in rows) >= 1
