"""Automations: look, make or change, delete, test."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from runs.api import paging
from runs.api.deployments import portal_url
from runs.automations import edit
from runs.automations.definitions import Action, Trigger, Wanted
from runs.models import Automation
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, read


class AutomationInput(msgspec.Struct, forbid_unknown_fields=True):
    """An automation, but for its name, which is in the address."""

    trigger: Trigger
    action: Action
    enabled: bool = True
    most_per_minute: int = 5


class Automations(TenantView):
    """GET: a page of automations, newest first."""

    verbs = {"GET": "automations.view"}

    def get(self, request: Request) -> HttpResponse:
        items, cursor = paging.page(request, edit.in_workspace(self.actor), "created_at")
        portal = portal_url(self.actor)
        return answer({"items": [describe(each, portal) for each in items], "next": cursor})


class OneAutomation(TenantView):
    """GET, PUT, DELETE: the automation of a name."""

    verbs = {"GET": "automations.view", "PUT": "automations.edit", "DELETE": "automations.edit"}

    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(describe(edit.find(self.actor, name=name), portal_url(self.actor)))

    def put(self, request: Request, name: str) -> HttpResponse:
        told = read(request, AutomationInput)
        wanted = Wanted(name, told.trigger, told.action, told.enabled, told.most_per_minute)
        try:
            known = edit.find(self.actor, name=name)
        except NotFound:
            known = None
        saved, new = edit.save(wanted, by=self.actor, automation=known)
        return answer(describe(saved, portal_url(self.actor)), status=201 if new else 200)

    def delete(self, request: Request, name: str) -> HttpResponse:
        edit.delete(edit.find(self.actor, name=name), by=self.actor)
        return HttpResponse(status=204)


class Test(TenantView):
    """POST: send a message that says it is a test."""

    verbs = {"POST": "automations.edit"}

    def post(self, request: Request, name: str) -> HttpResponse:
        notification = edit.send_test(edit.find(self.actor, name=name), by=self.actor)
        return answer({"id": notification.id}, status=202)


def describe(automation: Automation, portal: str) -> dict[str, Any]:
    """An automation as JSON."""
    return {
        "id": automation.id,
        "name": automation.name,
        "enabled": automation.enabled,
        "trigger": automation.trigger,
        "action": automation.action,
        "most_per_minute": automation.most_per_minute,
        "created_at": automation.created_at,
        "updated_at": automation.updated_at,
        "updated_by": automation.updated_by,
        "url": f"{portal}/automations/{automation.id}",
    }
