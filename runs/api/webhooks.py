"""Webhooks: look, make or change, rotate, pause, try, delete, and what came to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from runs.api import paging
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import edit, trying
from runs.webhooks.receiving import deliveries
from runs.webhooks.sending import address_of
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, Forbidden, NotFound
from tenants.messages import answer


class WebhookInput(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook, but for its name, which is in the address. Without a `secret` the former one stays.

    `parameters`, `filter`, `idempotency` and `debounce_key` are templates over `body` and `headers`.
    """

    deployment: str
    signature: Literal["", "github", "stripe", "header"] = ""
    signature_header: str = ""
    secret: str | None = None
    parameters: str = ""
    parameter: str = ""
    filter: str = ""
    idempotency: str = ""
    debounce: float | None = None
    debounce_key: str = ""


class WebhookShown(msgspec.Struct):
    """A webhook. `prefix` is how its token begins; it acts as `acts_as`."""

    id: UUID
    name: str
    deployment: str
    prefix: str
    former_until: datetime | None
    signature: str
    signature_header: str
    parameters: str
    parameter: str
    filter: str
    idempotency: str
    debounce: float | None
    debounce_key: str
    paused: bool
    created_at: datetime
    acts_as: str


class WebhookWithAddress(WebhookShown):
    """A webhook that was saved; `address` holds the token of a new one, and is shown this once."""

    address: str | None


class Rotated(msgspec.Struct):
    """The new address, which is shown this once, and until when the former one is good."""

    address: str
    former_until: datetime | None


class RotateInput(msgspec.Struct, forbid_unknown_fields=True):
    """For how many seconds the former token stays good."""

    overlap: float = edit.OVERLAP


class TryInput(msgspec.Struct, forbid_unknown_fields=True):
    """A body as a text, and the headers that come with it. Nothing is triggered."""

    body: str
    headers: dict[str, str] = {}


class Tried(msgspec.Struct):
    """What a delivery would trigger; `wanted` is false where the filter skips it."""

    wanted: bool
    parameters: dict[str, Any]
    idempotency_key: str | None
    debounce_key: str | None


class DeliveryShown(msgspec.Struct):
    """What came: the `status` of the answer, and what became of it."""

    id: UUID
    at: datetime
    status: int
    outcome: Literal["triggered", "known", "skipped", "refused"]
    run: UUID | None
    error: str
    body: str


class Webhooks(TenantView):
    """GET: a page of webhooks, newest first."""

    verbs = {"GET": "deployments.view"}

    @operation(Page[WebhookShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, edit.in_workspace(self.actor), "created_at")
        return answer(Page([describe(each) for each in items], cursor))


class WebhookView(TenantView):
    """The base of what is asked of one webhook."""

    def found(self) -> Webhook:
        """The webhook of the address."""
        return edit.find(self.actor, name=self.kwargs["name"])


class OneWebhook(WebhookView):
    """GET: the webhook of a name. PUT: make it, or change it. DELETE: delete it."""

    verbs = {"GET": "deployments.view", "PUT": "deployments.edit", "DELETE": "deployments.edit"}

    @operation(WebhookShown)
    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(describe(self.found()))

    @operation(WebhookWithAddress, 200, 201, refuses=[NotFound, Conflict, Forbidden])
    def put(self, request: Request, name: str, told: WebhookInput) -> HttpResponse:
        saved, token = edit.save(edit.Wanted(name=name, **msgspec.structs.asdict(told)), by=self.actor)
        shown = msgspec.structs.asdict(describe(saved))
        made = WebhookWithAddress(**shown, address=address_of(token) if token else None)
        return answer(made, status=201 if token else 200)

    @operation(None, 204)
    def delete(self, request: Request, name: str) -> HttpResponse:
        edit.delete(self.found(), by=self.actor)
        return HttpResponse(status=204)


class Rotate(WebhookView):
    """POST: give it another token; the former one stays good for a while."""

    verbs = {"POST": "deployments.edit"}

    @operation(Rotated)
    def post(self, request: Request, name: str, told: RotateInput) -> HttpResponse:
        webhook = self.found()
        token = edit.rotate(webhook, overlap=told.overlap, by=self.actor)
        return answer(Rotated(address_of(token), webhook.former_until))


class Pause(WebhookView):
    """POST: take no deliveries."""

    verbs = {"POST": "schedules.edit"}

    @operation(WebhookShown)
    def post(self, request: Request, name: str) -> HttpResponse:
        webhook = self.found()
        edit.set_paused(webhook, paused=True, by=self.actor)
        return answer(describe(webhook))


class Resume(WebhookView):
    """POST: take deliveries again."""

    verbs = {"POST": "schedules.edit"}

    @operation(WebhookShown)
    def post(self, request: Request, name: str) -> HttpResponse:
        webhook = self.found()
        edit.set_paused(webhook, paused=False, by=self.actor)
        return answer(describe(webhook))


class Try(WebhookView):
    """POST: what a body would trigger, or why it would be refused. Nothing is made, and no signature is asked for."""

    verbs = {"POST": "deployments.view"}

    @operation(Tried)
    def post(self, request: Request, name: str, told: TryInput) -> HttpResponse:
        headers = {name.lower(): text for name, text in told.headers.items()}
        asked = trying.with_saved(self.found(), told.body.encode(), headers)
        key = asked.debounce.key if asked.debounce else None
        return answer(Tried(asked.wanted, asked.parameters, asked.idempotency_key, key))


class Deliveries(WebhookView):
    """GET: a page of what came to it, newest first: the last 100, of seven days at most."""

    verbs = {"GET": "deployments.edit"}

    @operation(Page[DeliveryShown])
    def get(self, request: Request, name: str, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, deliveries(self.found()), "at")
        return answer(Page([_delivery(each) for each in items], cursor))


def describe(webhook: Webhook) -> WebhookShown:
    """A webhook as the API shows it."""
    same = {field: getattr(webhook, field) for field in WebhookShown.__struct_fields__ if field in _SAME}
    return WebhookShown(**same, deployment=str(webhook.deployment), acts_as=webhook.created_by)


_SAME = frozenset(WebhookShown.__struct_fields__) - {"deployment", "acts_as"}


def _delivery(each: WebhookDelivery) -> DeliveryShown:
    return DeliveryShown(each.id, each.at, each.status, each.outcome, each.run_id, each.error, each.body)
