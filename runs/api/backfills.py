"""Backfills: runs over a past range, or of a list of parameter sets, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.backfills import BackfillCancelInput, BackfillChange, BackfillInput, Place
from runs import deployments
from runs.api import paging
from runs.api.deployments import portal_url
from runs.backfills import operations, planning
from runs.backfills.planning import Plan
from runs.models import Backfill, FlowRun
from runs.reads import backfills as reads
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, Forbidden, NotFound
from tenants.messages import MAX_PAGE, answer

FIRST = 5  # places that a preview shows, and as many at its end


class BackfillShown(msgspec.Struct):
    """A backfill. Of `count` places `made` have a run of its own, `skipped` had one already, `refused` could have none
    and `left` are still to come; `message` says why it is in its `state`. It has `times` and a range, or neither: then
    it is of sets. `schedule` is the slug of the schedule whose times they are.
    """

    id: UUID
    name: str
    deployment: str
    deployment_id: UUID | None
    schedule: str | None
    times: dict[str, Any] | None
    since: datetime | None
    until: datetime | None
    parameters: dict[str, Any]
    existing: str
    order: str
    at_once: int
    per_minute: int | None
    priority: int
    tags: list[str]
    pause_after_failures: int | None
    state: str
    message: str
    count: int
    made: int
    skipped: int
    refused: int
    left: int
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    url: str


class WhyShown(msgspec.Struct):
    """Why no run is made now. `runs` are those that it waits for, `at` when it goes on."""

    code: str
    sentence: str
    runs: list[UUID]
    at: datetime | None


class BackfillWithCounts(BackfillShown, kw_only=True):
    """A backfill, with its runs by state type: of one that was retried the last retry. `deleted` ones are gone."""

    states: dict[str, int]
    deleted: int
    why: WhyShown


class PlaceShown(msgspec.Struct):
    """One run that a backfill means: its time, or its parameters. `run` is there already, or was made; with the type of
    its state. `outcome`: waiting, made, skipped, refused.
    """

    ordinal: int
    time: datetime | None
    parameters: dict[str, Any]
    outcome: str
    message: str
    run: UUID | None
    state: str | None


class WrongRow(msgspec.Struct):
    """A set of parameters that can't be taken: which one, from 0 on, and what is wrong by field."""

    row: int
    fields: dict[str, str]


class BackfillAnswer(msgspec.Struct):
    """What a backfill means: of `places`, `count` runs would be made, since `skipped` have one already; `there` counts
    those by state. `wrong` are sets that can't be taken, and `more_wrong` how many others. `seconds` is a guess.
    `backfill` is what was begun; null: nothing was, it was only looked at.
    """

    count: int
    places: int
    skipped: int
    there: dict[str, int]
    first: list[PlaceShown]
    last: list[PlaceShown]
    wrong: list[WrongRow]
    more_wrong: int
    warnings: list[str]
    seconds: float | None
    backfill: BackfillShown | None


class BackfillsAsked(PageQuery):
    """Which backfills."""

    deployment: Annotated[
        str, msgspec.Meta(max_length=1_001, description="Of this deployment: id, or `flow/name`.")
    ] = ""


class PlacesAsked(Query):
    """Which places."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="How many.")] = 50
    after: Annotated[int, msgspec.Meta(ge=-1, description="`next` of the page before.")] = -1


class Places(msgspec.Struct):
    """Places in the order in which their runs are made. `next` is the `after` of what follows; null: nothing does."""

    items: list[PlaceShown]
    next: int | None


class Backfills(TenantView):
    """GET: a page of backfills, newest first. Those that have ended are kept for 90 days. POST: a new one, or a look at
    what it would make.
    """

    verbs = {"GET": "runs.view", "POST": "runs.trigger"}

    @operation(Page[BackfillShown], refuses=[NotFound])
    def get(self, request: Request, asked: BackfillsAsked) -> HttpResponse:
        rows: QuerySet[Backfill] = operations.seen_by(self.actor).select_related("schedule")
        if asked.deployment:
            rows = rows.filter(deployment=deployments.find_deployment(self.actor, asked.deployment).id)
        items, cursor = paging.page(asked, rows, "created_at")
        return answer(Page([describe(each, portal_url(self.actor)) for each in items], cursor))

    @operation(BackfillAnswer, 200, 201, refuses=[NotFound, Conflict, Forbidden])
    def post(self, request: Request, told: BackfillInput) -> HttpResponse:
        if told.dry_run:
            return answer(_preview(operations.preview(told, by=self.actor), None))
        made, found = operations.begin(told, by=self.actor)
        shown = describe(made, portal_url(self.actor))
        told_of = _preview(found, shown) if found else _known(made, shown)
        return answer(told_of, status=201 if found else 200)


class OneBackfill(TenantView):
    """GET: one, how far it has come and why no run is made now. PATCH: let it drip otherwise."""

    verbs = {"GET": "runs.view", "PATCH": "runs.trigger"}

    @operation(BackfillWithCounts)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        found = operations.find(id, by=self.actor)
        counted, shown = reads.counts(found), describe(found, portal_url(self.actor))
        told = {"states": counted.states, "deleted": counted.deleted, "why": WhyShown(**reads.why(found).told())}
        return answer(BackfillWithCounts(**msgspec.structs.asdict(shown), **told))

    @operation(BackfillShown, refuses=[Conflict])
    def patch(self, request: Request, id: UUID, told: BackfillChange) -> HttpResponse:
        changed = operations.change(operations.find(id, by=self.actor), told, by=self.actor)
        return answer(describe(changed, portal_url(self.actor)))


class PlacesOfBackfill(TenantView):
    """GET: a page of its places, each with its run."""

    verbs = {"GET": "runs.view"}

    @operation(Places)
    def get(self, request: Request, id: UUID, asked: PlacesAsked) -> HttpResponse:
        rows, following = reads.places(operations.find(id, by=self.actor), after=asked.after, limit=asked.limit)
        return answer(Places([_place(row) for row in rows], following))


class PauseBackfill(TenantView):
    """POST: make no more runs until somebody resumes it."""

    verbs = {"POST": "runs.trigger"}

    @operation(BackfillShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID) -> HttpResponse:
        paused = operations.pause(operations.find(id, by=self.actor), by=self.actor)
        return answer(describe(paused, portal_url(self.actor)))


class ResumeBackfill(TenantView):
    """POST: go on. Failures before that don't pause it again."""

    verbs = {"POST": "runs.trigger"}

    @operation(BackfillShown, refuses=[Conflict])
    def post(self, request: Request, id: UUID) -> HttpResponse:
        resumed = operations.resume(operations.find(id, by=self.actor), by=self.actor)
        return answer(describe(resumed, portal_url(self.actor)))


class CancelBackfill(TenantView):
    """POST: end it, and cancel its runs if that is asked for: those that wait, or all."""

    verbs = {"POST": "runs.cancel"}

    @operation(BackfillShown, refuses=[Conflict], optional=True)
    def post(self, request: Request, id: UUID, told: BackfillCancelInput) -> HttpResponse:
        ended = operations.cancel(operations.find(id, by=self.actor), by=self.actor, runs=told.runs)
        return answer(describe(ended, portal_url(self.actor)))


def describe(backfill: Backfill, portal: str) -> BackfillShown:
    """A backfill as the API shows it."""
    own = {"deployment", "schedule", "times", "url"}
    told = {name: getattr(backfill, name) for name in BackfillShown.__struct_fields__ if name not in own}
    return BackfillShown(
        deployment=backfill.deployment_name, schedule=backfill.schedule.slug if backfill.schedule else None,
        times=_times(backfill), url=f"{portal}/backfills/{backfill.id}", **told,
    )  # fmt: skip


def _times(backfill: Backfill) -> dict[str, Any] | None:
    if backfill.times is None:
        return None
    kind = backfill.times["kind"]
    names = {"cron": ("cron", "day_or"), "interval": ("interval", "anchor"), "rrule": ("rrule",)}[kind]
    return {name: backfill.times[name] for name in (*names, "timezone")}


def _place(row: reads.PlaceRow) -> PlaceShown:
    place, run = row.place, row.run
    facts = (place.ordinal, place.time, place.parameters, place.outcome, place.message, place.run_id)
    return PlaceShown(*facts, run.state_type if run else None)


def _preview(found: Plan, made: BackfillShown | None) -> BackfillAnswer:
    wrong = [WrongRow(row, fields) for row, fields in sorted(found.wrong.items())]
    return BackfillAnswer(
        count=found.count, places=len(found.places), skipped=len(found.skipped), there=found.there_by_state,
        first=_planned(found, found.places[:FIRST]), last=_planned(found, found.places[FIRST:][-FIRST:]), wrong=wrong,
        more_wrong=found.more_wrong, warnings=planning.warnings(found), seconds=planning.seconds(found), backfill=made,
    )  # fmt: skip


def _planned(found: Plan, some: Sequence[Place]) -> list[PlaceShown]:
    return [_planned_place(found, each, found.there.get(each.ordinal)) for each in some]


def _planned_place(found: Plan, place: Place, there: FlowRun | None) -> PlaceShown:
    outcome = "skipped" if place.ordinal in found.skipped else "waiting"
    facts = (place.ordinal, place.time, place.parameters, outcome, "", there.id if there else None)
    return PlaceShown(*facts, there.state_type if there else None)


def _known(made: Backfill, shown: BackfillShown) -> BackfillAnswer:
    """Of one that was asked for before: nothing new is planned."""
    return BackfillAnswer(made.count - made.skipped, made.count, made.skipped, {}, [], [], [], 0, [], None, shown)
