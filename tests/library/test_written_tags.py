"""What is written of a row, and what a field held before it was written."""

import pytest

from music_learning.library.tag_file import Value
from music_learning.library.written_tags import FIELDS, texts_of, value_before

ROW = {"energy": 0.73149, "danceability": 1.0, "valence": None, "mood": "", "tempo": 119.96, "key": 0, "mode": 1}


def test_texts_of_a_row():
    texts = texts_of(ROW, whole_bpm=False)
    assert tuple(texts) == FIELDS
    assert texts == dict(zip(FIELDS, ("0.731", "1.000", None, None, "120", "C"), strict=True))
    texts = texts_of(ROW | {"tempo": 120.44, "key": 3, "mode": 0, "mood": "x"}, whole_bpm=False)
    assert (texts["bpm"], texts["initialkey"], texts["mood"]) == ("120.4", "D#m", "x")
    assert texts_of(ROW | {"tempo": 119.6}, whole_bpm=True)["bpm"] == "120"
    for unknown in ({"key": None, "mode": None}, {"key": -1, "mode": 1}, {"key": 1, "mode": None}):
        assert texts_of(ROW | unknown, whole_bpm=False)["initialkey"] is None
    assert texts_of(ROW | {"tempo": None}, whole_bpm=True)["bpm"] is None


@pytest.mark.parametrize(
    ("now", "steps", "before", "is_ours"),
    [
        ("B", ["-B"], None, True),
        ("C", ["AB", "BC"], "A", True),
        ("B", ["AB", "BC"], "A", True),  # killed before the last came to the file
        ("A", ["AB"], "A", True),  # killed before the first did, or undone by hand
        (None, ["-B"], None, True),
        ("C", ["AB", "BX", "BC"], "A", True),  # killed, and then something else
        ("C", ["AB", "SC"], "S", True),  # another program's in between
        ("A", ["-A", "AB", "BA"], None, True),
        ("X", ["AB", "BC"], "X", False),
        (None, ["AB"], None, False),  # another program took it out
    ],
)
def test_what_a_field_held_before(now, steps, before, is_ours):
    def value(letter: str | None) -> Value | None:
        return None if letter in (None, "-") else Value([letter])

    assert value_before(value(now), [(value(old), value(new)) for old, new in steps]) == (value(before), is_ours)
