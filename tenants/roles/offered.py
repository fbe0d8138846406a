"""Roles that can be given in a workspace: the built-in ones, then those of the organization."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from tenants.errors import Invalid, NotFound
from tenants.models import Workspace, WorkspaceRole
from tenants.permissions import WORKSPACE_VERBS, Actor
from tenants.roles.models import CustomRole


@dataclass(frozen=True, slots=True)
class Role:
    """A role as forms offer it; `slug` is what is kept."""

    slug: str
    label: str
    verbs: frozenset[str]


def roles(*, for_people: bool = True) -> list[Role]:
    """All that there are, the most able of the built-in ones first. Agents' is for keys alone."""
    own = [Role(each.slug, each.name, frozenset(each.verbs)) for each in CustomRole.objects.order_by("name")]
    built_in = [Role(each.value, each.label, WORKSPACE_VERBS[each]) for each in WorkspaceRole]
    return [each for each in built_in if not (for_people and each.slug == WorkspaceRole.AGENT)] + own


def below(by: Actor) -> list[Role]:
    """Roles of people that do no more than `by` may do in the workspace."""
    return [role for role in roles() if role.verbs <= by.verbs]


def verbs_of(slugs: Iterable[str]) -> dict[str, frozenset[str]]:
    """The verbs of roles by their slugs; one that there isn't any more has none. Built-in ones cost no query."""
    wanted = set(slugs)
    built_in = {slug: WORKSPACE_VERBS[slug] for slug in wanted & set(WorkspaceRole.values)}
    if not wanted - built_in.keys():
        return built_in
    own = CustomRole.objects.filter(slug__in=wanted - built_in.keys()).values_list("slug", "verbs")
    return dict.fromkeys(wanted, frozenset()) | built_in | {slug: frozenset(verbs) for slug, verbs in own}


def check(slugs: Iterable[str], *, for_people: bool = True) -> None:
    """Refuse roles that there are not. Until the transaction ends none of these is removed or changed.

    Raises:
        Invalid: With those that there are.
    """
    known = {str(each) for each in WorkspaceRole if not (for_people and each == WorkspaceRole.AGENT)}
    own = set(slugs) - known
    if own:
        locked = CustomRole.objects.filter(slug__in=own).order_by("slug").select_for_update(no_key=True)
        own -= set(locked.values_list("slug", flat=True))
    for role in sorted(own):
        there_are = ", ".join(each.slug for each in roles(for_people=for_people))
        raise Invalid(f"There is no role {role[:60]!r}.", fields={"role": f"One of {there_are}."})


def check_parts(parts: dict[UUID, str]) -> dict[UUID, str]:
    """Refuse roles that no person has in a workspace, and workspaces that there are not.

    Raises:
        Invalid: A role is unknown.
        NotFound: There is no such workspace.
    """
    check(parts.values())
    known = set(Workspace.objects.filter(id__in=list(parts), deleted_at=None).values_list("id", flat=True))
    if known != set(parts):
        raise NotFound("There is no such workspace.")
    return parts


def check_covered(by: Actor, *slugs: str) -> None:
    """Refuse to give or take a role that does more than one may do oneself.

    Raises:
        Invalid: Beside the field.
    """
    found = verbs_of(slug for slug in slugs if slug)
    for slug, verbs in found.items():
        if more := sorted(verbs - by.verbs):
            told = f"Your own role here is {by.role}: it has no {', '.join(more[:3])}, which {slug} has."
            raise Invalid(told, fields={"role": told})
