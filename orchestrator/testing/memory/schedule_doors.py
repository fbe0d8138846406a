"""What is asked of schedules: of a deployment, of the workspace, and what times one would have."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator import clock, schedule_times
from orchestrator.ids import uuid7
from orchestrator.schedule_bodies import (
    MAX_PREVIEW,
    PreviewInput,
    ScheduleChange,
    ScheduleInput,
    free_slug,
    merged,
    times_of,
)
from orchestrator.schedule_times import ScheduleRefusal
from orchestrator.schedules import MAX_SCHEDULES
from orchestrator.testing.memory import deployments, schedules
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Schedule
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.store import Store


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """All schedules, last made first."""
    of = {each.id: deployment for deployment in store.deployments.values() for each in deployment.schedules.values()}
    every = [each for deployment in store.deployments.values() for each in deployment.schedules.values()]
    found, after = newest(every, asked, "created_at")
    return {"items": [{**schedules.show(each), **_named(of[each.id])} for each in found], "next": after}


def _named(deployment: Deployment) -> dict[str, Any]:
    return {"deployment": deployment.full_name, "deployment_id": deployment.id}


def of_deployment(store: Store, asked: Asked) -> dict[str, Any]:
    """A deployment's schedules, by their slugs."""
    return {"items": schedules.show_all(deployments.find(store, asked.names["id"])), "next": None}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One schedule."""
    return schedules.show(_found(store, asked))


def _found(store: Store, asked: Asked) -> Schedule:
    return schedules.find(deployments.find(store, asked.names["id"]), asked.names["slug"])


def create(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Another schedule for a deployment."""
    deployment, told = deployments.find(store, asked.names["id"]), asked.read(ScheduleInput)
    read, times = schedules.read(msgspec.structs.asdict(told))
    if len(deployment.schedules) >= MAX_SCHEDULES:
        raise Refusal("conflict", f"A deployment has {MAX_SCHEDULES} schedules at most.")
    slug = read.slug or free_slug(set(deployment.schedules))
    _check(deployment, read)
    if slug in deployment.schedules:
        raise invalid("This slug is taken.", "slug", "Another schedule of the deployment has it.")
    schedule = Schedule(uuid7(), slug, deployed=False, created_at=clock.now())
    schedules.fill(schedule, read, times)
    schedules.begin(schedule, "" if read.active else asked.by.label)
    deployment.schedules[slug] = schedule
    return schedules.show(schedule), 201


def change(store: Store, asked: Asked) -> dict[str, Any]:
    """Change what is told of a schedule."""
    schedule, told = _found(store, asked), msgspec.to_builtins(asked.read(ScheduleChange))
    read, times = schedules.read(merged(schedules.described(schedule), told))
    if read.slug not in {None, schedule.slug}:
        raise invalid("A schedule keeps its slug.", "slug", "Make another schedule for another slug.")
    _check(deployments.find(store, asked.names["id"]), read)
    schedules.withdraw(store, schedule)
    schedules.fill(schedule, read, times)
    active = bool(told.get("active", schedule.active))
    schedules.begin(schedule, "" if active else schedule.paused_by or asked.by.label)
    return schedules.show(schedule)


def _check(deployment: Deployment, read: ScheduleInput) -> None:
    facts = deployment.facts
    deployments.check_parameters(facts["parameter_schema"], {**facts["parameters"], **read.parameters})


def remove(store: Store, asked: Asked) -> tuple[None, int]:
    """Delete a schedule, and its runs that are not due yet."""
    schedule = _found(store, asked)
    schedules.withdraw(store, schedule)
    del deployments.find(store, asked.names["id"]).schedules[schedule.slug]
    return None, 204


def pause(store: Store, asked: Asked) -> dict[str, Any]:
    """Stop a schedule until somebody resumes it."""
    schedule = _found(store, asked)
    if schedule.active or schedule.paused_by != asked.by.label:
        schedules.stop(store, schedule, asked.by.label)
    return schedules.show(schedule)


def resume(store: Store, asked: Asked) -> dict[str, Any]:
    """Start a schedule again, from now on."""
    schedule = _found(store, asked)
    if not schedule.active:
        schedules.start(schedule)
    return schedules.show(schedule)


def preview(store: Store, asked: Asked) -> dict[str, Any]:
    """The next times that a schedule would have."""
    told = asked.read(PreviewInput)
    if not 1 <= told.number <= MAX_PREVIEW:
        raise invalid("Too many times.", "number", f"1 to {MAX_PREVIEW}.")
    if told.after is not None and (told.after.tzinfo is None or not 1970 < told.after.year < 3000):
        raise invalid("This is no moment to look from.", "after", "ISO 8601 with a zone, after 1970.")
    after = told.after or schedules.now()
    try:
        return {"items": schedule_times.preview(times_of(told, after), after, told.number)}
    except ScheduleRefusal as refusal:
        raise schedules.refused(refusal, "") from refusal
