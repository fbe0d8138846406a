"""A delivery: its webhook is found by the token, its body is checked and read, a run is triggered, all is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from runs import live, trigger
from runs.models import FlowRun, Webhook, WebhookDelivery
from runs.webhooks import signatures
from runs.webhooks.reading import Read, kept, read
from tenants.acting import actor_now
from tenants.errors import Conflict, Forbidden, NotFound, Problem, RateLimited
from tenants.keys import digest
from tenants.permissions import Actor, can
from tenants.scope import tenant_scope

MOST_A_MINUTE = 600
KEPT, KEPT_FOR = 100, timedelta(days=7)
NONE_HERE = "There is no such webhook."


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a delivery; no run where the filter skipped it."""

    run: UUID | None
    created: bool


def receive(token: str, body: bytes, headers: Mapping[str, str]) -> Received:
    """Take a delivery. It is kept whatever becomes of it, once it has found its webhook.

    Raises:
        NotFound: No webhook has this token.
        RateLimited: It has come too often within a minute.
        Problem: It is refused, for a reason that its sender is told.
    """
    organization_id, id = _find(token)
    _count(id)
    with tenant_scope(organization_id):
        webhook = Webhook.objects.select_related("deployment__flow", "deployment__pool", "deployment__queue").get(id=id)
        try:
            with transaction.atomic():  # What is refused leaves nothing but its entry.
                received = _take(webhook, body, headers)
        except Problem as problem:
            refused = problem
            _keep(webhook, problem.status, "refused", error=problem.message, body=_shown(problem, body))
        else:
            refused = None
            outcome = "skipped" if received.run is None else "triggered" if received.created else "known"
            _keep(webhook, 202, outcome, run=received.run, body=kept(body))
    if refused is not None:
        raise refused
    return received


def _find(token: str) -> tuple[UUID, UUID]:
    """One look by a hash, whether there is such a token or not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT organization_id, id FROM find_webhook(%s)", [digest(token)])
        row = cursor.fetchone()
    if row is None:
        raise NotFound(NONE_HERE)
    return row


def _count(id: UUID) -> None:
    key = f"webhook:{id}"
    cache.add(key, 0, 60)
    try:
        times = cache.incr(key)
    except ValueError:  # The minute ended in this moment.
        return
    if times > MOST_A_MINUTE:
        raise RateLimited(f"A webhook takes {MOST_A_MINUTE} deliveries a minute. Wait a minute.", retry_after=60)


def _take(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> Received:
    if webhook.paused:
        raise Conflict("This webhook is paused.")
    if not signatures.is_signed(webhook, body, headers):
        raise Forbidden("The signature does not fit the body and the secret of this webhook.")
    by = acting(webhook)
    asked = read(webhook, body, headers)
    if not asked.wanted:
        return Received(None, created=False)
    run, new = trigger.create_run(request_of(webhook, asked), by=by, origin=FlowRun.Origin.WEBHOOK)
    return Received(run.id, created=new)


def acting(webhook: Webhook) -> Actor:
    """Whom a webhook acts as, with the rights that they have at this moment.

    Raises:
        Forbidden: They have left, or may not trigger its deployment any more.
    """
    by = actor_now(webhook.workspace_id, user_id=webhook.user_id, key_id=webhook.key_id)
    if by is None or not can(by, "runs.trigger", webhook.deployment):
        raise Forbidden("Whom this webhook acts as may not trigger its deployment any more. Save it anew.")
    return by


def request_of(webhook: Webhook, asked: Read) -> trigger.RunRequest:
    """The run that a delivery asks for."""
    return trigger.RunRequest(
        deployment=webhook.deployment, parameters=asked.parameters, idempotency_key=asked.idempotency_key,
        debounce=asked.debounce,
    )  # fmt: skip


def _shown(problem: Problem, body: bytes) -> str:
    """Of a body that nobody signed nothing is kept."""
    return "" if isinstance(problem, Forbidden) else kept(body)


def _keep(
    webhook: Webhook, status: int, outcome: str, *, run: UUID | None = None, error: str = "", body: str = ""
) -> None:
    WebhookDelivery.objects.create(
        organization_id=webhook.organization_id, workspace_id=webhook.workspace_id, webhook=webhook, status=status,
        outcome=outcome, run_id=run, error=error[:1_000], body=body, keep_until=(now() + KEPT_FOR).date(),
    )  # fmt: skip
    beyond = deliveries(webhook)[KEPT:].values_list("id", flat=True)
    if older := list(beyond[:KEPT]):
        WebhookDelivery.objects.filter(id__in=older).delete()
    live.changed(workspace_id=webhook.workspace_id, what="webhooks")


def deliveries(webhook: Webhook) -> QuerySet[WebhookDelivery]:
    """What came to a webhook, newest first."""
    return WebhookDelivery.objects.filter(webhook=webhook).order_by("-at", "-id")
