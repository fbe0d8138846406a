"""Agents wait for work without asking: a wake counter per pool, raised on commit, and one subscriber per process.

`GET …/agents/{id}/wait?since=n` answers at once when the counter has moved since n, so no wake-up is lost; else it
waits. What comes wakes as many agents as there is work, not the herd: `runs/wakeups.py`. Served on the async side,
it touches no database but for keys and agents that were not seen lately.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import transaction

from runs import long_polls
from runs.messenger import client, messenger
from runs.models import Agent
from runs.wakeups import CHANNEL, COUNTER, DUE, DUE_NUMBERS, KEEP_SECONDS, SEEN, TAKEN, waiters, word
from tenants.errors import NotFound
from tenants.permissions import Actor
from tenants.scope import tenant_scope

REMEMBERED = 100_000


def wake_pools(work: Mapping[UUID, int]) -> None:
    """Wake as many who wait for a pool as there is work in it, once the transaction is committed."""
    told = {str(id): number for id, number in sorted(work.items())}
    if told:
        transaction.on_commit(lambda: messenger.send(lambda redis: _wake(redis, told)), robust=True)


def _wake(redis: Any, work: dict[str, int]) -> None:
    for pool_id, number in work.items():
        redis.incr(COUNTER + pool_id)
        redis.expire(COUNTER + pool_id, KEEP_SECONDS)
        word(redis, pool_id, number)


def wake_at(due: Iterable[tuple[UUID, datetime]]) -> None:
    """Wake as many as there are runs when they become due, once the transaction is committed."""
    numbers = Counter((str(pool_id), round(at.timestamp(), 3)) for pool_id, at in due)
    if numbers:
        transaction.on_commit(lambda: messenger.send(lambda redis: _plan(redis, numbers)), robust=True)


def _plan(redis: Any, numbers: Mapping[tuple[str, float], int]) -> None:
    for (pool_id, at), number in numbers.items():
        member = f"{pool_id}|{at:.3f}"
        redis.hincrby(DUE_NUMBERS, member, number)
        redis.zadd(DUE, {member: at})
    redis.expire(DUE, KEEP_SECONDS)
    redis.expire(DUE_NUMBERS, KEEP_SECONDS)
    redis.publish(CHANNEL, "")


def note_taken(pool_id: UUID, number: int) -> None:
    """Say that runs of a pool were claimed: nobody else has to be woken for them."""

    def say(redis: Any) -> None:
        redis.incrby(f"{TAKEN}{pool_id}", number)
        redis.expire(f"{TAKEN}{pool_id}", KEEP_SECONDS)

    if number:
        transaction.on_commit(lambda: messenger.send(say), robust=True)


def take_seen(*, limit: int) -> list[tuple[UUID, UUID, float]]:
    """Agents that came to wait since this was asked last: (organization, agent, s UTC)."""
    found = client().zpopmin(SEEN, limit)
    return [(*map(UUID, member.decode().split("|")), at) for member, at in found]


# ── the asynchronous side ────────────────────────────────────────────────────────────────────────


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`GET /api/v1/agents/{id}/wait?since=n` as an ASGI application.

    Answers `{"since": n, "due": bool}`: the counter now, and whether it makes sense to claim.
    """
    await long_polls.serve(scope, send, _answer)


async def _answer(scope: dict[str, Any]) -> dict[str, Any]:
    """Waiting is a sign of life: an agent that holds nothing gives no other."""
    agent_id, since = long_polls.id_and_count(scope)
    agent = await database_sync_to_async(_agent_of)(scope, agent_id)
    all_of_them = waiters()
    await all_of_them.redis.zadd(SEEN, {f"{agent.organization_id}|{agent.id}": time.time()})
    number = await all_of_them.wait(str(agent.pool_id), since, long_polls.wait_seconds())
    return {"since": number, "due": number != since}


class _Known(NamedTuple):
    """An agent keeps its pool for life, so it is remembered."""

    organization_id: UUID
    id: UUID
    pool_id: UUID


def _agent_of(scope: dict[str, Any], agent_id: str) -> _Known:
    """An agent that the request's key may speak for."""
    actor = long_polls.caller(scope, "agents.work")
    known = (actor.workspace_id, agent_id)
    if known not in _agents:
        if len(_agents) >= REMEMBERED:
            _agents.clear()
        _agents[known] = _read_agent(actor, agent_id)
    return _agents[known]


def _read_agent(actor: Actor, agent_id: str) -> _Known:
    try:
        id = UUID(agent_id)
    except ValueError as error:
        raise NotFound("There is no such agent here. Register it again.") from error
    with tenant_scope(actor.organization_id):
        found = Agent.objects.filter(id=id, workspace_id=actor.workspace_id)
        row = found.values_list("organization_id", "id", "pool_id").first()
    if row is None:
        raise NotFound("There is no such agent here. Register it again.")
    return _Known(*row)


_agents: dict[tuple[UUID, str], _Known] = {}
