"""Deployments and the bundles of code behind them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import DeploymentInput, LimitsChange
from runs import deployments, limits
from runs.api import paging, schedules
from runs.models import Bundle, Deployment
from runs.schedules import of_deployment
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, LimitReached, NotFound
from tenants.messages import answer
from tenants.models import Workspace
from tenants.permissions import Actor


class CanaryShown(msgspec.Struct):
    """The version on trial, and which share of new runs is made from it, in percent."""

    number: int
    share: int


class DeploymentShown(msgspec.Struct):
    """A deployment. `number` is that of the version in force; `url` leads to its page."""

    id: UUID
    flow: str
    name: str
    description: str
    tags: list[str]
    version: str
    entrypoint: str
    source: Any
    python: str
    number: int
    canary: CanaryShown | None
    parameter_schema: Any
    parameters: Any
    work_pool: str
    work_queue: str
    process: str
    job_variables: Any
    debounce: float | None
    concurrency_limit: int | None
    key_slots: int | None
    on_limit: str
    concurrency_key: str
    schedules: list[schedules.ScheduleShown]
    created_at: datetime
    updated_at: datetime
    url: str


class SwitchQuery(Query):
    """Who switches schedules off and on."""

    by: Annotated[
        Literal["", "serve"],
        msgspec.Meta(description="`serve`: as the process that serves it does, which leaves alone what people paused."),
    ] = ""


class BundleShown(msgspec.Struct):
    """A bundle that is stored."""

    sha256: str


class Deployments(TenantView):
    """GET: a page of deployments, last changed first. POST: make or change one."""

    verbs = {"GET": "deployments.view", "POST": "deployments.edit"}

    @operation(Page[DeploymentShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        rows = deployments.in_workspace(self.actor).prefetch_related("schedules")
        items, cursor = paging.page(asked, rows, "updated_at")
        portal, slots = portal_url(self.actor), limits.of_deployments(item.id for item in items)
        return answer(Page([describe(item, portal, slots[item.id]) for item in items], cursor))

    @operation(DeploymentShown, 200, 201, refuses=[NotFound, Conflict, LimitReached])
    def post(self, request: Request, told: DeploymentInput) -> HttpResponse:
        wanted = msgspec.structs.asdict(told)
        for name in ("description", "version", "python"):
            wanted[name] = wanted[name] or ""
        made, new = deployments.deploy(deployments.DeploymentRequest(**wanted), by=self.actor)
        return answer(described(made, self.actor), status=201 if new else 200)


class DeploymentView(TenantView):
    """The base of what is asked of one deployment."""

    verbs = {"GET": "deployments.view"}

    def found(self) -> Deployment:
        """The deployment of the address."""
        return deployments.find_deployment(self.actor, self.kwargs["id"])

    def described(self) -> HttpResponse:
        """It, as it is now."""
        return answer(described(self.found(), self.actor))


class DeploymentById(DeploymentView):
    """GET: one deployment. PATCH: its limits. DELETE: it, its schedules, its versions; what waits is cancelled."""

    verbs = {"GET": "deployments.view", "PATCH": "deployments.edit", "DELETE": "deployments.edit"}

    @operation(DeploymentShown)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        return self.described()

    @operation(DeploymentShown, refuses=[NotFound])
    def patch(self, request: Request, id: UUID, told: LimitsChange) -> HttpResponse:
        deployments.change_limits(self.found(), told=told, by=self.actor)
        return self.described()

    @operation(None, 204, refuses=[Conflict])
    def delete(self, request: Request, id: UUID) -> HttpResponse:
        deployments.delete(self.found(), by=self.actor)
        return HttpResponse(status=204)


class DeploymentByName(DeploymentView):
    """GET: one deployment, by flow and name."""

    def found(self) -> Deployment:
        return deployments.find_deployment(self.actor, f"{self.kwargs['flow']}/{self.kwargs['name']}")

    @operation(DeploymentShown)
    def get(self, request: Request, flow: str, name: str) -> HttpResponse:
        return self.described()


class Pause(DeploymentView):
    """POST: stop its schedules. `?by=serve`: until a process serves it again."""

    verbs = {"POST": "schedules.edit"}

    @operation(DeploymentShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID, asked: SwitchQuery) -> HttpResponse:
        deployments.pause(self.found(), by=self.actor, until_served=asked.by == "serve")
        return self.described()


class Resume(DeploymentView):
    """POST: start its schedules again. `?by=serve`: those that nobody but `serve` paused."""

    verbs = {"POST": "schedules.edit"}

    @operation(DeploymentShown, refuses=[Conflict, LimitReached])
    def post(self, request: Request, id: UUID, asked: SwitchQuery) -> HttpResponse:
        deployments.resume(self.found(), by=self.actor, served=asked.by == "serve")
        return self.described()


class Bundles(TenantView):
    """PUT: store a bundle's bytes by their SHA-256; 50 MiB at most. GET: those bytes. HEAD: whether they are there."""

    verbs = {"PUT": "bundles.write", "GET": "bundles.read", "HEAD": "bundles.read"}

    @operation(BundleShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, sha256: str, told: bytes) -> HttpResponse:
        new = deployments.store_bundle(told, sha256, by=self.actor)
        return answer(BundleShown(sha256), status=201 if new else 200)

    @operation(bytes)
    def get(self, request: Request, sha256: str) -> HttpResponse:
        found = Bundle.objects.filter(sha256=sha256).values_list("content", flat=True).first()
        if found is None:
            raise NotFound("There is no such bundle here.")
        return HttpResponse(bytes(found), content_type="application/octet-stream")

    @operation(bytes)
    def head(self, request: Request, sha256: str) -> HttpResponse:
        size = Bundle.objects.filter(sha256=sha256).values_list("size", flat=True).first()
        if size is None:
            raise NotFound("There is no such bundle here.")
        return HttpResponse(content_type="application/octet-stream", headers={"X-Size": str(size)})


def portal_url(actor: Actor) -> str:
    """Where the actor's workspace is seen by people."""
    slugs = Workspace.objects.values_list("organization__slug", "slug")
    organization, workspace = slugs.get(id=actor.workspace_id)
    return f"{settings.PUBLIC_URL}/o/{organization}/{workspace}"


def described(deployment: Deployment, by: Actor) -> DeploymentShown:
    """A deployment as the API shows it, with its limits."""
    return describe(deployment, portal_url(by), limits.of_deployments([deployment.id])[deployment.id])


def describe(deployment: Deployment, portal: str, slots: dict[str, int | None]) -> DeploymentShown:
    """A deployment as the API shows it."""
    return DeploymentShown(
        id=deployment.id,
        flow=deployment.flow.name,
        name=deployment.name,
        description=deployment.description,
        tags=deployment.tags,
        version=deployment.version,
        entrypoint=deployment.entrypoint,
        source=deployment.source,
        python=deployment.python,
        number=deployment.number,
        canary=CanaryShown(deployment.canary, deployment.canary_share) if deployment.canary else None,
        parameter_schema=deployment.parameter_schema,
        parameters=deployment.parameters,
        work_pool=deployment.pool.name,
        work_queue=deployment.queue.name,
        process=deployment.process,
        job_variables=deployment.job_variables,
        debounce=deployment.debounce,
        concurrency_limit=slots["concurrency_limit"],
        key_slots=slots["key_slots"],
        on_limit=deployment.on_limit,
        concurrency_key=deployment.concurrency_key,
        schedules=[schedules.describe(schedule) for schedule in of_deployment(deployment)],
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
        url=f"{portal}/deployments/{deployment.id}",
    )
