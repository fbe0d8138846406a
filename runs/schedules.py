"""The schedules of a deployment: made by a deploy or by a person, changed, paused, resumed, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.timezone import now

from orchestrator import schedule_times
from orchestrator.schedule_bodies import (
    MAX_PREVIEW,
    PreviewInput,
    ScheduleInput,
    free_slug,
    matched,
    merged,
    paused_after_deploy,
    read_schedule,
    shown,
    times_of,
)
from orchestrator.schedule_times import ScheduleRefusal, Times
from orchestrator.schedules import MAX_SCHEDULES
from orchestrator.storable import json_value
from runs import live
from runs.models import Deployment, FlowRun, Schedule
from runs.schema import check_parameters
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed

Read = tuple[ScheduleInput, Times]


def of_deployment(deployment: Deployment) -> list[Schedule]:
    """Its schedules, by their slugs."""
    return sorted(deployment.schedules.all(), key=lambda schedule: schedule.slug)


def find(deployment: Deployment, slug: str, *, lock: bool = False) -> Schedule:
    """A schedule of a deployment by its slug; locked, no tick makes runs of it behind our back.

    Raises:
        NotFound: There is none.
    """
    own = Schedule.objects.select_for_update(of=("self",)) if lock else Schedule.objects.all()
    found = own.filter(deployment=deployment, slug=slug).first()
    if found is None:
        raise NotFound(f"This deployment has no schedule {slug!r:.110}.")
    found.deployment = deployment
    return found


# ── by people and keys ───────────────────────────────────────────────────────────────────────────


def create(deployment: Deployment, told: Mapping[str, Any], *, by: Actor) -> Schedule:
    """Give a deployment another schedule, which redeploys leave alone.

    Raises:
        Invalid: `fields` says what can't be taken.
    """
    check_edit(deployment, by)
    read = _read(told)
    taken = set(Schedule.objects.filter(deployment=deployment).values_list("slug", flat=True))
    if len(taken) >= MAX_SCHEDULES:
        raise Conflict(f"A deployment has {MAX_SCHEDULES} schedules at most.")
    schedule = _new(deployment, read[0].slug or free_slug(taken))
    schedule.deployed = False
    _fill(schedule, read)
    check_parameters_of(schedule)
    try:
        with transaction.atomic():
            _begin(schedule, by=by.label if not read[0].active else "")
    except IntegrityError as error:
        raise Invalid("This slug is taken.", fields={"slug": "Another schedule of the deployment has it."}) from error
    _tell(schedule, "schedule.created", by, details=described(schedule))
    return schedule


def change(deployment: Deployment, slug: str, told: Mapping[str, Any], *, by: Actor) -> Schedule:
    """Change what is told of a schedule. Its runs that are not due yet go, and those of the new times come.

    Raises:
        Invalid: `fields` says what can't be taken.
        NotFound: There is no such schedule.
    """
    check_edit(deployment, by)
    schedule = find(deployment, slug, lock=True)
    read = _read(merged(described(schedule), told))
    if read[0].slug not in {None, slug}:
        raise Invalid("A schedule keeps its slug.", fields={"slug": "Make another schedule for another slug."})
    _fill(schedule, read)
    check_parameters_of(schedule)
    withdraw(schedule)
    active = bool(told.get("active", schedule.active))
    _begin(schedule, by=(schedule.paused_by or by.label) if not active else "")
    _tell(schedule, "schedule.updated", by, details=described(schedule))
    return schedule


def pause(deployment: Deployment, slug: str, *, by: Actor) -> Schedule:
    """Stop a schedule until somebody resumes it. Redeploys leave it paused, whatever they change of it."""
    check_allowed(deployment, by, "schedules.edit")
    schedule = find(deployment, slug, lock=True)
    if schedule.active or schedule.paused_by != by.label:
        stop(schedule, by=by.label)
        _tell(schedule, "schedule.paused", by)
    return schedule


def resume(deployment: Deployment, slug: str, *, by: Actor) -> Schedule:
    """Start a schedule again, from now on: a pause misses nothing that would be made up for."""
    check_allowed(deployment, by, "schedules.edit")
    schedule = find(deployment, slug, lock=True)
    if not schedule.active:
        start(schedule)
        _tell(schedule, "schedule.resumed", by)
    return schedule


def delete(deployment: Deployment, slug: str, *, by: Actor) -> None:
    """Delete a schedule, and its runs that are not due yet. One that is deployed comes again with the next deploy."""
    check_allowed(deployment, by, "deployments.edit")
    schedule = find(deployment, slug, lock=True)
    withdraw(schedule)
    _tell(schedule, "schedule.deleted", by, details=described(schedule))
    schedule.delete()


def check_edit(deployment: Deployment, by: Actor) -> None:
    """Refuse who may not say what runs by itself, or not in the deployment's pool."""
    check_allowed(deployment, by, "deployments.edit")
    check_allowed(deployment.pool, by, "deployments.edit")


def _tell(schedule: Schedule, action: str, by: Actor, details: dict[str, Any] | None = None) -> None:
    told = {"deployment": str(schedule.deployment_id), **(details or {})}
    audit.record(by, action, schedule, name=f"{schedule.deployment} {schedule.slug}", details=told)
    live.changed(workspace_id=schedule.workspace_id, what="deployments")


# ── by a deploy ──────────────────────────────────────────────────────────────────────────────────


def lock_of(flow_id: Any, name: str) -> list[Schedule]:
    """The schedules of a deployment: no tick makes runs of their former times behind our back.

    They are locked before the deployment, as the tick does: it holds a schedule when its runs come to name the
    deployment, and each would wait for the other.
    """
    own = Schedule.objects.select_for_update(of=("self",)).filter(deployment__flow_id=flow_id, deployment__name=name)
    return list(own.order_by("id"))


def set_deployed(deployment: Deployment, wanted: Mapping[str, Mapping[str, Any]], present: Sequence[Schedule]) -> None:
    """Give the deployment these schedules, by where each was told, in the place of those that were deployed before.

    They are known again by their slugs. What a person paused stays paused, and what a person added stays.

    Raises:
        Invalid: `fields` says what can't be taken.
    """
    read = [_read(told, where) for where, told in wanted.items()]
    try:
        slugs = matched(read, present)
    except ScheduleRefusal as refusal:
        raise Invalid(str(refusal), fields={"schedules": refusal.fields[""]}) from refusal
    known = {schedule.slug: schedule for schedule in present}
    for slug, one in zip(slugs, read, strict=True):
        _deploy(deployment, known.get(slug), slug, one)
    for schedule in present:
        if schedule.deployed and schedule.slug not in slugs:
            withdraw(schedule)
            schedule.delete()


def _deploy(deployment: Deployment, present: Schedule | None, slug: str, read: Read) -> None:
    schedule = present or _new(deployment, slug)
    before = _whole(schedule) if present else None
    _fill(schedule, read)
    schedule.deployed, schedule.deployment = True, deployment
    check_parameters_of(schedule)
    paused_by = paused_after_deploy(schedule.paused_by if present and not schedule.active else None, read[0].active)
    if before != _whole(schedule) or bool(paused_by) == schedule.active:
        if present:
            withdraw(present)
        _begin(schedule, by=paused_by)


def _whole(schedule: Schedule) -> tuple[Any, ...]:
    rest = (schedule.parameters, schedule.catch_up, schedule.catch_up_max, schedule.skip_if_late, schedule.deployed)
    return (schedule.times, *rest)


def _new(deployment: Deployment, slug: str) -> Schedule:
    own = {"organization_id": deployment.organization_id, "workspace_id": deployment.workspace_id}
    return Schedule(**own, deployment=deployment, slug=slug)


def _read(told: Mapping[str, Any], where: str = "") -> Read:
    try:
        return read_schedule(told, now())
    except ScheduleRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.beneath(where)) from refusal


def _fill(schedule: Schedule, read: Read) -> None:
    told, times = read
    schedule.kind, schedule.timezone = times.kind, times.timezone
    schedule.cron, schedule.day_or, schedule.rrule = times.cron, times.day_or, times.rrule
    schedule.interval, schedule.anchor = times.interval, times.anchor
    schedule.parameters = json_value(told.parameters)
    schedule.catch_up, schedule.catch_up_max = told.catch_up, told.catch_up_max
    schedule.skip_if_late = told.skip_if_late


def check_parameters_of(schedule: Schedule) -> None:
    """Refuse a schedule whose runs would lack a parameter: nobody sits there to fill it in."""
    deployment = schedule.deployment
    check_parameters(deployment.parameter_schema, {**deployment.parameters, **schedule.parameters})


def _begin(schedule: Schedule, *, by: str) -> None:
    """Save a schedule, which goes on from now; `by` whom it is paused, if it is."""
    schedule.active, schedule.paused_by = not by, by[:254]
    schedule.paused_at = None if not by else schedule.paused_at or now()
    schedule.next_at = schedule_times.next_time(schedule.times, now()) if schedule.active else None
    schedule.refusal = ""
    schedule.save()


# ── start and stop ───────────────────────────────────────────────────────────────────────────────


def start(schedule: Schedule) -> None:
    """Activate a schedule from now on, and save it."""
    schedule.active, schedule.paused_by, schedule.paused_at = True, "", None
    schedule.next_at = schedule_times.next_time(schedule.times, now())
    schedule.save(update_fields=["active", "paused_by", "paused_at", "next_at"])


def stop(schedule: Schedule, *, by: str) -> None:
    """Stop a schedule; its runs that are not due yet go, in the same transaction. Survives redeploys."""
    schedule.active, schedule.paused_by, schedule.next_at = False, by[:254], None
    schedule.paused_at = now()
    schedule.save(update_fields=["active", "paused_by", "paused_at", "next_at"])
    withdraw(schedule)


def withdraw(schedule: Schedule) -> None:
    """Delete the runs that the schedule has made ahead of their time."""
    at = now()
    ahead = FlowRun.objects.filter(schedule=schedule, scheduled_at__gt=at)  # as the index has them
    ahead.filter(state_type="SCHEDULED", attempt=0, due_at__gt=at).delete()
    live.changed(workspace_id=schedule.workspace_id, what="runs")


# ── what is told ─────────────────────────────────────────────────────────────────────────────────


def described(schedule: Schedule) -> dict[str, Any]:
    """What a schedule is, as it is given."""
    return {
        **shown(schedule.times),
        "timezone": schedule.timezone,
        "slug": schedule.slug,
        "parameters": schedule.parameters,
        "active": schedule.active,
        "catch_up": schedule.catch_up,
        "catch_up_max": schedule.catch_up_max,
        "skip_if_late": schedule.skip_if_late,
    }


def upcoming(schedule: Schedule, number: int) -> list[datetime]:
    """The next times, for pages. They are computed, not stored."""
    if not schedule.active:
        return []
    return list(islice(schedule_times.times_after(schedule.times, now()), min(number, MAX_PREVIEW)))


def preview(told: PreviewInput) -> list[dict[str, Any]]:
    """The next times that a schedule would have.

    Raises:
        Invalid: `fields` says what can't be taken.
    """
    if not 1 <= told.number <= MAX_PREVIEW:
        raise Invalid("Too many times.", fields={"number": f"1 to {MAX_PREVIEW}."})
    if told.after is not None and (told.after.tzinfo is None or not 1970 < told.after.year < 3000):
        raise Invalid("This is no moment to look from.", fields={"after": "ISO 8601 with a zone, after 1970."})
    after = told.after or now()
    try:
        return schedule_times.preview(times_of(told, after), after, told.number)
    except ScheduleRefusal as refusal:
        raise Invalid(str(refusal), fields=refusal.beneath("")) from refusal
