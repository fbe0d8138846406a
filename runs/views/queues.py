"""A pool, its work queues, and the forms that change them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.bodies import MAX_LIMIT
from orchestrator.job_templates import PROCESS
from orchestrator.pool_bodies import MAX_QUEUE_PRIORITY, PoolChange, QueueChange, QueueInput
from runs import agents, job_template_form, queues
from runs.models import WorkPool, WorkQueue
from runs.reads import pools as reads
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid
from tenants.restrictions import page
from tenants.whole_numbers import whole_numbers

FORM = {"GET": "pools.edit", "POST": "pools.edit"}
NUMBERS = ("priority", "concurrency_limit")


@workspace_page("pools.view")
def pool(request: HttpRequest, id: UUID) -> HttpResponse:
    """One pool: its queues and its agents."""
    return TemplateResponse(request, "runs/pool.html", _pool(request, id))


@workspace_page("pools.view")
def pool_now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of a pool's page that lives."""
    return TemplateResponse(request, "runs/_pool.html", _pool(request, id))


def _pool(request: Any, id: UUID) -> dict[str, Any]:
    row = reads.find_row(request.actor, id)
    return {
        "section": "pools",
        "row": row,
        "queues": reads.queues(row.pool),
        "most": reads.MOST,
        "template": row.pool.template,
        "variables": job_template_form.described(row.pool.template),
    }


@workspace_page({"GET": "access.edit", "POST": "access.edit"})
def pool_access(request: HttpRequest, id: UUID) -> HttpResponse:
    """Who may see, use and change it."""
    found = reads.find(request.actor, id)
    return page.answer(request, found, section="pools", back=_to(request, id).url)


@workspace_page(FORM)
def new_pool(request: HttpRequest) -> HttpResponse:
    """The form of a new pool."""
    if request.method != "POST":
        return _form(request, {"type": PROCESS})
    try:
        typed = _typed(request.POST)
        made = agents.create_pool(
            workspace=request.workspace, name=typed["name"], description=typed["description"],
            limit=typed["concurrency_limit"], by=request.actor, type=request.POST.get("type", "").strip() or PROCESS,
            template=job_template_form.read(request.POST.get("base_job_template", "")),
        )  # fmt: skip
    except Invalid as problem:
        return _form(request, request.POST, problem=problem)
    messages.success(request, f"The pool {made.name} is there. Start an agent for it.")
    return _to(request, made.id)


@workspace_page(FORM)
def edit_pool(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a pool's settings."""
    found = reads.find(request.actor, id)
    if request.method != "POST":
        return _form(request, queues.settings_of(found), pool=found)
    try:
        typed = _typed(request.POST)
        told = PoolChange(description=typed["description"], concurrency_limit=typed["concurrency_limit"])
        queues.change(found, told=told, by=request.actor)
    except Invalid as problem:
        return _form(request, request.POST, pool=found, problem=problem)
    messages.success(request, f"The pool {found.name} was changed.")
    return _to(request, found.id)


@workspace_page(FORM)
def new_queue(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a new queue."""
    found = reads.find(request.actor, id)
    if request.method != "POST":
        return _form(request, {"priority": 100}, pool=found, of_queue=True)
    try:
        queues.create_queue(pool=found, told=QueueInput(**_typed(request.POST)), by=request.actor)
    except (Invalid, Conflict) as problem:
        return _form(request, request.POST, pool=found, of_queue=True, problem=problem)
    messages.success(request, "The queue is there. Deployments and runs can name it.")
    return _to(request, found.id)


@workspace_page(FORM)
def edit_queue(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a queue's settings."""
    queue = queues.find(request.actor, id)
    if request.method != "POST":
        return _form(request, queues.settings_of(queue), pool=queue.pool, queue=queue)
    try:
        typed = {name: value for name, value in _typed(request.POST).items() if name != "name"}
        queues.change(queue, told=QueueChange(**typed), by=request.actor)
    except Invalid as problem:
        return _form(request, request.POST, pool=queue.pool, queue=queue, problem=problem)
    messages.success(request, f"The queue {queue.name} was changed.")
    return _to(request, queue.pool_id)


def _typed(posted: Any) -> dict[str, Any]:
    """What a form says; an empty number is none.

    Raises:
        Invalid: A number is none.
    """
    told: dict[str, Any] = {"name": posted.get("name", ""), "description": posted.get("description", "").strip()}
    told["description"] = told["description"].replace("\r\n", "\n")
    told |= whole_numbers(posted, NUMBERS)
    if told["priority"] is None:
        told["priority"] = 100
    return told


def _form(
    request: Any,
    typed: Any,
    *,
    pool: WorkPool | None = None,
    queue: WorkQueue | None = None,
    of_queue: bool = False,
    problem: Invalid | Conflict | None = None,
) -> HttpResponse:
    context = {
        "section": "pools",
        "pool": pool,
        "queue": queue,
        "of_queue": of_queue or queue is not None,
        "typed": typed,
        "errors": job_template_form.at_field(problem.fields or {"": problem.message}) if problem else {},
        "max_limit": MAX_LIMIT,
        "max_priority": MAX_QUEUE_PRIORITY,
    }
    return TemplateResponse(request, "runs/pool_form.html", context, status=problem.status if problem else 200)


@workspace_page({"POST": "pools.edit"})
def pause_pool(request: HttpRequest, id: UUID) -> HttpResponse:
    """Hand out no more of its runs."""
    return _set_paused(request, reads.find(request.actor, id), paused=True)


@workspace_page({"POST": "pools.edit"})
def resume_pool(request: HttpRequest, id: UUID) -> HttpResponse:
    """Hand out its runs again."""
    return _set_paused(request, reads.find(request.actor, id), paused=False)


@workspace_page({"POST": "pools.edit"})
def pause_queue(request: HttpRequest, id: UUID) -> HttpResponse:
    """Hand out no more of its runs."""
    return _set_paused(request, queues.find(request.actor, id), paused=True)


@workspace_page({"POST": "pools.edit"})
def resume_queue(request: HttpRequest, id: UUID) -> HttpResponse:
    """Hand out its runs again."""
    return _set_paused(request, queues.find(request.actor, id), paused=False)


def _set_paused(request: Any, row: WorkPool | WorkQueue, *, paused: bool) -> HttpResponse:
    queues.set_paused(row, paused=paused, by=request.actor)
    kind = "pool" if isinstance(row, WorkPool) else "queue"
    told = "is paused. What runs goes on; what is due waits." if paused else "hands out runs again."
    messages.success(request, f"The {kind} {row.name} {told}")
    return _to(request, row.id if isinstance(row, WorkPool) else row.pool_id)


@workspace_page({"POST": "pools.edit"})
def remove_queue(request: HttpRequest, id: UUID) -> HttpResponse:
    """Delete a queue that nothing names."""
    queue = queues.find(request.actor, id)
    try:
        queues.delete(queue, by=request.actor)
        messages.success(request, f"The queue {queue.name} was deleted.")
    except Conflict as problem:
        messages.error(request, problem.message)
    return _to(request, queue.pool_id)


def _to(request: Any, pool_id: UUID) -> HttpResponse:
    return redirect("pool", request.organization.slug, request.workspace.slug, pool_id)
