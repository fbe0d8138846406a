"""Why a run waits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.causes import Code, shown
from runs.api.deployments import portal_url
from runs.api.flow_runs import FlowRunView
from runs.explain import explain
from tenants.declared import operation
from tenants.messages import answer


class TypeAndName(msgspec.Struct):
    """A state: `name` refines `type`."""

    type: str
    name: str


class ThingShown(msgspec.Struct):
    """What a cause is about. `url` leads to its page."""

    kind: str
    id: UUID | None
    name: str
    url: str | None


class WhatToDo(msgspec.Struct):
    """What may be done about a cause, on the page of `url`."""

    label: str
    url: str


class CauseShown(msgspec.Struct):
    """Why a run waits, and what to do about it."""

    code: Code
    text: str
    todo: str
    since: datetime | None
    until: datetime | None
    things: list[ThingShown]
    action: WhatToDo | None


class ExplanationShown(msgspec.Struct):
    """Why a run waits. `before` is how many go first; `expected_at` is when it may start, as `estimate` explains."""

    run: UUID
    state: TypeAndName
    waits: bool
    causes: list[CauseShown]
    before: int | None
    expected_at: datetime | None
    estimate: str


class Explain(FlowRunView):
    """GET: the causes for which a run waits, its place in the queue, and when it may start."""

    @operation(ExplanationShown)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        run = self.found()
        told = explain(run, by=self.actor)
        portal = portal_url(self.actor)
        return answer(shown(told, run=run.id, state=run.state_type, name=run.state_name, portal=portal))
