"""Everybody that the tables of rights know: people by their roles, programs by their keys, runs by their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.test import Client

from tenants.models import Membership, OrganizationRole, WorkspaceMembership, WorkspaceRole
from tenants.permissions import ORGANIZATION_VERBS, OWNS_ALL_WORKSPACES, WORKSPACE_VERBS
from tests.cast import Api, Company, person

PEOPLES_ROLES = [role for role in WorkspaceRole if role != WorkspaceRole.AGENT]


@dataclass(frozen=True)
class Somebody:
    """A person of one role, in a browser; `part` is their role in the workspace, "" for none."""

    name: str
    role: str
    part: str
    user: Any
    client: Client

    @property
    def verbs(self) -> frozenset[str]:
        """What the tables let them do, on pages of the workspace and of the organization."""
        return self.organization_verbs | WORKSPACE_VERBS.get(self.part, frozenset())

    @property
    def organization_verbs(self) -> frozenset[str]:
        return ORGANIZATION_VERBS[self.role]


def everybody(company: Company) -> list[Somebody]:
    """One person of each role in the organization, and of each in its workspace."""
    found = [somebody(company, f"{role} of the organization", role, "") for role in OrganizationRole]
    return found + [somebody(company, f"{part} of the workspace", "member", part) for part in PEOPLES_ROLES]


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
    """A key of each role."""
    return {role: Api(company.key(f"of {role}", role)) for role in WorkspaceRole}
