"""Artifacts: the newest of each key, all of them, one of them, the versions of a key, those of a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orchestrator.storable import clean_text
from orchestrator.wire import ARTIFACT_TYPES
from runs.hidden import find_run
from runs.reads import artifact_content
from runs.reads import artifacts as reads
from tenants.access import workspace_page
from tenants.cursors import newest

PAGE = 50
OF_A_RUN = 25


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The newest artifact of each key, or all artifacts."""
    return TemplateResponse(request, "runs/artifacts/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/artifacts/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    asked, workspace_id = request.GET, request.workspace.id
    view = "all" if asked.get("view") == "all" else "keys"
    type = asked.get("type", "") if asked.get("type", "") in ARTIFACT_TYPES else ""
    cursor = clean_text(asked.get("cursor", ""), 200)
    if view == "keys":
        page = reads.newest_of_keys(request.actor, after=cursor, limit=PAGE)
        items, more = page.items, page.next
    else:
        found = reads.in_workspace(request.actor)
        items, more = newest(found.filter(type=type) if type else found, by="created_at", cursor=cursor, limit=PAGE)
    return {
        "section": "artifacts",
        "view": view,
        "type": type,
        "types": ARTIFACT_TYPES,
        "rows": reads.with_runs(items, workspace_id),
        "more": more,
        "cursor": cursor,
        "any": bool(items) or reads.in_workspace(request.actor).exists(),
    }


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One artifact."""
    return TemplateResponse(request, "runs/artifacts/artifact.html", _one(request, id))


@workspace_page("runs.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives: progress goes on."""
    return TemplateResponse(request, "runs/artifacts/_artifact.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    artifact = reads.find(request.actor, id)
    first = request.GET.get("row", "")
    return {
        "section": "artifacts",
        "artifact": artifact,
        "content": artifact_content.content_of(
            artifact, artifact.data, first=int(first[:9]) if first.isascii() and first.isdecimal() else 0
        ),
        "run": reads.with_runs([artifact], request.workspace.id)[0][1],
        "about": reads.described(artifact),
    }


@workspace_page("runs.view")
def of_key(request: HttpRequest, key: str) -> HttpResponse:
    """The newest artifact of a key, and its versions."""
    return TemplateResponse(request, "runs/artifacts/key.html", _key(request, key))


@workspace_page("runs.view")
def of_key_now(request: HttpRequest, key: str) -> HttpResponse:
    """The part of the page that lives."""
    return TemplateResponse(request, "runs/artifacts/_key.html", _key(request, key))


def _key(request: Any, key: str) -> dict[str, Any]:
    versions = reads.of_key(request.actor, key)
    cursor = request.GET.get("cursor", "")[:200]
    items, more = newest(versions, by="created_at", cursor=cursor, limit=PAGE)
    shown = versions.defer(None).filter(id=items[0].id).first() if items and not cursor else None
    return {
        "section": "artifacts",
        "key": key,
        "artifact": shown,
        "content": artifact_content.content_of(shown, shown.data) if shown else None,
        "about": reads.described(shown) if shown else "",
        "rows": reads.with_runs(items, request.workspace.id),
        "more": more,
        "cursor": cursor,
    }


@workspace_page("runs.view")
def of_run(request: HttpRequest, id: UUID) -> HttpResponse:
    """Those of a run, as its page shows them: small ones whole."""
    run = find_run(request.actor, id)
    cursor = request.GET.get("cursor", "")[:200]
    items, more = newest(reads.of_run(run), by="created_at", cursor=cursor, limit=OF_A_RUN)
    glance = artifact_content.ROWS_AT_A_GLANCE
    shown = [
        (each, artifact_content.content_of(each, each.shown, rows=glance) if each.shown is not None else None,
         reads.described(each)) for each in items
    ]  # fmt: skip
    context = {"section": "runs", "run": run, "artifacts": shown, "more": more, "cursor": cursor}
    return TemplateResponse(request, "runs/artifacts/_of_run.html", context)
