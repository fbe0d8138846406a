"""Job variables of one run: who may give them, and which can be taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runs import job_templates
from tenants.errors import Forbidden
from tenants.permissions import Actor, can

if TYPE_CHECKING:
    from runs.trigger import RunRequest

VERB = "deployments.edit"
"""What it takes: a variable of the environment can decide which code a process executes."""
REFUSAL = (
    "Job variables can change which code runs, so they ask for the right to edit the deployment"
    f" ({VERB}). Leave them out, or ask an owner of the workspace."
)


def check(requests: Iterable[RunRequest], by: Actor, *, kept: bool = False) -> None:
    """Refuse what can't be taken. Those that are `kept` of a former run were given by somebody who may.

    Raises:
        Forbidden: This actor may not edit the deployment.
        Invalid: `fields` says what the pool's base job template can't take.
    """
    for request in requests:
        if not request.job_variables:
            continue
        if not kept and not can(by, VERB, request.deployment):
            raise Forbidden(REFUSAL)
        job_templates.check_variables(request.deployment.pool, request.deployment.job_variables, request.job_variables)
