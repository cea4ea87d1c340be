"""Tags that were written come back to the songs that had them, wherever their files are by then."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import chord, write_with_ffmpeg

from music_learning.commands.tag import main
from music_learning.errors import UserError
from music_learning.library.database import Library
from music_learning.library.scan import LocalFiles, scan
from music_learning.library.tag_file import Value
from music_learning.library.tagging import opened

RATE_HZ = 48_000
VALUES = {"duration_s": 0.5, "energy": 0.7, "danceability": 0.5, "valence": 0.3, "mood": "calm", "lost_s": 0.0}
VALUES |= {"moods": {}, "warnings": [], "similar_songs": [], "similar_artists": [], "markets": [], "timeline": []}
HEARD = SimpleNamespace(to_dict=lambda: VALUES, explanation=None, embedding=torch.zeros(3))
PREDICTOR = SimpleNamespace(version="0-abc", models_version="m1", predict=lambda *_, **__: HEARD)
MOODS = ("Rock", "Jazz", "Folk", "Soul")
SOUNDS = [chord(seconds=0.5, rate_hz=RATE_HZ) * loudness for loudness in (1.0, 0.9, 0.8, 0.7)]


class Music:
    """Four songs, 1.opus to 4.opus, each with a mood of its own, in a library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "music"
        self.folder.mkdir()
        for k, (mood, sound) in enumerate(zip(MOODS, SOUNDS, strict=True), start=1):
            write_with_ffmpeg(self / k, sound, RATE_HZ, codec="libopus", tags={"mood": mood})
        self.scan()

    def __truediv__(self, name: int | str) -> Path:
        return self.folder / f"{name}.opus"

    def scan(self) -> None:
        with Library.write(Path("moods.sqlite"), create=True) as library:
            scan(LocalFiles([self.folder]), library, PREDICTOR, bar=False)

    def moods(self) -> dict[str, str]:
        values = {path.stem: opened(path).get("mood") for path in sorted(self.folder.iterdir())}
        return {name: value and value.texts[0] for name, value in values.items()}

    def set(self, name: int | str, field: str, text: str) -> None:
        """As another program does."""
        tags, copy = opened(self / name), self / "copy"
        tags.put(field, Value([text]))
        tags.save(self / name, copy)
        copy.replace(self / name)


@pytest.fixture
def music(tmp_path, monkeypatch) -> Music:
    monkeypatch.chdir(tmp_path)
    return Music(tmp_path)


def write() -> None:
    assert main(["--write", "mood", "--yes"]) == 0


def undo() -> None:
    assert main(["--undo", "--yes"]) == 0


def swap(music: Music) -> None:
    (music / 1).rename(music / "x")
    (music / 2).rename(music / 1)
    (music / "x").rename(music / 2)


def renumber(music: Music) -> None:
    for k in (4, 3, 2, 1):
        (music / k).rename(music / (k + 1))


def copy(music: Music) -> None:
    (music / 5).write_bytes((music / 1).read_bytes())
    (music / 1).rename(music / 6)


def copy_before(music: Music) -> None:
    """A copy whose path comes first, of a song that another program then changes."""
    (music / 0).write_bytes((music / 1).read_bytes())
    music.set(1, "energy", "high")


def move_and_change(music: Music) -> None:
    (music / 1).rename(music / 5)
    music.scan()
    music.set(5, "energy", "high")


def overwrite(music: Music) -> None:
    (music / 1).replace(music / 3)


MOVES = {
    swap: "Jazz Rock Folk Soul",
    renumber: "Rock Jazz Folk Soul",
    copy: "Jazz Folk Soul Rock Rock",
    copy_before: "Rock Rock Jazz Folk Soul",
    move_and_change: "Jazz Folk Soul Rock",
    overwrite: "Jazz Rock Soul",
}


@pytest.mark.parametrize(("move", "is_scanned"), [*((move, True) for move in MOVES), (swap, False)])
def test_moved_files_get_their_own_back(move: Callable[[Music], None], is_scanned, music):
    write()
    assert {*music.moods().values()} == {"calm"}
    move(music)
    if is_scanned:
        music.scan()
    undo()
    assert " ".join(music.moods().values()) == MOVES[move]


@pytest.mark.parametrize("move", MOVES)
def test_moved_files_get_their_own_back_after_another_writing(move, music):
    write()
    move(music)
    music.scan()
    with Library.write(Path("moods.sqlite")) as library:
        library.change("UPDATE songs SET mood = 'happy'")
    write()
    assert {*music.moods().values()} == {"happy"}
    undo()
    assert " ".join(music.moods().values()) == MOVES[move]


def test_after_an_undo_nothing_is_left_to_be_undone(music, capsys):
    (music / 7).write_bytes((music / 1).read_bytes())
    music.scan()
    write()
    (music / 8).write_bytes((music / 1).read_bytes())
    renumber(music)
    music.scan()
    undo()
    assert "calm" not in music.moods().values()
    before = music.moods()
    capsys.readouterr()
    undo()
    assert capsys.readouterr().out == "0 files changed\n" and music.moods() == before
    with Library.open(Path("moods.sqlite")) as library, library.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM written_tags").fetchone() == (0,)


def test_songs_that_became_the_same_get_their_own_back(music):
    """One sound with two moods, which writing makes one content."""
    (music / 2).write_bytes((music / 1).read_bytes())
    music.set(2, "mood", "Jazz")
    music.scan()
    write()
    assert (music / 1).read_bytes() == (music / 2).read_bytes()
    undo()
    assert music.moods() == {"1": "Rock", "2": "Jazz", "3": "Folk", "4": "Soul"}


def test_copies_are_undone_one_by_one(music):
    write()
    (music / 5).write_bytes((music / 1).read_bytes())
    music.scan()
    for k in (1, 5):
        assert music.moods()[str(k)] == "calm"
        assert main(["--undo", "--where", f"file like '%{k}.opus'", "--yes"]) == 0
        assert music.moods()[str(k)] == "Rock"


def test_what_another_program_changed_stays(music):
    """Also where its change was scanned."""
    write()
    music.set(1, "energy", "high")
    music.set(2, "mood", "other")
    music.scan()
    undo()
    assert music.moods() == {"1": "Rock", "2": "other", "3": "Folk", "4": "Soul"}
    assert opened(music / 1).get("energy").texts == ["high"]


def test_another_song_at_the_same_path_is_left_alone(music, capsys):
    """Though its mood is what was written; and the song that was there gets its own when it comes back."""
    write()
    away = (music / 1).rename(music.folder.parent / "away.opus")
    write_with_ffmpeg(music / 1, SOUNDS[0] / 2, RATE_HZ, codec="libopus", tags={"mood": "calm"})
    music.scan()
    undo()
    assert music.moods() == {"1": "calm", "2": "Jazz", "3": "Folk", "4": "Soul"}
    assert "  1 not found: gone, or" in capsys.readouterr().out
    away.rename(music / 5)
    music.scan()
    undo()
    assert music.moods() == {"1": "calm", "2": "Jazz", "3": "Folk", "4": "Soul", "5": "Rock"}
    assert "not found" not in capsys.readouterr().out


def test_a_library_that_fails_after_a_change(music, capsys):
    """The file is changed then, and the next run makes up for the rest."""
    with Library.write(Path("moods.sqlite")) as library:
        library.change("CREATE TRIGGER full BEFORE UPDATE OF bytes ON songs BEGIN SELECT RAISE(ABORT, 'full'); END")
    assert main(["--write", "mood", "--where", "file like '%1.opus'", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("\n1 file changed\n") and "it was changed, but moods.sqlite can't be used: full" in err
    with Library.write(Path("moods.sqlite")) as library:
        library.change("DROP TRIGGER full")
    assert music.moods()["1"] == "calm"
    undo()
    assert music.moods()["1"] == "Rock"


def test_a_damaged_library_is_told(music):
    write()
    with Library.write(Path("moods.sqlite")) as library:
        library.change("DROP TABLE written_tags")
        library.change("CREATE TABLE written_tags (other)")
    with pytest.raises(UserError, match="is damaged"):
        main(["--undo"])
