"""Schedules: of a deployment, of the workspace, and what times one would have."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.schedule_bodies import PreviewInput, ScheduleChange, ScheduleInput
from runs import deployments, schedules
from runs.api import paging
from runs.models import Deployment, Schedule
from runs.reads import schedules as reads
from tenants.api import TenantView
from tenants.declared import Items, Page, PageQuery, operation
from tenants.errors import Conflict
from tenants.messages import answer

NEXT = 3  # times that are told of each


class ScheduleShown(msgspec.Struct):
    """A schedule: `cron`, or every `interval` seconds from `anchor` on, or `rrule`. `next` are its next times.

    `deployed` is one that comes from the code; `refusal` says why its last run could not be made.
    """

    id: UUID
    slug: str
    timezone: str
    parameters: Any
    active: bool
    catch_up: str
    catch_up_max: int
    skip_if_late: float | None
    deployed: bool
    paused_by: str
    paused_at: datetime | None
    refusal: str
    next: list[datetime]
    cron: str | msgspec.UnsetType = msgspec.UNSET
    day_or: bool | msgspec.UnsetType = msgspec.UNSET
    interval: float | msgspec.UnsetType | None = msgspec.UNSET
    anchor: datetime | msgspec.UnsetType | None = msgspec.UNSET
    rrule: str | msgspec.UnsetType = msgspec.UNSET


class ScheduleOfWorkspace(ScheduleShown, kw_only=True):
    """A schedule, and whose it is: `deployment` is `flow/name`."""

    deployment: str
    deployment_id: UUID


class TimeShown(msgspec.Struct):
    """A time: in UTC, by the schedule's clock, and what that clock does before it."""

    at: datetime
    local: str
    zone: str
    clock: str


class Schedules(TenantView):
    """GET: a page of the workspace's schedules, last made first."""

    verbs = {"GET": "deployments.view"}

    @operation(Page[ScheduleOfWorkspace])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, reads.in_workspace(self.actor), "created_at")
        return answer(Page([_with_deployment(each) for each in items], cursor))


class Preview(TenantView):
    """POST: the next times that a schedule would have. Nothing is made."""

    verbs = {"POST": "deployments.view"}

    @operation(Items[TimeShown])
    def post(self, request: Request, told: PreviewInput) -> HttpResponse:
        return answer({"items": schedules.preview(told)})


class OfDeployment(TenantView):
    """The base of what is asked of one deployment's schedules."""

    @property
    def deployment(self) -> Deployment:
        """The deployment of the address."""
        return deployments.find_deployment(self.actor, self.kwargs["id"])


class SchedulesOfDeployment(OfDeployment):
    """GET: its schedules. POST: another one."""

    verbs = {"GET": "deployments.view", "POST": "deployments.edit"}

    @operation(Page[ScheduleShown])
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return answer(Page([describe(each) for each in schedules.of_deployment(self.deployment)], None))

    @operation(ScheduleShown, 201, refuses=[Conflict])
    def post(self, request: Request, id: UUID, told: ScheduleInput) -> HttpResponse:
        made = schedules.create(self.deployment, msgspec.structs.asdict(told), by=self.actor)
        return answer(describe(made), status=201)


class OneSchedule(OfDeployment):
    """GET: one schedule. PATCH: change what is told of it. DELETE: delete it, and its runs that are not due yet."""

    verbs = {"GET": "deployments.view", "PATCH": "deployments.edit", "DELETE": "deployments.edit"}

    @operation(ScheduleShown)
    def get(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.find(self.deployment, slug)))

    @operation(ScheduleShown, refuses=[Conflict])
    def patch(self, request: Request, id: UUID, slug: str, told: ScheduleChange) -> HttpResponse:
        return answer(describe(schedules.change(self.deployment, slug, msgspec.to_builtins(told), by=self.actor)))

    @operation(None, 204)
    def delete(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        schedules.delete(self.deployment, slug, by=self.actor)
        return HttpResponse(status=204)


class PauseSchedule(OfDeployment):
    """POST: stop it until somebody resumes it."""

    verbs = {"POST": "schedules.edit"}

    @operation(ScheduleShown)
    def post(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.pause(self.deployment, slug, by=self.actor)))


class ResumeSchedule(OfDeployment):
    """POST: start it again, from now on."""

    verbs = {"POST": "schedules.edit"}

    @operation(ScheduleShown)
    def post(self, request: Request, id: UUID, slug: str) -> HttpResponse:
        return answer(describe(schedules.resume(self.deployment, slug, by=self.actor)))


def describe(schedule: Schedule) -> ScheduleShown:
    """A schedule as the API shows it."""
    return ScheduleShown(**_facts(schedule))


def _with_deployment(schedule: Schedule) -> ScheduleOfWorkspace:
    own = {"deployment": str(schedule.deployment), "deployment_id": schedule.deployment_id}
    return ScheduleOfWorkspace(**_facts(schedule), **own)


def _facts(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        **schedules.described(schedule),
        "deployed": schedule.deployed,
        "paused_by": schedule.paused_by,
        "paused_at": schedule.paused_at,
        "refusal": schedule.refusal,
        "next": schedules.upcoming(schedule, NEXT),
    }
