"""What runs wait for, as people see it: pause, suspend and resume a run; what is asked, and the form for an answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from blocks.forms import SchemaForm
from runs.hidden import check_run, find_run
from runs.inputs import answers, links, pausing, requests
from runs.models import FlowRun, InputAnswer, InputRequest
from runs.reads.markdown import as_html
from runs.views.deployments import form_context
from tenants.access import workspace_page
from tenants.cursors import newest
from tenants.errors import Conflict, Forbidden, Invalid, Problem
from tenants.permissions import Actor, require

PAGE = 50


@workspace_page({"POST": "runs.pause"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Ask the run to wait in its process."""
    return _wish(request, id, suspend=False)


@workspace_page({"POST": "runs.pause"})
def suspend(request: HttpRequest, id: UUID) -> HttpResponse:
    """Ask the run to end its process until it is resumed."""
    return _wish(request, id, suspend=True)


def _wish(request: Any, id: UUID, *, suspend: bool) -> HttpResponse:
    run = find_run(request.actor, id)
    try:
        pausing.pause(run, by=request.actor, suspend=suspend)
        messages.success(request, "The run is asked to. It does so at its next call of a task or a flow.")
    except Conflict as problem:
        messages.info(request, problem.message)
    return redirect("run", request.organization.slug, request.workspace.slug, run.id)


@workspace_page({"POST": "runs.answer"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Let the run go on that waits for nothing else."""
    run = find_run(request.actor, id)
    try:
        answers.resume(run, answers.Said(), by=request.actor)
        messages.success(request, "The run goes on.")
    except Conflict as problem:
        messages.info(request, problem.message)
    return redirect("run", request.organization.slug, request.workspace.slug, run.id)


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


@workspace_page("runs.view")
def index(request: HttpRequest) -> HttpResponse:
    """What the workspace's runs wait for."""
    return TemplateResponse(request, "runs/inputs/index.html", _list(request))


@workspace_page("runs.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/inputs/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    cursor = request.GET.get("cursor", "")
    asked, further = newest(requests.waiting(request.actor), by="created_at", cursor=cursor, limit=PAGE)
    told = {"section": "inputs", "asked": asked, "cursor": cursor, "first_query": ""}
    return {**told, "next_query": f"cursor={further}" if further else ""}


@workspace_page({"GET": "runs.view", "POST": "runs.answer"})
def one(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of what is asked. Posted: the answer."""
    asked = requests.find(id, by=request.actor)
    form = _fields(request, asked)
    if request.method != "POST" or (form is not None and form.rearranged):
        return _form(request, asked, form)
    try:
        _answer(request, asked, form)
    except Invalid as problem:
        told = problem.fields or {"": problem.message}
        return _form(request, asked, form.with_errors(told) if form else None, told=told, status=400)
    except Problem as problem:
        messages.info(request, problem.message)
    return redirect("run", request.organization.slug, request.workspace.slug, asked.run_id)


def _fields(request: Any, asked: InputRequest) -> SchemaForm | None:
    if asked.schema is None:
        return None
    context = form_context(request)
    if request.method == "POST":
        return SchemaForm.of_post(asked.schema, request.POST, context=context)
    return SchemaForm.of_values(asked.schema, asked.initial, context=context)


def _answer(request: Any, asked: InputRequest, form: SchemaForm | None) -> None:
    verdict = request.POST.get("verdict", "answer")
    if verdict not in InputAnswer.Verdict.values:
        raise Invalid("There is no such answer.", fields={"verdict": "answer, approve or reject."})
    value = form.value if form is not None and verdict != "reject" else None
    if form is not None and form.problems and verdict != "reject":
        raise Invalid("Some fields can't be taken.", fields=form.problems)
    answers.answer(asked, answers.Said(verdict, value, request.POST.get("comment", "")), by=request.actor)
    messages.success(request, "Your answer was taken.")


def _form(
    request: Any, asked: InputRequest, form: SchemaForm | None, *, told: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    given = list(asked.answers.order_by("at", "id")[:PAGE])
    approvals = sum(each.verdict == "approve" for each in given)
    listed = [(place, "", text) for place, text in (form.unplaced if form else told or {}).items()]
    context = {
        "section": "inputs",
        "asked": asked,
        "form": form,
        "errors": form.unplaced if form else {},
        "listed": listed,
        "about": as_html(asked.description) if asked.description else "",
        "is_open": requests.is_open(asked, FlowRun.objects.get(id=asked.root_id)),
        "is_asked": requests.is_asked(asked, request.actor),
        "link": _link(asked, request.actor),
        "answers": given,
        "mine": answers.approval_of(asked, request.actor),
        "approvals": approvals,
        "missing": asked.quorum - approvals,
        "comment": request.POST.get("comment", "")[:2_000],
    }
    return TemplateResponse(request, "runs/inputs/input.html", context, status=status)


def _link(asked: InputRequest, by: Actor) -> str:
    """The link that answers without an account, for who could answer as well."""
    try:
        require(by, "runs.answer")
        check_run(asked.run, by, "runs.answer")
    except Forbidden:
        return ""
    return links.address(asked)
