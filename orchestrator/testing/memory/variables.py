"""JSON values under names."""

from __future__ import annotations

import re
from typing import Any

from orchestrator import clock
from orchestrator.bodies import VariableInput
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Variable
from orchestrator.testing.memory.shown import show_variable
from orchestrator.testing.memory.store import Store
from orchestrator.wire import MAX_TAG, MAX_TAGS, encode

MAX_VALUE = 64 << 10
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,199}")


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Variables by name; the cursor is the last name of the page before."""
    limit, after = asked.limit(), asked.query.get("cursor", "")[:200]
    if "\x00" in after:
        raise Refusal("invalid", "A value has characters or digits that can't be stored.")
    names = sorted(name for name in store.variables if name > after)
    items = [show_variable(store.variables[name]) for name in names[:limit]]
    return {"items": items, "next": names[limit - 1] if len(names) > limit else None}


def find(store: Store, name: str) -> Variable:
    """The variable of this name."""
    if name not in store.variables:
        raise Refusal("not_found", f"There is no variable {name!r:.220} in this workspace.")
    return store.variables[name]


def put(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make or change a variable. Tags are left alone when none are given."""
    name, told = asked.names["name"], asked.read(VariableInput)
    if not _NAME.fullmatch(name):
        allowed = "Lower case letters, digits, _ and -; 200 characters at most."
        raise invalid(f"{name!r:.220} is no name for a variable.", "name", allowed)
    tags = told.tags
    if tags is not None and (len(tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in tags)):
        raise invalid("Too many or too long tags.", "tags", f"{MAX_TAGS} tags of {MAX_TAG} characters.")
    value = json_value(told.value)
    if len(encode(value)) > MAX_VALUE:
        raise invalid(f"A variable has {MAX_VALUE >> 10} KiB at most.", "value", "Too large.")
    before = store.variables.get(name)
    if before is not None and not told.overwrite:
        raise Refusal("conflict", f"The variable {name} exists.")
    kept = before.tags if before is not None else []
    tags = kept if tags is None else list(dict.fromkeys(clean_text(tag) for tag in tags))
    store.variables[name] = Variable(name, value, tags, clock.now(), asked.by.label)
    return show_variable(store.variables[name]), 200 if before else 201


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Remove a variable."""
    del store.variables[find(store, asked.names["name"]).name]
    return None, 204
