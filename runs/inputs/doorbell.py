"""A process that waits for an answer or a message hears of it at once: a counter per execution, and a word by Redis.

`GET …/flow-runs/{id}/wait?since=n` answers at once when the counter has moved since n, so that no word is lost; else it
waits. All who wait for a run are woken: as a rule that is its own process. Served on the async side; the database is
asked once per connection whose run it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import transaction

from orchestrator.ids import as_id
from runs import long_polls
from runs.announcements import BELL, announcements
from runs.hidden import find_run
from runs.messenger import messenger
from tenants.errors import NotFound
from tenants.scope import tenant_scope

COUNTER = "bell:"  # + root id: how many words there were
KEEP_SECONDS = 86_400


def ring(roots: Iterable[UUID]) -> None:
    """Tell the processes of these executions that something has come for them, once the transaction is committed."""
    told = [str(id) for id in roots]
    if told:
        transaction.on_commit(lambda: messenger.send(lambda redis: _ring(redis, told)), robust=True)


def _ring(redis: Any, roots: list[str]) -> None:
    for root in roots:
        redis.incr(COUNTER + root)
        redis.expire(COUNTER + root, KEEP_SECONDS)
        redis.publish(BELL, root)


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`GET /api/v1/flow-runs/{id}/wait?since=n` as an ASGI application. Answers `{"since": n}`: the counter now."""
    await long_polls.serve(scope, send, _answer)


async def _answer(scope: dict[str, Any]) -> dict[str, Any]:
    run_id, since = long_polls.id_and_count(scope)
    root = await database_sync_to_async(_root_of)(scope, run_id)
    bell, seconds = announcements().bell, long_polls.wait_seconds()
    return {"since": await bell.wait(root, lambda: _counter(root), known=since, seconds=seconds)}


async def _counter(root: str) -> int:
    return int(await announcements().client.get(COUNTER + root) or 0)


def _root_of(scope: dict[str, Any], run_id: str) -> str:
    actor = long_polls.caller(scope, "runs.view")
    id = as_id(run_id)
    if id is None:
        raise NotFound("There is no such flow run here.")
    with tenant_scope(actor.organization_id):
        return str(find_run(actor, id).root_id)
