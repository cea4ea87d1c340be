"""The interface's description for /openapi.json: what JSON holds, and how a recording is sent."""

import json
from http import HTTPStatus
from pathlib import Path

ANALYSIS = Path(__file__).parent / "static" / "analysis.schema.json"  # its JSON Schema, which anyone can fetch
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
FILE = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": FILE}, "required": ["file"]}
BODY = {"required": True, "content": {"multipart/form-data": {"schema": FORM}, "audio/*": {"schema": FILE}}}
EVENTS = """Sent to those who accept text/event-stream, each with JSON as its data: `waiting` {"ahead": recordings that
come first}, `progress` {"heard_s", "duration_s": of so many, or null}, `result` the analysis, `explanation` if it was
asked for, which may come much later, and `error` {"error": a sentence, "status"}, as which it ends."""
REFUSALS = (400, 403, 408, 413, 422, 503)  # the last with `Retry-After`


def described(summary: str, body: dict | None = None) -> dict:
    """What FastAPI is told of an address that analyses a recording."""
    answer = {
        "application/json": {"schema": json.loads(ANALYSIS.read_text(encoding="utf-8"))},
        "text/event-stream": {"schema": {"type": "string", "description": EVENTS}},
    }
    errors = {"application/json": {"schema": ERROR}}
    responses = {status: {"description": HTTPStatus(status).phrase, "content": errors} for status in REFUSALS}
    responses[200] = {"description": "The analysis.", "content": answer}
    extra = {"openapi_extra": {"requestBody": body}} if body else {}
    return {"summary": summary, "responses": responses, **extra}
