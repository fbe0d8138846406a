"""Who may do what to a restricted object: asked by `can()` for one, and by `allowing()` for a whole list, alike.

Bound are people, keys and runs. Who may edit access (`access.edit`, a workspace's owners) is not, nor is what the
platform does by itself: schedules, automations, sweeps.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet

from tenants.errors import Forbidden
from tenants.models import AccessRule, TeamMember
from tenants.permissions import Actor
from tenants.restrictions.models import Level, Restrictable

SEES_ALL = "access.edit"
UNBOUND = frozenset({"schedule", "automation", "system"})


def is_bound(by: Actor) -> bool:
    """Whether rules count for this actor at all."""
    return by.kind not in UNBOUND and SEES_ALL not in by.verbs


def allowed(rows: QuerySet, by: Actor, verb: str) -> QuerySet:
    """Of these rows those on which the actor may do `verb`. One query, however many rules there are.

    A run may see and use its own deployment.
    """
    if not is_bound(by):
        return rows
    level = rows.model.LEVELS[verb]
    open_ones = Q(restricted=False) | Q(id__in=_rules_for(by, level).values("object_id"))
    if by.kind == "run" and level <= Level.USE:
        open_ones |= Q(open_to_runs=True) | Q(id=by.deployment_id)
    return rows.filter(open_ones)


def allows(object: Restrictable, by: Actor, verb: str) -> bool:
    """Say whether the object's rules let the actor do `verb`. An object that is not restricted costs no query."""
    if not object.restricted or verb not in object.LEVELS or not is_bound(by):
        return True
    level = object.LEVELS[verb]
    if by.kind == "run" and level <= Level.USE and (object.open_to_runs or object.pk == by.deployment_id):
        return True
    return _rules_for(by, level).filter(object_id=object.pk).exists()


def check_allowed(object: Restrictable, by: Actor, verb: str) -> None:
    """Refuse what an object's rules don't let somebody do who may see it.

    Raises:
        Forbidden: With whom to ask.
    """
    if not allows(object, by, verb):
        raise Forbidden(f"{object} is restricted: its rules don't let you do this ({verb}). Ask an owner here.")


def _rules_for(by: Actor, level: Level) -> QuerySet[AccessRule]:
    """The rules that name this actor, at this level at least. A personal key counts as its person."""
    rules = AccessRule.objects.filter(level__gte=level)
    if by.kind == "run":
        return rules.filter(deployment_id=by.deployment_id) if by.deployment_id else rules.none()
    named = Q(key_id=by.key_id) if by.key_id else Q(pk=None)
    if by.user_id:
        named |= Q(user_id=by.user_id) | Q(team__in=TeamMember.objects.filter(user_id=by.user_id).values("team_id"))
    return rules.filter(named)
