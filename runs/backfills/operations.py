"""A backfill is looked at, asked for, paused, resumed, changed and cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.backfills import OPEN, BackfillChange, BackfillInput, wrong_drip
from orchestrator.states import ALIVE
from orchestrator.storable import clean_text, json_value
from runs import live, trigger
from runs.backfills import planning
from runs.backfills.planning import Plan
from runs.hidden import hidden_deployments
from runs.models import Backfill, BackfillPlace, FlowRun
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor, require
from tenants.restrictions.rules import check_allowed
from tenants.scope import current_scope
from tenants.turns import take_turn

State, Outcome = Backfill.State, BackfillPlace.Outcome
PLACES_A_STATEMENT = 1_000


def preview(told: BackfillInput, *, by: Actor) -> Plan:
    """Look at what a backfill would make.

    Raises:
        Invalid: `fields` says what can't be taken. What is wrong with single sets the plan tells.
        NotFound: There is no such deployment, or it has no such schedule.
        Forbidden: The actor may not run it.
    """
    require(by, "runs.trigger")
    return planning.plan(told, by=by, at=now())


def begin(told: BackfillInput, *, by: Actor) -> tuple[Backfill, Plan | None]:
    """Have runs made a few at a time. Asked again with the same idempotency key, the same backfill is answered.

    Raises:
        Invalid: `fields` says what can't be taken; of sets `sets.3.day`.
        NotFound: There is no such deployment, or it has no such schedule.
        Conflict: As many are open as an organization may have, nothing is to be made, or a run asks.
        Forbidden: The actor may not run it.
    """
    require(by, "runs.trigger")
    if by.key_id is None and by.user_id is None:
        raise Conflict("Backfills are asked for by people and keys, not by runs.")
    if known := _known(told, by):
        return known, None
    found = planning.plan(told, by=by, at=now())
    if found.wrong:
        rows = len(found.wrong) + found.more_wrong
        message = f"{rows:,} of the {len(found.places):,} sets can't be taken; see fields."
        raise Invalid(message, fields=planning.wrong_in_rows(found))
    if not found.count:
        raise Conflict(planning.warnings(found)[0] + " Nothing is left to be made.")
    _check_room()
    try:
        with transaction.atomic():
            return _make(found, by), found
    except IntegrityError as error:
        if known := _known(told, by):  # Asked twice in this moment.
            return known, None
        raise NotFound("The deployment or its schedule was deleted in this moment.") from error


def _known(told: BackfillInput, by: Actor) -> Backfill | None:
    if told.idempotency_key is None:
        return None
    return seen_by(by).filter(idempotency_key=clean_text(told.idempotency_key)).first()


def _check_room() -> None:
    """The organization's own, in all workspaces: the wall lets no others be counted. Two requests take turns."""
    take_turn(f"backfills {current_scope().organization_id}")
    if open_ones().count() >= settings.BACKFILLS_OPEN:
        message = f"{settings.BACKFILLS_OPEN} backfills are open already. Wait for one, or cancel it."
        raise Conflict(message)


def _make(found: Plan, by: Actor) -> Backfill:
    told, skipped = found.told, found.skipped
    made = Backfill.objects.create(
        organization_id=by.organization_id, workspace_id=by.workspace_id, deployment=found.deployment,
        deployment_name=str(found.deployment), schedule=found.schedule, name=clean_text(told.name.strip(), 200),
        times=json_value(msgspec.to_builtins(found.times)) if found.times else None,
        since=told.since, until=found.until, parameters=json_value(told.parameters), existing=told.existing,
        order=told.order, at_once=told.at_once, per_minute=told.per_minute, priority=told.priority,
        tags=[clean_text(tag) for tag in told.tags], pause_after_failures=told.pause_after_failures,
        idempotency_key=clean_text(told.idempotency_key) if told.idempotency_key else None,
        count=len(found.places), skipped=len(skipped), created_by=clean_text(by.label, 254), user_id=by.user_id,
        key_id=by.key_id, look_at=now(),
    )  # fmt: skip
    rows = [
        _place(made, each, found.there.get(each.ordinal) if each.ordinal in skipped else None) for each in found.places
    ]
    BackfillPlace.objects.bulk_create(rows, batch_size=PLACES_A_STATEMENT)
    told_of = {"deployment": str(found.deployment), "count": found.count, "at_once": made.at_once}
    _tell(made, "backfill.created", by, told_of | {"since": str(made.since or ""), "until": str(made.until or "")})
    return made


def _place(made: Backfill, place: Any, there: FlowRun | None) -> BackfillPlace:
    outcome = Outcome.SKIPPED if there else Outcome.WAITING
    return BackfillPlace(
        organization_id=made.organization_id, backfill=made, ordinal=place.ordinal, time=place.time,
        parameters=place.parameters, outcome=outcome, run_id=there.id if there else None,
    )  # fmt: skip


def _tell(backfill: Backfill, action: str, by: Actor, details: dict[str, Any]) -> None:
    audit.record(by, action, backfill, name=str(backfill), details=details)
    changed(backfill)


def changed(backfill: Backfill) -> None:
    """Announce that a backfill is otherwise than it was."""
    live.changed(workspace_id=backfill.workspace_id, what="backfills")


# ── which there are ──────────────────────────────────────────────────────────────────────────────


def open_ones() -> QuerySet[Backfill]:
    """Those that may still make runs."""
    return Backfill.objects.filter(state__in=OPEN)


def seen_by(by: Actor) -> QuerySet[Backfill]:
    """Those of the workspace, without such of deployments that the actor may not see."""
    rows = Backfill.objects.filter(workspace_id=by.workspace_id)
    hidden = hidden_deployments(by)
    return rows.exclude(deployment_id__isnull=False, deployment_id__in=hidden) if hidden else rows


def find(id: UUID, *, by: Actor) -> Backfill:
    """One of the workspace.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    found = seen_by(by).filter(id=id).select_related("deployment__flow", "deployment__pool", "schedule").first()
    if found is None:
        raise NotFound("There is no such backfill here.")
    return found


# ── what people do to them ───────────────────────────────────────────────────────────────────────


def pause(backfill: Backfill, *, by: Actor) -> Backfill:
    """Make no more runs until somebody resumes it; those that are there go on.

    Raises:
        Conflict: It has ended.
    """
    locked = _locked(backfill, by, "runs.trigger")
    if locked.state == State.RUNNING:
        halt(locked, f"Paused by {by.label}.")
        _tell(locked, "backfill.paused", by, {"made": locked.made})
    return locked


def resume(backfill: Backfill, *, by: Actor) -> Backfill:
    """Go on. Failures before that don't pause it again.

    Raises:
        Conflict: It has ended.
    """
    locked = _locked(backfill, by, "runs.trigger")
    if locked.state == State.PAUSED:
        locked.state, locked.message, locked.counts_from, locked.failures = State.RUNNING, "", now(), 0
        locked.look_at, locked.leased_until = now(), None
        locked.save(update_fields=["state", "message", "counts_from", "failures", "look_at", "leased_until"])
        _tell(locked, "backfill.resumed", by, {"made": locked.made})
    return locked


def change(backfill: Backfill, told: BackfillChange, *, by: Actor) -> Backfill:
    """Let it drip otherwise from now on.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: It has ended.
    """
    locked = _locked(backfill, by, "runs.trigger")
    new = {name: value for name, value in msgspec.structs.asdict(told).items() if value is not msgspec.UNSET}
    for name, value in new.items():
        setattr(locked, name, value)
    if wrong := wrong_drip(locked.at_once, locked.per_minute, locked.pause_after_failures):
        raise Invalid("The drip can't be taken; see fields.", fields=wrong)
    locked.look_at = now() if locked.state == State.RUNNING else None
    locked.save(update_fields=[*new, "look_at"])
    _tell(locked, "backfill.updated", by, new)
    return locked


def cancel(backfill: Backfill, *, by: Actor, runs: str = "none") -> Backfill:
    """End it. What it has made goes on, unless its runs are to be cancelled too: those that wait, or all.

    Raises:
        Conflict: It has ended.
    """
    locked = _locked(backfill, by, "runs.cancel")
    end(locked, State.CANCELLED, f"Cancelled by {by.label}.", at=now())
    alive = under_way(locked)
    if runs == "waiting":
        alive = alive.filter(state_type="SCHEDULED")
    asked = trigger.cancel_runs(list(alive.values_list("id", flat=True)), by=by) if runs != "none" else []
    _tell(locked, "backfill.cancelled", by, {"made": locked.made, "left": locked.left, "runs_cancelled": len(asked)})
    return locked


def under_way(backfill: Backfill) -> QuerySet[FlowRun]:
    """Its runs that have not ended, found by an index of their own."""
    return FlowRun.objects.filter(backfill_id=backfill.id, state_type__in=sorted(ALIVE))


def _locked(backfill: Backfill, by: Actor, verb: str) -> Backfill:
    """An open one that the actor may change. A worker's turn at it is waited for."""
    require(by, verb)
    if backfill.deployment is not None:
        check_allowed(backfill.deployment, by, verb)
    locked = Backfill.objects.select_for_update(no_key=True).get(id=backfill.id)
    if not locked.is_open:
        raise Conflict(f"The backfill is {locked.state} already.")
    return locked


def halt(locked: Backfill, message: str) -> None:
    """Pause a locked one."""
    locked.state, locked.message, locked.look_at, locked.leased_until = State.PAUSED, message, None, None
    locked.save(update_fields=["state", "message", "look_at", "leased_until"])


def end(locked: Backfill, state: str, message: str = "", *, at: datetime) -> None:
    """Write down that a locked one is over."""
    locked.state, locked.message, locked.ended_at = state, message, at
    locked.look_at = locked.leased_until = None
    locked.save(update_fields=["state", "message", "ended_at", "look_at", "leased_until"])
