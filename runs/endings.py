"""Whoever waits for runs is told when one has ended, without asking again and again.

`POST /api/v1/flow-runs/wait` names runs and answers those of them that have ended: at once if there are any, else when
the first one has, else nothing when the time is over. So are those that are not there, or not any more, as `unknown`.
Served on the event loop; the database is asked at the beginning, and when the word came that one of the runs is over.
Where Redis is away, it is looked now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from orchestrator.bodies import AwaitedInput, BadBody, BodyTooLarge, read_body
from orchestrator.states import TERMINAL
from orchestrator.wire import MAX_AWAITED
from runs import long_polls
from runs.announcements import announcements
from runs.hidden import hidden_deployments
from runs.models import FlowRun
from tenants.errors import Invalid, TooLarge
from tenants.permissions import Actor
from tenants.scope import tenant_scope

LOOK_EVERY = 10.0  # seconds, whatever was heard
GATHER = 0.01  # seconds after the first end in which others are waited for
BODY = 64 << 10  # bytes


class StateShown(msgspec.Struct):
    """A state. `name` refines `type`; `timestamp` says when it began."""

    type: str
    name: str
    message: str
    timestamp: datetime


class EndedRun(msgspec.Struct):
    """How a run has ended, and where its value is."""

    id: UUID
    name: str
    state: StateShown
    error: Any
    result: Any


class Ended(msgspec.Struct):
    """Those of some runs that have ended, and the ids of those that are not there."""

    runs: list[EndedRun]
    unknown: list[UUID]


async def endings_app(scope: dict[str, Any], send: Any, body: bytes) -> None:
    """The address as an ASGI application, given the request's body."""
    await long_polls.serve(scope, send, lambda scope: _answer(scope, body), method="POST")


async def _answer(scope: dict[str, Any], body: bytes) -> Ended:
    actor = await database_sync_to_async(long_polls.caller)(scope, "runs.view")
    asked = read(body)
    return await wait(actor, asked.runs, min(max(asked.seconds, 0.0), long_polls.WAIT_SECONDS))


def read(body: bytes) -> AwaitedInput:
    """What was asked for.

    Raises:
        Invalid: It can't be read, or names no runs or too many.
        TooLarge: It is larger than so many ids are.
    """
    if len(body) > BODY:
        raise TooLarge(f"{MAX_AWAITED:,} runs at most.")
    try:
        asked = read_body(body, AwaitedInput)
    except BodyTooLarge as error:
        raise TooLarge(error.message) from error
    except BadBody as error:
        raise Invalid(error.message, fields=error.fields) from error
    check(asked)
    return asked


def check(asked: AwaitedInput) -> None:
    """Refuse what names no runs, or too many."""
    if not 0 < len(asked.runs) <= MAX_AWAITED:
        raise Invalid(f"1 to {MAX_AWAITED:,} runs.", fields={"runs": f"1 to {MAX_AWAITED:,}."})


async def wait(actor: Actor, runs: list[UUID], seconds: float) -> Ended:
    """Those of the runs that have ended, or are not there, as soon as there are any."""
    until = time.monotonic() + seconds
    with announcements().over.listening(map(str, runs)) as event:
        while True:
            event.clear()
            told = await database_sync_to_async(ended_of)(actor, runs)
            left = until - time.monotonic()
            if told.runs or told.unknown or left <= 0:
                return told
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(left, LOOK_EVERY))
                await asyncio.sleep(GATHER)


def ended_of(actor: Actor, runs: list[UUID]) -> Ended:
    """Those of the runs that have ended, and those that are not there for the actor: nobody will hear of their end."""
    with tenant_scope(actor.organization_id):
        own = FlowRun.objects.filter(workspace_id=actor.workspace_id, id__in=runs)
        seen = own.without(hidden_deployments(actor))
        known = dict(seen.values_list("id", "state_type"))
        ended = [id for id, state in known.items() if state in TERMINAL]
        rows = FlowRun.objects.filter(id__in=ended).only(
            "id", "name", "state_type", "state_name", "state_message", "state_at", "error", "result"
        )
        unknown = [id for id in dict.fromkeys(runs) if id not in known]
        return Ended([described(row) for row in rows] if ended else [], unknown)


def described(run: FlowRun) -> EndedRun:
    """How a run has ended, and where its value is."""
    state = StateShown(run.state_type, run.state_name, run.state_message, run.state_at)
    return EndedRun(run.id, run.name, state, run.error or None, run.result)
