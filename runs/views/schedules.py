"""Schedules: the list of the workspace, the form of one, and what starts and stops it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from orchestrator.ids import as_id
from runs import forms, schedule_form, schedules
from runs.models import Schedule
from runs.reads import deployment_list
from runs.reads import schedules as reads
from runs.views.deployments import form_context, to_schedules
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid
from tenants.permissions import can

FORM = {"GET": "deployments.edit", "POST": "deployments.edit"}


@workspace_page("deployments.view")
def index(request: HttpRequest) -> HttpResponse:
    """All schedules of the workspace, what comes next first."""
    return TemplateResponse(request, "runs/schedules/index.html", _list(request))


@workspace_page("deployments.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of that page that lives."""
    return TemplateResponse(request, "runs/schedules/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    wanted, cursor = _filter(request.GET), request.GET.get("cursor", "")[:200]
    own = reads.in_workspace(request.actor)
    found, following = reads.page(reads.filtered(own, wanted), cursor=cursor)
    return {
        "section": "schedules",
        "rows": found,
        "filter": wanted,
        "states": reads.STATES,
        "deployments": reads.deployments_to_choose(request.actor),
        "any": bool(found) or own.exists(),
        "next": following,
        "cursor": cursor,
        "may_pause": _may(request, found, "schedules.edit"),
        "may_edit": _may(request, found, "deployments.edit"),
    }


def _filter(query: QueryDict) -> reads.Filter:
    deployment = as_id(query.get("deployment", ""))
    state = query.get("state", "")
    return reads.Filter(query.get("q", "").strip()[:200], state if state in reads.STATES else "", deployment)


def _may(request: Any, found: list[reads.ScheduleRow], verb: str) -> set[UUID]:
    """The deployments of these rows whose schedules this person may change so."""
    return reads.switchable(found, request.actor, verb) if can(request.actor, verb) else set()


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


@workspace_page(FORM)
def new(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of another schedule of a deployment."""
    deployment = deployment_list.find(request.actor, id).deployment
    schedules.check_edit(deployment, request.actor)
    if request.method == "POST":
        return _save(request, deployment, None)
    form = forms.form(deployment, {}, form_context(request))
    return _form(request, deployment, form, {name: schedule_form.NEW.get(name, "") for name in schedule_form.CONTROLS})


@workspace_page(FORM)
def edit(request: HttpRequest, id: UUID, slug: str) -> HttpResponse:
    """The form of a schedule."""
    deployment = deployment_list.find(request.actor, id).deployment
    schedules.check_edit(deployment, request.actor)
    present = schedules.find(deployment, slug)
    if request.method == "POST":
        return _save(request, deployment, present)
    form = forms.form(deployment, present.parameters, form_context(request))
    return _form(request, deployment, form, schedule_form.of_schedule(present), present=present)


def _save(request: Any, deployment: Any, present: Schedule | None) -> HttpResponse:
    form = forms.posted(deployment, request.POST, form_context(request))
    typed = schedule_form.posted(request.POST)
    if form.rearranged or "_look" in request.POST:
        return _form(request, deployment, form, typed, present=present)
    try:
        told = schedule_form.told(typed, form, deployment, present)
        if present is None:
            saved = schedules.create(deployment, told, by=request.actor)
        else:
            saved = schedules.change(deployment, present.slug, told, by=request.actor)
    except (Invalid, Conflict) as problem:
        form = form.with_errors(problem.fields or {"": problem.message})
        return _form(request, deployment, form, typed, present=present, status=problem.status)
    messages.success(request, f"The schedule {saved.slug} {'was changed' if present else 'is there'}.")
    return to_schedules(request, deployment.id)


def _form(
    request: Any, deployment: Any, form: Any, typed: dict[str, str], *, present: Schedule | None = None,
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    context = {
        "section": "deployments",
        "deployment": deployment,
        "schedule": present,
        "form": form,
        "typed": typed,
        "errors": form.unplaced,
        "listed": [(place, schedule_form.LABELS.get(place, ""), told) for place, told in form.unplaced.items()],
        "preview": schedule_form.preview(typed, present),
        "zones": schedule_form.zones(),
        "catch_ups": Schedule.CatchUp.choices,
    }
    return TemplateResponse(request, "runs/schedules/form.html", context, status=status)


@workspace_page({"POST": "deployments.view"})
def preview(request: HttpRequest) -> HttpResponse:
    """The next times of what stands in the form, while it is typed. Nothing is made."""
    context = {"preview": schedule_form.preview(schedule_form.posted(request.POST))}
    return TemplateResponse(request, "runs/schedules/_preview.html", context)


# ── deeds ────────────────────────────────────────────────────────────────────────────────────────


@workspace_page({"POST": "schedules.edit"})
def pause(request: HttpRequest, id: UUID, slug: str) -> HttpResponse:
    """Stop it until somebody resumes it."""
    schedules.pause(deployment_list.find(request.actor, id).deployment, slug, by=request.actor)
    messages.success(request, f"{slug} is paused. It stays so when the flow is deployed again.")
    return _back(request, id)


@workspace_page({"POST": "schedules.edit"})
def resume(request: HttpRequest, id: UUID, slug: str) -> HttpResponse:
    """Start it again, from now on."""
    schedules.resume(deployment_list.find(request.actor, id).deployment, slug, by=request.actor)
    messages.success(request, f"{slug} goes on with its next time.")
    return _back(request, id)


@workspace_page({"POST": "deployments.edit"})
def remove(request: HttpRequest, id: UUID, slug: str) -> HttpResponse:
    """Delete it, and its runs that are not due yet."""
    schedules.delete(deployment_list.find(request.actor, id).deployment, slug, by=request.actor)
    messages.success(request, f"The schedule {slug} was deleted.")
    return to_schedules(request, id)


def _back(request: Any, id: UUID) -> HttpResponse:
    """To the list that the button stood in, as it was filtered; else to the deployment."""
    query = request.POST.get("list")
    if query is None:
        return to_schedules(request, id)
    address = reverse("schedules", args=[request.organization.slug, request.workspace.slug])
    return redirect(f"{address}?{QueryDict(query[:2_000]).urlencode()}")
