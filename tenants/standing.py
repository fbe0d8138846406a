"""What a person is in a workspace at this moment: their own part and those of their teams, taken together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from tenants.models import Membership, TeamMember, TeamPart, WorkspaceMembership, WorkspaceRole
from tenants.permissions import OWNS_ALL_WORKSPACES, WORKSPACE_VERBS
from tenants.roles.offered import verbs_of


@dataclass(frozen=True, slots=True)
class Standing:
    """The name of a role, or of several, and all that they may do."""

    role: str
    verbs: frozenset[str]

    def within(self, other: Standing) -> Standing:
        """What this role and another one both allow: a personal key's, held down by its person's."""
        if self.verbs <= other.verbs:
            return self
        return other if other.verbs <= self.verbs else Standing(self.role, self.verbs & other.verbs)


OWNER = Standing(WorkspaceRole.OWNER, WORKSPACE_VERBS[WorkspaceRole.OWNER])


def standings(membership: Membership, workspace_ids: Iterable[UUID]) -> dict[UUID, Standing]:
    """What a member is in each of these workspaces; those in which they have no part are left out.

    One query, and one more where a role is of the organization's own. Call it inside the organization's scope.
    """
    wanted = list(workspace_ids)
    if membership.role in OWNS_ALL_WORKSPACES:
        return dict.fromkeys(wanted, OWNER)
    own = WorkspaceMembership.objects.filter(user_id=membership.user_id, workspace__in=wanted)
    teams = TeamMember.objects.filter(user_id=membership.user_id).values("team_id")
    shared = TeamPart.objects.filter(team__in=teams, workspace__in=wanted)
    held: dict[UUID, set[str]] = {}
    columns = ("workspace_id", "role")
    for workspace_id, role in own.values_list(*columns).union(shared.values_list(*columns)):
        held.setdefault(workspace_id, set()).add(role)
    verbs = verbs_of(role for roles in held.values() for role in roles)
    return {id: together({role: verbs[role] for role in roles}) for id, roles in held.items()}


def standing(membership: Membership, workspace_id: UUID) -> Standing | None:
    """What a member is in one workspace; None without a part."""
    return standings(membership, [workspace_id]).get(workspace_id)


def present(user_id: UUID, workspace_id: UUID) -> Standing | None:
    """What a person is in a workspace, if they belong to the organization and may sign in."""
    membership = Membership.objects.filter(user_id=user_id, user__is_active=True).first()
    return standing(membership, workspace_id) if membership else None


def together(roles: dict[str, frozenset[str]]) -> Standing:
    """Several roles as one: that which covers all others, or the names of all."""
    verbs = frozenset().union(*roles.values())
    strongest = sorted(role for role in roles if roles[role] == verbs)
    return Standing(strongest[0] if strongest else " + ".join(sorted(roles)), verbs)
