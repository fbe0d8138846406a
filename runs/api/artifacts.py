"""Artifacts: the newest ones, one with its data, the versions of a key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from runs.api import paging
from runs.api.deployments import portal_url
from runs.models import Artifact
from runs.reads import artifacts as reads
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.messages import answer

ArtifactType = Literal["table", "markdown", "link", "image", "progress"]


class ArtifactsAsked(PageQuery):
    """Which artifacts."""

    type: Annotated[ArtifactType | None, msgspec.Meta(description="Of one type.")] = None
    flow_run: Annotated[UUID | None, msgspec.Meta(description="Of one run.")] = None


class ArtifactShown(msgspec.Struct):
    """An artifact without its data. `type` may be another than those that have pages; `url` leads to its page."""

    id: UUID
    type: str
    key: str | None
    description: str
    summary: Any
    flow_run: UUID
    task_run: UUID | None
    created_at: datetime
    updated_at: datetime
    url: str


class WholeArtifact(ArtifactShown):
    """An artifact with its data."""

    data: Any


class Artifacts(TenantView):
    """GET: a page of artifacts, newest first, of one run or of one type where asked."""

    verbs = {"GET": "runs.view"}

    @operation(Page[ArtifactShown])
    def get(self, request: Request, asked: ArtifactsAsked) -> HttpResponse:
        items, cursor = paging.page(asked, self._filtered(asked), "created_at")
        portal = portal_url(self.actor)
        return answer(Page([describe(each, portal) for each in items], cursor))

    def _filtered(self, asked: ArtifactsAsked) -> QuerySet[Artifact]:
        rows = reads.in_workspace(self.actor)
        if asked.type:
            rows = rows.filter(type=asked.type)
        if asked.flow_run:
            rows = rows.filter(run_id=asked.flow_run)
        return rows


class OneArtifact(TenantView):
    """GET: one, with its data."""

    verbs = {"GET": "runs.view"}

    @operation(WholeArtifact)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        found = reads.find(self.actor, id)
        shown = msgspec.structs.asdict(describe(found, portal_url(self.actor)))
        return answer(WholeArtifact(**shown, data=found.data))


class ArtifactsOfKey(TenantView):
    """GET: a page of the versions of a key, newest first."""

    verbs = {"GET": "runs.view"}

    @operation(Page[ArtifactShown])
    def get(self, request: Request, key: str, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, reads.of_key(self.actor, key), "created_at")
        portal = portal_url(self.actor)
        return answer(Page([describe(each, portal) for each in items], cursor))


def describe(artifact: Artifact, portal: str) -> ArtifactShown:
    """An artifact as the API shows it, without its data."""
    return ArtifactShown(
        id=artifact.id,
        type=artifact.type,
        key=artifact.key or None,
        description=artifact.description,
        summary=artifact.summary,
        flow_run=artifact.run_id,
        task_run=artifact.task_id,
        created_at=artifact.created_at,
        updated_at=artifact.updated_at,
        url=f"{portal}/artifacts/{artifact.id}",
    )
