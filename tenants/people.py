"""Who belongs to an organization, in which roles: changed, handed over, left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.timezone import now

from tenants import audit, rights
from tenants.cursors import by_address
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.models import (
    AccessRule,
    ApiKey,
    Membership,
    OrganizationRole,
    WorkspaceMembership,
)
from tenants.permissions import OWNS_ALL_WORKSPACES, Actor, can, require
from tenants.roles.offered import check_parts
from tenants.teams.teams import leave_all, teams_of

PAGE = 50  # people
LAST_OWNER = "An organization needs an owner. Make somebody else one first."


@dataclass(frozen=True, slots=True)
class Person:
    """A member with the workspaces that they were given a part in, and the names of their teams."""

    membership: Membership
    parts: list[WorkspaceMembership]
    teams: list[str]

    @property
    def owns_all(self) -> bool:
        """Whether their role makes them an owner of every workspace."""
        return self.membership.role in OWNS_ALL_WORKSPACES


def page(*, text: str = "", after: str = "") -> tuple[list[Person], str]:
    """Members by address, from the one after `after` on; and where the next page begins, or nothing."""
    found = Membership.objects.all()
    if text:
        found = found.filter(Q(user__email__icontains=text) | Q(user__name__icontains=text))
    shown, following = by_address(found, after=after, limit=PAGE)
    ids = [member.user_id for member in shown]
    parts, teams = _parts(ids), teams_of(ids)
    people = [Person(member, parts.get(member.user_id, []), teams.get(member.user_id, [])) for member in shown]
    return people, following


def _parts(user_ids: Iterable[UUID]) -> dict[UUID, list[WorkspaceMembership]]:
    found: dict[UUID, list[WorkspaceMembership]] = {}
    parts = WorkspaceMembership.objects.filter(user_id__in=list(user_ids), workspace__deleted_at=None)
    for part in parts.select_related("workspace").order_by("workspace__name"):
        found.setdefault(part.user_id, []).append(part)
    return found


def find(user_id: UUID) -> Person:
    """One member.

    Raises:
        NotFound: There is no such person here.
    """
    membership = Membership.objects.select_related("user").filter(user_id=user_id).first()
    if membership is None:
        raise NotFound("There is no such person in this organization.")
    return Person(membership, _parts([user_id]).get(user_id, []), teams_of([user_id]).get(user_id, []))


@transaction.atomic
def change(*, user_id: UUID, role: str, parts: dict[UUID, str], by: Actor) -> None:
    """Give a member a role in the organization and, workspace by workspace, theirs there; what isn't named ends.

    Raises:
        Invalid: A role is unknown.
        Forbidden: Only owners make, demote and remove owners.
        Conflict: They are the last owner.
        NotFound: There is no such person, or no such workspace.
    """
    require(by, "people.edit")
    membership = _locked(user_id)
    check_role(role, by=by)
    if role != membership.role:
        check_role(membership.role, by=by)
        _keep_an_owner(membership, role)
        audit.record(
            by, "person.role_changed", name=membership.user.email, details={"from": membership.role, "to": role}
        )
        membership.role = role
        membership.save(update_fields=["role"])
    set_parts(user_id=user_id, parts=check_parts(parts), by=by, name=membership.user.email)
    rights.changed()


def set_parts(*, user_id: UUID, parts: dict[UUID, str], by: Actor, name: str) -> None:
    """Make these a person's roles in workspaces, and no others. Nothing is asked: for who has asked already."""
    present = {part.workspace_id: part for part in WorkspaceMembership.objects.filter(user_id=user_id)}
    for workspace_id in [*parts, *(present.keys() - parts.keys())]:
        set_part(
            part=present.get(workspace_id), role=parts.get(workspace_id, ""), workspace_id=workspace_id,
            user_id=user_id, by=by, name=name,
        )  # fmt: skip


def set_part(
    *, part: WorkspaceMembership | None, role: str, workspace_id: UUID, user_id: UUID, by: Actor, name: str
) -> bool:
    """Make a person's part in a workspace this role, or none; whether that changed anything. Nothing is asked."""
    former = part.role if part else ""
    if former == role:
        return False
    if part and not role:
        part.delete()
    else:
        own = {"organization_id": by.organization_id, "workspace_id": workspace_id, "user_id": user_id}
        WorkspaceMembership.objects.update_or_create(**own, defaults={"role": role})
    details = {"from": former or None, "to": role or None}
    audit.record(by, "person.workspace_role_changed", name=name, workspace_id=workspace_id, details=details)
    return True


@transaction.atomic
def remove(*, user_id: UUID, by: Actor) -> None:
    """Take a person out of the organization, or leave it oneself: out of all its teams, too.

    Their personal keys end; what they made stays.

    Raises:
        Conflict: They are the last owner.
        Forbidden: Only owners remove owners.
        NotFound: There is no such person.
    """
    membership = _locked(user_id)
    if user_id != by.user_id:
        require(by, "people.edit")
        check_role(membership.role, by=by)
    _keep_an_owner(membership, "")
    keys = ApiKey.objects.filter(user_id=user_id, revoked_at=None).update(revoked_at=now())
    WorkspaceMembership.objects.filter(user_id=user_id).delete()
    leave_all(user_id)
    AccessRule.objects.filter(user_id=user_id).delete()
    membership.delete()
    action = "person.left" if user_id == by.user_id else "person.removed"
    audit.record(by, action, name=membership.user.email, details={"role": membership.role, "keys_revoked": keys})
    rights.changed()


@transaction.atomic
def hand_over(*, user_id: UUID, by: Actor) -> None:
    """Make another member the owner in one's own place, who stays as an admin.

    Raises:
        Forbidden: Only an owner can.
        Invalid: It is oneself.
        NotFound: There is no such person.
    """
    if by.organization_role != OrganizationRole.OWNER:
        raise Forbidden("Only an owner can hand an organization over.")
    if user_id == by.user_id:
        raise Invalid("You are the owner already.", fields={"person": "Choose somebody else."})
    others, own = _locked(user_id), _locked(by.user_id)
    others.role, own.role = OrganizationRole.OWNER, OrganizationRole.ADMIN
    for membership in (others, own):
        membership.save(update_fields=["role"])
    audit.record(by, "organization.handed_over", name=others.user.email)
    rights.changed()


def _locked(user_id: UUID | None) -> Membership:
    """The membership, with the organization's owners locked before it: of two who leave at once, one has to stay."""
    list(Membership.objects.select_for_update().filter(role=OrganizationRole.OWNER).order_by("id").values("id"))
    own = Membership.objects.filter(user_id=user_id).select_related("user")
    membership = own.select_for_update(of=("self",)).first()
    if membership is None:
        raise NotFound("There is no such person in this organization.")
    return membership


def _keep_an_owner(membership: Membership, role: str) -> None:
    if membership.role != OrganizationRole.OWNER or role == OrganizationRole.OWNER:
        return
    others = Membership.objects.filter(role=OrganizationRole.OWNER, user__is_active=True).exclude(id=membership.id)
    if not others.exists():
        raise Conflict(LAST_OWNER)


def check_role(role: str, *, by: Actor) -> None:
    """Refuse a role of the organization that is unknown, or above what `by` may give and take.

    Raises:
        Invalid: There is no such role.
        Forbidden: Only owners make, demote and remove owners.
    """
    if role not in OrganizationRole.values:
        raise Invalid(f"There is no role {role!r}.", fields={"role": f"One of {', '.join(OrganizationRole.values)}."})
    if role == OrganizationRole.OWNER and by.organization_role != OrganizationRole.OWNER:
        raise Forbidden("Only an owner makes, changes and removes owners.")


def may_edit(by: Actor, person: Person) -> bool:
    """Whether `by` may change or remove this person; what pages offer."""
    owner = person.membership.role == OrganizationRole.OWNER
    return can(by, "people.edit") and (not owner or by.organization_role == OrganizationRole.OWNER)
