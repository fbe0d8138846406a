"""The index of the cache: values that runs put there, their uses, what is to be computed anew."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.bodies import InvalidateInput
from orchestrator.cleaned import cache_word_of
from orchestrator.ids import uuid7
from orchestrator.testing.memory import paging
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.rows import CacheEntry
from orchestrator.testing.memory.shown import show_cache_entry, time_of
from orchestrator.testing.memory.store import Store
from orchestrator.wire import TaskState

STATES = ("live", "expired", "invalidated")
USERS = 20


def write(store: Store, told: TaskState, *, run: UUID, at: int) -> None:
    """What a state tells of the cache: a newer value has no uses yet, and is not what was invalidated before it."""
    word = cache_word_of(told)
    if word is None:
        return
    entry = store.cache.setdefault(word.key, CacheEntry(uuid7(), word.key, word, at))
    if word.is_use:
        entry.uses.append((at, run, told.id))
    elif entry.run is None or at >= entry.made_at:
        entry.uses = entry.uses if entry.run is None else []
        entry.word, entry.made_at, entry.run, entry.task = word, at, run, told.id
        if entry.invalidated_at is not None and at >= entry.invalidated_at:
            entry.invalidated_at = None


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Entries, newest value first."""
    state, task, prefix = (asked.query.get(name, "") for name in ("state", "task", "prefix"))
    if state and state not in STATES:
        raise invalid("There is no such state.", "state", f"One of {', '.join(STATES)}.")
    rows = [
        entry
        for entry in store.cache.values()
        if state in ("", entry.state) and task in ("", entry.word.task) and entry.key.startswith(prefix)
    ]
    items, cursor = paging.newest(rows, asked, "made_at")
    return {"items": [show_cache_entry(each) for each in items], "next": cursor}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, with its newest uses."""
    entry = _known(next((entry for entry in store.cache.values() if entry.id == asked.id), None))
    uses = [
        {"flow_run": run, "task_run": task, "at": time_of(at)} for at, run, task in sorted(entry.uses, reverse=True)
    ]
    return {**show_cache_entry(entry), "used_by": uses[:USERS]}


def of_key(store: Store, asked: Asked) -> dict[str, Any]:
    """The one of a key."""
    return show_cache_entry(_known(store.cache.get(asked.names["key"])))


def invalidate(store: Store, asked: Asked) -> dict[str, Any]:
    """Let no call use these values any more."""
    wanted, done = asked.read(InvalidateInput), 0
    for entry in store.cache.values():
        of_key = entry.key == wanted.key or (bool(wanted.prefix) and entry.key.startswith(wanted.prefix))
        if entry.invalidated_at is None and (wanted.all or of_key or entry.word.task == wanted.task):
            entry.invalidated_at = clock.now()
            done += 1
    return {"invalidated": done, "more": False}


def last_invalidation(store: Store, asked: Asked) -> dict[str, Any]:
    """When anything was invalidated last."""
    return {"last": time_of(max((e.invalidated_at for e in store.cache.values() if e.invalidated_at), default=None))}


def _known(entry: CacheEntry | None) -> CacheEntry:
    if entry is None:
        raise Refusal("not_found", "There is no such entry in the cache.")
    return entry
