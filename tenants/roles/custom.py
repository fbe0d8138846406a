"""Roles of an organization's own: made of verbs, changed with effect at once, removed when nobody has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.text import slugify
from django.utils.timezone import now

from tenants import audit, key_ring, rights
from tenants.authentication import forget_secrets
from tenants.errors import Conflict, Invalid, NotFound
from tenants.invitations import open_ones
from tenants.models import SsoProvider, TeamPart, WorkspaceMembership
from tenants.organizations import clean_name
from tenants.permissions import VERBS, WORKSPACE_VERBS, Actor, require
from tenants.roles.models import CustomRole
from tenants.roles.verbs import GIVABLE, completed

MAX_ROLES = 50  # of one organization
TAKEN = {*WORKSPACE_VERBS, "admin", "billing", "member", "none"}  # what would be read as something else
TOLD = 5  # of those who have a role


def find(id: UUID) -> CustomRole:
    """One role.

    Raises:
        NotFound: There is none.
    """
    return _found(CustomRole.objects.filter(id=id))


def _locked(id: UUID) -> CustomRole:
    return _found(CustomRole.objects.filter(id=id).select_for_update())


def _found(rows: QuerySet[CustomRole]) -> CustomRole:
    role = rows.first()
    if role is None:
        raise NotFound("There is no such role in this organization.")
    return role


@transaction.atomic
def make(*, name: str, verbs: Iterable[str], by: Actor) -> CustomRole:
    """Make a role. What its verbs need comes with them.

    Raises:
        Invalid: The name or the verbs can't be taken.
        Conflict: The organization has very many roles.
    """
    require(by, "people.edit")
    name, chosen = _clean(name), _checked(verbs)
    slug = slugify(name)[:40].strip("-")
    if not slug or slug in TAKEN:
        raise Invalid(f"No role can be called {name!r}.", fields={"name": "Choose another name."})
    if CustomRole.objects.count() >= MAX_ROLES:
        raise Conflict(f"An organization has {MAX_ROLES} roles of its own at most. Delete one that nobody has.")
    role = CustomRole(organization_id=by.organization_id, slug=slug, name=name, verbs=chosen)
    try:
        with transaction.atomic():
            role.save(force_insert=True)
    except IntegrityError as error:
        raise Invalid("A role of this name exists.", fields={"name": "Choose another name."}) from error
    audit.record(by, "role.created", role, details={"role": slug, "verbs": chosen})
    return role


@transaction.atomic
def change(*, id: UUID, name: str, verbs: Iterable[str], by: Actor) -> CustomRole:
    """Give a role another name or other verbs. Whoever has it may do that, and no more, from now on.

    Raises:
        Invalid: The name or the verbs can't be taken.
        NotFound: There is no such role.
    """
    require(by, "people.edit")
    role = _locked(id)
    former = set(role.verbs)
    role.name, role.verbs, role.updated_at = _clean(name), _checked(verbs), now()
    role.save(update_fields=["name", "verbs", "updated_at"])
    present = set(role.verbs)
    details = {"role": role.slug, "added": sorted(present - former), "removed": sorted(former - present)}
    audit.record(by, "role.changed", role, details=details)
    rights.changed()
    transaction.on_commit(forget_secrets)
    return role


def _clean(name: str) -> str:
    name = clean_name(name)
    if len(name) > 60:
        raise Invalid("A role's name has 60 characters at most.", fields={"name": "60 characters at most."})
    return name


def _checked(verbs: Iterable[str]) -> list[str]:
    chosen = frozenset(verbs)
    if unknown := sorted(chosen - GIVABLE):
        told = "is for the organization or for runs" if unknown[0] in VERBS else "is no verb"
        raise Invalid(f"{unknown[0][:60]!r} {told}.", fields={"verbs": "Choose from the list."})
    if not chosen:
        raise Invalid("A role may do something.", fields={"verbs": "Choose one at least."})
    return sorted(completed(chosen))


@transaction.atomic
def delete(*, id: UUID, by: Actor) -> CustomRole:
    """Remove a role that nobody has.

    Raises:
        Conflict: Somebody has it; with whom.
        NotFound: There is no such role.
    """
    require(by, "people.edit")
    role = _locked(id)
    if held := list(islice(holders(role.slug), TOLD + 1)):
        more = " and others" if len(held) > TOLD else ""
        raise Conflict(f"{role.name} is in use: {', '.join(held[:TOLD])}{more}. Give them another role first.")
    CustomRole.objects.filter(id=id).delete()
    audit.record(by, "role.deleted", role, details={"role": role.slug, "verbs": role.verbs})
    return role


def holders(slug: str) -> Iterator[str]:
    """In words, who has a role: people, teams, keys, open invitations, newcomers by single sign-on."""
    return chain(_people(slug), _teams(slug), _keys(slug), _invited(slug), _newcomers(slug))


def _people(slug: str) -> Iterator[str]:
    found = WorkspaceMembership.objects.filter(role=slug).select_related("user", "workspace")
    yield from (f"{part.user.email} in {part.workspace}" for part in found.order_by("user__email")[: TOLD + 1])


def _teams(slug: str) -> Iterator[str]:
    found = TeamPart.objects.filter(role=slug).select_related("team", "workspace").order_by("team__name")
    yield from (f"the team {part.team} in {part.workspace}" for part in found[: TOLD + 1])


def _keys(slug: str) -> Iterator[str]:
    found = key_ring.good().filter(role=slug).select_related("workspace").order_by("name")
    yield from (f"the key {key.name} in {key.workspace}" for key in found[: TOLD + 1])


def _invited(slug: str) -> Iterator[str]:
    found = open_ones().filter(expires_at__gt=now())
    yield from (f"the invitation of {each.email}" for each in found if slug in each.workspaces.values())


def _newcomers(slug: str) -> Iterator[str]:
    for provider in SsoProvider.objects.all():
        if slug in provider.newcomer_workspaces.values():
            yield "newcomers by single sign-on"
