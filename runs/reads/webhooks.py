"""What pages of webhooks show: the list with what came last, and the deliveries of one with their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from orchestrator.storable import clean_text
from runs.deployments import in_workspace as deployments_in_workspace
from runs.hidden import hidden_deployments
from runs.models import Deployment, FlowRun, Webhook, WebhookDelivery
from runs.webhooks import receiving
from tenants.cursors import newest
from tenants.errors import Forbidden
from tenants.permissions import Actor, can

PAGE = 50
DELIVERIES = 25  # of a page
STATES = {"on": "On", "paused": "Paused"}
MAX_CHOICES = 500  # deployments to choose from


@dataclass(frozen=True, slots=True)
class Came:
    """What came last."""

    at: datetime
    status: int
    outcome: str
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list; `last` is None where nothing came within the days that are kept."""

    webhook: Webhook
    last: Came | None


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the webhooks is shown."""

    text: str = ""
    state: str = ""
    deployment: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.text or self.state or self.deployment)


def filtered(rows: QuerySet[Webhook], wanted: Filter) -> QuerySet[Webhook]:
    """Those that fit."""
    if wanted.deployment:
        rows = rows.filter(deployment_id=wanted.deployment)
    if wanted.state in STATES:
        rows = rows.filter(paused=wanted.state == "paused")
    for word in clean_text(wanted.text, 200).replace("/", " ").split()[:5]:
        of_deployment = Q(deployment__name__icontains=word) | Q(deployment__flow__name__icontains=word)
        rows = rows.filter(Q(name__icontains=word) | of_deployment)
    return rows


def page(rows: QuerySet[Webhook], *, cursor: str) -> tuple[list[Row], str | None]:
    """A page, newest first, and the cursor of what follows.

    Raises:
        Invalid: The cursor is none of ours.
    """
    found, following = newest(rows, by="created_at", cursor=cursor, limit=PAGE)
    last = _last(found)
    return [Row(each, last.get(each.id)) for each in found], following


_LAST = """
    SELECT w.id, d.at, d.status, d.outcome, d.run_id FROM unnest(%s::uuid[]) w (id)
    CROSS JOIN LATERAL (
        SELECT at, status, outcome, run_id FROM webhook_delivery d
        WHERE d.organization_id = %s AND d.webhook_id = w.id ORDER BY d.at DESC, d.id DESC LIMIT 1
    ) d
"""


def _last(found: Sequence[Webhook]) -> dict[UUID, Came]:
    """What came last to each, in one query."""
    if not found:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [[each.id for each in found], found[0].organization_id])
        return {webhook: Came(*rest) for webhook, *rest in cursor.fetchall()}


def deployments_with_webhooks(by: Actor) -> QuerySet[Deployment]:
    """The deployments that have webhooks, by name: a list can be narrowed to one of them."""
    own = Webhook.objects.filter(workspace_id=by.workspace_id).values("deployment_id")
    return _to_choose(deployments_in_workspace(by).filter(id__in=own))


def deployments_to_trigger(by: Actor) -> QuerySet[Deployment]:
    """The deployments that somebody may make a webhook for, by name."""
    own = deployments_in_workspace(by).allowing(by, "deployments.edit").allowing(by, "runs.trigger")
    return _to_choose(own)


def _to_choose(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    shown = rows.select_related(None).select_related("flow").only("name", "flow__name")
    return shown.order_by("flow__name", "name")[:MAX_CHOICES]


# ── one of them ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came, and its run where that is there and may be seen."""

    row: WebhookDelivery
    run: FlowRun | None


def deliveries(webhook: Webhook, by: Actor, *, cursor: str) -> tuple[list[Delivery], str | None]:
    """A page of what came to a webhook, newest first, and the cursor of what follows.

    Raises:
        Invalid: The cursor is none of ours.
    """
    found, following = newest(receiving.deliveries(webhook), by="at", cursor=cursor, limit=DELIVERIES)
    ids = {each.run_id for each in found if each.run_id}
    runs = FlowRun.objects.filter(workspace_id=by.workspace_id, id__in=ids).without(hidden_deployments(by))
    known = {run.id: run for run in runs.only("id", "name", "state_type", "state_name")} if ids else {}
    return [Delivery(each, known.get(each.run_id)) for each in found], following


def refusal(webhook: Webhook) -> str:
    """Why whatever comes is refused now: whom it acts as has left, say; nothing where that is not so."""
    try:
        receiving.acting(webhook)
    except Forbidden as problem:
        return problem.message
    return ""


def may(webhook: Webhook, by: Actor) -> dict[str, bool]:
    """What somebody may do with a webhook: change it, with all that came, or stop it for a while."""
    return {
        "may_edit": can(by, "deployments.edit", webhook.deployment),
        "may_pause": can(by, "schedules.edit", webhook.deployment),
    }


def of_deployment(deployment: Deployment) -> QuerySet[Webhook]:
    """The webhooks of a deployment that somebody sees."""
    return Webhook.objects.filter(deployment=deployment)
