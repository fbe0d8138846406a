"""Who has a part in a workspace: given and taken by its owners, among the organization's members and teams."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from tenants import rights
from tenants.cursors import by_address
from tenants.errors import Invalid
from tenants.models import Membership, TeamPart, Workspace, WorkspaceMembership
from tenants.people import set_part
from tenants.permissions import Actor, require
from tenants.roles.offered import check, check_covered
from tenants.teams import teams

PAGE = 50  # people


def page(workspace: Workspace, *, after: str = "") -> tuple[list[WorkspaceMembership], str]:
    """People with a part, by address, from the one after `after` on; and where the next page begins, or nothing.

    Owners and admins of the organization own every workspace without one.
    """
    return by_address(WorkspaceMembership.objects.filter(workspace=workspace), after=after, limit=PAGE)


@transaction.atomic
def assign(*, workspace: Workspace, email: str, role: str, by: Actor) -> None:
    """Give a member of the organization a role in a workspace, or take theirs away: the empty one.

    Raises:
        Invalid: Nobody here has this address, people can't have this role, or it does more than one's own.
    """
    require(by, "people.assign", workspace)
    check([role] if role else [])
    email = email.strip().lower()
    membership = Membership.objects.filter(user__email=email).select_for_update(of=("self",)).first()
    if membership is None:
        told = "Only members of the organization can have a part. Its owners and admins invite people."
        raise Invalid(f"{email[:254]!r} is no member.", fields={"email": told})
    part = WorkspaceMembership.objects.filter(workspace=workspace, user_id=membership.user_id).first()
    check_covered(by, role, part.role if part else "")
    who = {"workspace_id": workspace.id, "user_id": membership.user_id, "name": email}
    if set_part(part=part, role=role, by=by, **who):
        rights.changed()


def of_teams(workspace: Workspace) -> list[TeamPart]:
    """Teams with a part, by name."""
    return list(TeamPart.objects.filter(workspace=workspace).select_related("team").order_by("team__name"))


@transaction.atomic
def assign_team(*, workspace: Workspace, team_id: UUID, role: str, by: Actor) -> str:
    """Give a team a role in a workspace, or take its role away: the empty one. Answers the team's name.

    Raises:
        Invalid: Teams can't have this role, or it does more than one's own.
        NotFound: There is no such team.
    """
    require(by, "people.assign", workspace)
    check([role] if role else [])
    team = teams.find(team_id)
    part = TeamPart.objects.filter(workspace=workspace, team=team).first()
    check_covered(by, role, part.role if part else "")
    if teams.set_part(team=team, part=part, role=role, workspace_id=workspace.id, by=by):
        rights.changed()
    return team.name
