"""The interface's description for /openapi.json: what JSON holds, and how a recording is sent."""

import csv
from pathlib import Path

FIELDS = Path(__file__).parent / "analysis.csv"  # `a.b` is b in a, `a[]` a list; `?` may be null, `*` absent
TYPES = {
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "percent": {"type": "number", "minimum": 0, "maximum": 100},
    "text": {"type": "string"},
}
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
FILE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": FILE}, "required": ["file"]}
BODY = {"required": True, "content": {"multipart/form-data": {"schema": FORM}, "audio/*": {"schema": FILE}}}
EVENTS = """Sent to those who accept text/event-stream, each with JSON as its data: `waiting` {"ahead": recordings that
come first}, `progress` {"heard_s", "duration_s": of so many, or null}, `result` the analysis, `explanation` if it was
asked for, which may come much later, and `error` {"error": a sentence, "status"}, as which it ends."""
REFUSALS = {
    400: "What was sent can't be understood.",
    403: "Another site's page sent it, or the server is not called so.",
    408: "The recording came too slowly.",
    413: "The file is too large.",
    422: "The recording can't be used.",
    503: "Too many wait; `Retry-After` says for how many seconds to.",
}


def analysis_schema() -> dict:
    """The JSON Schema of an analysis."""
    root: dict = {"type": "object", "properties": {}, "required": []}
    with open(FIELDS, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kind = row["type"].rstrip("?*")
            leaf = {**TYPES.get(kind, {"type": kind}), "description": row["meaning"]}
            if "?" in row["type"]:
                leaf["type"] = [leaf["type"], "null"]
            for field in row["field"].split():
                here, *parts = root, *field.split(".")
                for part in parts[:-1]:
                    here = _within(here, part, {"type": "object", "properties": {}, "required": []})
                _within(here, parts[-1] + "*" * row["type"].endswith("*"), leaf)
    return root


def _within(here: dict, part: str, what: dict) -> dict:
    """A field of an object, made of what is given if it is not there; of a list, what it is a list of."""
    name = part.rstrip("*").removesuffix("[]")
    if name not in here["properties"]:
        here["properties"][name] = {"type": "array", "items": what} if "[]" in part else what
        if not part.endswith("*"):
            here["required"].append(name)
    return here["properties"][name].get("items", here["properties"][name])


def described(summary: str, body: dict | None = None) -> dict:
    """What FastAPI is told of an address that analyses a recording."""
    answer = {
        "application/json": {"schema": analysis_schema()},
        "text/event-stream": {"schema": {"type": "string", "description": EVENTS}},
    }
    errors = {"application/json": {"schema": ERROR}}
    responses = {status: {"description": words, "content": errors} for status, words in REFUSALS.items()}
    responses[200] = {"description": "The analysis.", "content": answer}
    extra = {"openapi_extra": {"requestBody": body}} if body else {}
    return {"summary": summary, "responses": responses, **extra}
