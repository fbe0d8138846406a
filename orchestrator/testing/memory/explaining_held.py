"""What a run waits for that somebody has claimed: its process, slots, people, its own end."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from orchestrator.causes import Action, Cause, Code, Thing, asked_words, call_of, cause, number
from orchestrator.states import WISHES, StateType
from orchestrator.testing.memory.agents import is_connected
from orchestrator.testing.memory.inputs import is_open
from orchestrator.testing.memory.rows import Ask, Input, Run
from orchestrator.testing.memory.shown import time_of
from orchestrator.testing.memory.store import Store

HOLDERS = 3


def holder_waits(store: Store, run: Run, verbs: Collection[str]) -> list[Cause]:
    """Why a root that was claimed, or begun by a program, does not go on."""
    since = time_of(run.state_at)
    if run.state_type == StateType.CANCELLING:
        return [_told_to(store, run, Code.CANCELLING)]
    if run.state_type == StateType.PENDING:
        return [_starting(store, run)]
    found = [_told_to(store, run, Code.UNREACHABLE)] if run.state_name == "Unreachable" else []
    if run.state_type == StateType.PAUSED:
        asked = [each for each in store.inputs.values() if each.root == run.id and is_open(store, each)]
        return [*found, *(_request(each, verbs) for each in asked)]
    if run.state_name in WISHES:
        found.append(cause(Code.PAUSING, since=since))
    elif run.state_name == "AwaitingRetry":
        found.append(cause(Code.RETRY_DELAY, since=since))
    return [*found, *_slots(store, run, verbs)]


def _told_to(store: Store, run: Run, code: Code) -> Cause:
    attempt = run.attempts.get(run.attempt)
    agent = store.agents.get(attempt.agent) if attempt and attempt.agent else None
    things = [Thing("agent", agent.id, agent.name, f"agents/{agent.id}")] if agent else []
    until = time_of(run.lease.expires_at) if run.lease else None
    who = f"the agent {agent.name}" if agent else "its process"
    return cause(code, since=time_of(run.state_at), until=until, things=things, agent=who)


def _starting(store: Store, run: Run) -> Cause:
    agent = store.agents.get(run.lease.agent) if run.lease and run.lease.agent else None
    is_there = agent is None or is_connected(agent)
    return _told_to(store, run, Code.STARTING if is_there else Code.AGENT_SILENT)


def _request(asked: Input, verbs: Collection[str]) -> Cause:
    label, words = asked_words(
        title=asked.title, schema=asked.schema, quorum=asked.quorum, roles=asked.roles, teams=asked.teams
    )
    action = Action(label, f"waiting/{asked.id}") if "runs.answer" in verbs else None
    times = {"since": time_of(asked.created_at), "until": time_of(asked.expires_at)}
    return cause(Code.ASKED, action=action, **times, **words)


def _slots(store: Store, run: Run, verbs: Collection[str]) -> Iterator[Cause]:
    for ask in [each for each in store.asks.values() if each.run == run.id and not each.held_at]:
        for kind, name in ask.keys:
            yield _waits(store, ask, kind, name, verbs)


def _waits(store: Store, ask: Ask, kind: str, name: str, verbs: Collection[str]) -> Cause:
    same = [each for each in store.asks.values() if (kind, name) in each.keys]
    held = [each for each in same if each.held_at]
    ahead = [each for each in same if not each.held_at]
    names: dict[str, Any] = {"who": call_of(ask.label), "limit": name, "before": number(ahead.index(ask), "call")}
    holders = list(dict.fromkeys(_holder(store, each) for each in held))[:HOLDERS]
    since = time_of(ask.asked_at)
    limit = store.limits.get(name) if kind == "limit" else None
    if limit is None:
        return cause(Code.LOCK, since=since, things=holders, **names)
    page = f"limits/{limit.id}"
    action = Action("Look at the limit", page) if "limits.edit" in verbs else None
    used: dict[str, Any] = {
        "wanted": number(ask.occupy, "slot"),
        "used": sum(each.occupy for each in held),
        "slots": limit.slots,
    }
    things = [Thing("limit", limit.id, name, page if "limits.view" in verbs else ""), *holders]
    return cause(Code.SLOT, since=since, things=things, action=action, **used, **names)


def _holder(store: Store, ask: Ask) -> Thing:
    run = store.runs.get(ask.run) if ask.run else None
    return (
        Thing("flow-run", run.id, run.name, f"runs/{run.id}")
        if run
        else Thing("process", None, ask.label or "somebody")
    )
