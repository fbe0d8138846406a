"""Limits that code names: made, changed, deleted; slots that somebody takes away."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.slot_bodies import LimitInput, TakeAwayInput, wrong_of_limit
from orchestrator.testing.memory import slots
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.definitions import NamedLimit
from orchestrator.testing.memory.rows import Ask
from orchestrator.testing.memory.shown import time_of
from orchestrator.testing.memory.store import Store

SHOWN = 100


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """The limits by name."""
    prefix, after, size = asked.query.get("prefix", ""), asked.query.get("cursor", ""), asked.limit()
    names = sorted(name for name in store.limits if name.startswith(prefix) and name > after)
    items = [_show(store, store.limits[name]) for name in names[:size]]
    return {"items": items, "next": names[size - 1] if len(names) > size else None}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, with who holds its slots and who waits."""
    return _whole(store, _find(store, asked))


def put(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Make a limit, or change what is told of it."""
    name, told = asked.names["name"], asked.read(LimitInput)
    limit = store.limits.get(name)
    if fields := wrong_of_limit(name, told, is_new=limit is None):
        [(field, text), *_] = fields.items()
        raise Refusal("invalid", f"{field}: {text}", fields)
    status = 200 if limit else 201
    limit = limit or NamedLimit(uuid7(), name, 0, created_at=clock.now())
    for field in ("slots", "rate", "active"):
        if (value := getattr(told, field)) is not UNSET and value != getattr(limit, field):
            setattr(limit, field, value)
            limit.reserved_until = 0
    store.limits[name] = limit
    slots.hand_on(store)
    return _whole(store, limit), status


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete a limit: who waits goes on."""
    del store.limits[_find(store, asked).name]
    slots.hand_on(store)
    return None, 204


def reset(store: Store, asked: Asked) -> dict[str, Any]:
    """Take slots away from one holder, or from all."""
    limit, told = _find(store, asked), asked.read(TakeAwayInput)
    held = [ask for ask in _of(store, limit) if ask.held_at and told.id in (None, ask.id)]
    if told.id is not None and not held:
        raise Refusal("not_found", "It does not hold a slot of this limit any more.")
    if told.id is None:
        limit.reserved_until = 0
    for ask in held:
        del store.asks[ask.id]
        slots.tell(store, ask, "lost")
    slots.hand_on(store)
    return {"taken_away": len(held)}


def _find(store: Store, asked: Asked) -> NamedLimit:
    found = store.limits.get(asked.names["name"])
    if found is None:
        raise Refusal("not_found", "There is no such limit in this workspace.")
    return found


def _of(store: Store, limit: NamedLimit) -> list[Ask]:
    return [ask for ask in store.asks.values() if ("limit", limit.name) in ask.keys]


def _whole(store: Store, limit: NamedLimit) -> dict[str, Any]:
    own = _of(store, limit)
    holders = sorted((ask for ask in own if ask.held_at), key=lambda ask: ask.held_at or 0)
    return {
        **_show(store, limit),
        "holders": [_somebody(store, ask, ask.held_at or 0) for ask in holders[:SHOWN]],
        "queue": [_somebody(store, ask, ask.asked_at) for ask in own if not ask.held_at][:SHOWN],
    }


def _show(store: Store, limit: NamedLimit) -> dict[str, Any]:
    own = _of(store, limit)
    return {
        "name": limit.name, "slots": limit.slots, "rate": limit.rate, "active": limit.active,
        "held": sum(ask.occupy for ask in own if ask.held_at), "waiting": sum(not ask.held_at for ask in own),
        "created_at": time_of(limit.created_at),
    }  # fmt: skip


def _somebody(store: Store, ask: Ask, since: int) -> dict[str, Any]:
    run = store.runs.get(ask.run) if ask.run else None
    who = ask.label or (run.name if run else "somebody")
    return {
        "id": ask.id, "flow_run": run.id if run else None, "label": who, "occupy": ask.occupy, "since": time_of(since),
    }  # fmt: skip
