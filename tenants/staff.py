"""What the installation's staff do to organizations and people.

Each organization's audit trail tells what was done to it; the staff's own trail tells all, also what was done to people
who belong to no organization.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.db import transaction

from tenants import audit
from tenants.errors import Conflict, Invalid
from tenants.models import Membership, Organization, Retention, StaffEntry, User
from tenants.permissions import Actor
from tenants.scope import tenant_scope, user_scope

MAX_TOLD = 50  # names of one look


Looks = dict[UUID | None, list[tuple[str, str]]]
"""What was looked at, (thing, name), by the organization that it belongs to; None: to none."""


def note_looks(*, looks: Looks, by: User) -> None:
    """Write down what was looked at: of each organization in its own trail, and all of it in the staff's."""
    for organization_id, seen in looks.items():
        names = sorted({name for _, name in seen})[:MAX_TOLD]
        things = sorted({thing for thing, _ in seen})
        told = {"things": things, "names": names, "count": len(seen)}
        _note(by, "staff.viewed", name=", ".join(things), details=told | _of(organization_id))
        if organization_id:
            with tenant_scope(organization_id):
                audit.record(_actor(organization_id, by), "staff.viewed", name=", ".join(things), details=told)


def _of(organization_id: UUID | None) -> dict[str, str]:
    return {"organization": str(organization_id)} if organization_id else {}


def _note(by: User, action: str, object: Any = None, *, name: str = "", details: dict[str, Any]) -> None:
    """Write an entry of the staff's own trail, in the transaction of what it tells."""
    entry = StaffEntry(action=action, actor=by.email, user_id=by.id, details=details, **audit.about(object, name))
    entry.save(force_insert=True)


def set_retention(*, organization_id: UUID, days: int, by: User) -> None:
    """Keep the rows of runs that begin from now on for this many days.

    Raises:
        Invalid: There are no partitions of this class.
    """
    if days not in Retention.values:
        known = ", ".join(str(each) for each in Retention.values)
        raise Invalid("There is no such retention.", fields={"retention": f"One of {known} days."})
    with tenant_scope(organization_id):
        organization = Organization.objects.select_for_update(no_key=True).get(id=organization_id)
        former, organization.retention = organization.retention, days
        if former == days:
            return
        organization.save(update_fields=["retention"])
        change = {"retention": {"from": former, "to": days}}
        _note(by, "staff.changed", organization, details=change)
        audit.record(_actor(organization_id, by), "staff.changed", organization, details=change)


@transaction.atomic
def set_active(*, user_id: UUID, active: bool, by: User) -> None:
    """Let a person in again, or shut them out: their sessions end, and their keys are refused.

    Raises:
        Conflict: It is oneself.
    """
    check_other(user_id=user_id, active=active, by=by)
    if not User.objects.filter(id=user_id, is_active=not active).update(is_active=active):
        return
    person = User.objects.get(id=user_id)
    _note(by, "staff.changed", person, details={"active": active})
    for organization_id in organizations_of(user_id):
        with tenant_scope(organization_id):
            audit.record(_actor(organization_id, by), "staff.changed", person, details={"active": active})


def check_other(*, user_id: UUID, active: bool, by: User) -> None:
    """Refuse to shut oneself out.

    Raises:
        Conflict: It is oneself.
    """
    if user_id == by.id and not active:
        raise Conflict("You can't shut yourself out. Ask a colleague.")


def organizations_of(user_id: UUID) -> Iterable[UUID]:
    """The organizations that a person belongs to."""
    with user_scope(user_id):
        return list(Membership.objects.filter(user_id=user_id).values_list("organization_id", flat=True))


def _actor(organization_id: UUID, by: User) -> Actor:
    return Actor("staff", organization_id, None, "", by.email, user_id=by.id)


def may_look(request: Any) -> bool:
    """Whether this session is enough for the staff's pages: somebody typed their password in it, and a second factor.

    A company's provider or a social log-in proves less: who runs that one would come in.
    """
    used = {record.get("method") for record in get_authentication_records(request, request.user)}
    return "password" in used and ("mfa" in used or not settings.REQUIRE_STAFF_SECOND_FACTOR)


def is_staff(user: Any) -> bool:
    """True for people of the installation's staff whose account is open."""
    return bool(user.is_authenticated and user.is_active and user.is_staff)
