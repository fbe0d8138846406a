"""Schedules: of a deployment, of the workspace, and what times one would have."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.schedule_bodies import PreviewInput
from runs import deployments, schedules
from runs.api import paging
from runs.models import Deployment, Schedule
from runs.reads import schedules as reads
from tenants.api import TenantView
from tenants.messages import answer, read

NEXT = 3  # times that are told of each


class Schedules(TenantView):
    """GET: a page of the workspace's schedules, last made first."""

    verbs = {"GET": "deployments.view"}

    def get(self, request: Request) -> HttpResponse:
        items, cursor = paging.page(request, reads.in_workspace(self.actor), "created_at")
        return answer({"items": [{**describe(each), **_deployment(each)} for each in items], "next": cursor})


class Preview(TenantView):
    """POST: the next times that a schedule would have. Nothing is made."""

    verbs = {"POST": "deployments.view"}

    def post(self, request: Request) -> HttpResponse:
        return answer({"items": schedules.preview(read(request, PreviewInput))})


class OfDeployment(TenantView):
    """The base of what is asked of one deployment's schedules."""

    @property
    def deployment(self) -> Deployment:
        """The deployment of the address."""
        return deployments.find_deployment(self.actor, self.kwargs["id"])


class SchedulesOfDeployment(OfDeployment):
    """GET: its schedules. POST: another one."""

    verbs = {"GET": "deployments.view", "POST": "deployments.edit"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        return answer({"items": [describe(each) for each in schedules.of_deployment(self.deployment)], "next": None})

    def post(self, request: Request, id: UUID) -> HttpResponse:
        made = schedules.create(self.deployment, read(request, dict[str, Any]), by=self.actor)
        return answer(describe(made), status=201)


class OneSchedule(OfDeployment):
    """GET: one schedule. PATCH: change what is told of it. DELETE: delete it, and its runs that are not due yet."""

    verbs = {"GET": "deployments.view", "PATCH": "deployments.edit", "DELETE": "deployments.edit"}

    def get(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.find(self.deployment, slug)))

    def patch(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.change(self.deployment, slug, read(request, dict[str, Any]), by=self.actor)))

    def delete(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        schedules.delete(self.deployment, slug, by=self.actor)
        return HttpResponse(status=204)


class PauseSchedule(OfDeployment):
    """POST: stop it until somebody resumes it."""

    verbs = {"POST": "schedules.edit"}

    def post(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.pause(self.deployment, slug, by=self.actor)))


class ResumeSchedule(OfDeployment):
    """POST: start it again, from now on."""

    verbs = {"POST": "schedules.edit"}

    def post(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.resume(self.deployment, slug, by=self.actor)))


def describe(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the API shows it."""
    return {
        "id": schedule.id,
        **schedules.described(schedule),
        "deployed": schedule.deployed,
        "paused_by": schedule.paused_by,
        "paused_at": schedule.paused_at,
        "refusal": schedule.refusal,
        "next": schedules.upcoming(schedule, NEXT),
    }


def _deployment(schedule: Schedule) -> dict[str, Any]:
    return {"deployment": str(schedule.deployment), "deployment_id": schedule.deployment_id}
