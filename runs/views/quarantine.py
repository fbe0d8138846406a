"""Entries of journals that could not be taken: looked at, tried again, deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.ids import as_id
from runs import quarantine
from runs.hidden import hidden_deployments
from runs.reads import quarantine as reads
from tenants.access import workspace_page


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The entries, by code or of one run."""
    return TemplateResponse(request, "runs/quarantine.html", _entries(request))


def _entries(request: Any) -> dict[str, Any]:
    asked, workspace_id = request.GET, request.workspace.id
    code, run = asked.get("code", "")[:40], as_id(asked.get("run", ""))
    cursor, counts = asked.get("cursor", "")[:200], reads.counts(workspace_id, run)
    return {
        "section": "quarantine",
        "code": code,
        "run": run,
        "page": reads.page(
            workspace_id, code=code, root_id=run, cursor=cursor, hidden=hidden_deployments(request.actor)
        ),
        "cursor": cursor,
        "counts": counts,
        "total": sum(counts.values()),
        "most": reads.MOST,
        "meaning": reads.meaning(code) if code else "",
    }


@workspace_page({"POST": "quarantine.edit"})
def replay(request: HttpRequest) -> HttpResponse:
    """Try the chosen entries again."""
    taken, left = quarantine.replay(workspace_id=request.workspace.id, ids=_chosen(request), by=request.actor)
    if taken:
        messages.success(request, f"{_number(taken)} taken.")
    if left:
        messages.warning(request, f"{_number(left)} not taken; the code says why.")
    return _back(request)


@workspace_page({"POST": "quarantine.edit"})
def drop(request: HttpRequest) -> HttpResponse:
    """Delete the chosen entries."""
    gone = quarantine.drop(workspace_id=request.workspace.id, ids=_chosen(request), by=request.actor)
    messages.success(request, f"{_number(gone)} deleted.")
    return _back(request)


def _number(count: int) -> str:
    return "1 entry was" if count == 1 else f"{count:,} entries were"


def _chosen(request: Any) -> list[UUID]:
    return [id for text in request.POST.getlist("id")[: quarantine.AT_ONCE] if (id := as_id(text))]


def _back(request: Any) -> HttpResponse:
    return redirect("quarantine", request.organization.slug, request.workspace.slug)
