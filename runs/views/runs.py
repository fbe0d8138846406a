"""The list of runs, and one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from orchestrator.ids import as_id
from orchestrator.job_variables import flat
from orchestrator.states import StateType
from runs import deleting, retries, trigger
from runs.bulk import wording
from runs.explain import explain, first_causes
from runs.hidden import check_run, find_run, hidden_deployments
from runs.inputs import requests
from runs.models import Deployment, Flow, FlowRun
from runs.reads import bulk, deployment_list, quarantine, run_filter, run_list, run_page, versions
from runs.reads.retries import chain
from runs.reads.timeline import bars_of
from tenants.access import workspace_page
from tenants.errors import Conflict
from tenants.messages import packed

LOG_NUMBERS = {"after", "before", "limit", "level"}


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, with its filter, its counts and the states over time."""
    return TemplateResponse(request, "runs/list.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives: its rows and counts."""
    return TemplateResponse(request, "runs/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    workspace_id, asked = request.workspace.id, run_filter.RunFilter.read(request.GET)
    hidden = hidden_deployments(request.actor)
    page = run_list.page(workspace_id, asked, hidden=hidden)
    counts = run_list.counts(workspace_id, asked, hidden=hidden)
    return {
        "section": "runs",
        "filter": asked,
        "page": page,
        "causes": first_causes(page.runs, by=request.actor),
        "next_query": asked.query(cursor=page.next_cursor) if page.next_cursor else "",
        "counts": counts,
        **_many(request, asked, sum(counts.get(state, 0) for state in asked.states or counts)),
        "over_time": run_list.over_time(workspace_id, asked, hidden=hidden),
        "ever_ran": bool(page.runs) or run_list.ever_ran(workspace_id),
        "state_types": list(StateType),
        "ranges": list(run_filter.RANGES),
        "origins": run_filter.ORIGINS,
        "flows": list(
            Flow.objects.filter(workspace_id=workspace_id).order_by("name").values_list("name", flat=True)[:500]
        ),
        "deployments": Deployment.objects.filter(workspace_id=workspace_id)
        .exclude(id__in=hidden)
        .select_related("flow")
        .order_by("name")[:500],
    }


def _many(request: Any, asked: run_filter.RunFilter, total: int) -> dict[str, Any]:
    """What may be done to many of them, and what is being done."""
    return {
        "kinds": wording.buttons(request.actor),
        "all_query": asked.query(cursor="").replace("?", "&", 1),
        "all_words": f"All {total:,} that fit",
        "open_operations": bulk.open_ones(request.actor),
    }


@workspace_page("runs.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One run: its head, timeline, task runs, log and parameters."""
    return TemplateResponse(request, "runs/run.html", _run(request, id))


@workspace_page("runs.view")
def head(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of a run's page that lives by its state: story, progress, facts, actions."""
    return TemplateResponse(request, "runs/_run.html", _run(request, id))


def _run(request: Any, id: UUID) -> dict[str, Any]:
    run = find_run(request.actor, id)
    counts = run_page.count_tasks(run)
    version, commit = versions.of_run(run)
    return {
        "section": "runs",
        "version": version,
        "commit": commit,
        "run": run,
        "job_variables": list(flat(run.job_variables or {})),
        "story": run_page.story(run),
        "attempts": run_page.attempts(run),
        "subflows": run_page.subflows(run),
        "parent": run_page.caller(run, request.actor),
        "chain": chain(run, request.actor),
        "refused": quarantine.counted(workspace_id=request.workspace.id, root_id=run.root_id),
        "explained": explain(run, by=request.actor),
        "asked": [each for each in requests.of_run(run)[:20] if requests.is_open(each, run)],
        "task_counts": counts,
        "task_total": sum(counts.values()),
    }


@workspace_page("runs.view")
def tasks(request: HttpRequest, id: UUID) -> HttpResponse:
    """A page of a run's task runs."""
    run = find_run(request.actor, id)
    state, text = request.GET.get("state", ""), request.GET.get("q", "")
    page = run_page.tasks(run, state=state, text=text, after=request.GET.get("after", ""))
    context = {"section": "runs", "run": run, "page": page, "state": state, "text": text}
    return TemplateResponse(request, "runs/_tasks.html", {**context, "task_counts": run_page.count_tasks(run)})


@workspace_page("runs.view")
def task(request: HttpRequest, id: UUID, task_id: UUID) -> HttpResponse:
    """One task run: its states, its error, what it waited for."""
    run = find_run(request.actor, id)
    found = run_page.find_task(run, task_id)
    return TemplateResponse(request, "runs/_task.html", {"section": "runs", "run": run, "task": found})


@workspace_page("runs.view")
def timeline(request: HttpRequest, id: UUID) -> HttpResponse:
    """The bars of the timeline, or what changed since."""
    since = request.GET.get("since", "")
    run = find_run(request.actor, id)
    return packed(request, bars_of(run, since=int(since[:18]) if since.isdecimal() else -1))


@workspace_page("runs.view")
def log(request: HttpRequest, id: UUID) -> HttpResponse:
    """A window of the log."""
    asked = request.GET
    task = as_id(asked.get("task", ""))
    run = find_run(request.actor, id)
    return packed(request, run_page.log(run, text=asked.get("q", ""), task=task, **log_window(asked)))


def log_window(asked: Mapping[str, str]) -> dict[str, int]:
    """Which lines of a log are asked for; what is no number is left out."""
    return {name: int(asked[name][:18]) for name in LOG_NUMBERS if asked.get(name, "").isdecimal()}


@workspace_page({"POST": "runs.cancel"})
def cancel(request: HttpRequest, id: UUID) -> HttpResponse:
    """Ask the run to stop."""
    run = find_run(request.actor, id)
    check_run(run, request.actor, "runs.cancel")
    if run.is_final:
        messages.info(request, f"The run had ended already ({run.state_name}).")
    else:
        trigger.cancel_runs([run.id], by=request.actor)
        messages.success(request, "Cancelling. The flow's process is told to stop.")
    return redirect("run", request.organization.slug, request.workspace.slug, run.id)


@workspace_page({"POST": "runs.delete"})
def delete(request: HttpRequest, id: UUID) -> HttpResponse:
    """Delete the run with all that it told and made."""
    run = find_run(request.actor, id)
    place = (request.organization.slug, request.workspace.slug)
    try:
        deleting.delete(run, by=request.actor)
    except Conflict as refusal:
        messages.error(request, refusal.message)
        return redirect("run", *place, run.id)
    messages.success(request, f"{run.name} was deleted.")
    return redirect("runs", *place)


@workspace_page({"GET": "runs.trigger", "POST": "runs.trigger"})
def again(request: HttpRequest, id: UUID) -> HttpResponse:
    """Run it once more. Posted: the same deployment with the same parameters. Else: the way to the form, by a choice
    of deployments where the run itself was of none.
    """
    run = find_run(request.actor, id)
    if request.method != "POST" or run.deployment is None:
        return _with_changes(request, run)
    asked = trigger.RunRequest(
        deployment=run.deployment, parameters=run.parameters, tags=run.tags, retry_of=run.id if run.is_final else None,
        call=run.call, retries=run.retries if run.call else None, job_variables=run.job_variables or {},
        **retries.turn(run),
    )  # fmt: skip
    new, _ = trigger.create_run(asked, by=request.actor, origin=FlowRun.Origin.RETRY)
    return redirect("run", request.organization.slug, request.workspace.slug, new.id)


def _with_changes(request: Any, run: FlowRun) -> HttpResponse:
    """To the form of the run's deployment, else of the only one that its flow has, else a page that says what to do."""
    rows = [] if run.deployment else deployment_list.of_flow(request.actor, run.flow_id)
    only = run.deployment or (rows[0].deployment if len(rows) == 1 else None)
    if only:
        where = (request.organization.slug, request.workspace.slug, only.id)
        return redirect(f"{reverse('deployment-run', args=where)}?from={run.id}")
    root = None if run.is_root else find_run(request.actor, run.root_id)
    deploy = f"orchestrator deploy FILE.py:{run.flow.name.replace('-', '_')}"
    context = {"section": "runs", "run": run, "root": root, "rows": rows, "deploy": deploy}
    return TemplateResponse(request, "runs/again.html", context)
