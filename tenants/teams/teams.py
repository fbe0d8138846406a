"""Teams: made, named, filled, given parts in workspaces, ended."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from tenants import audit, rights
from tenants.cursors import by_address
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import Membership, Team, TeamMember, TeamPart
from tenants.organizations import clean_name
from tenants.permissions import Actor, require
from tenants.roles.offered import check_parts

MAX_TEAMS = 200  # of one organization
MAX_PEOPLE = 500  # of one team
PAGE = 50  # people
TAKEN = "A team of this name exists."


def listed() -> QuerySet[Team]:
    """All teams by name, each with the number of its people."""
    own = TeamMember.objects.filter(team=OuterRef("pk")).order_by().values("team").annotate(number=Count("id"))
    return Team.objects.annotate(people=Coalesce(Subquery(own.values("number")), 0)).order_by("name")


def find(id: UUID) -> Team:
    """One team.

    Raises:
        NotFound: There is none.
    """
    return _found(Team.objects.filter(id=id))


def _locked(id: UUID) -> Team:
    return _found(Team.objects.filter(id=id).select_for_update())


def _found(rows: QuerySet[Team]) -> Team:
    team = rows.first()
    if team is None:
        raise NotFound("There is no such team in this organization.")
    return team


def people_of(team: Team, *, after: str = "") -> tuple[list[TeamMember], str]:
    """A team's people by address, from the one after `after` on; and where the next page begins, or nothing."""
    return by_address(TeamMember.objects.filter(team=team), after=after, limit=PAGE)


def teams_of(user_ids: Iterable[UUID]) -> dict[UUID, list[str]]:
    """The names of people's teams."""
    found: dict[UUID, list[str]] = {}
    members = TeamMember.objects.filter(user_id__in=list(user_ids)).order_by("team__name")
    for user_id, name in members.values_list("user_id", "team__name"):
        found.setdefault(user_id, []).append(name)
    return found


@transaction.atomic
def make(*, name: str, by: Actor) -> Team:
    """Make a team of nobody yet.

    Raises:
        Invalid: The name is empty, too long or taken.
        Conflict: The organization has very many teams.
    """
    require(by, "people.edit")
    if Team.objects.count() >= MAX_TEAMS:
        raise Conflict(f"An organization has {MAX_TEAMS} teams at most. Delete one that nobody needs.")
    team = Team(organization_id=by.organization_id, name=clean_name(name))
    _save(team, force_insert=True)
    audit.record(by, "team.created", team)
    return team


@transaction.atomic
def rename(*, id: UUID, name: str, by: Actor) -> Team:
    """Give a team another name.

    Raises:
        Invalid: The name is empty, too long or taken.
        NotFound: There is no such team.
    """
    require(by, "people.edit")
    team = _locked(id)
    former, team.name = team.name, clean_name(name)
    if former != team.name:
        _save(team, update_fields=["name"])
        audit.record(by, "team.renamed", team, details={"from": former, "to": team.name})
    return team


def _save(team: Team, **how: object) -> None:
    try:
        with transaction.atomic():
            team.save(**how)
    except IntegrityError as error:
        raise Invalid(TAKEN, fields={"name": "Choose another name."}) from error


@transaction.atomic
def delete(*, id: UUID, by: Actor) -> Team:
    """End a team: its people keep what they have by themselves and by other teams.

    Raises:
        NotFound: There is no such team.
    """
    require(by, "people.edit")
    team = _locked(id)
    had = {"people": TeamMember.objects.filter(team=team).count()}
    TeamMember.objects.filter(team=team).delete()
    TeamPart.objects.filter(team=team).delete()
    Team.objects.filter(id=id).delete()
    audit.record(by, "team.deleted", team, details=had)
    rights.changed()
    return team


@transaction.atomic
def add(*, id: UUID, email: str, by: Actor) -> None:
    """Take a member of the organization into a team.

    Raises:
        Invalid: Nobody here has this address.
        Conflict: The team has very many people.
        NotFound: There is no such team.
    """
    require(by, "people.edit")
    team, email = _locked(id), email.strip().lower()
    member = Membership.objects.filter(user__email=email).select_for_update(of=("self",)).first()
    if member is None:
        told = "Only members of the organization can be in a team. Invite them first."
        raise Invalid(f"{email[:254]!r} is no member.", fields={"email": told})
    if TeamMember.objects.filter(team=team).count() >= MAX_PEOPLE:
        raise Conflict(f"A team has {MAX_PEOPLE} people at most.")
    own = {"organization_id": by.organization_id, "team": team, "user_id": member.user_id}
    if TeamMember.objects.get_or_create(**own)[1]:
        audit.record(by, "team.person_added", team, details={"person": email})
        rights.changed()


@transaction.atomic
def remove(*, id: UUID, user_id: UUID, by: Actor) -> str:
    """Take a person out of a team; their address.

    Raises:
        NotFound: There is no such team, or the person isn't in it.
    """
    require(by, "people.edit")
    team = _locked(id)
    member = TeamMember.objects.filter(team=team, user_id=user_id).select_related("user").first()
    if member is None:
        raise NotFound("There is no such person in this team.")
    TeamMember.objects.filter(id=member.id).delete()
    audit.record(by, "team.person_removed", team, details={"person": member.user.email})
    rights.changed()
    return member.user.email


def leave_all(user_id: UUID) -> None:
    """Take a person out of all teams: they leave the organization. Nothing is asked or told: who calls does that."""
    TeamMember.objects.filter(user_id=user_id).delete()


# ── parts in workspaces ──────────────────────────────────────────────────────────────────────────


def parts_of(team: Team) -> dict[UUID, str]:
    """A team's roles by workspace."""
    return dict(TeamPart.objects.filter(team=team).values_list("workspace_id", "role"))


@transaction.atomic
def set_parts(*, id: UUID, parts: dict[UUID, str], by: Actor) -> None:
    """Make these a team's roles in workspaces, and no others.

    Raises:
        Invalid: A role is unknown.
        NotFound: There is no such team or workspace.
    """
    require(by, "people.edit")
    team = _locked(id)
    check_parts(parts)
    present = {part.workspace_id: part for part in TeamPart.objects.filter(team=team)}
    for workspace_id in [*parts, *(present.keys() - parts.keys())]:
        role = parts.get(workspace_id, "")
        set_part(team=team, part=present.get(workspace_id), role=role, workspace_id=workspace_id, by=by)
    rights.changed()


def set_part(*, team: Team, part: TeamPart | None, role: str, workspace_id: UUID, by: Actor) -> bool:
    """Make a team's part in a workspace this role, or none; whether that changed anything. Nothing is asked."""
    former = part.role if part else ""
    if former == role:
        return False
    if part and not role:
        TeamPart.objects.filter(id=part.id).delete()
    else:
        own = {"organization_id": by.organization_id, "workspace_id": workspace_id, "team": team}
        TeamPart.objects.update_or_create(**own, defaults={"role": role})
    details = {"from": former or None, "to": role or None}
    audit.record(by, "team.workspace_role_changed", team, workspace_id=workspace_id, details=details)
    return True
