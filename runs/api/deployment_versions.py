"""The versions of a deployment: its history, what differs between two, rollback, canary."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import CanaryInput, DeploymentRollbackInput
from orchestrator.version_diff import File, Setting
from runs import deployments, versions
from runs.api import paging
from runs.api.deployments import DeploymentShown, DeploymentView
from runs.models import Deployment, DeploymentVersion
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, LimitReached
from tenants.messages import answer


class VersionOfDeployment(msgspec.Struct):
    """A version of a deployment. `role` says whether it is in force or on trial, `git` where its code was committed."""

    number: int
    role: str
    message: str
    git: Any
    rollback_of: int | None
    created_by: str
    created_at: datetime


class VersionWithDefinition(VersionOfDeployment):
    """A version, with what the deployment was."""

    definition: Any


class DiffAsked(Query, rename={"before": "from"}):
    """With which version it is compared."""

    before: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)] | None = None


class BetweenVersions(msgspec.Struct, rename={"former": "from"}):
    """What differs between two versions. `note` says why the code could not be compared, or not whole."""

    former: int
    to: int
    settings: list[Setting]
    files: list[File]
    note: str


class Versions(DeploymentView):
    """GET: a page of versions, newest first."""

    @operation(Page[VersionOfDeployment])
    def get(self, request: Request, id: UUID, asked: PageQuery) -> HttpResponse:
        deployment = self.found()
        rows = DeploymentVersion.objects.filter(deployment=deployment).defer("definition")
        items, cursor = paging.page(asked, rows, "created_at")
        return answer(Page([summary(deployment, item) for item in items], cursor))


class OneVersion(DeploymentView):
    """GET: one version, with what the deployment was."""

    @operation(VersionWithDefinition)
    def get(self, request: Request, id: UUID, number: int) -> HttpResponse:
        deployment = self.found()
        version = versions.find(deployment, number)
        return answer(
            VersionWithDefinition(**msgspec.structs.asdict(summary(deployment, version)), definition=version.definition)
        )


class Diff(DeploymentView):
    """GET: what a version changed of the one before it, or of `?from=`: settings, and the code file by file."""

    verbs = {"GET": versions.CODE_SEEN_BY}

    @operation(BetweenVersions)
    def get(self, request: Request, id: UUID, number: int, asked: DiffAsked) -> HttpResponse:
        deployment = self.found()
        former = number - 1 if asked.before is None else asked.before
        before = versions.find(deployment, former) if former else None
        found = versions.difference(before, versions.find(deployment, number))
        return answer(BetweenVersions(former, number, found.settings, found.files, found.note))


class Rollback(DeploymentView):
    """POST: make a former version the newest."""

    verbs = {"POST": "deployments.edit"}

    @operation(DeploymentShown, refuses=[Conflict, LimitReached])
    def post(self, request: Request, id: UUID, told: DeploymentRollbackInput) -> HttpResponse:
        deployments.roll_back(self.found().id, told.version, message=told.message, by=self.actor)
        return self.described()


class Canary(DeploymentView):
    """POST: change the share of new runs that are made from the canary; 0 withdraws it."""

    verbs = {"POST": "deployments.edit"}

    @operation(DeploymentShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID, told: CanaryInput) -> HttpResponse:
        versions.set_share(self.found().id, told.share, by=self.actor)
        return self.described()


class Promote(DeploymentView):
    """POST: put the canary in force."""

    verbs = {"POST": "deployments.edit"}

    @operation(DeploymentShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID) -> HttpResponse:
        versions.promote(self.found().id, by=self.actor)
        return self.described()


def summary(deployment: Deployment, version: DeploymentVersion) -> VersionOfDeployment:
    """A version as lists show it."""
    return VersionOfDeployment(
        number=version.number,
        role=versions.role_of(deployment, version.number),
        message=version.message,
        git=version.git,
        rollback_of=version.rollback_of,
        created_by=version.created_by,
        created_at=version.created_at,
    )
