"""Which runs a backfill means, which of them are there already, and what of it can't be taken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings

from orchestrator.backfills import (
    BackfillInput,
    Place,
    due_times,
    leaves_out,
    places_of_sets,
    places_of_times,
    too_many,
    wrong_fields,
)
from orchestrator.schedule_bodies import ScheduleInput, times_of
from orchestrator.schedule_times import ScheduleRefusal, Times
from orchestrator.storable import json_value
from runs import schedules
from runs.backfills.places import runs_at
from runs.deployments import find_deployment
from runs.models import Deployment, FlowRun, Limit, Schedule
from runs.trigger import RunRequest, check_request
from tenants.errors import Conflict, Invalid, Problem
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed

CHECK_SECONDS = 15.0  # for the parameters of all sets
MAX_REFUSED = 100  # rows whose errors are told
HISTORY = 100  # runs from which a duration is guessed


@dataclass(slots=True)
class Plan:
    """What a backfill means now. `there` has the runs that are there already, by ordinal; `wrong` the errors by row."""

    told: BackfillInput
    deployment: Deployment
    schedule: Schedule | None
    times: Times | None
    until: datetime | None
    places: list[Place]
    there: dict[int, FlowRun] = field(default_factory=dict)
    wrong: dict[int, dict[str, str]] = field(default_factory=dict)
    more_wrong: int = 0

    @property
    def skipped(self) -> set[int]:
        """The ordinals of places that are left out."""
        return {ordinal for ordinal, run in self.there.items() if leaves_out(self.told.existing, run.state_type)}

    @property
    def count(self) -> int:
        """How many runs it would make."""
        return len(self.places) - len(self.skipped)

    @property
    def there_by_state(self) -> dict[str, int]:
        """How many places have a run already, by its state."""
        return dict(Counter(run.state_type for run in self.there.values()))

    def request(self, place: Place) -> RunRequest:
        """The run of a place, without what only the backfill itself knows."""
        return request_of(self.deployment, self.schedule, place, tags=self.told.tags, priority=self.told.priority)


def request_of(
    deployment: Deployment, schedule: Schedule | None, place: Place, *, tags: Sequence[str], priority: int
) -> RunRequest:
    """The run of a place."""
    inherited = schedule.parameters if schedule else {}
    return RunRequest(
        deployment=deployment, parameters={**inherited, **place.parameters}, tags=tags, priority=priority,
        scheduled_at=place.time, schedule_id=schedule.id if schedule else None,
    )  # fmt: skip


def plan(told: BackfillInput, *, by: Actor, at: datetime) -> Plan:
    """What a backfill would make.

    Raises:
        Invalid: `fields` says what can't be taken; of wrong sets the plan itself tells.
        NotFound: There is no such deployment, or it has no such schedule.
        Forbidden: The deployment or its pool is restricted, and not for this actor.
    """
    deployment = find_deployment(by, told.deployment)
    for each in (deployment, deployment.pool):
        check_allowed(each, by, "runs.trigger")
    if fields := wrong_fields(told, at, settings.BACKFILL_RUNS) | _wrong_for(deployment, told):
        raise Invalid("The backfill can't be taken; see fields.", fields=fields)
    if told.sets is not None:
        found = Plan(told, deployment, None, None, None, places_of_sets(told))
    else:
        found = _of_times(told, deployment, at)
    found.places = [replace(place, parameters=json_value(place.parameters)) for place in found.places]
    _check(found)
    return found


def _wrong_for(deployment: Deployment, told: BackfillInput) -> dict[str, str]:
    """More at once than a deployment has slots that cancels what finds none."""
    rows = Limit.objects.filter(kind=Limit.Kind.DEPLOYMENT, target_id=deployment.id)
    own = rows.values_list("slots", flat=True).first()
    if deployment.on_limit == Deployment.OnLimit.ENQUEUE or own is None or told.at_once <= own:
        return {}
    message = f"{own} at most: the deployment has so many slots, and cancels runs for which there is none."
    return {"at_once": message}


def _of_times(told: BackfillInput, deployment: Deployment, at: datetime) -> Plan:
    since, until = told.since or at, told.until or at
    schedule = schedules.find(deployment, told.schedule) if told.schedule is not None else None
    times = schedule.times if schedule else _ad_hoc(told, since)
    due = due_times(times, since, until)
    if len(due) > settings.BACKFILL_RUNS:
        raise Invalid(message := too_many(len(due), settings.BACKFILL_RUNS), fields={"since": message})
    places = places_of_times(told, times, due, deployment.parameter_schema)
    there = runs_at(deployment, schedule.id if schedule else None, due)
    by_ordinal = {place.ordinal: there[place.time] for place in places if place.time in there}
    return Plan(told, deployment, schedule, times, until, places, by_ordinal)


def _ad_hoc(told: BackfillInput, since: datetime) -> Times:
    try:
        return times_of(ScheduleInput(**msgspec.structs.asdict(told.times)), since - timedelta(microseconds=1))
    except ScheduleRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.beneath("times")) from refusal


def _check(found: Plan) -> None:
    """Try the parameters of each set; of times, which differ by nothing but the time, of the first and the last."""
    places = found.places if found.told.sets is not None else [*found.places[:1], *found.places[1:][-1:]]
    until = time.monotonic() + CHECK_SECONDS
    for place in places:
        if time.monotonic() > until:
            raise Invalid(message := "Checking the sets takes too long. Give fewer of them.", fields={"sets": message})
        try:
            check_request(found.request(place))
        except Conflict:
            raise
        except Problem as problem:
            _note_wrong(found, place, problem)


def _note_wrong(found: Plan, place: Place, problem: Problem) -> None:
    fields = problem.fields or {"": problem.message}
    if found.told.sets is None:
        raise Invalid(problem.message, fields=fields) from problem
    if of_all := {name: what for name, what in fields.items() if name and not name.startswith("parameters")}:
        raise Invalid(problem.message, fields=of_all) from problem
    if len(found.wrong) < MAX_REFUSED:
        found.wrong[row_of(found, place)] = fields
    else:
        found.more_wrong += 1


def row_of(found: Plan, place: Place) -> int:
    """Where a set stood in the list, from 0 on."""
    return len(found.places) - 1 - place.ordinal if found.told.order == "newest" else place.ordinal


def seconds(found: Plan) -> float | None:
    """How long it would take, by the runs of the deployment that went well lately; None where there were none."""
    newest = FlowRun.objects.filter(deployment=found.deployment).order_by("-created_at", "-id")
    known = newest.values_list("state_type", "duration")[:HISTORY]
    done = [duration / 1e6 for state, duration in known if state == "COMPLETED"]
    paced = found.count * 60 / found.told.per_minute if found.told.per_minute else 0.0
    if not done:
        return paced or None
    return max(paced, sum(done) / len(done) * found.count / found.told.at_once)


def warnings(found: Plan) -> list[str]:
    """What somebody should know beforehand."""
    told: list[str] = []
    if found.told.sets is None and not found.places:
        told.append("In this range it is never due.")
    elif not found.count:
        told.append("All of its times have a run already.")
    if found.deployment.on_limit == Deployment.OnLimit.CANCEL_OLD:
        told.append("The deployment cancels its oldest run when it has no slot: also runs that are none of these.")
    elif found.deployment.on_limit == Deployment.OnLimit.CANCEL_NEW:
        told.append("The deployment cancels runs for which it has no slot: also some of these, while others go on.")
    return told


def wrong_in_rows(found: Plan) -> dict[str, Any]:
    """The errors of all rows as fields: `sets.3.day`."""
    return {
        f"sets.{row}.{name.removeprefix('parameters').strip('.')}".rstrip("."): what
        for row, fields in sorted(found.wrong.items())
        for name, what in fields.items()
    }
