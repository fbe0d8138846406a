"""Agents wait for work without asking: a wake counter per pool, raised on commit, and one subscriber per process.

`GET …/agents/{id}/wait?since=n` answers at once when the counter has moved since n, so no wake-up is lost; else it
waits. It is served on the async side and touches no database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import DatabaseError, transaction
from redis.exceptions import RedisError

from runs.announcements import Announcements, announcements
from runs.live import client
from runs.models import Agent
from tenants.authentication import actor_of
from tenants.errors import NotFound, Problem, Unauthorized, error_body
from tenants.permissions import Actor, require
from tenants.scope import tenant_scope

COUNTER = "wake:"  # + pool id: a number
DUE = "due"  # a sorted set of "pool id|time" by time (s UTC)
CHANNEL = "wake"
KEEP_SECONDS = 86_400 * 30
WAIT_SECONDS = 25.0
LONGEST_PAUSE = 5.0
REMEMBERED = 100_000
SINCE = re.compile(r"-?[0-9]{1,18}")


def wake_pools(pool_ids: Iterable[UUID]) -> None:
    """Wake those who wait for runs of these pools, once the transaction is committed."""
    ids = sorted(map(str, pool_ids))
    if ids:
        transaction.on_commit(lambda: _wake(ids), robust=True)


def _wake(pool_ids: list[str]) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for pool_id in pool_ids:
            pipeline.incr(COUNTER + pool_id)
            pipeline.expire(COUNTER + pool_id, KEEP_SECONDS)
            pipeline.publish(CHANNEL, pool_id)
        pipeline.execute()


def wake_at(due: Iterable[tuple[UUID, datetime]]) -> None:
    """Wake those who wait for a pool's runs when a run becomes due, once the transaction is committed."""
    times = {f"{pool_id}|{at.timestamp():.3f}": at.timestamp() for pool_id, at in due}
    if times:
        transaction.on_commit(lambda: _plan(times), robust=True)


def _plan(times: dict[str, float]) -> None:
    with client().pipeline(transaction=False) as pipeline:
        pipeline.zadd(DUE, times)
        pipeline.expire(DUE, KEEP_SECONDS)
        pipeline.publish(CHANNEL, "")
        pipeline.execute()


# ── the asynchronous side ────────────────────────────────────────────────────────────────────────


class Waiters:
    """Those who wait in this process, by pool, and the clock that wakes them when a planned time has come."""

    def __init__(self, heard: Announcements) -> None:
        self.redis = heard.client
        self.heard = heard
        self.of_pool: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.look_again = asyncio.Event()
        self._clock: asyncio.Task | None = None
        heard.wake = self.wake

    def wake(self, pool_id: str | None) -> None:
        """Somebody's pool has work; None: perhaps anybody's. Empty: a time was planned."""
        if pool_id == "":
            self.look_again.set()
            return
        for waiter in [w for id, some in self.of_pool.items() if pool_id in (None, id) for w in some]:
            waiter.set()

    async def counter(self, pool_id: str) -> int:
        """The pool's wake counter."""
        return int(await self.redis.get(COUNTER + pool_id) or 0)

    async def wait(self, pool_id: str, since: int) -> int:
        """Answer the counter when it is not `since` any more, or after WAIT_SECONDS."""
        self.heard.listen()
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._wake_in_time())
        event = asyncio.Event()
        self.of_pool[pool_id].add(event)
        try:
            deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
            while (number := await self.counter(pool_id)) == since:
                try:
                    await asyncio.wait_for(event.wait(), deadline - asyncio.get_running_loop().time())
                except TimeoutError:
                    return since
                event.clear()  # Before the counter is read: a word may come in while that is under way.
            return number
        finally:
            self.of_pool[pool_id].discard(event)
            if not self.of_pool[pool_id]:
                del self.of_pool[pool_id]

    async def _wake_in_time(self) -> None:
        """Raise the counters of pools whose planned time has come. Of several processes one takes each time."""
        while self.of_pool:
            self.look_again.clear()
            try:
                pause = await self._take_due()
            except (RedisError, OSError):
                pause = 1.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.look_again.wait(), pause)

    async def _take_due(self) -> float:
        for member, at in await self.redis.zrange(DUE, 0, 99, withscores=True):
            early = at - time.time()
            if early > 0:
                return min(early, LONGEST_PAUSE)
            if await self.redis.zrem(DUE, member):
                pool_id = member.partition("|")[0]
                await self.redis.incr(COUNTER + pool_id)
                await self.redis.expire(COUNTER + pool_id, KEEP_SECONDS)
                await self.redis.publish(CHANNEL, pool_id)
        return LONGEST_PAUSE


_of_loop: dict[int, Waiters] = {}


def waiters() -> Waiters:
    """The ones of this event loop."""
    heard = announcements()
    if id(heard) not in _of_loop:
        _of_loop[id(heard)] = Waiters(heard)
    return _of_loop[id(heard)]


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`GET /api/v1/agents/{id}/wait?since=n` as an ASGI application: no ORM but for a key that was not seen lately."""
    status, body = await _answer(scope)
    head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _answer(scope: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if scope["method"] != "GET":
        return 405, error_body("method_not_allowed", "Ask by GET.")
    secret = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
    agent_id = scope["path"].rstrip("/").split("/")[-2]
    since = parse_qs(scope["query_string"].decode("latin-1")).get("since", ["-1"])[0]
    if not SINCE.fullmatch(since):
        return 400, error_body("invalid", "since is a whole number.", {"since": "A whole number."})
    try:
        pool_id = await database_sync_to_async(_pool_of)(secret, agent_id)
        return 200, {"since": await waiters().wait(pool_id, int(since))}
    except Problem as problem:
        return problem.status, error_body(problem.code, problem.message)
    except (RedisError, OSError, DatabaseError):
        return 503, error_body("unavailable", "The server is short of a store. Try again in some seconds.")


def _pool_of(secret: str, agent_id: str) -> str:
    """The pool of an agent that this key may speak for. An agent keeps its pool for life, so it is remembered."""
    actor = actor_of(secret)
    if actor is None:
        raise Unauthorized("This key is unknown, expired or revoked.")
    require(actor, "agents.work")
    known = (actor.workspace_id, agent_id)
    if known not in _pools:
        if len(_pools) >= REMEMBERED:
            _pools.clear()
        _pools[known] = _read_pool(actor, agent_id)
    return _pools[known]


def _read_pool(actor: Actor, agent_id: str) -> str:
    try:
        id = UUID(agent_id)
    except ValueError as error:
        raise NotFound("There is no such agent here. Register it again.") from error
    with tenant_scope(actor.organization_id):
        found = Agent.objects.filter(id=id, workspace_id=actor.workspace_id).values_list("pool_id", flat=True).first()
    if found is None:
        raise NotFound("There is no such agent here. Register it again.")
    return str(found)


_pools: dict[tuple[UUID, str], str] = {}
