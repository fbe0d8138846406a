"""Background tasks: calls to be queued."""

from __future__ import annotations

from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import ArgumentsInput, AwaitedInput, BackgroundInput
from runs import arguments, background, endings
from tenants.api import TenantView
from tenants.declared import operation
from tenants.errors import Conflict, LimitReached, NotFound, QueueFull
from tenants.messages import answer


class QueuedRun(msgspec.Struct):
    """A run that is queued. It is not `new`, where its idempotency key was known."""

    id: UUID
    name: str
    new: bool


class Queued(msgspec.Struct):
    """The runs of the calls, in their order."""

    runs: list[QueuedRun]


class BackgroundRuns(TenantView):
    """POST: queue calls of a task."""

    verbs = {"POST": "runs.trigger"}

    @operation(Queued, 200, 201, refuses=[NotFound, Conflict, LimitReached, QueueFull])
    def post(self, request: Request, told: BackgroundInput) -> HttpResponse:
        runs, new = background.delay(reference=told.deployment, task=told.task, calls=told.calls, by=self.actor)
        queued = [QueuedRun(run.id, run.name, run.id in new) for run in runs]
        return answer(Queued(queued), status=201 if new else 200)


class Needed(msgspec.Struct):
    """Those of the calls that were asked about whose arguments are needed."""

    needed: list[str]


class Arguments(TenantView):
    """POST: which stored arguments of calls are needed."""

    verbs = {"POST": "runs.view"}

    @operation(Needed)
    def post(self, request: Request, told: ArgumentsInput) -> HttpResponse:
        return answer(Needed(arguments.needed(told.calls, by=self.actor)))


class Wait(TenantView):
    """POST: those of some runs that have ended, now. Who may wait is answered on the event loop: `runs/endings.py`."""

    verbs = {"POST": "runs.view"}

    @operation(endings.Ended)
    def post(self, request: Request, told: AwaitedInput) -> HttpResponse:
        endings.check(told)
        return answer(endings.ended_of(self.actor, told.runs))
