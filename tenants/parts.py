"""Who has a part in a workspace: given and taken by its owners, among the organization's members."""

from __future__ import annotations

from django.db import transaction

from tenants import rights
from tenants.errors import Invalid
from tenants.models import Membership, Workspace, WorkspaceMembership
from tenants.people import PEOPLES_ROLES, set_part
from tenants.permissions import Actor, require

PAGE = 50  # people


def page(workspace: Workspace, *, after: str = "") -> tuple[list[WorkspaceMembership], str]:
    """People with a part, by address, from the one after `after` on; and where the next page begins, or nothing.

    Owners and admins of the organization own every workspace without one.
    """
    found = WorkspaceMembership.objects.filter(workspace=workspace, user__email__gt=after).select_related("user")
    parts = list(found.order_by("user__email")[: PAGE + 1])
    return parts[:PAGE], parts[PAGE - 1].user.email if len(parts) > PAGE else ""


@transaction.atomic
def assign(*, workspace: Workspace, email: str, role: str, by: Actor) -> None:
    """Give a member of the organization a role in a workspace, or take theirs away: the empty one.

    Raises:
        Invalid: Nobody here has this address, or people can't have this role.
    """
    require(by, "people.assign", workspace)
    if role and role not in PEOPLES_ROLES:
        raise Invalid(f"There is no role {role!r}.", fields={"role": f"One of {', '.join(PEOPLES_ROLES)}."})
    email = email.strip().lower()
    membership = Membership.objects.filter(user__email=email).select_for_update(of=("self",)).first()
    if membership is None:
        told = "Only members of the organization can have a part. Its owners and admins invite people."
        raise Invalid(f"{email[:254]!r} is no member.", fields={"email": told})
    part = WorkspaceMembership.objects.filter(workspace=workspace, user_id=membership.user_id).first()
    who = {"workspace_id": workspace.id, "user_id": membership.user_id, "name": email}
    if set_part(part=part, role=role, by=by, **who):
        rights.changed()
