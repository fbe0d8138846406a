"""Sets of parameters as people have them: a JSON array, JSON lines, or CSV with the names in its first line."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

TYPES = {"integer", "number", "boolean", "array", "object", "null"}


def read_sets(text: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The sets of a text, in whichever of the three forms it is.

    Args:
        schema: Of the parameters: it says which columns of a CSV are no texts.

    Raises:
        ValueError: It is none of them; the message names the line.

    >>> read_sets('[{"n": 1}]', {}), read_sets('{"n": 1}\\n{"n": 2}\\n', {})
    ([{'n': 1}], [{'n': 1}, {'n': 2}])
    >>> read_sets("n,day\\n1,2026-05-01\\n2,\\n", {"properties": {"n": {"type": "integer"}}})
    [{'n': 1, 'day': '2026-05-01'}, {'n': 2}]
    """
    text = text.lstrip("\ufeff").strip()
    if text.startswith("["):
        return _array(text)
    return _lines(text) if text.startswith("{") else _csv(text, schema)


def _array(text: str) -> list[dict[str, Any]]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is no JSON: {error}") from error
    for number, each in enumerate(told):
        if not isinstance(each, dict):
            raise ValueError(f"Item {number + 1} is no object. Each is the parameters of one run.")
    return told


def _lines(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Line {number} is no JSON: {error}") from error
        if not isinstance(told, dict):
            raise ValueError(f"Line {number} is no object. Each is the parameters of one run.")
        found.append(told)
    return found


def _csv(text: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Empty cells are left out: the deployment's own value counts there."""
    rows = csv.reader(io.StringIO(text))
    try:
        heads = [head.strip() for head in next(rows, [])]
        if len(set(heads)) < len(heads) or not all(heads):
            raise ValueError("The first line of a CSV has the names of the parameters, each once.")
        types = {head: _types(schema, head) for head in heads}
        return [_row(heads, types, row, rows.line_num) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"Line {rows.line_num} is no CSV: {error}") from error


def _row(heads: list[str], types: dict[str, set[str]], row: list[str], line: int) -> dict[str, Any]:
    if len(row) > len(heads):
        raise ValueError(f"Line {line} has {len(row)} cells, and the first line {len(heads)} names.")
    return {head: _value(cell, types[head]) for head, cell in zip(heads, row, strict=False) if cell.strip()}


def _types(schema: dict[str, Any], name: str) -> set[str]:
    properties = schema.get("properties")
    own = properties.get(name) if isinstance(properties, dict) else None
    if not isinstance(own, dict):
        return set()
    branches = [own, *(each for word in ("anyOf", "oneOf") for each in own.get(word) or () if isinstance(each, dict))]
    told = [each.get("type") for each in branches]
    return {name for each in told for name in (each if isinstance(each, list) else [each]) if isinstance(name, str)}


def _value(cell: str, types: set[str]) -> Any:
    """A cell as its column wants it; what can't be read stays a text, and the schema says what is wrong with it."""
    if types & TYPES:
        try:
            return json.loads(cell.lower() if "boolean" in types and "string" not in types else cell)
        except (ValueError, RecursionError):
            return cell
    return cell
