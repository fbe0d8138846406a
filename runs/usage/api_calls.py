"""Calls of the API, counted in each web process and handed over in sets: no request waits for it.

A process sends what it has counted every `SEND_SECONDS` to Redis; a tick takes it from there to the days. So what a
killed process has not sent is lost (of `SEND_SECONDS` at most), and what is sent while Redis is away. All other meters
are exact; this one is good for seeing who calls how much, and nothing is billed by it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.http import HttpRequest, HttpResponse
from redis.exceptions import ResponseError

from runs.messenger import LAST_SECONDS, client, messenger
from tenants.permissions import Actor
from tenants.scope import system_scope

SEND_SECONDS = 5.0
AT_ONCE = 10_000  # different ones; then they are sent at once
CALLS = "api-calls"  # a hash: "organization|workspace|kind" → how many
TAKEN = "api-calls:taken"  # the same, while the tick writes it down
KINDS = {"personal": "Personal keys", "service": "Service accounts", "agent": "Agents", "run": "Runs"}
_ONE_AT_A_TIME = 7_201_002  # an advisory lock

Place = tuple[UUID, UUID | None, str]
"""Organization, workspace, kind of credential."""

_ADD = """
    INSERT INTO meter_day AS d (organization_id, id, day, meter, workspace_id, kind, amount)
    SELECT o.id, gen_random_uuid(), %s, 'api_calls', n.workspace_id, n.kind, n.number
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bigint[]) n (organization_id, workspace_id, kind, number)
    JOIN organization o ON o.id = n.organization_id
    ON CONFLICT (organization_id, day, meter, workspace_id, kind) DO UPDATE SET amount = d.amount + excluded.amount
"""


class Calls:
    """What this process has counted and not sent yet."""

    def __init__(self) -> None:
        self._counted: Counter[Place] = Counter()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        """What the parent has counted it sends itself, and its clock runs there only."""
        self._counted, self._lock, self._timer = Counter(), threading.Lock(), None

    def count(self, actor: Actor) -> None:
        """Count one call. The first one since the last sending sets the clock for the next."""
        with self._lock:
            self._counted[actor.organization_id, actor.workspace_id, kind_of(actor)] += 1
            if self._timer is None:
                self._timer = threading.Timer(SEND_SECONDS, self.send)
                self._timer.daemon = True
                self._timer.start()
            is_full = len(self._counted) >= AT_ONCE
        if is_full:
            self.send()

    def send(self) -> None:
        """Hand over what was counted."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        if counted:
            messenger.send(lambda redis: _add(redis, counted))


def _add(redis: Any, counted: Counter[Place]) -> None:
    for (organization_id, workspace_id, kind), number in counted.items():
        redis.hincrby(CALLS, f"{organization_id}|{workspace_id or ''}|{kind}", number)


def kind_of(actor: Actor) -> str:
    """Which kind of credential somebody calls with."""
    if actor.kind == "run":
        return "run"
    if actor.role == "agent":
        return "agent"
    return "personal" if actor.user_id else "service"


calls = Calls()


@atexit.register
def _send_the_last() -> None:
    calls.send()
    messenger.flush(LAST_SECONDS)


class CountCalls:
    """Middleware of the API: counts what came with a good credential, whatever the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        actor = getattr(request, "auth", None)
        if isinstance(actor, Actor):
            calls.count(actor)
        return response


def add_up(at: datetime) -> int:
    """Take what processes have sent to its day; answer how many calls. Done by one at a time."""
    redis = client()
    with system_scope(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ONE_AT_A_TIME])
        if not cursor.fetchone()[0]:
            return 0
        counted = _take(redis)
        if counted:
            columns = [list(column) for column in zip(*counted, strict=True)]
            cursor.execute(_ADD, [at.date(), *columns])
            redis.delete(TAKEN)  # Before the commit: what fails in between is lost, and never there twice.
    return sum(number for *_, number in counted)


def _take(redis: Any) -> list[tuple[UUID, UUID | None, str, int]]:
    """What was sent, put aside; what a tick that failed has left there comes first."""
    with contextlib.suppress(ResponseError):  # Nothing was sent.
        redis.renamenx(CALLS, TAKEN)
    found = []
    for field, number in redis.hgetall(TAKEN).items():
        organization_id, workspace_id, kind = field.decode().split("|")
        found.append((UUID(organization_id), UUID(workspace_id) if workspace_id else None, kind, int(number)))
    return found
