"""One value and the text of its control: there and back, by kind.

Empty, absent and null are three things. An emptied control is null where null is allowed, the empty text for a text
that is required or has a default, and otherwise left out, so that the flow's own default applies. The hidden `~empty`
beside a control says otherwise where a value was already the other one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from blocks.forms import moments
from blocks.forms.shapes import Shape

MAX_TEXT = 1 << 20  # characters of one control
_EXACT = 1 << 53  # Browsers know no larger whole number.


class Missing:
    """No value at all; not null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = Missing()
Texts = dict[str, list[str]]
SECRET_KEPT = {"$secret": True}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    try:
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except RecursionError:
        return False


def as_json(value: Any) -> str:
    """A value as people read and type JSON."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:  # The indenting one nests less deep than what the database holds.
        return msgspec.json.encode(value).decode()


def from_json(text: str) -> Any:
    """What a person typed as JSON."""
    try:
        value = json.loads(text, parse_constant=_refused)
        json.dumps(value, ensure_ascii=False).encode()  # Half a surrogate pair can't be stored.
        return value
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is no JSON: {error}") from None


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def empty(shape: Shape, required: bool, meaning: str) -> Any:
    """What an emptied control means."""
    if meaning == "absent" or (meaning != "null" and shape.drops_null):
        return MISSING
    if shape.nullable:
        return None
    if shape.kind in {"text", "lines"} and (required or shape.has_default):
        return ""
    return MISSING


def choices(shape: Shape) -> list[Any]:
    """The values that can be chosen from."""
    return [shape.schema["const"]] if shape.kind == "const" else shape.schema["enum"]


def to_text(shape: Shape, value: Any) -> str:
    """What stands in the control for a value.

    Raises:
        ValueError: The control can't show it.
    """
    kind = shape.kind
    if kind in {"json", "none"}:
        return as_json(value)
    if kind in {"choice", "const"} and any(same(value, each) for each in choices(shape)):
        return json.dumps(value)
    if kind == "boolean" and isinstance(value, bool):
        return json.dumps(value)
    if kind == "block" and isinstance(value, Mapping) and isinstance(value.get("$block"), str):
        return value["$block"]
    if kind in {"integer", "number", "decimal"} and type(value) in {int, float} and abs(value) < _EXACT:
        return str(value)
    if not isinstance(value, str) or kind in {"choice", "const", "boolean", "block", "integer", "number"}:
        raise ValueError("not of this kind")
    if kind == "time" and not moments.fits_clock(value):
        raise ValueError("not of this kind")
    return moments.words_of_span(value) if kind == "duration" else value


def from_text(shape: Shape, text: str) -> Any:
    """The value that a control's text means.

    Raises:
        ValueError: Says what to type instead.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"At most {MAX_TEXT:,} characters.")
    kind = shape.kind
    if kind == "secret" and shape.schema.get("type", "string") != "string":
        return from_json(text)
    if kind in {"text", "lines", "secret"}:
        return text.replace("\r\n", "\n").replace("\r", "\n")
    if kind in {"choice", "const", "json", "none"}:
        return from_json(text)
    if kind == "block":
        return {"$block": text.strip()}
    if kind == "boolean":
        return text.strip().lower() in {"true", "on", "1", "yes"}
    return _READ[kind](text.strip())


def _whole(text: str) -> int:
    try:
        return int(text)
    except (ValueError, OverflowError):
        raise ValueError("Enter a whole number.") from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        raise ValueError("Enter a number.") from None
    if number - number != 0:
        raise ValueError("Enter a number that is finite.")
    return number


def _decimal(text: str) -> str:
    _number(text)
    return text


_READ = {
    "integer": _whole,
    "number": _number,
    "decimal": _decimal,
    "date": moments.day,
    "time": moments.clock,
    "duration": moments.span,
}


def read(shape: Shape, texts: Texts, name: str, required: bool) -> Any:
    """The value of the field whose control has this name.

    Raises:
        ValueError: Says what to type instead.
    """
    if name not in texts:
        return MISSING
    if shape.kind == "secret" and not texts[name][-1] and (block := first(texts, f"{name}~block").strip()):
        return {"$block": block}
    text, is_json = texts[name][-1], first(texts, f"{name}~mode") == "json"
    if not (text if shape.kind in {"text", "lines"} and not is_json else text.strip()):
        kept = shape.kind == "secret" and first(texts, f"{name}~kept")
        return dict(SECRET_KEPT) if kept else empty(shape, required, first(texts, f"{name}~empty"))
    if is_json:
        return from_json(text)
    if shape.kind == "datetime":
        return moments.join(text, first(texts, f"{name}~zone"))
    return from_text(shape, text)


def first(texts: Texts, name: str) -> str:
    """The one text under a name, or nothing."""
    return (texts.get(name) or [""])[-1]
