"""The versions of a deployment: its history, what differs between two, rollback, canary."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import CanaryInput, DeploymentRollbackInput
from runs import deployments, versions
from runs.api import paging
from runs.api.deployments import DeploymentView
from runs.models import Deployment, DeploymentVersion
from tenants.errors import Invalid
from tenants.messages import answer, read

CODE_SEEN_BY = "deployments.edit"
"""The verb that shows source code: whoever may deploy it."""


class Versions(DeploymentView):
    """GET: a page of versions, newest first."""

    def get(self, request: Request, id: UUID) -> HttpResponse:
        deployment = self.found()
        rows = DeploymentVersion.objects.filter(deployment=deployment).defer("definition")
        items, cursor = paging.page(request, rows, "created_at")
        return answer({"items": [summary(deployment, item) for item in items], "next": cursor})


class OneVersion(DeploymentView):
    """GET: one version, with what the deployment was."""

    def get(self, request: Request, id: UUID, number: int) -> HttpResponse:
        deployment = self.found()
        version = versions.find(deployment, number)
        return answer({**summary(deployment, version), "definition": version.definition})


class Diff(DeploymentView):
    """GET: what a version changed of the one before it, or of `?from=`: settings, and the code file by file."""

    verbs = {"GET": CODE_SEEN_BY}

    def get(self, request: Request, id: UUID, number: int) -> HttpResponse:
        deployment = self.found()
        former = _number(request.query_params.get("from", str(number - 1)))
        before = versions.find(deployment, former) if former else None
        found = versions.difference(before, versions.find(deployment, number))
        return answer({"from": former, "to": number, **msgspec.to_builtins(found)})


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise Invalid("from is the number of a version.", fields={"from": "A whole number."})
    return int(text)


class Rollback(DeploymentView):
    """POST: make a former version the newest."""

    verbs = {"POST": "deployments.edit"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        told = read(request, DeploymentRollbackInput)
        deployments.roll_back(self.found().id, told.version, message=told.message, by=self.actor)
        return self.described()


class Canary(DeploymentView):
    """POST: change the share of new runs that are made from the canary; 0 withdraws it."""

    verbs = {"POST": "deployments.edit"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        versions.set_share(self.found().id, read(request, CanaryInput).share, by=self.actor)
        return self.described()


class Promote(DeploymentView):
    """POST: put the canary in force."""

    verbs = {"POST": "deployments.edit"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        versions.promote(self.found().id, by=self.actor)
        return self.described()


def summary(deployment: Deployment, version: DeploymentVersion) -> dict[str, Any]:
    """A version as lists show it."""
    return {
        "number": version.number,
        "role": versions.role_of(deployment, version.number),
        "message": version.message,
        "git": version.git,
        "rollback_of": version.rollback_of,
        "created_by": version.created_by,
        "created_at": version.created_at,
    }
