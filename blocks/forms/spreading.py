"""From a JSON value to the texts of a form's controls.

Controls are named after the way to their value: `p.source.url`. What else a field keeps stands beside it, after a
tilde: `~mode` form or json · `~item` the keys of a list's items, in their order · `~key` the key of an entry ·
`~branch` the chosen one of a union, whose own controls are `~b0`, `~b1`, … · `~zone` of a date-time · `~empty` what an
emptied control means · `~kept` a stored secret stays · `~block` the block
that a secret is taken from. A tilde or dot in a name is written ~0 and ~1.

A value that a control can't show exactly stands there as JSON, so nothing is lost or changed by being looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blocks.forms import moments
from blocks.forms.leaves import MISSING, SECRET_KEPT, Texts, as_json, choices, empty, from_text, read, same, to_text
from blocks.forms.shapes import GROUPS, Shape, Shapes

MAX_DEPTH = 10
MAX_ITEMS = 500
MAX_FIELDS = 3_000
STARTS_WITH = 10  # items of a list that asks for some
AHEAD = 500  # fields of branches that nobody has chosen yet, at most


def inner(name: str, step: str) -> str:
    """The name of the control within a group."""
    return f"{name}.{step.replace('~', '~0').replace('.', '~1')}"


def is_optional_group(shape: Shape, required: bool) -> bool:
    """Whether a group may be left away as a whole, and so is shown as a choice of its own."""
    leaves_out = shape.nullable or shape.drops_null or not (required or shape.has_default)
    return shape.kind in GROUPS and leaves_out


def is_constant(shape: Shape, required: bool) -> bool:
    """Whether a field has one value only, and so needs no control."""
    return shape.kind == "const" and (required or "default" in shape.schema) and not shape.nullable


def branches_of(shape: Shape, part: Any, required: bool) -> list[Any]:
    """What can be chosen: the schemas of a union, or a group itself; None for leaving it away comes first."""
    options = list(shape.branches) if shape.kind == "union" else [part]
    return [None, *options] if is_optional_group(shape, required) else options


class Spreading:
    """Collects `texts`; `left` says how many fields may still be added."""

    def __init__(self, shapes: Shapes, texts: Texts | None = None, left: int = MAX_FIELDS) -> None:
        self.shapes = shapes
        self.texts: Texts = {} if texts is None else texts
        self.left = left
        self._ahead_left = AHEAD
        self._within: list[int] = []

    def put(self, part: Any, name: str, value: Any, required: bool, depth: int = 0, chosen: bool = False) -> None:
        """Add the texts of one field. `chosen`: its being there is decided already."""
        shape = self.shapes.of(part)
        self.left -= 1
        if value is MISSING and shape.has_default and not (chosen and shape.schema["default"] is None):
            value = shape.schema["default"]
        if value is None and shape.drops_null:
            value = MISSING
        if shape.kind == "union" or (not chosen and is_optional_group(shape, required)):
            self._union(shape, part, name, value, required, depth)
        elif shape.kind in GROUPS and (depth > MAX_DEPTH or self.left < 0):
            self.put_json(name, value)
        elif shape.kind in GROUPS:
            getattr(self, f"_{shape.kind}")(shape, name, value, depth)
        elif not is_constant(shape, required) or (value is not MISSING and not same(value, shape.schema["const"])):
            self._leaf(shape, name, value, required)

    def put_json(self, name: str, value: Any) -> None:
        """Show a value as JSON, whatever its field is."""
        self.texts[f"{name}~mode"] = ["json"]
        self.texts[name] = ["" if value is MISSING else as_json(value)]
        if value is MISSING:
            self.texts[f"{name}~empty"] = ["absent"]

    def _leaf(self, shape: Shape, name: str, value: Any, required: bool) -> None:
        texts: Texts = {name: [""]}
        if value is MISSING:
            if shape.kind == "boolean" and required:
                texts[name] = ["false"]
            elif not required and empty(shape, required, "") is not MISSING:
                texts[f"{name}~empty"] = ["absent"]
            return self.texts.update(texts)
        if value is None and shape.nullable:
            texts[f"{name}~empty"] = ["null"] if empty(shape, required, "") is not None else []
        elif shape.kind == "secret" and same(value, SECRET_KEPT):
            texts[f"{name}~kept"] = ["1"]
        elif shape.kind == "secret" and isinstance(value, Mapping) and isinstance(value.get("$block"), str):
            texts[f"{name}~block"] = [value["$block"]]
        elif not self._shown(shape, texts, name, value, required):
            return self.put_json(name, value)
        return self.texts.update(texts)

    def _shown(self, shape: Shape, texts: Texts, name: str, value: Any, required: bool) -> bool:
        """Put a value's text there, if it reads back as that very value."""
        try:
            if shape.kind == "datetime":
                texts[name], texts[f"{name}~zone"] = map(list, zip(moments.split(str(value)), strict=True))
            else:
                texts[name] = [to_text(shape, value)]
            back = read(shape, texts, name, required)
        except ValueError:
            return False
        means_the_same = shape.kind == "decimal" and back == str(value)
        return means_the_same or (back is not MISSING and same(back, value))

    def _object(self, shape: Shape, name: str, value: Any, depth: int) -> None:
        properties = shape.schema["properties"]
        given = {} if value is MISSING else value
        if not isinstance(given, Mapping) or not given.keys() <= properties.keys():
            return self.put_json(name, value)
        self.texts[f"{name}~mode"] = ["form"]
        required = set(shape.schema.get("required", ()))
        for key, part in properties.items():
            self.put(part, inner(name, key), given.get(key, MISSING), key in required, depth + 1)
        return None

    def _list(self, shape: Shape, name: str, value: Any, depth: int) -> None:
        given = [MISSING] * min(shape.schema.get("minItems", 0), STARTS_WITH) if value is MISSING else value
        if not isinstance(given, list) or len(given) > min(MAX_ITEMS, max(self.left, 0)):
            return self.put_json(name, value)
        self.texts[f"{name}~mode"] = ["form"]
        self.texts[f"{name}~item"] = [str(number) for number in range(len(given))]
        for number, item in enumerate(given):
            self.put(shape.schema["items"], f"{name}.{number}", item, True, depth + 1)
        return None

    def _tuple(self, shape: Shape, name: str, value: Any, depth: int) -> None:
        parts = shape.schema["prefixItems"]
        given = [MISSING] * len(parts) if value is MISSING else value
        if not isinstance(given, list) or len(given) != len(parts):
            return self.put_json(name, value)
        self.texts[f"{name}~mode"] = ["form"]
        for number, (part, item) in enumerate(zip(parts, given, strict=True)):
            self.put(part, f"{name}.{number}", item, True, depth + 1)
        return None

    def _map(self, shape: Shape, name: str, value: Any, depth: int) -> None:
        given = {} if value is MISSING else value
        if not isinstance(given, Mapping) or "" in given or len(given) > min(MAX_ITEMS, max(self.left, 0)):
            return self.put_json(name, value)
        if any(set(key) & set("\r\n") for key in given):
            return self.put_json(name, value)
        self.texts[f"{name}~mode"] = ["form"]
        self.texts[f"{name}~item"] = [str(number) for number in range(len(given))]
        for number, (key, item) in enumerate(given.items()):
            self.texts[f"{name}.{number}~key"] = [key]
            self.put(shape.schema["additionalProperties"], f"{name}.{number}", item, True, depth + 1)
        return None

    def _union(self, shape: Shape, part: Any, name: str, value: Any, required: bool, depth: int) -> None:
        options = branches_of(shape, part, required)
        active = self._fitting(options, shape, value)
        if active is None or depth > MAX_DEPTH or self.left < 0:
            return self.put_json(name, value)
        self.texts[f"{name}~mode"] = ["form"]
        self.texts[f"{name}~branch"] = [str(active)]
        if options[active] is None and shape.nullable and (value is MISSING) is not required:
            self.texts[f"{name}~empty"] = ["absent" if value is MISSING else "null"]
        for number, option in enumerate(options):
            if option is None:
                continue
            if number == active:
                self.put(option, f"{name}~b{number}", value, True, depth + 1, chosen=True)
            else:
                self._ahead(option, f"{name}~b{number}", depth)
        return None

    def _ahead(self, option: Any, name: str, depth: int) -> None:
        """What another branch would show, unless that leads into a circle or takes too much."""
        if id(option) in self._within or len(self._within) > 2 or self._ahead_left <= 0:
            return
        trial = Spreading(self.shapes, left=min(self.left, self._ahead_left))
        trial._within = [*self._within, id(option)]
        trial._ahead_left = trial.left
        trial.put(option, name, MISSING, True, depth + 1, chosen=True)
        self._ahead_left = min(trial.left, trial._ahead_left)
        if self._ahead_left >= 0:
            self.texts.update(trial.texts)

    def _fitting(self, options: list[Any], shape: Shape, value: Any) -> int | None:
        """The branch that a value belongs to; the first one for none yet."""
        if value is MISSING or (value is None and shape.nullable):
            return 0
        if shape.kind != "union":
            return len(options) - 1
        scores = [0 if option is None else fit(self.shapes, option, value) for option in options]
        return scores.index(max(scores)) if max(scores) > 0 else None


def fit(shapes: Shapes, part: Any, value: Any, depth: int = 0) -> int:
    """How well a value fits a schema at first sight: 0 is not at all."""
    shape = shapes.of(part)
    if value is None:
        return int(shape.nullable or shape.kind in {"none", "json"})
    if shape.kind in {"object", "map", "json"} and isinstance(value, Mapping):
        return 2 if shape.kind != "object" else _fit_of_object(shapes, shape, value)
    if shape.kind == "block":
        return 4 * (isinstance(value, Mapping) and "$block" in value)
    if shape.kind in {"list", "tuple"}:
        return 3 * isinstance(value, list)
    if shape.kind in {"const", "choice"}:
        return 4 * any(same(value, choice) for choice in choices(shape))
    if shape.kind == "union":
        return 0 if depth > 3 else max(fit(shapes, each, value, depth + 1) for each in shape.branches)
    return 1 if shape.kind == "json" else _fit_of_leaf(shape, value)


def _fit_of_object(shapes: Shapes, shape: Shape, value: Mapping[str, Any]) -> int:
    properties = shape.schema["properties"]
    if not value.keys() <= properties.keys() or not set(shape.schema.get("required", ())) <= value.keys():
        return 1
    known = {key: shapes.of(part) for key, part in properties.items()}
    constants = {key: each.schema["const"] for key, each in known.items() if each.kind == "const"}
    if any(not same(value[key], constant) for key, constant in constants.items() if key in value):
        return 1
    return 3 + len(value) + 10 * len(constants.keys() & value.keys())


def _fit_of_leaf(shape: Shape, value: Any) -> int:
    kind = {bool: "boolean", int: "integer", float: "number", str: "text"}.get(type(value), "")
    if kind == "integer" and shape.kind in {"integer", "number", "decimal"}:
        return 3 if shape.kind == "integer" else 2
    if kind != "text":
        return 3 * (kind == shape.kind or (kind == "number" and shape.kind == "decimal"))
    if shape.kind in {"date", "time", "datetime", "duration"}:
        return 3 * _reads(shape, value)
    return 2 * (shape.kind in {"text", "lines", "secret", "decimal"})


def _reads(shape: Shape, value: str) -> bool:
    try:
        if shape.kind == "datetime":
            moments.join(*moments.split(value))
        else:
            from_text(shape, value)
        return True
    except ValueError:
        return False
