"""Deployments: the list, one of them, and the form that triggers a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from blocks.forms import Context, SchemaForm
from orchestrator.job_variables import flat
from orchestrator.wire import MAX_PARAMETERS
from runs import deployments, forms, job_templates, job_variables, job_variables_form, schedules, trigger
from runs.bulk import wording
from runs.estimates import estimate
from runs.explain import first_causes
from runs.hidden import find_run
from runs.models import Deployment, FlowRun, Schedule
from runs.reads import deployment_list, run_limits
from runs.reads import schedules as reads
from runs.reads import versions as version_reads
from runs.reads import webhooks as webhook_reads
from tenants.access import workspace_page
from tenants.errors import Invalid
from tenants.permissions import can
from tenants.restrictions import page
from tenants.restrictions.rules import check_allowed

UPCOMING = 5


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
    return {"section": "deployments", "text": text, "rows": deployment_list.rows(request.actor, text=text)}


@workspace_page("deployments.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One deployment: its runs, schedule, parameters and code."""
    return TemplateResponse(request, "runs/deployment.html", _deployment(request, id))


@workspace_page("deployments.view")
def history(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of a deployment's page that lives."""
    return TemplateResponse(request, "runs/_deployment.html", _deployment(request, id))


def _deployment(request: Any, id: UUID) -> dict[str, Any]:
    row = deployment_list.find(request.actor, id)
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else "runs"
    return {
        "section": "deployments",
        "tab": tab,
        "row": row,
        "deployment": row.deployment,
        "schedules": row.schedules,
        "active": any(schedule.active for schedule in row.schedules),
        "upcoming": _upcoming(row.schedules) if tab != "schedules" else [],
        "form": forms.form(row.deployment, {}, form_context(request)),
        "served": deployment_list.served(row.deployment),
        "webhooks": webhook_reads.of_deployment(row.deployment).count(),
        "versions_kept": version_reads.count(row.deployment),
        "job_variables": list(flat(row.deployment.job_variables)),
        "pool_variables": job_templates.of_pool_alone(row.deployment.pool, row.deployment.job_variables),
        "limits": run_limits.of_deployment(row.deployment),
        "may_limit": can(request.actor, "deployments.edit", row.deployment),
        "may_run": can(request.actor, "runs.trigger", row.deployment)
        and can(request.actor, "runs.trigger", row.deployment.pool),
        **TABS[tab](request, row),
    }


def _runs(request: Any, row: deployment_list.DeploymentRow) -> dict[str, Any]:
    runs = deployment_list.history(row.deployment)
    return {
        "runs": runs,
        "causes": first_causes(runs, by=request.actor),
        "kinds": wording.buttons(request.actor),
        "all_query": f"&deployment={row.deployment.id}&range=all",
        "all_words": "All its runs",
    }


def _schedules(request: Any, row: deployment_list.DeploymentRow) -> dict[str, Any]:
    """Its schedules, what comes next first. As in the list of all: the deployments whose schedules one may change."""
    for schedule in row.schedules:
        schedule.deployment = row.deployment
    rows = sorted(reads.with_runs(row.schedules), key=lambda each: (each.next_at is None, each.next_at))
    may = {verb for verb in ("schedules.edit", "deployments.edit") if can(request.actor, verb, row.deployment)}
    if not can(request.actor, "deployments.edit", row.deployment.pool):
        may.discard("deployments.edit")
    one = {row.deployment.id}
    return {
        "rows": rows,
        "may_pause": one if "schedules.edit" in may else set(),
        "may_edit": one if "deployments.edit" in may else set(),
    }


def _versions(request: Any, row: deployment_list.DeploymentRow) -> dict[str, Any]:
    before = request.GET.get("before", "")
    found, following = version_reads.page(row.deployment, before=before)
    may = can(request.actor, "deployments.edit", row.deployment)
    return {"rows": found, "next": following, "before": before, "may_edit": may}


def _webhooks(request: Any, row: deployment_list.DeploymentRow) -> dict[str, Any]:
    """Its newest webhooks; the list of all shows more of them."""
    found, following = webhook_reads.page(webhook_reads.of_deployment(row.deployment), cursor="")
    verbs = ("deployments.edit", "runs.trigger")
    return {
        "rows": found,
        "next": following,
        "may_edit": all(can(request.actor, verb, row.deployment) for verb in verbs),
    }


TABS = {"runs": _runs, "schedules": _schedules, "webhooks": _webhooks, "versions": _versions}


def _upcoming(own: list[Schedule]) -> list[tuple[datetime, Schedule]]:
    """The next times of all schedules together."""
    every = [(at, schedule) for schedule in own for at in schedules.upcoming(schedule, UPCOMING)]
    return sorted(every, key=lambda each: each[0])[:UPCOMING]


@workspace_page({"GET": "access.edit", "POST": "access.edit"})
def access(request: HttpRequest, id: UUID) -> HttpResponse:
    """Who may see, run and change it."""
    deployment = deployment_list.find(request.actor, id).deployment
    back = reverse("deployment", args=[request.organization.slug, request.workspace.slug, id])
    return page.answer(request, deployment, section="deployments", back=back)


@workspace_page({"GET": "runs.trigger", "POST": "runs.trigger"})
def run(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form from the deployment's schema; posted, it triggers a run. `?from=` fills it from a former run."""
    row = deployment_list.find(request.actor, id)
    check_allowed(row.deployment, request.actor, "runs.trigger")
    if request.method == "POST":
        return _trigger(request, row)
    former = _former(request, row.deployment, request.GET)
    form = forms.form(row.deployment, former.values if former else {}, form_context(request))
    typed = {**forms.options(request.GET), "from": request.GET.get("from", "")}
    if former:
        typed["tags"] = typed["tags"] or ", ".join(tag for tag in former.run.tags if tag not in row.deployment.tags)
        form = form.with_errors(former.unfit)
    variables = job_variables_form.of_deployment(row.deployment, former.run if former else None)
    return _form(request, row, form, typed, variables, former=former)


def form_context(request: Any) -> Context:
    """What forms of parameters know of the workspace, and of the person who fills them."""
    new_block = reverse("block-new", args=[request.organization.slug, request.workspace.slug])
    return forms.context(request.actor, new_block if can(request.actor, "blocks.edit") else "")


def _former(request: Any, deployment: Deployment, told: Any) -> forms.Former | None:
    """The run that the form was filled from."""
    try:
        found = find_run(request.actor, UUID(told["from"]))
    except (KeyError, ValueError):
        return None
    return forms.of_former_run(deployment, found)


def _trigger(request: Any, row: deployment_list.DeploymentRow) -> HttpResponse:
    form = forms.posted(row.deployment, request.POST, form_context(request))
    typed = {**forms.options(request.POST), "from": request.POST.get("from", "")}
    variables = job_variables_form.posted(row.deployment, request.POST)
    if request.POST.get("_do") == "file":
        return _read_file(request, row, form, typed, variables)
    if form.rearranged:
        return _form(request, row, form, typed, variables)
    former = _former(request, row.deployment, request.POST)
    try:
        asked = forms.request(row.deployment, form, typed, former=former, variables=variables)
        new, is_new = trigger.create_run(asked, by=request.actor, origin=FlowRun.Origin.FORM)
    except Invalid as problem:
        told = problem.fields or {"": problem.message}
        rest = {path: text for path, text in told.items() if not job_variables_form.is_about(path)}
        return _form(request, row, form.with_errors(rest), typed, variables.with_errors(told), status=400)
    if not is_new:
        messages.info(request, _was_there(new, asked))
    return redirect("run", request.organization.slug, request.workspace.slug, new.id)


def _read_file(
    request: Any,
    row: deployment_list.DeploymentRow,
    form: SchemaForm,
    typed: dict[str, str],
    variables: job_variables_form.Variables,
) -> HttpResponse:
    """The form again, with the parameters of a JSON file; with what was typed, if there are none."""
    file = request.FILES.get("file")
    try:
        if file is None:
            raise Invalid("Choose a file first.")
        read = forms.from_file(row.deployment, file.read(MAX_PARAMETERS + 1), form_context(request))
    except Invalid as problem:
        return _form(request, row, form.with_errors({"file": problem.message}), typed, variables, status=400)
    return _form(request, row, read, typed, variables)


def _estimate(request: Any, deployment: Deployment) -> dict[str, Any]:
    """How long its runs take, and how long one would wait."""
    history, waits = estimate(trigger.RunRequest(deployment=deployment), by=request.actor)
    return {"history": history, "waits": waits}


def _was_there(run: FlowRun, asked: trigger.RunRequest) -> str:
    if asked.debounce is not None and (not asked.idempotency_key or run.idempotency_key != asked.idempotency_key):
        return "A run was gathering triggers already: this one. It takes these parameters, and starts later."
    return "A run with this idempotency key was there already: this one."


def _form(
    request: Any,
    row: Any,
    form: SchemaForm,
    typed: dict[str, str],
    variables: job_variables_form.Variables,
    *,
    former: forms.Former | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "section": "deployments",
        "row": row,
        "deployment": row.deployment,
        "form": form,
        "errors": form.unplaced,
        "listed": [
            *((place, forms.LABELS.get(place, ""), told) for place, told in form.unplaced.items()),
            *variables.listed,
        ],
        "typed": typed,
        "variables": variables if can(request.actor, job_variables.VERB, row.deployment) else None,
        "former": former,
        "queues": forms.queues(row.deployment),
        "suggested": forms.suggested_tags(row.deployment),
        **_estimate(request, row.deployment),
    }
    return TemplateResponse(request, "runs/run_form.html", context, status=status)


@workspace_page({"POST": "schedules.edit"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Stop all schedules."""
    row = deployment_list.find(request.actor, id)
    deployments.pause(row.deployment, by=request.actor)
    messages.success(request, "All its schedules are paused. They stay so when the flow is deployed again.")
    return to_schedules(request, id)


@workspace_page({"POST": "schedules.edit"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Start all schedules again."""
    row = deployment_list.find(request.actor, id)
    deployments.resume(row.deployment, by=request.actor)
    messages.success(request, "All its schedules run again.")
    return to_schedules(request, id)


def to_schedules(request: Any, id: UUID) -> HttpResponse:
    """To the schedules of a deployment."""
    page = reverse("deployment", args=[request.organization.slug, request.workspace.slug, id])
    return redirect(f"{page}?tab=schedules")
