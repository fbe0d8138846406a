"""Backfills: which runs one means, and the runs that it makes while time passes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from orchestrator import backfills as shared
from orchestrator import clock
from orchestrator.backfills import BackfillCancelInput, BackfillChange, BackfillInput, Place, leaves_out
from orchestrator.ids import uuid7
from orchestrator.schedule_bodies import ScheduleInput, shown, times_of
from orchestrator.schedule_times import ScheduleRefusal, Times
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import deployments, runs, schedules
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Deployment, Schedule
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.rows import Backfill, Run
from orchestrator.testing.memory.shown import micros_of, time_of
from orchestrator.testing.memory.store import Store

MOST, OPEN_AT_ONCE, FIRST = 10_000, 100, 5
LOOK_EVERY = 1_000_000  # µs


@dataclass(slots=True)
class _Plan:
    told: BackfillInput
    deployment: Deployment
    schedule: Schedule | None
    times: Times | None
    until: datetime | None
    places: list[Place]
    there: dict[int, Run] = field(default_factory=dict)

    @property
    def skipped(self) -> set[int]:
        return {ordinal for ordinal, run in self.there.items() if leaves_out(self.told.existing, run.state_type)}


def begin(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Have runs made a few at a time, or look which they would be."""
    told = asked.read(BackfillInput)
    known = [each for each in store.backfills.values() if each.key and each.key == told.idempotency_key]
    if known and not told.dry_run:
        return _answer(None, known[0], []), 200
    found = _plan(store, told)
    wrong = _wrong_rows(found)
    if told.dry_run:
        return _answer(found, None, wrong), 200
    if wrong:
        fields = {
            f"sets.{row}.{name.removeprefix('parameters').strip('.')}".rstrip("."): what
            for row, each in wrong
            for name, what in each.items()
        }
        raise Refusal("invalid", f"{len(wrong)} of the {len(found.places)} sets can't be taken; see fields.", fields)
    if len(found.places) == len(found.skipped):
        raise Refusal("conflict", f"{_warnings(found)[0]} Nothing is left to be made.")
    if sum(each.state in shared.OPEN for each in store.backfills.values()) >= OPEN_AT_ONCE:
        raise Refusal("conflict", f"{OPEN_AT_ONCE} backfills are open already. Wait for one, or cancel it.")
    made = _make(found, asked)
    store.backfills[made.id] = made
    return _answer(found, made, []), 201


def _plan(store: Store, told: BackfillInput) -> _Plan:
    deployment, at = deployments.find(store, told.deployment), schedules.now()
    if fields := shared.wrong_fields(told, at, MOST):
        raise Refusal("invalid", "The backfill can't be taken; see fields.", fields)
    if told.sets is not None:
        return _Plan(told, deployment, None, None, None, shared.places_of_sets(told))
    since, until = told.since or at, told.until or at
    schedule = _schedule(deployment, told.schedule) if told.schedule is not None else None
    times = schedule.times if schedule else _ad_hoc(told, since)
    due = shared.due_times(times, since, until)
    if len(due) > MOST:
        message = shared.too_many(len(due), MOST)
        raise invalid(message, "since", message)
    schema = deployment.facts_of(deployment.number)["parameter_schema"]
    places = shared.places_of_times(told, times, due, schema)
    found = _Plan(told, deployment, schedule, times, until, places)
    found.there = {place.ordinal: run for place in places if (run := _run_at(store, found, place)) is not None}
    return found


def _schedule(deployment: Deployment, slug: str) -> Schedule:
    found = deployment.schedules.get(slug)
    if found is None:
        raise Refusal("not_found", f"This deployment has no schedule {slug!r:.110}.")
    return found


def _ad_hoc(told: BackfillInput, since: datetime) -> Times:
    assert told.times is not None
    try:
        return times_of(ScheduleInput(**msgspec.structs.asdict(told.times)), since - timedelta(microseconds=1))
    except ScheduleRefusal as refusal:
        raise schedules.refused(refusal, "times") from refusal


def _run_at(store: Store, found: _Plan, place: Place) -> Run | None:
    """The last run for a time, or of its retries the last."""
    at = micros_of(place.time) if place.time else None
    rows = [run for run in store.runs.values() if run.deployment is found.deployment and run.scheduled_at == at]
    if found.schedule is not None:
        rows = [run for run in rows if run.schedule is found.schedule]
    else:
        rows = [run for run in rows if run.schedule is not None or run.backfill is not None]
    last = max(rows, key=lambda run: (run.created_at, run.id), default=None)
    while last is not None and (retry := next((r for r in store.runs.values() if r.retry_of == last.id), None)):
        last = retry
    return last


def _wrong_rows(found: _Plan) -> list[tuple[int, dict[str, str]]]:
    wrong: list[tuple[int, dict[str, str]]] = []
    places = found.places if found.told.sets is not None else found.places[:1]
    for place in places:
        try:
            runs.draft(found.deployment, by="", parameters=_given(found.schedule, place), tags=found.told.tags)
        except Refusal as refusal:
            fields = refusal.fields or {"": str(refusal)}
            if found.told.sets is None or any(not name.startswith("parameters") for name in fields):
                raise
            last = len(found.places) - 1
            wrong.append((last - place.ordinal if found.told.order == "newest" else place.ordinal, fields))
    return sorted(wrong, key=lambda each: each[0])


def _given(schedule: Schedule | None, place: Place) -> dict[str, Any]:
    return {**(schedule.parameters if schedule else {}), **place.parameters}


def _warnings(found: _Plan) -> list[str]:
    if found.told.sets is None and not found.places:
        return ["In this range it is never due."]
    return ["All of its times have a run already."] if len(found.places) == len(found.skipped) else []


def _make(found: _Plan, asked: Asked) -> Backfill:
    skipped, at = found.skipped, clock.now()
    places = [
        {
            "ordinal": each.ordinal, "time": each.time, "parameters": json_value(each.parameters), "message": "",
            "outcome": "skipped" if each.ordinal in skipped else "waiting",
            "run": found.there[each.ordinal].id if each.ordinal in skipped else None,
        }
        for each in found.places
    ]  # fmt: skip
    return Backfill(
        id=uuid7(), told=found.told, deployment=found.deployment, schedule=found.schedule, times=found.times,
        until=found.until, by=asked.by, created_at=at, counts_from=at, key=found.told.idempotency_key, places=places,
    )  # fmt: skip


# What people do to them.


def page(store: Store, asked: Asked) -> dict[str, Any]:
    """Backfills, newest first."""
    rows = list(store.backfills.values())
    if reference := asked.query.get("deployment", ""):
        wanted = deployments.find(store, reference)
        rows = [each for each in rows if each.deployment is wanted]
    found, after = newest(rows, asked, "created_at")
    return {"items": [_show(each) for each in found], "next": after}


def one(store: Store, asked: Asked) -> dict[str, Any]:
    """One, and how far it has come."""
    found = _find(store, asked.id)
    ids = [place["run"] for place in found.places if place["outcome"] == "made"]
    states = Counter(store.runs[id].state_type for id in ids if id in store.runs)
    deleted = sum(id not in store.runs for id in ids)
    return {**_show(found), "states": dict(states), "deleted": deleted, "why": _why(store, found)}


def places(store: Store, asked: Asked) -> dict[str, Any]:
    """A page of its places."""
    limit, after = asked.limit(), asked.number("after", -1)
    rows = [place for place in _find(store, asked.id).places if place["ordinal"] > after]
    items = [
        {**place, "state": store.runs[id].state_type if (id := place["run"]) in store.runs else None}
        for place in rows[:limit]
    ]
    return {"items": items, "next": rows[limit - 1]["ordinal"] if len(rows) > limit else None}


def change(store: Store, asked: Asked) -> dict[str, Any]:
    """Let it drip otherwise."""
    found, told = _open(store, asked), asked.read(BackfillChange)
    new = {name: value for name, value in msgspec.structs.asdict(told).items() if value is not msgspec.UNSET}
    changed = msgspec.structs.replace(found.told, **new)
    if wrong := shared.wrong_drip(changed.at_once, changed.per_minute, changed.pause_after_failures):
        raise Refusal("invalid", "The drip can't be taken; see fields.", wrong)
    found.told = changed
    return _show(found)


def pause(store: Store, asked: Asked) -> dict[str, Any]:
    """Make no more runs."""
    found = _open(store, asked)
    if found.state == "running":
        found.state, found.message = "paused", f"Paused by {asked.by.label}."
    return _show(found)


def resume(store: Store, asked: Asked) -> dict[str, Any]:
    """Go on."""
    found = _open(store, asked)
    if found.state == "paused":
        found.state, found.message, found.counts_from = "running", "", clock.now()
    return _show(found)


def cancel(store: Store, asked: Asked) -> dict[str, Any]:
    """End it, and its runs if that is asked for."""
    found, told = _open(store, asked), asked.read(BackfillCancelInput)
    found.state, found.message, found.ended_at = "cancelled", f"Cancelled by {asked.by.label}.", clock.now()
    for run in _alive(store, found) if told.runs != "none" else []:
        if told.runs == "all" or run.state_type == "SCHEDULED":
            runs.cancel(store, replace(asked, names={"id": str(run.id)}))
    return _show(found)


def _find(store: Store, id: UUID) -> Backfill:
    found = store.backfills.get(id)
    if found is None:
        raise Refusal("not_found", "There is no such backfill here.")
    return found


def _open(store: Store, asked: Asked) -> Backfill:
    found = _find(store, asked.id)
    if found.state not in shared.OPEN:
        raise Refusal("conflict", f"The backfill is {found.state} already.")
    return found


# The runs that they make.


def work(store: Store) -> None:
    """Make the runs for which there is room."""
    for each in list(store.backfills.values()):
        if each.state == "running":
            _go_on(store, each)


def next_look(store: Store) -> int | None:
    """When it makes sense to look again."""
    running = any(each.state == "running" for each in store.backfills.values())
    return clock.now() + LOOK_EVERY if running else None


def _go_on(store: Store, backfill: Backfill) -> None:
    waiting = [place for place in backfill.places if place["outcome"] == "waiting"]
    alive = _alive(store, backfill)
    if not waiting:
        if not alive:
            backfill.state, backfill.ended_at = "completed", clock.now()
    elif backfill.deployment.id not in store.deployments:
        backfill.state, backfill.message, backfill.ended_at = "cancelled", "The deployment was deleted.", clock.now()
    elif number := _failed_in_a_row(store, backfill):
        backfill.state = "paused"
        backfill.message = f"Paused: the last {number} of its runs failed." if number != 1 else "Paused: a run failed."
    else:
        for place in waiting[: _room(store, backfill, len(alive))]:
            _run(store, backfill, place)


def _room(store: Store, backfill: Backfill, alive: int) -> int:
    free = max(backfill.told.at_once - alive, 0)
    if backfill.told.per_minute is None:
        return free
    made = [run.created_at for run in store.runs.values() if run.backfill == backfill.id]
    paced = max(made) + 60_000_000 // backfill.told.per_minute <= clock.now() if made else True
    return min(free, int(paced))


def _failed_in_a_row(store: Store, backfill: Backfill) -> int:
    number = backfill.told.pause_after_failures
    own = (run for run in store.runs.values() if run.backfill == backfill.id)
    ended = [run for run in own if run.ended_at is not None and run.ended_at >= backfill.counts_from]
    last = sorted(ended, key=lambda run: (run.created_at, run.id))[-number:] if number else []
    failed = len(last) == number and all(run.state_type in ("FAILED", "CRASHED") for run in last)
    return number if number and failed else 0


def _run(store: Store, backfill: Backfill, place: dict[str, Any]) -> None:
    own = Place(place["ordinal"], place["time"], place["parameters"])
    try:
        run, _ = runs.create(
            store, backfill.deployment, parameters=_given(backfill.schedule, own), by=backfill.by.label,
            tags=backfill.told.tags, key=f"backfill:{backfill.id}:{own.ordinal}", priority=backfill.told.priority,
            at=micros_of(own.time) if own.time else None, origin="backfill", schedule=backfill.schedule,
        )  # fmt: skip
    except Refusal as refusal:
        told = "; ".join(f"{name}: {what}" for name, what in (refusal.fields or {}).items()) or str(refusal)
        place["outcome"], place["message"] = "refused", clean_text(told, 1_000)
        return
    run.backfill, run.due_at = backfill.id, max(run.due_at or 0, clock.now())
    place["outcome"], place["run"] = "made", run.id


def replaced(store: Store, former: Run, retry: Run) -> None:
    """A retry of a backfill's run is about the same time, and takes its place."""
    if former.backfill is None:
        return
    retry.backfill, retry.scheduled_at = former.backfill, former.scheduled_at
    for place in store.backfills[former.backfill].places:
        if place["run"] == former.id:
            place["run"] = retry.id


def _alive(store: Store, backfill: Backfill) -> list[Run]:
    return [run for run in store.runs.values() if run.backfill == backfill.id and not run.is_final]


# As the API shows them.


def _why(store: Store, backfill: Backfill) -> dict[str, Any]:
    alive = _alive(store, backfill)
    waits = any(place["outcome"] == "waiting" for place in backfill.places)
    told: dict[str, Any] = {"runs": [], "at": None}
    if backfill.state != "running":
        return {"code": backfill.state, "sentence": backfill.message or "All its runs have ended.", **told}
    told["runs"] = [run.id for run in alive[:10]]
    if not waits:
        sentence = "All its runs were made. It is over when they have ended."
        return {"code": "finishing", "sentence": sentence, **told}
    if len(alive) >= backfill.told.at_once:
        number = "1 run has" if len(alive) == 1 else f"{len(alive):,} runs have"
        return {"code": "at_once", "sentence": f"{number} not ended, and no more are made at once.", **told}
    return {"code": "soon", "sentence": "A worker makes the next runs in a moment.", "runs": [], "at": None}


def _show(made: Backfill) -> dict[str, Any]:
    told, outcomes = made.told, Counter(place["outcome"] for place in made.places)
    names = ("name", "parameters", "existing", "order", "at_once", "per_minute", "priority", "tags")
    return {
        "id": made.id, "deployment": made.deployment.full_name, "url": f"memory/backfills/{made.id}",
        "deployment_id": made.deployment.id, "schedule": made.schedule.slug if made.schedule else None,
        "times": {**shown(made.times), "timezone": made.times.timezone} if made.times else None,
        "since": _utc(told.since), "until": _utc(made.until),
        **{name: getattr(told, name) for name in names}, "pause_after_failures": told.pause_after_failures,
        "state": made.state, "message": made.message, "count": len(made.places), "left": outcomes["waiting"],
        **{name: outcomes[name] for name in ("made", "skipped", "refused")}, "created_by": made.by.label,
        "created_at": time_of(made.created_at), "ended_at": time_of(made.ended_at),
    }  # fmt: skip


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


def _answer(found: _Plan | None, made: Backfill | None, wrong: list[Any]) -> dict[str, Any]:
    shown_backfill = _show(made) if made else None
    rest = {"wrong": [{"row": row, "fields": fields} for row, fields in wrong], "more_wrong": 0, "seconds": None}
    if found is None:
        number, skipped = (len(made.places), _show(made)["skipped"]) if made else (0, 0)
        told = {"count": number - skipped, "places": number, "skipped": skipped, "there": {}, "first": [], "last": []}
        return {**told, **rest, "warnings": [], "backfill": shown_backfill}
    skipped = len(found.skipped)
    planned = [_planned(found, place) for place in found.places]
    return {
        "count": len(planned) - skipped, "places": len(planned), "skipped": skipped,
        "there": dict(Counter(run.state_type for run in found.there.values())), "first": planned[:FIRST],
        "last": planned[FIRST:][-FIRST:], "warnings": _warnings(found), "backfill": shown_backfill, **rest,
    }  # fmt: skip


def _planned(found: _Plan, place: Place) -> dict[str, Any]:
    there = found.there.get(place.ordinal)
    return {
        "ordinal": place.ordinal, "time": place.time, "parameters": place.parameters, "message": "",
        "outcome": "skipped" if place.ordinal in found.skipped else "waiting", "run": there.id if there else None,
        "state": there.state_type if there else None,
    }  # fmt: skip
