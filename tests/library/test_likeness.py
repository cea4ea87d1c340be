"""Songs by likeness: which song is meant, and which others come first."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import kept_embedding, kept_row

from music_learning.errors import AudioError, UserError
from music_learning.library.conditions import parse_condition
from music_learning.library.database import Library
from music_learning.library.likeness import Sample, by_likeness, find_sample
from music_learning.library.schema import Condition

MODELS = "the folder of the models"


SONGS = [
    kept_row("/music/1.mp3", title="Hello", artist="Adele"),
    kept_row("/music/2.mp3", title="Hello, Goodbye", artist="The Beatles"),
    kept_row("/music/3.mp3", title="100% pure_love", artist="Crystal Waters"),
    kept_row("/music/4.mp3", title="1000 pureXlove", artist="Nobody"),
    kept_row("s3://bucket/far.mp3", missing="2026-01-01T00:00:00Z"),
    kept_row("/music/untitled.mp3"),
]


@pytest.fixture
def library(tmp_path):
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number, row in enumerate(SONGS):
            library.add(row | {"embedding": kept_embedding(number, 0.5)})
        library.add(SONGS[3] | {"path": b"/music/4 copy.mp3", "embedding": kept_embedding(3, 0.5)})
        library.add(kept_row("/music/failed.mp3", error="no audio", title="Failed"))
        yield library


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("/music/2.mp3", 1),
        ("/music/../music/./2.mp3", 1),
        ("s3://bucket/far.mp3", 4),
        ("hello", 0),  # a whole title, though it is a part of another
        ("goodbye", 1),
        ("the beatles hello", 1),
        ("0% PURE", 2),
        ("re_l", 2),
        ("1000 PUREx", 3),
        ("untitled", 5),
        ("crystal", 2),
        ("adele - h", 0),
        ("- hello,", 1),
        ("s hello", 1),
    ],
)
def test_song_of_the_library_is_found(library, wanted, number):
    sample = find_sample(library, wanted, MODELS)
    assert sample.model == "m1"
    assert sample.embedding.tolist() == [number, 0.5]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("hell", "'hell' fits several songs; say more of it, or name its file:\n  Adele - Hello - /music/1.mp3\n  The"),
        ("pure", "fits several songs"),
        ("failed", "is no file, and no part of a title, an artist or a path in "),
        ("/music/failed.mp3", "is no file"),
        ("_", "'_' is no file"),
        ("nowhere", "is no file"),
        ("\udcff", "is no file"),
        ("x" * 5000, "is no file"),
    ],
)
def test_song_that_is_not_clear_is_refused(library, wanted, said):
    if wanted == "_":
        library.change("UPDATE songs SET title = 'pure love' WHERE title LIKE '100%'")
    with pytest.raises(UserError) as refused:
        find_sample(library, wanted, MODELS)
    assert said in str(refused.value)


def test_long_lists_are_cut(library):
    for number in range(30):
        library.add(kept_row(f"/more/{number}.mp3", title=f"More\n{number}", embedding=kept_embedding(1, 1)))
    with pytest.raises(UserError) as refused:
        find_sample(library, "more", MODELS)
    lines = str(refused.value).split("\n")
    assert len(lines) == 12
    assert lines[-1] == "  …"


def test_other_file_is_heard(library, tmp_path, monkeypatch):
    (tmp_path / "goodbye").touch()
    analysis = SimpleNamespace(embedding=torch.tensor([7.0, 8.0]))
    predictor = SimpleNamespace(predict=lambda path: analysis, models_version="m2")
    monkeypatch.setattr("music_learning.predict.predictor.Predictor.load", lambda models: {MODELS: predictor}[models])
    monkeypatch.chdir(tmp_path)
    sample = find_sample(library, "goodbye", MODELS)
    assert (sample.model, sample.embedding.tolist()) == ("m2", [7, 8])

    def refuse(path):
        raise AudioError("not an audio file")

    predictor.predict = refuse
    with pytest.raises(UserError, match="goodbye: not an audio file"):
        find_sample(library, "goodbye", MODELS)


@pytest.mark.parametrize("at_once", [7, 1000])
def test_nearest_come_first(tmp_path, at_once, monkeypatch):
    monkeypatch.setattr("music_learning.library.database.ROWS_AT_ONCE", at_once)
    points = np.random.default_rng(0).standard_normal((50, 64)).astype("<f4")
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number, point in enumerate(points):
            unusable = {0: {"error": "no audio"}, 1: {"missing": "2026-01-01T00:00:00Z"}, 2: {"embedding": None}}
            row = {"embedding": kept_embedding(*point), "energy": number / 100} | unusable.get(number, {})
            library.add(kept_row(f"/{number}.mp3", **row))
        numbers, n_others = by_likeness(library, Condition(), Sample(points[10], "m1"))
        few, _ = by_likeness(library, parse_condition("energy between .2 and .295"), Sample(points[10], "m1"))
    apart = np.linalg.norm(points - points[10], axis=1)
    nearest = [number for number in np.argsort(apart) if number > 2]
    assert [number - 1 for number in numbers] == nearest
    assert nearest[0] == 10
    assert n_others == 0
    assert [number - 1 for number in few] == [number for number in nearest if 20 <= number < 30]


@pytest.mark.parametrize("damaged", [0, 200, 255, 260])
@pytest.mark.parametrize("wanted", ["/1.mp3", "/2.mp3"])
def test_damaged_embedding_is_a_sentence(tmp_path, damaged, wanted):
    """Of the song that others are compared with, or of one of the others."""
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number in range(4):
            library.add(kept_row(f"/{number}.mp3", embedding=bytes(damaged if number == 2 else 256)))
        with pytest.raises(UserError, match=r"moods\.sqlite is damaged: it has embeddings of other sizes; restore it"):
            by_likeness(library, Condition(), find_sample(library, wanted, MODELS))


def test_songs_heard_by_other_models_are_left_out(tmp_path):
    with Library.write(tmp_path / "moods.sqlite", create=True) as library:
        for number, model in enumerate(("m1", "m2", "m2", "m1")):
            library.add(kept_row(f"/{number}.mp3", model=model, embedding=kept_embedding(number, *[0] * number)))
        library.change("UPDATE songs SET embedding = ? WHERE model = 'm1'", (kept_embedding(1, 2),))
        numbers, n_others = by_likeness(library, Condition(), Sample(np.array([1.0, 2.0]), "m1"))
        nobody, n_all = by_likeness(library, Condition(), Sample(np.array([1.0, 2.0]), "m3"))
    assert (numbers.tolist(), n_others) == ([1, 4], 2)
    assert (nobody.tolist(), n_all) == ([], 4)
