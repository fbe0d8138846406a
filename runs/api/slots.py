"""Slots of limits and locks: what processes ask, and the limits as people and programs set them."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.slot_bodies import SlotsInput
from runs.slots.exchange import exchange
from tenants.api import TenantView
from tenants.messages import answer, read


class Slots(TenantView):
    """POST: give slots back, keep some, take others; all in one. Never waits: `runs/slots/waiting.py` does."""

    verbs = {"POST": "slots.take"}

    def post(self, request: Request) -> HttpResponse:
        return answer(exchange(read(request, SlotsInput), by=self.actor))
