"""Why a run waits."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.causes import shown
from runs.api.deployments import portal_url
from runs.api.flow_runs import FlowRunView
from runs.explain import explain
from tenants.messages import answer


class Explain(FlowRunView):
    """GET: the causes for which a run waits, its place in the queue, and when it may start."""

    def get(self, request: Request, id: UUID) -> HttpResponse:
        run = self.found()
        told = explain(run, by=self.actor)
        portal = portal_url(self.actor)
        return answer(shown(told, run=run.id, state=run.state_type, name=run.state_name, portal=portal))
