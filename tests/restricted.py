"""Objects that are for those alone whom their rules name: how one is restricted, and what somebody may do with it."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.ids import uuid7
from tenants.access import workspace_actor
from tenants.permissions import Actor, can
from tenants.restrictions import access
from tenants.restrictions.access import Subject
from tenants.restrictions.models import Level
from tests.cast import Company


def restrict(acme: Company, object: Any, *rules: tuple[str, Any, Level], runs: bool = False) -> Any:
    named = {Subject(kind, id): level for kind, id, level in rules}
    with acme.scope():
        found = type(object).objects.get(pk=object.pk)
        access.set_access(object=found, restricted=True, open_to_runs=runs, rules=named, by=here(acme.owner))
    return found


def here(user: Any) -> Actor:
    return workspace_actor(user.id, "acme", "main")


def may(acme: Company, by: Actor, object: Any) -> list[str]:
    """What `can()` says of it; and for each verb the lists say the same of all."""
    model = type(object)
    with acme.scope():
        for verb in filter(lambda verb: can(by, verb), model.LEVELS):
            rows = set(model.objects.all().allowing(by, verb).values_list("id", flat=True))
            assert rows == {each.id for each in model.objects.all() if can(by, verb, each)}
        return [verb for verb in model.LEVELS if can(by, verb, model.objects.get(pk=object.pk))]


def same(ask: Any, id: Any) -> None:
    """What is hidden answers as what there isn't."""
    unknown = uuid7()
    hidden, missing = ask(id), ask(unknown)
    assert hidden.status_code == missing.status_code == 404
    assert plain(hidden, id) == plain(missing, unknown)


def plain(told: Any, id: Any) -> str:
    return re.sub(r'(nonce|csrfmiddlewaretoken" value)="[^"]*"', "", told.content.decode()).replace(str(id), "…")
