"""Which organizations a session may enter, where an organization demands its own log-in.

A session remembers when its person came by which organization's provider; that is good for a day, so that who is
removed at the provider is out of the pages the next day at the latest. Keys know no provider: a person's end when they
are removed here. Owners can break the glass with their password, for an hour.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from allauth.account.authentication import get_authentication_records

from tenants import audit
from tenants.errors import Forbidden
from tenants.models import Organization, OrganizationRole
from tenants.permissions import Actor

CAME = "sso"  # in the session: [person, when] by organization
GLASS = "sso_glass"
CAME_SECONDS = 24 * 3_600
GLASS_SECONDS = 3_600


def note_arrival(session: Any, organization_id: UUID, user_id: UUID) -> None:
    """This session's person came by the organization's provider."""
    session[CAME] = session.get(CAME, {}) | {str(organization_id): [str(user_id), time.time()]}


def may_enter(session: Any, organization: Organization, user_id: UUID) -> bool:
    """Say whether a session is enough for the organization's pages."""
    if not organization.requires_sso:
        return True
    marks = ((CAME, CAME_SECONDS), (GLASS, GLASS_SECONDS))
    return any(_fresh(session.get(mark, {}).get(str(organization.id)), user_id, most) for mark, most in marks)


def _fresh(mark: list[Any] | None, user_id: UUID, most: int) -> bool:
    return mark is not None and mark[0] == str(user_id) and time.time() - mark[1] < most


def break_glass(request: Any, *, by: Actor) -> None:
    """Let an owner in by password, for an hour: the provider is away, or was set up wrong. Written down.

    Raises:
        Forbidden: They are no owner, or did not sign in with their password.
    """
    if by.organization_role != OrganizationRole.OWNER:
        raise Forbidden("Only owners can enter without the company's log-in.")
    if "password" not in {record.get("method") for record in get_authentication_records(request, request.user)}:
        raise Forbidden("Sign out, sign in with your password, and come back to break the glass.")
    audit.record(by, "sso.break_glass")
    glass = request.session.get(GLASS, {})
    request.session[GLASS] = glass | {str(by.organization_id): [str(by.user_id), time.time()]}
