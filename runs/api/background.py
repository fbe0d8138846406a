"""Background tasks: calls to be queued."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import AwaitedInput, BackgroundInput
from runs import background, endings
from tenants.api import TenantView
from tenants.messages import answer, read


class BackgroundRuns(TenantView):
    """POST: queue calls of a task."""

    verbs = {"POST": "runs.trigger"}

    def post(self, request: Request) -> HttpResponse:
        told = read(request, BackgroundInput)
        runs, new = background.delay(reference=told.deployment, task=told.task, calls=told.calls, by=self.actor)
        items = [{"id": run.id, "name": run.name, "new": run.id in new} for run in runs]
        return answer({"runs": items}, status=201 if new else 200)


class Wait(TenantView):
    """POST: those of some runs that have ended, now. Who may wait is answered on the event loop: `runs/endings.py`."""

    verbs = {"POST": "runs.view"}

    def post(self, request: Request) -> HttpResponse:
        told = read(request, AwaitedInput)
        endings.check(told)
        return answer(endings.ended_of(self.actor, told.runs))
