"""Everybody that the tables of rights know: people by their roles, programs by their keys, runs by their tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.test import Client

from tenants.models import (
    CustomRole,
    Membership,
    OrganizationRole,
    Team,
    TeamMember,
    TeamPart,
    WorkspaceMembership,
    WorkspaceRole,
)
from tenants.permissions import ORGANIZATION_VERBS, OWNS_ALL_WORKSPACES, WORKSPACE_VERBS
from tests.cast import Api, Company, person

PEOPLES_ROLES = [role for role in WorkspaceRole if role != WorkspaceRole.AGENT]
# A role of Acme's own: what no built-in one is.
OPERATOR = frozenset({"runs.view", "runs.cancel", "deployments.view", "schedules.edit", "bundles.read", "keys.edit"})


@dataclass(frozen=True)
class Somebody:
    """A person of one role, in a browser; `part` is their role in the workspace, "" for none.

    `shared` is what they have there by a team.
    """

    name: str
    role: str
    part: str
    user: Any
    client: Client
    shared: frozenset[str] = frozenset()

    @property
    def verbs(self) -> frozenset[str]:
        """What the tables let them do, on pages of the workspace and of the organization."""
        return self.organization_verbs | WORKSPACE_VERBS.get(self.part, frozenset()) | self.shared

    @property
    def organization_verbs(self) -> frozenset[str]:
        return ORGANIZATION_VERBS[self.role]


def everybody(company: Company) -> list[Somebody]:
    """One person of each role in the organization, of each in its workspace, and a viewer who is more by a team."""
    found = [somebody(company, f"{role} of the organization", role, "") for role in OrganizationRole]
    found += [somebody(company, f"{part} of the workspace", "member", part) for part in PEOPLES_ROLES]
    viewer = somebody(company, "operator by a team", "member", "viewer")
    join_operators(company, viewer.user)
    return [*found[:-1], replace(viewer, shared=OPERATOR), found[-1]]


def join_operators(company: Company, user: Any) -> None:
    """Take somebody into a team with a role of the organization's own."""
    own = {"organization": company.organization}
    with company.scope():
        CustomRole.objects.create(**own, slug="operator", name="Operator", verbs=sorted(OPERATOR))
        team = Team.objects.create(**own, name="operators")
        TeamPart.objects.create(**own, team=team, workspace=company.workspace, role="operator")
        TeamMember.objects.create(**own, team=team, user=user)


def somebody(company: Company, name: str, role: str, part: str) -> Somebody:
    user = person(f"{name.replace(' ', '-')}@{company.organization.slug}.example")
    with company.scope():
        own = {"organization": company.organization, "user": user}
        Membership.objects.create(**own, role=role)
        if part:
            WorkspaceMembership.objects.create(**own, workspace=company.workspace, role=part)
    client = Client()
    client.force_login(user)
    has = WorkspaceRole.OWNER if role in OWNS_ALL_WORKSPACES else part
    return Somebody(name, role, has, user, client)


def programs(company: Company) -> dict[str, Api]:
    """A key of each role, also of one of the organization's own."""
    with company.scope():
        own = {"slug": "operator", "name": "Operator", "verbs": sorted(OPERATOR)}
        CustomRole.objects.create(organization=company.organization, **own)
    return {role: Api(company.key(f"of {role}", role)) for role in [*WorkspaceRole, "operator"]}
