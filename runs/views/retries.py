"""Retry from failure: the plan, with the form of parameters below it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from blocks.forms import SchemaForm
from orchestrator.ids import as_id
from orchestrator.job_variables import flat
from runs import forms, retries
from runs.hidden import check_run, find_run
from runs.models import FlowRun
from runs.reads import retry_plan
from runs.reads.retries import chain
from runs.views.deployments import form_context
from tenants.access import workspace_page
from tenants.errors import Invalid

WORDS = {"reused": "Reused", "runs": "Runs again", "waits": "Never begun"}


@workspace_page({"GET": "runs.trigger", "POST": "runs.trigger"})
def retry(request: HttpRequest, id: UUID) -> HttpResponse:
    """What would be reused and what would run, and why; posted, the run is retried."""
    run = find_run(request.actor, id)
    check_run(run, request.actor, "runs.trigger")
    if retries.why_not(run):
        return _page(request, run, None)
    if request.method != "POST":
        former = forms.of_former_run(run.deployment, run)
        form = forms.form(run.deployment, former.values, form_context(request)).with_errors(former.unfit)
        return _page(request, run, form, former=former)
    form = forms.posted(run.deployment, request.POST, form_context(request))
    if form.rearranged or "plan" in request.POST:
        return _page(request, run, form)
    try:
        new = _retry(request, run, form)
    except Invalid as problem:
        told = problem.fields or {"": problem.message}
        return _page(request, run, form.with_errors(told), status=400)
    return redirect("run", request.organization.slug, request.workspace.slug, new.id)


def _retry(request: Any, run: FlowRun, form: SchemaForm) -> FlowRun:
    """The new run.

    Raises:
        Invalid: Something typed means nothing, or is refused.
    """
    if form.problems:
        told = forms.refusals(run.deployment, form.value)
        raise Invalid("Some fields can't be taken.", fields={**told, **form.problems})
    again = request.POST.getlist("again")
    return retries.retry(run, parameters=form.value, by=request.actor, again=again)[0]


def _page(
    request: Any, run: FlowRun, form: SchemaForm | None, *, former: forms.Former | None = None, status: int = 200
) -> HttpResponse:
    chosen = (request.POST if request.method == "POST" else request.GET).getlist("again")
    again, wrong = _named(run, chosen)
    plan = retry_plan.plan(run, again=again)
    context = {
        "section": "runs",
        "run": run,
        "why_not": retries.why_not(run),
        "by_hand": run.is_root and run.deployment is None and not run.pool_id,
        "run_id": str(run.id),
        "snippet": retries.snippet(run),
        "query": f"?{_query(chosen)}" if chosen else "",
        "plan": plan,
        "groups": [(group, words, plan.groups[group]) for group, words in WORDS.items()],
        "chosen": chosen,
        "added": [name for name in again if name not in chosen],
        "chain": chain(run, request.actor),
        "job_variables": list(flat(run.job_variables or {})),
        "form": form,
        "errors": form.unplaced if form else {},
        "listed": [(place, forms.LABELS.get(place, ""), told) for place, told in form.unplaced.items()] if form else [],
        "wrong": wrong,
        "former": former,
    }
    return TemplateResponse(request, "runs/retry/retry.html", context, status=status)


def _named(run: FlowRun, chosen: list[str]) -> tuple[list[str], str]:
    """What is not reused; or what is wrong with what was chosen."""
    try:
        return retries.named(run, chosen), ""
    except Invalid as problem:
        return [], problem.message


def _query(chosen: list[str]) -> str:
    return urlencode([("again", name) for name in chosen])


@workspace_page("runs.view")
def calls(request: HttpRequest, id: UUID) -> HttpResponse:
    """A page of the plan's calls."""
    run, asked = find_run(request.actor, id), request.GET
    chosen = asked.getlist("again")
    group, task = asked.get("group", ""), asked.get("task", "")[:500]
    found, after = retry_plan.calls(
        run, again=_named(run, chosen)[0], group=group, task=task, after=as_id(asked.get("after", ""))
    )
    context = {
        "section": "runs",
        "run": run,
        "calls": found,
        "next_cursor": after,
        "group": group,
        "task": task,
        "chosen_query": _query(chosen),
        "words": WORDS,
    }
    return TemplateResponse(request, "runs/retry/_calls.html", context)
