"""What runs wait for, as people see it: pause, suspend and resume a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from runs.hidden import find_run
from runs.inputs import answers, pausing
from tenants.access import workspace_page
from tenants.errors import Conflict


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
