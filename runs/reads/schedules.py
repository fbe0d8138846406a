"""The schedules of a workspace, as far as one may see them, with what pages show of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from orchestrator.schedule_words import span_in_words
from orchestrator.storable import clean_text
from runs import schedules
from runs.hidden import hidden_deployments
from runs.models import Deployment, Schedule
from tenants.cursors import read_cursor, write_cursor
from tenants.permissions import Actor

PAGE = 50
STATES = {"active": "Active", "paused": "Paused", "refused": "Makes no runs"}
MAX_CHOICES = 200  # deployments to choose from
MOST_NAMED = 4  # parameters
_NEVER = datetime.max.replace(tzinfo=UTC)
"""Where in the order those stand that have no next time."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a schedule whose time has come."""

    id: UUID
    state_type: str
    state_name: str
    scheduled_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A line of a list."""

    schedule: Schedule
    next_at: datetime | None
    last: LastRun | None

    @property
    def notes(self) -> list[str]:
        """What it says besides its times. Of its own parameters the names: a value may be a secret."""
        schedule = self.schedule
        caught = {"latest": "makes up for the last time", "all": f"makes up for {schedule.catch_up_max:,} times"}
        late, own = schedule.skip_if_late, list(schedule.parameters)
        notes = [
            f"from {schedule.anchor:%d %b %Y %H:%M} UTC" if schedule.anchor else "",
            caught.get(schedule.catch_up, ""),
            f"given up when {span_in_words(late)} late" if late is not None else "",
            f"own {', '.join(own[:MOST_NAMED])}{', …' * (len(own) > MOST_NAMED)}" if own else "",
            "" if schedule.deployed else "added by hand",
        ]
        return [note for note in notes if note]


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the schedules is shown."""

    text: str = ""
    state: str = ""
    deployment: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.text or self.state or self.deployment)


def in_workspace(by: Actor) -> QuerySet[Schedule]:
    """The workspace's schedules, of deployments that the actor may see."""
    own = Schedule.objects.filter(workspace_id=by.workspace_id).select_related("deployment__flow")
    hidden = hidden_deployments(by)
    return own.exclude(deployment_id__in=hidden) if hidden else own


def filtered(rows: QuerySet[Schedule], wanted: Filter) -> QuerySet[Schedule]:
    """Those that fit."""
    if wanted.deployment:
        rows = rows.filter(deployment_id=wanted.deployment)
    if wanted.state == "refused":
        rows = rows.exclude(refusal="")
    elif wanted.state in STATES:
        rows = rows.filter(active=wanted.state == "active")
    for word in clean_text(wanted.text, 200).replace("/", " ").split()[:5]:
        of_deployment = Q(deployment__name__icontains=word) | Q(deployment__flow__name__icontains=word)
        rows = rows.filter(Q(slug__icontains=word) | of_deployment)
    return rows


def page(rows: QuerySet[Schedule], *, cursor: str) -> tuple[list[ScheduleRow], str | None]:
    """A page, what comes next first and what is paused last; and the cursor of what follows.

    Raises:
        Invalid: The cursor is none of ours.
    """
    at, id = read_cursor(cursor) if cursor else (None, None)
    found: list[Schedule] = []
    if at != _NEVER:
        due = rows.filter(next_at__isnull=False)
        # One side bound first: the row comparison alone would not use the index's order.
        due = due.filter(next_at__gte=at).exclude(next_at=at, id__lte=id) if at else due
        found = list(due.order_by("next_at", "id")[: PAGE + 1])
    if len(found) <= PAGE:
        without = rows.filter(next_at=None)
        without = without.filter(id__gt=id) if at == _NEVER else without
        found += without.order_by("id")[: PAGE + 1 - len(found)]
    if len(found) <= PAGE:
        return with_runs(found), None
    last = found[PAGE - 1]
    return with_runs(found[:PAGE]), write_cursor(last.next_at or _NEVER, last.id)


def with_runs(found: Sequence[Schedule]) -> list[ScheduleRow]:
    """Schedules with when they come next, and what became of their last run."""
    last = _last_runs([schedule.id for schedule in found])
    return [ScheduleRow(each, next(iter(schedules.upcoming(each, 1)), None), last.get(each.id)) for each in found]


_LAST = """
    SELECT s.id, r.id, r.state_type, r.state_name, r.scheduled_at FROM unnest(%s::uuid[]) s (id)
    CROSS JOIN LATERAL (
        SELECT id, state_type, state_name, scheduled_at FROM flow_run r
        WHERE r.schedule_id = s.id AND r.scheduled_at <= %s ORDER BY r.scheduled_at DESC LIMIT 1
    ) r
"""


def _last_runs(ids: list[UUID]) -> dict[UUID, LastRun]:
    """The newest run of each whose time has come, in one query; what was made ahead of its time is none."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LAST, [ids, now()])
        return {schedule: LastRun(*rest) for schedule, *rest in cursor.fetchall()}


def switchable(rows: Iterable[ScheduleRow], by: Actor, verb: str) -> set[UUID]:
    """The deployments of these rows whose rules let the actor do this; it costs a query only where one has rules."""
    own = {row.schedule.deployment_id: row.schedule.deployment for row in rows}
    bound = [id for id, deployment in own.items() if deployment.restricted]
    if not bound:
        return set(own)
    may = Deployment.objects.filter(id__in=bound).allowing(by, verb).values_list("id", flat=True)
    return (own.keys() - set(bound)) | set(may)


def deployments_to_choose(by: Actor) -> QuerySet[Deployment]:
    """The deployments that have schedules, by name: a list can be narrowed to one of them.

    Asked for when they are shown, which is not so where only the rows are.
    """
    own = Deployment.objects.filter(workspace_id=by.workspace_id).allowing(by, "deployments.view")
    own = own.filter(id__in=Schedule.objects.filter(workspace_id=by.workspace_id).values("deployment_id"))
    return own.select_related("flow").only("name", "flow__name").order_by("flow__name", "name")[:MAX_CHOICES]
