"""What runs tell, cut and cleaned as every server keeps it."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.wire import MAX_PARAMETERS, MAX_TAG, MAX_TAGS, MAX_TRACEBACK, About, Error, clean_text, json_value


def parameters_of(about: About) -> Any:
    """The parameters that a run was begun with."""
    raw = bytes(about.parameters)
    if not raw:
        return {}
    if len(raw) > MAX_PARAMETERS:
        return {"…": f"{len(raw):,} bytes of parameters: more than the {MAX_PARAMETERS:,} that are kept"}
    value = json_value(msgspec.json.decode(raw))
    return value if isinstance(value, dict) else {"value": value}


def error_of(error: Error | None) -> dict[str, str] | None:
    """An exception. Of a long traceback the end is kept: there it says what happened."""
    if error is None:
        return None
    return {
        "type": clean_text(error.type, 500),
        "message": clean_text(error.message, 10_000),
        "traceback": clean_text(error.traceback[-MAX_TRACEBACK:]),
    }


def clean_tags(tags: list[str]) -> list[str]:
    """At most 100 different tags of at most 200 characters, in order."""
    return list(dict.fromkeys(clean_text(tag, MAX_TAG) for tag in tags[:MAX_TAGS] if tag))
