"""Webhooks: the list, one of them with what came to it, the form with an example to try, the address, shown once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from orchestrator.ids import as_id
from runs import webhook_form
from runs.models import Webhook
from runs.reads import webhooks as reads
from runs.webhooks import edit as operations
from runs.webhooks import receiving, sending
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid, NotFound
from tenants.restrictions.rules import check_allowed

FORM = {"GET": "deployments.edit", "POST": "deployments.edit"}
OVERLAPS = {"0": "Stops at once", "3600": "Goes on for an hour", "86400": "For a day", "604800": "For a week"}


@workspace_page("deployments.view")
def index(request: HttpRequest) -> HttpResponse:
    """All webhooks of the workspace, newest first."""
    return TemplateResponse(request, "runs/webhooks/index.html", _list(request))


@workspace_page("deployments.view")
def rows(request: HttpRequest) -> HttpResponse:
    """The part of that page that lives."""
    return TemplateResponse(request, "runs/webhooks/_list.html", _list(request))


def _list(request: Any) -> dict[str, Any]:
    wanted, cursor = _filter(request.GET), request.GET.get("cursor", "")[:200]
    own = operations.in_workspace(request.actor)
    found, following = reads.page(reads.filtered(own, wanted), cursor=cursor)
    return {
        "section": "webhooks",
        "rows": found,
        "filter": wanted,
        "states": reads.STATES,
        "deployments": reads.deployments_with_webhooks(request.actor),
        "any": bool(found) or own.exists(),
        "next": following,
        "cursor": cursor,
    }


def _filter(query: Any) -> reads.Filter:
    state = query.get("state", "")
    deployment = as_id(query.get("deployment", ""))
    return reads.Filter(query.get("q", "").strip()[:200], state if state in reads.STATES else "", deployment)


@workspace_page("deployments.view")
def detail(request: HttpRequest, id: UUID) -> HttpResponse:
    """One webhook: what it does, and what came to it."""
    return TemplateResponse(request, "runs/webhooks/webhook.html", _one(request, id))


@workspace_page("deployments.view")
def now(request: HttpRequest, id: UUID) -> HttpResponse:
    """The part of its page that lives."""
    return TemplateResponse(request, "runs/webhooks/_webhook.html", _one(request, id))


def _one(request: Any, id: UUID) -> dict[str, Any]:
    webhook = operations.find(request.actor, id=id)
    cursor = request.GET.get("cursor", "")[:200]
    found, following = reads.deliveries(webhook, request.actor, cursor=cursor)
    return {
        "section": "webhooks",
        "webhook": webhook,
        "deliveries": found,
        "next": following,
        "cursor": cursor,
        "refusal": reads.refusal(webhook),
        "overlaps": OVERLAPS,
        "kept": receiving.KEPT,
        **reads.may(webhook, request.actor),
    }


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


@workspace_page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new webhook; posted, its address is shown this once."""
    if request.method == "POST":
        return _save(request, None)
    return _form(request, webhook_form.new(request.GET.get("deployment", "")[:100]))


@workspace_page(FORM)
def edit(request: HttpRequest, id: UUID) -> HttpResponse:
    """The form of a webhook, with what came last as the example."""
    webhook = operations.find(request.actor, id=id)
    check_allowed(webhook.deployment, request.actor, "deployments.edit")
    if request.method == "POST":
        return _save(request, webhook)
    example = webhook_form.example_of(receiving.deliveries(webhook))
    return _form(request, webhook_form.of_webhook(webhook, example), webhook=webhook)


def _save(request: Any, webhook: Webhook | None) -> HttpResponse:
    typed = webhook_form.posted(request.POST)
    typed["name"] = webhook.name if webhook else typed["name"]
    if "_look" in request.POST:
        return _form(request, typed, webhook=webhook)
    try:
        saved, token = operations.save(webhook_form.told(typed), by=request.actor, only_new=webhook is None)
    except (Invalid, Conflict, NotFound) as problem:
        wrong = problem.fields or {"deployment" if isinstance(problem, NotFound) else "": problem.message}
        return _form(request, typed, wrong, webhook=webhook, status=400 if problem.status == 404 else problem.status)
    if token:
        return _address(request, saved, token)
    messages.success(request, f"The webhook {saved.name} was changed. It acts as {saved.created_by}.")
    return _to(request, saved)


def _form(
    request: Any, typed: dict[str, str], errors: dict[str, str] | None = None, *, webhook: Webhook | None = None,
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    context = {
        "section": "webhooks",
        "webhook": webhook,
        "typed": typed,
        "errors": errors or {},
        "listed": webhook_form.listed(errors or {}),
        "deployments": [(str(each.id), each) for each in reads.deployments_to_trigger(request.actor)],
        "signatures": Webhook.Signature.choices,
        "preview": webhook_form.preview(typed, by=request.actor),
        "max_name": operations.MAX_NAME,
        "max_secret": operations.MAX_SECRET,
    }
    return TemplateResponse(request, "runs/webhooks/form.html", context, status=status)


@workspace_page({"POST": "deployments.edit"})
def attempt(request: HttpRequest) -> HttpResponse:
    """What stands in the form would make of the example, while both are typed. Nothing is made."""
    preview = webhook_form.preview(webhook_form.posted(request.POST), by=request.actor)
    return TemplateResponse(request, "runs/webhooks/_preview.html", {"preview": preview})


def _address(request: Any, webhook: Webhook, token: str, *, rotated: bool = False) -> HttpResponse:
    """The page that shows an address, this once."""
    address = sending.address_of(token)
    command = sending.command(webhook, address)
    context = {"section": "webhooks", "webhook": webhook, "address": address, "command": command, "rotated": rotated}
    response = TemplateResponse(request, "runs/webhooks/address.html", context)
    add_never_cache_headers(response)
    return response


# ── deeds ────────────────────────────────────────────────────────────────────────────────────────


@workspace_page({"POST": "deployments.edit"})
def rotate(request: HttpRequest, id: UUID) -> HttpResponse:
    """Give it another address, which is shown this once."""
    webhook = operations.find(request.actor, id=id)
    overlap = request.POST.get("overlap", "")
    if overlap not in OVERLAPS:
        raise Invalid("Choose when the former address ends.", fields={"overlap": "Choose one."})
    token = operations.rotate(webhook, by=request.actor, overlap=float(overlap))
    return _address(request, webhook, token, rotated=True)


@workspace_page({"POST": "schedules.edit"})
def pause(request: HttpRequest, id: UUID) -> HttpResponse:
    """Refuse what comes, for a while."""
    webhook = operations.find(request.actor, id=id)
    operations.set_paused(webhook, paused=True, by=request.actor)
    messages.success(request, f"{webhook.name} is paused: what comes is refused with 409.")
    return _to(request, webhook)


@workspace_page({"POST": "schedules.edit"})
def resume(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take what comes again."""
    webhook = operations.find(request.actor, id=id)
    operations.set_paused(webhook, paused=False, by=request.actor)
    messages.success(request, f"{webhook.name} is on again.")
    return _to(request, webhook)


@workspace_page({"POST": "deployments.edit"})
def remove(request: HttpRequest, id: UUID) -> HttpResponse:
    """Delete it and what is kept of its deliveries."""
    webhook = operations.find(request.actor, id=id)
    operations.delete(webhook, by=request.actor)
    messages.success(request, f"The webhook {webhook.name} was deleted.")
    return redirect("webhooks", request.organization.slug, request.workspace.slug)


def _to(request: Any, webhook: Webhook) -> HttpResponse:
    return redirect("webhook", request.organization.slug, request.workspace.slug, webhook.id)
