"""Automations: look, make or change, delete, test."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from runs.api import paging
from runs.api.deployments import portal_url
from runs.automations import edit
from runs.automations.definitions import Action, Trigger, Wanted
from runs.models import Automation
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, LimitReached, NotFound
from tenants.messages import answer


class AutomationInput(msgspec.Struct, forbid_unknown_fields=True):
    """An automation, but for its name, which is in the address."""

    trigger: Trigger
    action: Action
    enabled: bool = True
    most_per_minute: int = 5


class AutomationShown(msgspec.Struct):
    """An automation. `url` leads to its page."""

    id: UUID
    name: str
    enabled: bool
    trigger: Trigger
    action: Action
    most_per_minute: int
    created_at: datetime
    updated_at: datetime
    updated_by: str
    url: str


class NotificationShown(msgspec.Struct):
    """A message that will be sent, or a run that will be tried; its automation's page shows what becomes of it."""

    id: UUID


class Automations(TenantView):
    """GET: a page of automations, newest first."""

    verbs = {"GET": "automations.view"}

    @operation(Page[AutomationShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, edit.in_workspace(self.actor), "created_at")
        portal = portal_url(self.actor)
        return answer(Page([describe(each, portal) for each in items], cursor))


class OneAutomation(TenantView):
    """GET: the automation of a name. PUT: make it, or change it. DELETE: delete it."""

    verbs = {"GET": "automations.view", "PUT": "automations.edit", "DELETE": "automations.edit"}

    @operation(AutomationShown)
    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(describe(edit.find(self.actor, name=name), portal_url(self.actor)))

    @operation(AutomationShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, name: str, told: AutomationInput) -> HttpResponse:
        wanted = Wanted(name, told.trigger, told.action, told.enabled, told.most_per_minute)
        try:
            known = edit.find(self.actor, name=name)
        except NotFound:
            known = None
        saved, new = edit.save(wanted, by=self.actor, automation=known)
        return answer(describe(saved, portal_url(self.actor)), status=201 if new else 200)

    @operation(None, 204)
    def delete(self, request: Request, name: str) -> HttpResponse:
        edit.delete(edit.find(self.actor, name=name), by=self.actor)
        return HttpResponse(status=204)


class Test(TenantView):
    """POST: send a message that says it is a test; of a run, see whether it could be, and trigger none."""

    verbs = {"POST": "automations.edit"}

    @operation(NotificationShown, 202, refuses=[Conflict])
    def post(self, request: Request, name: str) -> HttpResponse:
        notification = edit.send_test(edit.find(self.actor, name=name), by=self.actor)
        return answer(NotificationShown(notification.id), status=202)


def describe(automation: Automation, portal: str) -> AutomationShown:
    """An automation as the API shows it."""
    return AutomationShown(
        id=automation.id,
        name=automation.name,
        enabled=automation.enabled,
        trigger=automation.trigger,
        action=automation.action,
        most_per_minute=automation.most_per_minute,
        created_at=automation.created_at,
        updated_at=automation.updated_at,
        updated_by=automation.updated_by,
        url=f"{portal}/automations/{automation.id}",
    )
