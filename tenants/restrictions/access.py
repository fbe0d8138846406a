"""Restrict an object, open it again, and say to whom it is open: for the owners of its workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from tenants import audit, key_ring, rights
from tenants.errors import Invalid
from tenants.models import AccessRule, ApiKey, Membership, Team
from tenants.permissions import Actor, require
from tenants.restrictions.models import Level, Restrictable
from tenants.restrictions.rules import SEES_ALL

MAX_RULES = 100  # of one object
KINDS = {"user": "person", "team": "team", "key": "key", "deployment": "runs of the deployment"}

Named = Callable[[UUID, Collection[UUID]], Mapping[UUID, str]]
Found = Callable[[UUID, str], UUID | None]
_deployments: list[tuple[Named, Found]] = []


def knows_deployments(named: Named, found: Found) -> None:
    """Let the app above tell deployments' names by their ids, and their ids by name, within a workspace."""
    _deployments.append((named, found))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a rule names: `kind` is one of KINDS."""

    kind: str
    id: UUID

    @property
    def column(self) -> str:
        return f"{self.kind}_id"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as pages show it."""

    subject: Subject
    name: str
    level: Level

    @property
    def field(self) -> str:
        """The name of its field in a form."""
        return f"rule-{self.subject.kind}-{self.subject.id}"


def rules_of(object: Restrictable) -> list[Rule]:
    """Whom the object is open to."""
    rows = AccessRule.objects.filter(object_id=object.pk).select_related("user", "team", "key").order_by("id")
    names = {
        id: name
        for named, _ in _deployments
        for id, name in named(object.workspace_id, [row.deployment_id for row in rows if row.deployment_id]).items()
    }
    return [_rule(row, names) for row in rows]


def _rule(row: AccessRule, deployments: Mapping[UUID, str]) -> Rule:
    if row.user_id:
        return Rule(Subject("user", row.user_id), row.user.email, Level(row.level))
    if row.team_id:
        return Rule(Subject("team", row.team_id), row.team.name, Level(row.level))
    if row.key_id:
        return Rule(Subject("key", row.key_id), row.key.name, Level(row.level))
    name = deployments.get(row.deployment_id, "one that is gone")
    return Rule(Subject("deployment", row.deployment_id), name, Level(row.level))


def named(object: Restrictable, kind: str, name: str) -> Subject:
    """Whom somebody means by a kind and a name: an address, a team's or a key's name, `flow/name`.

    Raises:
        Invalid: There is no such one here.
    """
    name = name.strip()[:700]
    id = None
    if kind == "user":
        id = Membership.objects.filter(user__email=name.lower()).values_list("user_id", flat=True).first()
    elif kind == "team":
        id = Team.objects.filter(name=name).values_list("id", flat=True).first()
    elif kind == "key":
        own = key_ring.good().filter(workspace_id=object.workspace_id, user=None, name=name)
        id = own.values_list("id", flat=True).first()
    elif kind == "deployment":
        id = next((id for _, found in _deployments if (id := found(object.workspace_id, name))), None)
    if id is None:
        told = f"There is no {KINDS.get(kind, 'one')} {name[:120]!r} here."
        raise Invalid(told, fields={"name": told})
    return Subject(kind, id)


@transaction.atomic
def set_access(
    *, object: Restrictable, restricted: bool, open_to_runs: bool, rules: Mapping[Subject, Level], by: Actor
) -> None:
    """Make these the rules of an object, and no others. They hold at once.

    Raises:
        Invalid: There are very many, or one names somebody who isn't here.
    """
    require(by, SEES_ALL, object)
    if len(rules) > MAX_RULES:
        raise Invalid(f"{MAX_RULES} rules at most. Name a team.", fields={"name": "Too many rules."})
    _check(object, rules)
    row = type(object).objects.select_for_update().get(pk=object.pk)
    before = {rule.subject: rule.level for rule in rules_of(object)}
    was = (row.restricted, row.open_to_runs)
    object.restricted, object.open_to_runs = restricted, open_to_runs
    object.save(update_fields=["restricted", "open_to_runs"])
    AccessRule.objects.filter(object_id=object.pk).delete()
    AccessRule.objects.bulk_create(
        AccessRule(
            organization_id=by.organization_id,
            workspace_id=object.workspace_id,
            object_id=object.pk,
            level=level,
            **{subject.column: subject.id},
        )
        for subject, level in rules.items()
    )
    if (was, before) == ((restricted, open_to_runs), dict(rules)):
        return
    told = [f"{rule.subject.kind} {rule.name}: {rule.level.label.lower()}" for rule in rules_of(object)]
    details = {"restricted": restricted, "open_to_runs": open_to_runs, "rules": told}
    audit.record(by, "access.changed", object, workspace_id=object.workspace_id, details=details)
    rights.changed()


def _check(object: Restrictable, rules: Mapping[Subject, Level]) -> None:
    ids = {kind: {subject.id for subject in rules if subject.kind == kind} for kind in KINDS}
    keys = ApiKey.objects.filter(id__in=ids["key"], workspace_id=object.workspace_id, user=None)
    found = {
        "user": set(Membership.objects.filter(user_id__in=ids["user"]).values_list("user_id", flat=True)),
        "team": set(Team.objects.filter(id__in=ids["team"]).values_list("id", flat=True)),
        "key": set(keys.values_list("id", flat=True)),
    }
    for kind, known in found.items():
        if ids[kind] - known:
            told = f"A {KINDS[kind]} that is named is not here any more."
            raise Invalid(told, fields={"name": told})


def forget(object: Restrictable) -> None:
    """Drop the rules of what is deleted."""
    AccessRule.objects.filter(object_id=object.pk).delete()
