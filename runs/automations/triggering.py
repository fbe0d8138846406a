"""The action that triggers a run of a deployment: who may ask for it, and how one firing becomes one run, once.

The run and the note that it was made are one transaction, and its idempotency key is made of the automation and the
event. So a worker may die anywhere: another one does it again, or finds it done. What is refused is noted for the page
of the automation, and not tried again.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings

from orchestrator.debouncing import Debounce
from runs import trigger
from runs.automations import making, outcomes, templates, wording
from runs.automations.definitions import Action, RunDeployment
from runs.automations.grouping import RUN_KIND
from runs.chains import MAX_DEPTH
from runs.debounce import asked_of
from runs.deployments import find_deployment
from runs.models import Automation, Deployment, Firing, FlowRun, Notification
from runs.reads import events
from tenants import outbox
from tenants.acting import actor_now
from tenants.errors import Forbidden, Invalid, NotFound, Problem
from tenants.models import Organization, Workspace
from tenants.permissions import Actor, can, require
from tenants.restrictions.rules import check_allowed
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)
NAMES = templates.RUN_VALUES


def check(run: RunDeployment, by: Actor) -> None:
    """Refuse to let somebody have a deployment run that they may not run themselves.

    Raises:
        Invalid: There is no such deployment here.
        Forbidden: They may not run it, or nobody stands behind the actor who could be asked for at each event.
    """
    try:
        deployment = find_deployment(by, run.deployment)
    except NotFound as problem:
        told = {"run.deployment": problem.message}
        raise Invalid("The automation can't be taken; see fields.", fields=told) from problem
    if by.key_id is None and by.user_id is None:
        raise Forbidden("An automation runs deployments as a person or a key, so one of them makes it.")
    require(by, "runs.trigger", deployment)
    check_allowed(deployment.pool, by, "runs.trigger")


@outbox.delivers(RUN_KIND)
def deliver(message: outbox.Message) -> None:
    """Trigger the run of one firing; of a test, see whether it could be."""
    id = UUID(message.payload["notification"])
    try:
        with tenant_scope(message.organization_id):
            _act(id)
    except (Problem, outbox.GiveUp) as problem:
        told = _words(problem)
        outcomes.note(message.organization_id, id, error=told, failed=True)
        raise outbox.GiveUp(told) from None
    except Exception as error:
        logger.exception("the run of an automation was not triggered")
        told = f"Something went wrong on the platform ({type(error).__name__})."
        outcomes.note(message.organization_id, id, error=told, failed=message.is_last_try)
        raise


def _act(id: UUID) -> None:
    row = Notification.objects.select_for_update(of=("self",)).select_related("automation")
    row = row.filter(id=id, sent_at=None).first()
    if row is None:
        return None  # It was done, or its automation is gone.
    wanted, by = _wanted(row), _actor(row.automation)
    firing = _last_firing(row.automation) if row.is_test else _firing(row)
    request = _request(row.automation, wanted, _deployment(wanted, by), firing)
    if row.is_test:
        trigger.check_request(request, by)
        return outcomes.write(row, error="")
    run, _ = trigger.create_run(request, by=by, origin=FlowRun.Origin.AUTOMATION)
    return outcomes.write(row, error="", run_id=run.id)


def _wanted(row: Notification) -> RunDeployment:
    action = msgspec.convert(row.automation.action, Action)
    if action.run is None:
        raise outbox.GiveUp("The automation runs nothing any more.")
    if not row.automation.enabled and not row.is_test:
        raise outbox.GiveUp("The automation was paused.")
    return action.run


def _actor(automation: Automation) -> Actor:
    by = actor_now(automation.workspace_id, user_id=automation.user_id, key_id=automation.key_id)
    if by is None:
        raise Forbidden("Whom this automation acts as has no part in this workspace any more. Save it anew.")
    return by


def _deployment(wanted: RunDeployment, by: Actor) -> Deployment:
    deployment = find_deployment(by, wanted.deployment)
    if not can(by, "runs.trigger", deployment):
        raise Forbidden(f"{by.label}, whom this automation acts as, may not run {deployment} any more. Save it anew.")
    return deployment


def _firing(row: Notification) -> Firing:
    firing = Firing.objects.filter(notification=row).first()
    if firing is None:
        raise outbox.GiveUp("The run that the event was about was deleted.")
    if firing.cause.get("depth", 0) >= MAX_DEPTH:
        raise outbox.GiveUp(
            f"Automations led from run to run {MAX_DEPTH} times before this event. There such a chain ends, since it"
            " may be a circle."
        )
    return firing


def _last_firing(automation: Automation) -> Firing:
    """What a test is tried with: what fired it last; else an event that could."""
    last = Firing.objects.filter(automation=automation).order_by("-at", "-id").first()
    return last or wording.example_firing(automation)


def _request(
    automation: Automation, wanted: RunDeployment, deployment: Deployment, firing: Firing
) -> trigger.RunRequest:
    values = _values(automation, firing) if wanted.parameters or wanted.debounce_key else {}
    made = making.parameters("run.parameters", wanted.parameters, values, NAMES) if wanted.parameters else {}
    making.check_blocks(made, wanted.parameters, deployment)
    return trigger.RunRequest(
        deployment=deployment, parameters=made, tags=wanted.tags, debounce=_debounce(wanted, deployment, values),
        idempotency_key=f"automation {automation.id} {firing.event_id}", caused_by=_cause(automation, firing),
    )  # fmt: skip


def _cause(automation: Automation, firing: Firing) -> dict[str, Any]:
    """With names, for the run may outlive the automation and the event."""
    return {
        "automation": str(automation.id), "automation_name": automation.name, "event": str(firing.event_id),
        "event_name": firing.event, "depth": firing.cause.get("depth", 0) + 1,
    }  # fmt: skip


def _debounce(wanted: RunDeployment, deployment: Deployment, values: dict[str, Any]) -> Debounce | None:
    source = wanted.debounce_key if wanted.debounce else ""
    key = making.text("run.debounce_key", source, values, NAMES) if source else ""
    return asked_of(deployment, wanted.debounce, key)


def _values(automation: Automation, firing: Firing) -> dict[str, Any]:
    """What the templates may name. A payload that is too large for the firing is read from the event."""
    organization = Organization.objects.get(id=automation.organization_id)
    workspace = Workspace.objects.get(id=automation.workspace_id)
    portal = f"{settings.PUBLIC_URL}/o/{organization.slug}/{workspace.slug}"
    own = {"event_id": str(firing.event_id or ""), "run_id": str(firing.run_id or ""), "automation": automation.name}
    told = wording.of_firing(firing, portal) | own
    if firing.cause.get("payload") is None and firing.event_id and "resource" in firing.cause:
        told["payload"] = events.payload(automation.workspace_id, firing.event_id)
    return told


def _words(problem: Exception) -> str:
    fields = getattr(problem, "fields", None) or {}
    told = [f"{name}: {text}" for name, text in list(fields.items())[:5] if text not in str(problem)]
    return " ".join([str(problem), *told])
