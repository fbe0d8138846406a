"""Deployments and the bundles of code behind them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import DeploymentInput
from runs import deployments
from runs.api import paging, schedules
from runs.models import Bundle, Deployment
from runs.schedules import of_deployment
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, read
from tenants.models import Workspace
from tenants.permissions import Actor


class Deployments(TenantView):
    """GET: a page of deployments, last changed first. POST: make or change one."""

    verbs = {"GET": "deployments.view", "POST": "deployments.edit"}

    def get(self, request: Request) -> HttpResponse:
        rows = deployments.in_workspace(self.actor).prefetch_related("schedules")
        items, cursor = paging.page(request, rows, "updated_at")
        portal = portal_url(self.actor)
        return answer({"items": [describe(item, portal) for item in items], "next": cursor})

    def post(self, request: Request) -> HttpResponse:
        told = msgspec.structs.asdict(read(request, DeploymentInput))
        for name in ("description", "version", "python"):
            told[name] = told[name] or ""
        made, new = deployments.deploy(deployments.DeploymentRequest(**told), by=self.actor)
        return answer(describe(made, portal_url(self.actor)), status=201 if new else 200)


class DeploymentView(TenantView):
    """The base of what is asked of one deployment."""

    verbs = {"GET": "deployments.view"}

    def found(self) -> Deployment:
        """The deployment of the address."""
        return deployments.find_deployment(self.actor, self.kwargs["id"])

    def described(self) -> HttpResponse:
        """It, as it is now."""
        return answer(describe(self.found(), portal_url(self.actor)))


class DeploymentById(DeploymentView):
    """GET: one deployment. DELETE: it, its schedules, its versions; what waits is cancelled."""

    verbs = {"GET": "deployments.view", "DELETE": "deployments.edit"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        return self.described()

    def delete(self, request: Request, id: UUID) -> HttpResponse:
        deployments.delete(self.found(), by=self.actor)
        return HttpResponse(status=204)


class DeploymentByName(DeploymentView):
    """GET: one deployment, by flow and name."""

    def found(self) -> Deployment:
        return deployments.find_deployment(self.actor, f"{self.kwargs['flow']}/{self.kwargs['name']}")

    def get(self, request: Request, flow: str, name: str) -> HttpResponse:
        return self.described()


class Pause(DeploymentView):
    """POST: stop its schedules. `?by=serve`: until a process serves it again."""

    verbs = {"POST": "schedules.edit"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        deployments.pause(self.found(), by=self.actor, until_served=request.GET.get("by") == "serve")
        return self.described()


class Resume(DeploymentView):
    """POST: start its schedules again. `?by=serve`: those that nobody but `serve` paused."""

    verbs = {"POST": "schedules.edit"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        deployments.resume(self.found(), by=self.actor, served=request.GET.get("by") == "serve")
        return self.described()


class Bundles(TenantView):
    """PUT and GET: the bytes of a bundle, by their SHA-256."""

    verbs = {"PUT": "bundles.write", "GET": "bundles.read", "HEAD": "bundles.read"}

    def put(self, request: Request, sha256: str) -> HttpResponse:
        new = deployments.store_bundle(request.body, sha256, by=self.actor)
        return answer({"sha256": sha256}, status=201 if new else 200)

    def get(self, request: Request, sha256: str) -> HttpResponse:
        found = Bundle.objects.filter(sha256=sha256).values_list("content", flat=True).first()
        if found is None:
            raise NotFound("There is no such bundle here.")
        return HttpResponse(bytes(found), content_type="application/octet-stream")

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


def describe(deployment: Deployment, portal: str) -> dict[str, Any]:
    """A deployment as the API shows it."""
    return {
        "id": deployment.id,
        "flow": deployment.flow.name,
        "name": deployment.name,
        "description": deployment.description,
        "tags": deployment.tags,
        "version": deployment.version,
        "entrypoint": deployment.entrypoint,
        "source": deployment.source,
        "python": deployment.python,
        "number": deployment.number,
        "canary": {"number": deployment.canary, "share": deployment.canary_share} if deployment.canary else None,
        "parameter_schema": deployment.parameter_schema,
        "parameters": deployment.parameters,
        "work_pool": deployment.pool.name,
        "work_queue": deployment.queue.name,
        "process": deployment.process,
        "job_variables": deployment.job_variables,
        "schedules": [schedules.describe(schedule) for schedule in of_deployment(deployment)],
        "created_at": deployment.created_at,
        "updated_at": deployment.updated_at,
        "url": f"{portal}/deployments/{deployment.id}",
    }
