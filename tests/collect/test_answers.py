"""What may stand in an answer."""

import pytest

from music_learning.collect.answers import MAX_ENTRIES, MAX_TEXT, fits, object_in, objects_in, one_line, text_of
from music_learning.collect.failures import Malformed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("夜 🎵", "夜 🎵"),
        (" a\tb\nc\r\n", "a\tb\nc"),
        ("\ud83c", "\ufffd"),
        ("a\udfb5b", "a\ufffdb"),
        ("\0\x1b[2J\x9b", "\ufffd\ufffd[2J\ufffd"),
        (7, "7"),
        (10**400, str(10**400)),
        ("x" * 1_000_000, "x" * MAX_TEXT),
        *((value, "") for value in (None, True, 1.5, float("nan"), [], {}, ["a"])),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text(value, text):
    assert text_of(value) == text
    text.encode()


def test_one_line():
    assert one_line("a\n\x1b[2J  b" * 100).startswith("a \ufffd[2J b")
    assert len(one_line("x" * 1000)) == 100


@pytest.mark.parametrize("answer", [None, [], "data", 5, {}, {"data": None}, {"data": {}}, {"data": "x"}], ids=repr)
def test_list_that_is_none(answer):
    with pytest.raises(Malformed, match="without a list of data"):
        objects_in(answer, "data")


def test_list_is_bounded_and_holds_objects():
    assert objects_in({"a": {"b": [{}, None, 5, [], {"c": 1}]}}, "a", "b") == [{}, {"c": 1}]
    assert len(objects_in([{}] * 10 * MAX_ENTRIES)) == MAX_ENTRIES


def test_object():
    assert object_in({"a": {"b": 1}}, "a") == {"b": 1}
    assert object_in({"a": []}, "a") == object_in([], "a") == object_in(None, "a") == {}


PAGE = {"artists": [(str, str)], "count": int, "more": bool}


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        ("a", str, True),
        ("", str, True),
        ("\ud83c", str, False),
        ("x" * (MAX_TEXT + 1), str, False),
        (5, str, False),
        (None, str, False),
        (True, int, False),
        ([], [str], True),
        (["a", "b"], [str], True),
        (["a", None], [str], False),
        ({"a": "b"}, [str], False),
        ("ab", [str], False),
        ([["1", "a"]], [(str, str)], True),
        ([["1", "a", "b"]], [(str, str)], False),
        ([["1"]], [(str, str)], False),
        (["ab"], [(str, str)], False),
        ({"artists": [["1", "a"]], "count": 1, "more": False}, PAGE, True),
        ({"artists": [["1", "a"]], "count": 1, "more": None}, PAGE, False),
        ({"artists": [], "count": 1}, PAGE, False),
        ({"artists": [], "count": 1, "more": False, "x": 1}, PAGE, False),
        ([], PAGE, False),
        ({"x": [None]}, object, True),
    ],
)
def test_shape_of_a_kept_answer(value, shape, expected):
    assert fits(value, shape) is expected
