"""What buttons within a form change in its texts: items added, moved, removed, a field edited as JSON or as fields.

They are submit buttons named `_do`, so they work without a script; with one only the fields are swapped.
"""

from __future__ import annotations

from blocks.forms.fields import Field
from blocks.forms.leaves import Texts
from blocks.forms.shapes import Shapes
from blocks.forms.spreading import Spreading

BUTTON = "_do"


def rearrange(texts: Texts, do: str, root: Field, shapes: Shapes) -> None:
    """Change the texts as a button asks; what can't be done is left as it is."""
    verb, _, name = do.partition(":")
    if verb == "add":
        _add(texts, name)
    elif verb in {"remove", "up", "down"}:
        _move(texts, name, verb)
    elif verb in {"json", "form"}:
        field = next((each for each in root.walk() if each.name == name), None)
        if field is not None and (field.can_be_json or field.typed_json) and not field.problem:
            _edit_as(texts, verb, field, shapes)


def _add(texts: Texts, name: str) -> None:
    keys = texts.get(f"{name}~item", [])
    largest = max((int(key) for key in keys if key.isdecimal()), default=-1)
    texts[f"{name}~item"] = [*keys, str(largest + 1)]


def _move(texts: Texts, name: str, verb: str) -> None:
    group, _, key = name.rpartition(".")
    keys = list(dict.fromkeys(texts.get(f"{group}~item", [])))
    if key not in keys:
        return
    at = keys.index(key)
    if verb == "remove":
        keys.remove(key)
        _forget(texts, name)
    else:
        keys.insert(max(at + (-1 if verb == "up" else 1), 0), keys.pop(at))
    texts[f"{group}~item"] = keys


def _forget(texts: Texts, name: str) -> None:
    for known in [each for each in texts if each == name or each.startswith((f"{name}.", f"{name}~"))]:
        del texts[known]


def _edit_as(texts: Texts, verb: str, field: Field, shapes: Shapes) -> None:
    key = texts.get(f"{field.name}~key")
    _forget(texts, field.name)
    if key:
        texts[f"{field.name}~key"] = key
    spreading = Spreading(shapes, texts)
    if verb == "json":
        spreading.put_json(field.name, field.value)
    else:
        spreading.put(field.part, field.name, field.value, field.required, field.depth)
