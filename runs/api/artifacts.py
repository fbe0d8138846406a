"""Artifacts: the newest ones, one with its data, the versions of a key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.wire import ARTIFACT_TYPES
from runs.api import paging
from runs.api.deployments import portal_url
from runs.models import Artifact
from runs.reads import artifacts as reads
from tenants.api import TenantView
from tenants.errors import Invalid
from tenants.messages import answer, identifier


class Artifacts(TenantView):
    """GET: a page of artifacts, newest first, of one run or of one type where asked."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request) -> HttpResponse:
        items, cursor = paging.page(request, self._filtered(request), "created_at")
        portal = portal_url(self.actor)
        return answer({"items": [describe(each, portal) for each in items], "next": cursor})

    def _filtered(self, request: Request) -> QuerySet[Artifact]:
        rows = reads.in_workspace(self.actor)
        if type := request.query_params.get("type"):
            if type not in ARTIFACT_TYPES:
                raise Invalid("There is no such type.", fields={"type": f"One of {', '.join(ARTIFACT_TYPES)}."})
            rows = rows.filter(type=type)
        if run := identifier(request, "flow_run"):
            rows = rows.filter(run_id=run)
        return rows


class OneArtifact(TenantView):
    """GET: one, with its data."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        found = reads.find(self.actor, id)
        return answer({**describe(found, portal_url(self.actor)), "data": found.data})


class ArtifactsOfKey(TenantView):
    """GET: a page of the versions of a key, newest first."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request, key: str) -> HttpResponse:
        items, cursor = paging.page(request, reads.of_key(self.actor, key), "created_at")
        portal = portal_url(self.actor)
        return answer({"items": [describe(each, portal) for each in items], "next": cursor})


def describe(artifact: Artifact, portal: str) -> dict[str, Any]:
    """An artifact as JSON, without its data."""
    return {
        "id": artifact.id,
        "type": artifact.type,
        "key": artifact.key or None,
        "description": artifact.description,
        "summary": artifact.summary,
        "flow_run": artifact.run_id,
        "task_run": artifact.task_id,
        "created_at": artifact.created_at,
        "updated_at": artifact.updated_at,
        "url": f"{portal}/artifacts/{artifact.id}",
    }
