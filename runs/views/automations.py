"""Automations: the list, one of them with its log, and the form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from runs.automations import edit as operations
from runs.automations import templates
from runs.automations.definitions import MAX_NAME, MOST_RUNS_PER_MINUTE, Action, RunDeployment, Trigger, Wanted
from runs.automations.wording import word
from runs.events import KNOWN_EVENTS
from runs.models import Automation
from runs.reads import automations as reads
from tenants.access import workspace_page
from tenants.errors import Invalid, RateLimited
from tenants.permissions import can

# What most people want to be told: (key, title, text, events).
STARTS = (
    ("failed", "Mail me when a run fails", "Failed or crashed, of any flow.", ("flow-run.failed", "flow-run.crashed")),
    ("late", "Mail me when a run is late", "No agent has taken it in time.", ("flow-run.late",)),
    ("gone", "Mail me when an agent is gone", "Nothing was heard of it for a while.", ("agent.gone",)),
)
_LISTS = ("flows", "deployments", "tags", "pools", "states", "resources")
_KINDS = (("flow-run", "A run"), ("agent", "An agent"), ("deployment", "A deployment"), ("schedule", "A schedule was"))


@workspace_page("automations.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, or templates to start from."""
    return TemplateResponse(request, "runs/automations/index.html", _list(request))


@workspace_page("automations.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of the list that lives."""
    return TemplateResponse(request, "runs/automations/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    found = [(row, reads.when(row.trigger), reads.then(row.action)) for row in reads.rows(request.actor)]
    return {"section": "automations", "rows": found, "starts": STARTS}


@workspace_page("automations.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One automation: when, then, and what became of it."""
    return TemplateResponse(request, "runs/automations/automation.html", _automation(request, id))


@workspace_page("automations.view")
def log(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of the page that lives."""
    return TemplateResponse(request, "runs/automations/_log.html", _automation(request, id))


def _automation(request: Any, id: UUID) -> dict[str, Any]:
    automation = operations.find(request.actor, id=id)
    cursor = request.GET.get("cursor", "")[:200]
    return {
        "section": "automations",
        "automation": automation,
        "when": reads.when(automation.trigger),
        "then": reads.then(automation.action),
        "log": reads.log(automation, cursor=cursor, by=request.actor),
        "cursor": cursor,
    }


@workspace_page({"GET": "automations.edit", "POST": "automations.edit"})
def edit(request: HttpRequest, id: UUID | None = None) -> HttpResponse:
    """The form of a new automation, or of this one."""
    automation = operations.find(request.actor, id=id) if id else None
    if request.method == "POST":
        return _save(request, automation)
    typed = _typed_of(automation) if automation else _typed_at_start(request)
    return TemplateResponse(request, "runs/automations/form.html", _form(request, automation, typed))


def _save(request: Any, automation: Automation | None) -> HttpResponse:
    typed = request.POST
    try:
        saved, new = operations.save(_wanted(typed, automation), by=request.actor, automation=automation)
    except Invalid as problem:
        shown = {name: typed.get(name, "") for name in typed} | {"events": typed.getlist("events")}
        told = problem.fields or {"": problem.message}
        errors = {name.replace("run.", "run_"): text for name, text in told.items()}
        context = _form(request, automation, shown) | {"errors": errors}
        return TemplateResponse(request, "runs/automations/form.html", context, status=400)
    messages.success(request, f"{saved.name} {'is on' if new else 'was changed'}.")
    return _to(request, saved)


def _wanted(typed: Any, automation: Automation | None) -> Wanted:
    lists = {name: _words(typed.get(name, "")) for name in _LISTS}
    number = typed.get("most_per_minute", "")[:9]
    return Wanted(
        name=typed.get("name", ""),
        trigger=Trigger(
            events=[*typed.getlist("events")[:100], *_words(typed.get("other_events", ""))],
            run_name=typed.get("run_name", ""), match_tags=typed.get("match_tags", "any"), **lists,
        ),
        action=_run(typed) if typed.get("tell") == "run" else _message(typed),
        enabled=automation.enabled if automation else True,
        most_per_minute=int(number) if number.isascii() and number.isdecimal() else 0,
    )  # fmt: skip


def _message(typed: Any) -> Action:
    by_block = typed.get("tell") == "block"
    return Action(
        block=typed.get("block", "") if by_block else "", to=[] if by_block else _words(typed.get("to", "")),
        subject=typed.get("subject", "").strip(), body=_lines(typed.get("body", "")),
    )  # fmt: skip


def _run(typed: Any) -> Action:
    seconds = typed.get("run_debounce", "").strip()[:20]
    return Action(
        run=RunDeployment(
            deployment=typed.get("run_deployment", ""), parameters=_lines(typed.get("run_parameters", "")),
            tags=_words(typed.get("run_tags", "")), debounce=_number(seconds) if seconds else None,
            debounce_key=typed.get("run_debounce_key", "").strip(),
        )
    )  # fmt: skip


def _number(text: str) -> float:
    """A number; what is none is none that can be taken."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text[:20_000].replace("\n", ",").split(",") if word.strip()]


def _typed_of(automation: Automation) -> dict[str, Any]:
    trigger, action, run = automation.trigger, automation.action, automation.action.get("run", {})
    lists = {name: ", ".join(trigger.get(name, [])) for name in _LISTS}
    others = [event for event in trigger.get("events", []) if event not in KNOWN_EVENTS]
    return lists | {
        "other_events": ", ".join(others),
        "name": automation.name, "events": trigger.get("events", []), "match_tags": trigger.get("match_tags", "any"),
        "run_name": trigger.get("run_name", ""), "tell": "run" if run else "block" if action.get("block") else "mail",
        "block": action.get("block", ""), "to": ", ".join(action.get("to", [])), "subject": action.get("subject", ""),
        "body": action.get("body", ""), "most_per_minute": automation.most_per_minute,
        "run_deployment": run.get("deployment", ""), "run_parameters": run.get("parameters", ""),
        "run_tags": ", ".join(run.get("tags", [])), "run_debounce": f"{run['debounce']:g}" if "debounce" in run else "",
        "run_debounce_key": run.get("debounce_key", ""),
    }  # fmt: skip


def _typed_at_start(request: Any) -> dict[str, Any]:
    start = next((start for start in STARTS if start[0] == request.GET.get("start")), None)
    typed = {"tell": "mail", "to": request.user.email, "most_per_minute": 5, "match_tags": "any", "events": []}
    return typed | ({"name": start[1].removeprefix("Mail me ").capitalize(), "events": start[3]} if start else {})


def _form(request: Any, automation: Automation | None, typed: dict[str, Any]) -> dict[str, Any]:
    events = [(kind, title, [(event, word(event)) for event in KNOWN_EVENTS if event.startswith(f"{kind}.")])
              for kind, title in _KINDS]  # fmt: skip
    return {
        "section": "automations",
        "automation": automation,
        "typed": typed,
        "events": events,
        "blocks": reads.telling_blocks(request.actor),
        "deployments": reads.runnable(request.actor) if can(request.actor, "runs.trigger") else [],
        "run_values": templates.RUN_VALUES,
        "values": templates.VALUES,
        "default_subject": templates.DEFAULT_SUBJECT,
        "default_body": templates.DEFAULT_BODY,
        "max_name": MAX_NAME,
        "max_per_minute": MOST_RUNS_PER_MINUTE,
        "mail_configured": settings.MAIL_CONFIGURED,
    }


@workspace_page({"POST": "automations.edit"})
def test(request: HttpRequest, id: UUID) -> HttpResponse:
    """Send a message that says it is a test, or try a run; the log shows what became of it."""
    automation = operations.find(request.actor, id=id)
    try:
        operations.send_test(automation, by=request.actor)
        told = "It is tried, and triggers nothing." if "run" in automation.action else "A test is on its way."
        messages.success(request, f"{told} The log below shows what becomes of it.")
    except RateLimited as problem:
        messages.error(request, problem.message)
    return _to(request, automation)


@workspace_page({"POST": "automations.edit"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Let it fire no more for a while."""
    return _set(request, id, enabled=False)


@workspace_page({"POST": "automations.edit"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Let it fire again."""
    return _set(request, id, enabled=True)


def _set(request: Any, id: UUID, *, enabled: bool) -> HttpResponse:
    automation = operations.find(request.actor, id=id)
    operations.set_enabled(automation, enabled=enabled, by=request.actor)
    messages.success(request, f"{automation.name} is {'on again' if enabled else 'paused'}.")
    return _to(request, automation)


@workspace_page({"POST": "automations.edit"})
def remove(request: HttpRequest, id: UUID) -> HttpResponse:
    """Delete it and its log."""
    automation = operations.find(request.actor, id=id)
    operations.delete(automation, by=request.actor)
    messages.success(request, f"{automation.name} was deleted.")
    return redirect("automations", request.organization.slug, request.workspace.slug)


def _to(request: Any, automation: Automation) -> HttpResponse:
    return redirect("automation", request.organization.slug, request.workspace.slug, automation.id)
