"""What an answer holds, be it a service's or a kept one, whatever its shape: text, objects, lists, or nothing."""

import re
from typing import Any

from music_learning.collect.failures import Malformed

MAX_ENTRIES = 1_000  # of a list: no service is asked for more
MAX_TEXT = 2_000  # characters of a field: a table that holds very long ones can't be read again
# Halves of characters, which no file can hold, and what steers a terminal; tabs and line breaks may stay.
_NO_TEXT = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean_text(text: str) -> str:
    """Text that tables and addresses can hold."""
    return _NO_TEXT.sub("\ufffd", text[:MAX_TEXT]).strip()


def text_of(value: Any) -> str:
    """A field as text; whatever isn't text or a whole number is empty."""
    return clean_text(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def one_line(value: Any) -> str:
    """A field as a short text to show."""
    return " ".join(text_of(value).split())[:100]


def objects_in(answer: Any, *keys: str) -> list[dict]:
    """The objects of the list that lies below the given keys of an answer. Raises Malformed where there is no list."""
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(answer, list):
        raise Malformed(f"answered without a list of {'.'.join(keys)}")
    return [entry for entry in answer[:MAX_ENTRIES] if isinstance(entry, dict)]


def object_in(answer: Any, key: str) -> dict:
    """The object below a key; empty where there is none."""
    value = answer.get(key) if isinstance(answer, dict) else None
    return value if isinstance(value, dict) else {}


def fits(value: Any, shape: Any) -> bool:
    """Whether a kept answer is what we would have kept.

    Args:
        shape: a type; `[shape]`, a list of any length; `(shape, shape)`, a list of this length; a dictionary with
            these keys; `object`, anything.
    """
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(entry, shape[0]) for entry in value)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, dict):
        return isinstance(value, dict) and value.keys() == shape.keys() and all(fits(value[k], shape[k]) for k in shape)
    return shape is object or (type(value) is shape and (shape is not str or value == clean_text(value)))
