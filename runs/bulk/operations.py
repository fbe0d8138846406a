"""A bulk operation is looked at, asked for, and undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.bulk import MAX_DELAY
from orchestrator.storable import clean_text, json_value
from runs import live
from runs.bulk import choosing
from runs.bulk.choosing import Choice, Filter
from runs.hidden import hidden_deployments
from runs.models import BulkOperation, FlowRun
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor, require
from tenants.scope import current_scope
from tenants.turns import take_turn

FIRST = 10  # runs that a preview shows
IDS_IN_TRAIL = 200
State = BulkOperation.State


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation would hit now: how many, the newest of them, and for which reasons others are left out."""

    count: int
    first: Sequence[FlowRun]
    left_out: dict[str, int] = field(default_factory=dict)


def preview(kind: str, filter: Filter, *, by: Actor) -> Preview:
    """Look at what an operation would hit.

    Raises:
        Invalid: The filter can't be read, or too many runs fit it.
        NotFound: It names a deployment that is not there.
    """
    return _preview(choosing.read(kind, filter, before=now(), by=by))


def begin(
    kind: str, filter: Filter, *, by: Actor, delay: float | None = None, from_failure: bool = True
) -> tuple[BulkOperation, Preview]:
    """Have something done to all runs that fit a filter and are there by now.

    Args:
        delay: Seconds for which it can be undone before it begins; the installation's own by default.

    Raises:
        Invalid: The filter can't be read, or too many runs fit it, or the delay is out of bounds.
        NotFound: It names a deployment that is not there.
        Conflict: As many are under way as an organization may have, or a run asks.
        Forbidden: The actor's role does not allow it.
    """
    require(by, choosing.VERBS[kind])
    wait, at = _delay(delay), now()
    if by.key_id is None and by.user_id is None:
        raise Conflict("Bulk operations are asked for by people and keys, not by runs.")
    choice = choosing.read(kind, filter, before=at, by=by)
    _check_room()
    seen = _preview(choice)
    made = BulkOperation.objects.create(
        organization_id=by.organization_id, workspace_id=by.workspace_id, kind=kind, filter=json_value(filter),
        deployment_id=choice.deployment, from_failure=from_failure, before=at, count=seen.count,
        left_out=seen.left_out, created_by=clean_text(by.label, 254), user_id=by.user_id, key_id=by.key_id,
        created_at=at, begins_at=at + timedelta(seconds=wait),
    )  # fmt: skip
    told = {"kind": kind, "filter": _for_the_trail(made.filter), "count": seen.count, "from_failure": from_failure}
    audit.record(by, "bulk_operation.created", made, details=told)
    announce(made)
    return made, seen


def _for_the_trail(filter: Filter) -> Filter:
    """Of ids how many there are, where the entry could not hold them all."""
    ids = filter.get("id")
    return filter | {"id": f"{len(ids):,} of them"} if isinstance(ids, list) and len(ids) > IDS_IN_TRAIL else filter


def _delay(delay: float | None) -> float:
    wait = settings.BULK_DELAY if delay is None else delay
    if not 0 <= wait <= MAX_DELAY:
        raise Invalid("The delay is out of bounds.", fields={"delay": f"0 to {MAX_DELAY:,} seconds."})
    return wait


def _check_room() -> None:
    """The organization's own, in all workspaces: the wall lets no others be counted. Two requests take turns."""
    take_turn(f"bulk operations {current_scope().organization_id}")
    if open_ones().count() >= settings.BULK_AT_ONCE:
        raise Conflict(f"{settings.BULK_AT_ONCE} bulk operations are under way already. Wait for one, or cancel it.")


def _preview(choice: Choice) -> Preview:
    hit = choice.hit()
    count = hit[: settings.BULK_RUNS + 1].count()
    if count > settings.BULK_RUNS:
        message = f"More than {settings.BULK_RUNS:,} runs fit this filter. Narrow it, for example by a deployment."
        raise Invalid(message, fields={"filter": message})
    shown = hit.select_related("flow", "deployment__flow").defer("history")
    return Preview(count, list(shown.order_by("-created_at", "-id")[:FIRST]), choice.left_out())


def open_ones() -> QuerySet[BulkOperation]:
    """Those that may still do something."""
    return BulkOperation.objects.filter(state__in=[State.WAITING, State.RUNNING])


def seen_by(by: Actor) -> QuerySet[BulkOperation]:
    """Those of the workspace, without such as name a deployment that the actor may not see."""
    rows = BulkOperation.objects.filter(workspace_id=by.workspace_id)
    hidden = hidden_deployments(by)
    return rows.exclude(deployment_id__isnull=False, deployment_id__in=hidden) if hidden else rows


def find(id: UUID, *, by: Actor) -> BulkOperation:
    """One of the workspace.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    found = seen_by(by).filter(id=id).first()
    if found is None:
        raise NotFound("There is no such bulk operation here.")
    return found


def cancel(operation: BulkOperation, *, by: Actor) -> BulkOperation:
    """Stop it: before it has begun nothing has happened; later, what is done stays so. It waits for a batch's end.

    Raises:
        Conflict: It has ended.
    """
    locked = BulkOperation.objects.select_for_update(no_key=True).get(id=operation.id)
    if not locked.is_open:
        raise Conflict(f"The operation is {locked.state} already.")
    end(locked, State.CANCELLED, f"Cancelled by {by.label}.", at=now())
    audit.record(by, "bulk_operation.cancelled", locked, details={"kind": locked.kind, "done": locked.done})
    return locked


def end(locked: BulkOperation, state: str, message: str = "", *, at: datetime) -> None:
    """Write down that a locked operation is over."""
    locked.state, locked.message, locked.ended_at, locked.leased_until = state, message, at, None
    locked.save(update_fields=["state", "message", "ended_at", "leased_until"])
    announce(locked)


def announce(operation: BulkOperation) -> None:
    """Tell those who look at it, or at the list, that it changed."""
    live.changed(workspace_id=operation.workspace_id, what="bulk")
