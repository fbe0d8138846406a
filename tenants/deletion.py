"""Organizations and workspaces end: shut at once, and restored as they were within the grace period if asked for.

What becomes of them after that is the business of `tenants/leaving/purge.py`.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from tenants import audit, rights
from tenants.authentication import forget_secrets
from tenants.billing.subscriptions import demand_workspace
from tenants.errors import Invalid, NotFound
from tenants.leaving.models import Departure
from tenants.models import Membership, Organization, OrganizationRole, Workspace
from tenants.permissions import Actor, require
from tenants.scope import tenant_scope, user_scope

GRACE = timedelta(days=14)


@transaction.atomic
def delete_workspace(*, workspace: Workspace, typed: str, by: Actor) -> None:
    """Shut a workspace: nobody enters, its keys and agents are refused.

    Raises:
        Invalid: What was typed isn't its address.
    """
    require(by, "workspace.edit", workspace)
    _check_typed(typed, workspace.slug)
    Workspace.objects.filter(id=workspace.id, deleted_at=None).update(deleted_at=now())
    audit.record(by, "workspace.deleted", workspace, workspace_id=workspace.id)
    rights.changed()
    transaction.on_commit(forget_secrets)


@transaction.atomic
def delete_organization(*, organization: Organization, typed: str, by: Actor) -> None:
    """Shut an organization and all of its workspaces.

    Raises:
        Invalid: What was typed isn't its address.
    """
    require(by, "organization.delete", organization)
    _check_typed(typed, organization.slug)
    Organization.objects.filter(id=organization.id, deleted_at=None).update(deleted_at=now())
    audit.record(by, "organization.deleted", organization)
    rights.changed()
    transaction.on_commit(forget_secrets)


def _check_typed(typed: str, slug: str) -> None:
    if typed.strip() != slug:
        raise Invalid(f"Type {slug} to confirm.", fields={"typed": f"Type {slug}."})


@transaction.atomic
def restore_workspace(*, id: UUID, by: Actor) -> Workspace:
    """Open a workspace again.

    Raises:
        NotFound: There is none that was deleted within the grace period.
        LimitReached: The plan has no room for it.
    """
    require(by, "workspaces.create")
    workspace = deleted_workspaces().filter(id=id).first()
    if workspace is not None:
        demand_workspace(workspace.organization_id)
    if workspace is None or not _reopened(deleted_workspaces().filter(id=id), workspace_id=id):
        raise NotFound("There is no such deleted workspace.")
    audit.record(by, "workspace.restored", workspace, workspace_id=workspace.id)
    return workspace


def _reopened(rows: QuerySet, workspace_id: UUID | None = None) -> bool:
    """Take back that it was deleted, if it is still among these rows, and nobody has begun to remove what it holds: a
    worker's clock may be ahead of ours.
    """
    if rows.select_for_update(no_key=True).first() is None:
        return False
    return not Departure.objects.filter(workspace_id=workspace_id).exists() and rows.update(deleted_at=None) == 1


def deleted_workspaces():
    """Those of the organization that can still be restored."""
    return Workspace.objects.filter(deleted_at__gt=now() - GRACE).order_by("name")


def deleted_organizations(user_id: UUID) -> list[Organization]:
    """Those that a person owns and can still restore."""
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id, role=OrganizationRole.OWNER)
        own = own.filter(organization__deleted_at__gt=now() - GRACE).select_related("organization")
        return [membership.organization for membership in own.order_by("organization__name")[:50]]


def restore_organization(*, id: UUID, by: Actor) -> None:
    """Open an organization again. `by` is one of its owners, as `deleted_organizations` found it.

    Raises:
        Forbidden: They are none.
        NotFound: Its grace is over.
    """
    with tenant_scope(id):
        organization = Organization.objects.get(id=id)
        require(by, "organization.delete", organization)
        within = Organization.objects.filter(id=id, deleted_at__gt=now() - GRACE)  # Asked again: it may go right now.
        if not _reopened(within):
            raise NotFound("There is no such deleted organization.")
        audit.record(by, "organization.restored", organization)
