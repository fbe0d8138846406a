"""Who works: a list of the agents, one of them, its own log."""

from __future__ import annotations

from typing import Any

from orchestrator import clock
from orchestrator.testing.memory import pools
from orchestrator.testing.memory.asked import Asked, Refusal
from orchestrator.testing.memory.definitions import Agent
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import time_of
from orchestrator.testing.memory.store import Store

CONNECTED_WITHIN = 90_000_000  # µs
KEPT_LINES = 2_000


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Agents, the newest first, filtered as asked."""
    name, there = asked.query.get("pool"), asked.yes_or_no("connected")
    pool = pools.find(store, name) if name else None
    wanted = [agent for agent in store.agents.values() if pool is None or agent.pool == pool.name]
    found, after = newest([agent for agent in wanted if there in (None, is_connected(agent))], asked, "created_at")
    return {"items": [_show(store, agent) for agent in found], "next": after}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """An agent, and the runs that it holds."""
    agent = find(store, asked)
    runs = [
        {"id": run.id, "name": run.name, "flow": run.flow, "attempt": run.attempt, "state": run.state_name,
         "lease_until": time_of(run.lease.expires_at if run.lease else None)}
        for run in held_by(store, agent)
    ]  # fmt: skip
    return {**_show(store, agent), "runs": runs}


def log(store: Store, asked: Asked) -> dict[str, Any]:
    """Lines of an agent's own log after a number, oldest first."""
    agent = find(store, asked)
    after, limit = asked.number("after", 0), asked.limit(1_000, KEPT_LINES)
    lines = list(enumerate(agent.lines, start=1))[max(after, 0) :][:limit]
    items = [{"line": number, "t": time_of(line.t), "level": line.level, "message": line.message}
             for number, line in lines]  # fmt: skip
    return {"items": items, "next": lines[-1][0] if lines else after}


def find(store: Store, asked: Asked) -> Agent:
    """The agent of the address."""
    found = store.agents.get(asked.id)
    if found is None:
        raise Refusal("not_found", "There is no such agent here.")
    return found


def is_connected(agent: Agent) -> bool:
    """True while it is heard of."""
    return clock.now() - agent.last_seen_at < CONNECTED_WITHIN


def held_by(store: Store, agent: Agent) -> list[Run]:
    """The runs that an agent holds."""
    return [run for run in store.runs.values() if run.lease is not None and run.lease.agent == agent.id]


def _show(store: Store, agent: Agent) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "pool": agent.pool,
        **agent.facts,
        "running": len(held_by(store, agent)),
        "connected": is_connected(agent),
        "load": agent.load,
        "created_at": time_of(agent.created_at),
        "started_at": time_of(agent.started_at),
        "last_seen_at": time_of(agent.last_seen_at),
    }
