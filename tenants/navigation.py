"""What every page of a workspace knows for its side bar."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from tenants.permissions import can


def navigation(request: HttpRequest) -> dict[str, Any]:
    """`organization`, `workspace`, `actor`, `may` (a verb's way to ask: `may.runs_cancel`), and `workspaces`.

    Pages outside an organization know whether people may sign up, and whether mails leave.
    """
    actor = getattr(request, "actor", None)
    if actor is None:
        return {"signup_open": settings.SIGNUP_OPEN, "mail_configured": settings.MAIL_CONFIGURED}
    return {
        "signup_open": settings.SIGNUP_OPEN,
        "organization": request.organization,
        "workspace": request.workspace,
        "actor": actor,
        "may": May(actor),
        "workspaces": request.workspaces,
    }


class May:
    """`{% if may.runs_cancel %}`: `can()` for templates."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> bool:
        return can(self.actor, name.replace("_", ".", 1))
