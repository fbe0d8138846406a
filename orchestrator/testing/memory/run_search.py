"""The runs that a list is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from orchestrator.bulk import MAX_IDS
from orchestrator.ids import as_id
from orchestrator.states import StateType
from orchestrator.testing.memory import deployments
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.store import Store

ORIGINS = ("local", "subflow", "api", "form", "schedule", "retry", "background", "backfill")
SPANS = {"": "created_at", "expected_": "scheduled_at", "started_": "started_at", "ended_": "ended_at"}
EXACT = ("flow", "version", "origin", "created_by", "idempotency_key")
WORDS = {
    *EXACT, "id", "state", "tag", "name", "text", "subflows", "backfill", "parent", "root", "retry_of",
    "concurrency_key", "deployment", "deployment_version",
    *(f"{word}{edge}" for word in SPANS for edge in ("since", "until")),
}  # fmt: skip


def found(store: Store, asked: Asked) -> list[Run]:
    """Those that are in all respects as asked."""
    wanted, states, tags = _wanted(store, asked), asked_states(asked), set(_several(asked, "tag"))
    spans, text = list(_spans(asked)), asked.query.get("name", "").lower()
    ids, whole, anywhere = _asked_ids(asked), asked.yes_or_no("subflows") is False, asked.query.get("text", "").lower()
    return [
        run
        for run in store.runs.values()
        if all(getattr(run, name) == value for name, value in wanted.items())
        and (not states or run.state_type in states)
        and tags <= set(run.tags)
        and (not ids or run.id in ids)
        and (run.is_root or not whole)
        and text in run.name.lower()
        and (anywhere in run.name.lower() or anywhere in run.flow.lower())
        and all(_is_within(getattr(run, column), since, until) for column, since, until in spans)
    ]


def _wanted(store: Store, asked: Asked) -> dict[str, Any]:
    """What attributes of a run have to be."""
    if any("\x00" in value for value in asked.query.values()):
        raise Refusal("invalid", "A value has characters or digits that can't be stored.")
    if asked.query.get("origin", "") not in ("", *ORIGINS):
        raise invalid("There is no such origin.", "origin", f"One of {', '.join(ORIGINS)}.")
    wanted: dict[str, Any] = {name: asked.query.get(name) for name in EXACT}
    wanted |= {"parent_id": asked.uuid("parent"), "root_id": asked.uuid("root"), "retry_of": asked.uuid("retry_of")}
    wanted["backfill"] = asked.uuid("backfill")
    wanted["key"] = asked.query.get("concurrency_key")
    wanted["deployment_version"] = asked.number("deployment_version", 0)
    if reference := asked.query.get("deployment"):
        wanted["deployment"] = deployments.find(store, reference)
    return {name: value for name, value in wanted.items() if value}


def _spans(asked: Asked) -> Iterator[tuple[str, int | None, int | None]]:
    for word, column in SPANS.items():
        since, until = asked.moment(f"{word}since"), asked.moment(f"{word}until")
        if since is not None or until is not None:
            yield column, since, until


def _is_within(at: int | None, since: int | None, until: int | None) -> bool:
    return at is not None and (since is None or at >= since) and (until is None or at < until)


def asked_states(asked: Asked) -> set[str]:
    """The state types that a list is asked for."""
    states = {state.upper() for state in _several(asked, "state")}
    if unknown := states - set(StateType):
        raise invalid(f"There is no state {', '.join(sorted(unknown))[:200]}.", "state", "A state type.")
    return states


def _asked_ids(asked: Asked) -> set[UUID]:
    texts = _several(asked, "id")
    ids = {as_id(text) for text in texts}
    if None in ids or len(texts) > MAX_IDS:
        raise invalid("These are no ids of runs.", "id", f"UUIDs, {MAX_IDS:,} at most.")
    return {id for id in ids if id}


def _several(asked: Asked, name: str) -> list[str]:
    return [value for value in asked.query.get(name, "").split(",") if value]
