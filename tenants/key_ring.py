"""Keys as people make, rotate and revoke them: whose they are, what they may do, how they end.

A personal key acts for its person: it may do what the key's role and the person's present role both allow. A service
account's key stands for itself; who manages keys makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from orchestrator.storable import clean_text
from tenants import audit
from tenants.authentication import forget_secrets
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.keys import create_key
from tenants.models import AccessRule, ApiKey, Membership, User, Workspace
from tenants.permissions import Actor, can, require
from tenants.roles.offered import Role, check, check_covered, roles
from tenants.standing import standings

MAX_KEYS = 200  # that are good, in one workspace
MAX_DAYS = 3650
MAX_OVERLAP = timedelta(days=30)
ROTATED = " until "  # what an old key's name ends on, before the time


def make(
    *, workspace: Workspace, name: str, role: str, personal: bool, expires_at: datetime | None, by: Actor
) -> tuple[ApiKey, str]:
    """Make a key of oneself, or of a service account; the secret is returned this once.

    Args:
        by: The person as an actor of that workspace.

    Raises:
        Invalid: The name is taken or too long, or the role is above one's own.
        Forbidden: Service accounts need who manages keys.
        Conflict: The workspace has very many keys, or is an archive.
    """
    name = clean_text(" ".join(name.split()))
    if not 0 < len(name) <= 80:
        raise Invalid("A key has a name of 1 to 80 characters.", fields={"name": "1 to 80 characters."})
    if expires_at and expires_at <= now():
        raise Invalid("The key would be over already.", fields={"expires_at": "A time to come."})
    _check_role(role, by)
    if workspace.archived_at:
        raise Conflict("This workspace is an archive: nothing runs in it, so it has no keys.")
    if not personal:
        require_service(by, workspace)
    if good().filter(workspace=workspace).count() >= MAX_KEYS:
        raise Conflict(f"A workspace has {MAX_KEYS} keys at most. Revoke some that nobody uses.")
    maker = User.objects.get(id=by.user_id)
    key, secret = create_key(
        workspace=workspace, name=name, role=role, user=maker if personal else None, created_by=maker,
        expires_at=expires_at,
    )  # fmt: skip
    details = {"role": role, "personal": personal, "expires_at": expires_at.isoformat() if expires_at else None}
    audit.record(by, "key.created", key, workspace_id=workspace.id, details=details)
    return key, secret


def _check_role(role: str, by: Actor) -> None:
    check([role], for_people=False)
    check_covered(by, role)


def roles_offered(by: Actor, workspaces: Sequence[Workspace]) -> list[tuple[Role, list[str]]]:
    """Each role that keys of this person may have in some of these workspaces, and the addresses of those."""
    membership = Membership.objects.get(user_id=by.user_id)
    parts = standings(membership, [place.id for place in workspaces])
    places = [(place.slug, parts[place.id].verbs) for place in workspaces if place.id in parts]
    offered = ((role, [slug for slug, verbs in places if role.verbs <= verbs]) for role in roles(for_people=False))
    return [(role, where) for role, where in offered if where]


@transaction.atomic
def rotate(*, key: ApiKey, overlap: timedelta, by: Actor) -> tuple[ApiKey, str]:
    """Make a key in the place of this one, which goes on working for `overlap`; the new secret is returned this once.

    Raises:
        Forbidden: The key isn't one's own, nor is one a manager of keys; or restricted objects are open to it, and one
            may not decide about these.
        Invalid: The overlap is longer than 30 days.
        Conflict: The key is no longer good.
    """
    require_own(key, by)
    if key.user_id not in (None, by.user_id):
        raise Forbidden("Only its own person rotates a personal key: whoever holds it acts in their name. Revoke it.")
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid("An overlap is 30 days at most.", fields={"overlap": "30 days at most."})
    key = _locked(key)
    _check_role(key.role, by)
    name, former_end = key.name.partition(ROTATED)[0], key.expires_at
    _end_later(key, overlap)
    new, secret = create_key(
        workspace=key.workspace, name=name, role=key.role, user=key.user, expires_at=former_end,
        created_by=User.objects.get(id=by.user_id),
    )  # fmt: skip
    _open_to(new, key, by)
    audit.record(
        by, "key.rotated", new, workspace_id=key.workspace_id, details={"overlap_hours": overlap / timedelta(hours=1)}
    )
    return new, secret


def _open_to(new: ApiKey, former: ApiKey, by: Actor) -> None:
    """Open to the new key what is open to the one in whose place it comes. Whoever sees its secret comes in by it."""
    rules = list(AccessRule.objects.filter(key=former))
    if rules:
        require(by, "access.edit", former.workspace)
    AccessRule.objects.bulk_create(
        AccessRule(
            organization_id=new.organization_id,
            workspace_id=new.workspace_id,
            object_id=rule.object_id,
            level=rule.level,
            key=new,
        )
        for rule in rules
    )


def _end_later(key: ApiKey, overlap: timedelta) -> None:
    """Let a key go on for a while, under a name that leaves its own to the next; without a while it ends now."""
    if not overlap:
        _end(key)
        return
    ends = now() + overlap
    key.name = f"{key.name.partition(ROTATED)[0]}{ROTATED}{ends:%Y-%m-%d %H:%M:%S.%f}"
    key.expires_at = min(ends, key.expires_at) if key.expires_at else ends
    key.save(update_fields=["name", "expires_at"])


def _end(key: ApiKey) -> None:
    key.revoked_at = now()
    key.save(update_fields=["revoked_at"])
    transaction.on_commit(forget_secrets)


@transaction.atomic
def revoke(*, key: ApiKey, by: Actor) -> None:
    """End a key at once: in this process now, in all others within the 5 s for which they trust what they looked up.

    Raises:
        Forbidden: The key isn't one's own, nor is one a manager of keys.
        Conflict: It has ended already.
    """
    require_own(key, by)
    key = _locked(key)
    _end(key)
    audit.record(by, "key.revoked", key, workspace_id=key.workspace_id)


def _locked(key: ApiKey) -> ApiKey:
    locked = good().select_for_update(of=("self",)).select_related("workspace", "user").filter(id=key.id).first()
    if locked is None:
        raise Conflict("This key has ended already.")
    return locked


def find(id: UUID) -> ApiKey:
    """A key that is good.

    Raises:
        NotFound: There is none.
    """
    key = good().select_related("workspace", "user").filter(id=id).first()
    if key is None:
        raise NotFound("There is no such key.")
    return key


def good() -> QuerySet[ApiKey]:
    """Keys that are neither revoked nor over."""
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now()), revoked_at=None)


def visible(by: Actor, workspace_ids: list[UUID]) -> QuerySet[ApiKey]:
    """The good keys that a person sees: their own, and those of service accounts where they manage keys."""
    own = Q(user_id=by.user_id)
    found = good() if can(by, "keys.manage") else good().filter(own | Q(user=None, workspace_id__in=workspace_ids))
    found = found.filter(workspace__deleted_at=None).select_related("workspace", "user", "created_by")
    return found.order_by("workspace__name", "name", "id")


def require_own(key: ApiKey, by: Actor) -> None:
    """Refuse who is neither the key's person nor manages keys.

    Raises:
        Forbidden: With whom to ask.
    """
    if key.user_id != by.user_id or key.user_id is None:
        require_service(by, key)


def require_service(by: Actor, object: Workspace | ApiKey) -> None:
    """Refuse who does not manage the keys of a workspace.

    Raises:
        Forbidden: With whom to ask.
    """
    if can(by, "keys.manage", object):
        return
    if by.workspace_id is None:
        raise Forbidden("Only owners and admins of the organization, and owners of the workspace, manage these keys.")
    require(by, "keys.edit", object)
