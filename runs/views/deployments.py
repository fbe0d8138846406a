"""Deployments: the list, one of them, and the form that triggers a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from runs import deployments, forms, scheduling, trigger
from runs.models import FlowRun
from runs.reads import deployment_list, run_page
from tenants.access import workspace_page
from tenants.errors import Invalid


@workspace_page("deployments.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list."""
    return TemplateResponse(request, "runs/deployments.html", _list(request))


@workspace_page("deployments.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/_deployments.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    text = request.GET.get("q", "").strip()[:200]
    return {"section": "deployments", "text": text, "rows": deployment_list.rows(request.workspace.id, text=text)}


@workspace_page("deployments.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One deployment: its runs, schedule, parameters and code."""
    return TemplateResponse(request, "runs/deployment.html", _deployment(request, id))


@workspace_page("deployments.view")
def history(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of a deployment's page that lives."""
    return TemplateResponse(request, "runs/_deployment.html", _deployment(request, id))


def _deployment(request: Any, id: UUID) -> dict[str, Any]:
    row = deployment_list.find(request.workspace.id, id)
    return {
        "section": "deployments",
        "row": row,
        "deployment": row.deployment,
        "schedule": row.schedule,
        "upcoming": scheduling.upcoming(row.schedule, 5) if row.schedule else [],
        "runs": deployment_list.history(row.deployment),
        "fields": forms.fields(row.deployment.parameter_schema, row.deployment.parameters),
    }


@workspace_page({"GET": "runs.trigger", "POST": "runs.trigger"})
def run(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form from the deployment's schema; posted, it triggers a run. `?from=` takes a former run's parameters."""
    row = deployment_list.find(request.workspace.id, id)
    if request.method == "POST":
        return _trigger(request, row)
    values = {**row.deployment.parameters, **_former(request)}
    fields = forms.fields(row.deployment.parameter_schema, values)
    return _form(request, row, fields, {}, request.GET)


def _former(request: Any) -> dict[str, Any]:
    try:
        return run_page.find_run(request.workspace.id, UUID(request.GET["from"])).parameters
    except (KeyError, ValueError):
        return {}


def _trigger(request: Any, row: deployment_list.DeploymentRow) -> HttpResponse:
    schema = row.deployment.parameter_schema
    values, errors = forms.read(schema, request.POST)
    try:
        when = _scheduled_at(request.POST.get("scheduled_at", ""))
        if errors:
            raise Invalid("Some fields can't be taken.", fields=errors)
        asked = trigger.RunRequest(
            deployment=row.deployment,
            parameters=values,
            name=request.POST.get("name", ""),
            tags=[tag.strip() for tag in request.POST.get("tags", "").split(",") if tag.strip()],
            scheduled_at=when,
        )
        new, _ = trigger.create_run(asked, by=request.actor, origin=FlowRun.Origin.FORM)
    except Invalid as problem:
        told = problem.fields or {"": problem.message}
        fields = forms.fields(schema, {}, texts=request.POST, errors=told)
        return _form(request, row, fields, told, request.POST, status=400)
    return redirect("run", request.organization.slug, request.workspace.slug, new.id)


def _form(
    request: Any, row: Any, fields: list[forms.Field], errors: dict[str, str], typed: Any, status: int = 200
) -> HttpResponse:
    context = {
        "section": "deployments",
        "row": row,
        "deployment": row.deployment,
        "fields": fields,
        "errors": errors,
        "typed": {name: typed.get(name, "") for name in ("name", "tags", "scheduled_at", "from")},
    }
    return TemplateResponse(request, "runs/run_form.html", context, status=status)


def _scheduled_at(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid("Not a time.", fields={"scheduled_at": "A date and time, as 2026-05-19T15:30."}) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@workspace_page({"POST": "schedules.edit"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Stop the schedule."""
    row = deployment_list.find(request.workspace.id, id)
    deployments.pause(row.deployment, by=request.actor)
    messages.success(request, "The schedule is paused. It stays so when the flow is deployed again.")
    return redirect("deployment", request.organization.slug, request.workspace.slug, id)


@workspace_page({"POST": "schedules.edit"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Start the schedule again."""
    row = deployment_list.find(request.workspace.id, id)
    deployments.resume(row.deployment, by=request.actor)
    messages.success(request, "The schedule runs again.")
    return redirect("deployment", request.organization.slug, request.workspace.slug, id)
