"""Base job templates of work pools: which a pool can have, and which job variables its deployments and runs can.

What is checked here fits when it is filled in; filling in asks nothing and refuses nothing, so that no run that waits
can be held up by what changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.job_template_checks import wrong_template, wrong_variables
from orchestrator.job_templates import of_pool
from runs import versions
from runs.models import Deployment, WorkPool
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor

MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Unfit:
    """A deployment whose job variables a template can't take, and what of them, by field."""

    deployment: Deployment
    fields: dict[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{place}: {text}" for place, text in self.fields.items())[:300]


def check(pool: WorkPool, template: Any) -> None:
    """Refuse what a pool's template can't be; None is that of its type.

    Raises:
        Invalid: `fields` says what is wrong with it.
    """
    if fields := wrong_template(template, pool.type):
        raise Invalid("The base job template can't be taken; see fields.", fields=fields)


def check_variables(pool: WorkPool, *layers: Mapping[str, Any]) -> None:
    """Refuse job variables that the pool's template can't take: a deployment's, and a run's over them.

    Raises:
        Invalid: `fields` says which.
    """
    if fields := wrong_variables(pool.template, pool.type, *layers):
        raise Invalid("The job variables can't be taken; see fields.", fields=fields)


def unfit(pool: WorkPool, template: Mapping[str, Any] | None) -> list[Unfit]:
    """The pool's deployments that this template does not fit, by name; a canary counts as its deployment."""
    wanted = of_pool(pool.type, template)
    own = list(Deployment.objects.filter(pool=pool).select_related("flow").order_by("flow__name", "name"))
    known: dict[bytes, dict[str, str]] = {}
    found: dict[Any, Unfit] = {}
    for deployment in [*own, *versions.canaries(own).values()]:
        key = msgspec.json.encode(deployment.job_variables)
        if key not in known:  # Many deployments have the same ones, most of them none.
            known[key] = wrong_variables(wanted, pool.type, deployment.job_variables)
        if known[key]:
            found.setdefault(deployment.id, Unfit(deployment, known[key]))
    return list(found.values())


def check_deployments(pool: WorkPool, template: Mapping[str, Any] | None, by: Actor) -> None:
    """Refuse a template that deployments of the pool do not fit. Those that the actor may not see are only counted.

    Raises:
        Conflict: `fields` names some of them, with what they lack.
    """
    found = unfit(pool, template)
    if not found:
        return
    seen = [each for each in found if each.deployment.allows(by, "deployments.view")]
    named = {f"deployments.{each.deployment}": str(each) for each in seen[:MAX_NAMED]}
    more = f", {len(found) - len(named)} of them not named here" if len(found) > len(named) else ""
    raise Conflict(
        f"Deployments of this pool do not fit the new template: {len(found)}{more}."
        " Change their job variables, or give what is missing a default.",
        fields=named,
    )
