"""Base job templates of work pools: which a pool can have, and which job variables its deployments and runs can.

What is checked here fits when it is filled in; filling in asks nothing and refuses nothing, so that no run that waits
can be held up by what changed meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.job_template_checks import unfit_told, wrong_template, wrong_variables
from orchestrator.job_templates import of_pool, values
from orchestrator.job_variables import flat
from runs import versions
from runs.models import Deployment, WorkPool
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor


def of_pool_alone(pool: WorkPool, own: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The pool's defaults that a deployment with these job variables leaves as they are, by their dotted places."""
    told = dict(flat(own))
    given = flat(values(pool.template, own))
    return [(place, value) for place, value in given if place not in told and value != {}]


def check_variables(pool: WorkPool, *layers: Mapping[str, Any]) -> None:
    """Refuse job variables that the pool's template can't take: a deployment's, and a run's over them.

    Raises:
        Invalid: `fields` says which.
    """
    if fields := wrong_variables(pool.template, pool.type, *layers):
        raise Invalid("The job variables can't be taken; see fields.", fields=fields)


def fingerprint(template: Mapping[str, Any]) -> str:
    """What a template is known by, so that who edits it overwrites nothing that they have not seen."""
    return hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()


class Changed(Conflict):
    """The template is no longer what its editor was shown."""


def check_template(template: dict[str, Any] | None, type: str) -> None:
    """Refuse what is no template for pools of this type; None is that of the type.

    Raises:
        Invalid: `fields` says what is wrong with it.
    """
    if fields := wrong_template(template, type):
        raise Invalid("The base job template can't be taken; see fields.", fields=fields)


def check_change(pool: WorkPool, template: dict[str, Any] | None, by: Actor) -> None:
    """Refuse what the pool's template can't become; None is that of its type.

    Raises:
        Invalid: `fields` says what is wrong with it.
        Conflict: Deployments of the pool do not fit it; `fields` names some of them, with what they lack. Those that
            the actor may not see are only counted.
    """
    check_template(template, pool.type)
    if found := _unfit(pool, template):
        seen = {str(each): wrong for each, wrong in found.items() if each.allows(by, "deployments.view")}
        message, named = unfit_told(len(found), seen)
        raise Conflict(message, fields=named)


def _unfit(pool: WorkPool, template: dict[str, Any] | None) -> dict[Deployment, dict[str, str]]:
    """The pool's deployments that this template does not fit, by name; a canary counts as its deployment."""
    wanted = of_pool(pool.type, template)
    own = list(Deployment.objects.filter(pool=pool).select_related("flow").order_by("flow__name", "name"))
    known: dict[bytes, dict[str, str]] = {}
    found: dict[Deployment, dict[str, str]] = {}
    for deployment in [*own, *versions.canaries(own).values()]:
        key = msgspec.json.encode(deployment.job_variables)
        if key not in known:  # Many deployments have the same ones, most of them none.
            known[key] = wrong_variables(wanted, pool.type, deployment.job_variables)
        if known[key]:
            found.setdefault(deployment, known[key])
    return found
