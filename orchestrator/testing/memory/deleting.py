"""Deleting runs that have ended, with all that they told and made."""

from __future__ import annotations

from uuid import UUID

from orchestrator.testing.memory import runs
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.store import Store

CALLED = "It was called by another run. Delete that one: its subflows go with it."


def delete(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete a run with its subflows."""
    run = runs.find(store, asked.id)
    if not run.is_root:
        raise Refusal("conflict", CALLED)
    if not run.is_final:
        raise Refusal("conflict", f"The run has not ended ({run.state_name}). Cancel it first.")
    if reuses := reused_by(store, run):
        raise Refusal("conflict", f"The run {reuses.name} goes on and reuses what this one stored. Wait for it.")
    _delete(store, run)
    return None, 204


def reused_by(store: Store, run: Run) -> Run | None:
    """A run that goes on and reuses what the chain of retries has stored which this run is in."""
    chain = run.replay_root or run.id
    return next((each for each in store.runs.values() if each.replay_root == chain and not each.is_final), None)


def _delete(store: Store, root: Run) -> None:
    ids = {run.id for run in store.runs.values() if run.root_id == root.id}
    store.runs = {id: run for id, run in store.runs.items() if id not in ids}
    store.deleted.add(root.id)
    store.tokens = {token: held for token, held in store.tokens.items() if held[0].id not in ids}
    store.marks = {place: mark for place, mark in store.marks.items() if place[0] != root.id}
    store.inputs = {place: asked for place, asked in store.inputs.items() if place[0] != root.id}
    store.quarantine = [kept for kept in store.quarantine if not kept["stream"].startswith(str(root.id))]
    _forget_made(store, ids)
    _forget_values(store, ids, root.call or {})
    store.changed.notify_all()


def _forget_made(store: Store, ids: set[UUID]) -> None:
    store.artifacts = {id: made for id, made in store.artifacts.items() if made.run not in ids}
    store.events = {id: event for id, event in store.events.items() if event.run not in ids}
    for asset in store.assets.values():
        asset.makings = {id: making for id, making in asset.makings.items() if making.run not in ids}


def _forget_values(store: Store, ids: set[UUID], call: dict[str, object]) -> None:
    """Those of the runs, and the arguments of a call of which no run is left."""
    gone = tuple(f"runs/{id}/" for id in ids)
    of_others = {(run.call or {}).get("arguments") for run in store.runs.values()}
    if call.get("arguments") not in of_others | {None}:
        gone += (f"calls/{store.workspace_id}/{call['arguments']}.",)
    store.results = {key: value for key, value in store.results.items() if not key.startswith(gone)}
