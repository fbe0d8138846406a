"""Base job templates of work pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.job_template_checks import unfit_told, wrong_template, wrong_variables
from orchestrator.job_templates import of_pool
from orchestrator.testing.memory.asked import Refusal
from orchestrator.testing.memory.definitions import Deployment, Pool
from orchestrator.testing.memory.store import Store


def check_variables(pool: Pool, *layers: Mapping[str, Any]) -> None:
    """Refuse job variables that the pool's template can't take."""
    if fields := wrong_variables(pool.template, pool.type, *layers):
        raise Refusal("invalid", "The job variables can't be taken; see fields.", fields)


def check_change(store: Store, pool: Pool, template: Any) -> None:
    """Refuse a template that can't be, or that deployments of the pool do not fit."""
    if fields := wrong_template(template, pool.type):
        raise Refusal("invalid", "The base job template can't be taken; see fields.", fields)
    wanted = of_pool(pool.type, template)
    own = sorted(
        (each for each in store.deployments.values() if each.pool == pool.name), key=lambda each: (each.flow, each.name)
    )
    if found := {each.full_name: wrong for each in own if (wrong := _unfit(wanted, pool, each))}:
        raise Refusal("conflict", *unfit_told(len(found), found))


def _unfit(template: Mapping[str, Any], pool: Pool, deployment: Deployment) -> dict[str, str]:
    own = wrong_variables(template, pool.type, deployment.facts["job_variables"])
    return own or wrong_variables(template, pool.type, deployment.facts_of(deployment.canary)["job_variables"])
