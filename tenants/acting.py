"""Who somebody is by now, for what they asked for is done later: nobody does more than they may at that moment."""

from __future__ import annotations

from uuid import UUID

from tenants import key_ring
from tenants.authentication import actor_of_key
from tenants.models import Membership, Workspace
from tenants.permissions import Actor
from tenants.standing import standing


def actor_now(workspace_id: UUID, *, user_id: UUID | None, key_id: UUID | None) -> Actor | None:
    """A person or a key as they stand in a workspace at this moment; None where they have no part in it any more.

    Call it inside the organization's scope.
    """
    there = Workspace.objects.filter(id=workspace_id, deleted_at=None, organization__deleted_at=None)
    if not there.exists():
        return None
    if key_id is not None:
        key = key_ring.good().filter(id=key_id, workspace=workspace_id).first()
        return actor_of_key(key) if key else None
    return _person(workspace_id, user_id) if user_id is not None else None


def _person(workspace_id: UUID, user_id: UUID) -> Actor | None:
    membership = Membership.objects.filter(user_id=user_id, user__is_active=True).select_related("user").first()
    here = standing(membership, workspace_id) if membership else None
    if membership is None or here is None:
        return None
    return Actor(
        "user", membership.organization_id, workspace_id, here.role, membership.user.email, user_id=user_id,
        organization_role=membership.role, granted=here.verbs,
    )  # fmt: skip
