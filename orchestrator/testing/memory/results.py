"""Small values of runs, kept by the server."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from orchestrator.bodies import wrong_in_result_key
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.store import Store
from orchestrator.wire import MAX_STORED

_OF_RUN = re.compile(r"runs/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})/.+")


def put(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Keep the bytes of a value."""
    key, size = asked.names["key"], len(asked.body)
    if wrong := wrong_in_result_key(key):
        raise invalid(wrong, "key", wrong)
    if size > MAX_STORED:
        limit = f"The server keeps values of {MAX_STORED >> 10} KiB at most, and this one has {size:,} bytes."
        raise Refusal("too_large", limit + " Choose a result_storage of your own.")
    _check_owner(store, asked)
    new = key not in store.results
    store.results[key] = asked.body
    return {"key": key, "size": size}, 201 if new else 200


def get(store: Store, asked: Asked) -> bytes:
    """The bytes of a value."""
    found = store.results.get(asked.names["key"])
    if found is None:
        raise Refusal("not_found", "There is no value under this key.")
    return found


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Forget a value."""
    get(store, asked)
    _check_owner(store, asked)
    del store.results[asked.names["key"]]
    return None, 204


def _check_owner(store: Store, asked: Asked) -> None:
    """A run's token stores the values of its run, and of those that it replays."""
    named = _OF_RUN.fullmatch(asked.names["key"])
    if named is None or asked.by.run_id is None:
        return
    run = store.runs[asked.by.run_id]
    if UUID(named[1]) not in {run.id, run.replay_root}:
        raise Refusal("forbidden", "The token of a run stores the values of this run, and of those that it replays.")
