"""Texts and values as JSON and PostgreSQL can hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str, limit: int | None = None) -> str:
    """Replace what PostgreSQL and UTF-8 can't hold (NUL, lone surrogates) by U+FFFD, and cut to `limit` characters.

    >>> clean_text("a\\x00b")
    'a\\ufffdb'
    """
    if limit is not None and len(text) > limit:
        text = text[:limit]
    return _UNSAFE.sub("\ufffd", text) if _UNSAFE.search(text) else text


def json_value(value: Any, depth: int = 0) -> Any:
    """Turn any Python value into what JSON and PostgreSQL's jsonb can hold.

    NaN and infinities become strings, so do keys and whatever JSON has no form for (its `repr`); nesting deeper than
    50 becomes "…". Never raises: an object whose `repr` fails is named by its type.

    >>> json_value({1: float("nan"), "when": [True, None]})
    {'1': 'nan', 'when': [True, None]}
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, int):
        # Beyond 64 bits browsers and msgspec lose digits.
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth >= 50:
        return "…"
    if isinstance(value, Mapping):
        return {clean_text(str(key)): json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item, depth + 1) for item in value]
    return _foreign_value(value, depth)


def _foreign_value(value: Any, depth: int) -> Any:
    """What msgspec knows (dates, UUIDs, dataclasses, enums) as JSON, pydantic models as objects, the rest as text."""
    try:
        if hasattr(value, "model_dump"):
            return json_value(value.model_dump(mode="json"), depth + 1)
        return json_value(msgspec.to_builtins(value), depth + 1)
    except Exception:
        try:
            return clean_text(repr(value), 10_000)
        except Exception:
            return f"<{type(value).__name__}>"
