"""How pages speak of bulk operations: a row for each kind, and filters in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.bulk import words_of
from runs.bulk import choosing
from runs.bulk.choosing import Filter
from runs.models import BulkOperation
from tenants.permissions import Actor, can


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of one kind. `asks_whole`: whether it may begin where runs failed, or do the whole of them."""

    verb: str
    doing: str
    done: str
    icon: str
    about: str
    dangerous: bool = False
    asks_whole: bool = False


KINDS = {
    choosing.CANCEL: Words(
        verb="Cancel",
        doing="Cancelling",
        done="asked to stop",
        icon="stop",
        about="Runs that wait end at once. The processes of those under way are told to stop.",
        dangerous=True,
    ),
    choosing.RETRY: Words(
        verb="Retry",
        doing="Retrying",
        done="retried",
        icon="retry",
        about="Each run that has ended gets a new one, with its parameters.",
        asks_whole=True,
    ),
    choosing.PAUSE: Words(
        verb="Pause",
        doing="Pausing",
        done="asked to wait",
        icon="pause",
        about="Each run whose code runs waits at its next call of a task or a flow, until it is resumed.",
    ),
    choosing.RESUME: Words(
        verb="Resume",
        doing="Resuming",
        done="resumed",
        icon="play",
        about="Runs that wait go on. Those that ask people for something are left to them.",
    ),
    choosing.DELETE: Words(
        verb="Delete",
        doing="Deleting",
        done="deleted",
        icon="trash",
        about="Runs that have ended go for good, with all that they told and made: nothing brings them back.",
        dangerous=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Button:
    """One kind that somebody may ask for."""

    kind: str
    words: Words


def buttons(by: Actor) -> list[Button]:
    """Those that the actor may ask for, in the order of the table."""
    return [Button(str(kind), words) for kind, words in KINDS.items() if can(by, choosing.VERBS[kind])]


STATES = {
    BulkOperation.State.WAITING: ("SCHEDULED", "Waiting"),
    BulkOperation.State.RUNNING: ("RUNNING", "Running"),
    BulkOperation.State.COMPLETED: ("COMPLETED", "Completed"),
    BulkOperation.State.CANCELLED: ("CANCELLED", "Stopped"),
    BulkOperation.State.FAILED: ("FAILED", "Failed"),
}
"""Each state as the type of state whose mark it has, and its name."""
UNDONE = ("CANCELLED", "Undone")


def state_of(operation: BulkOperation) -> tuple[str, str]:
    """How far an operation is, as a type of state and a name."""
    if operation.state == BulkOperation.State.CANCELLED and operation.started_at is None:
        return UNDONE
    return STATES[BulkOperation.State(operation.state)]


LABELS = {
    "state": "State",
    "flow": "Flow",
    "deployment": "Deployment",
    "deployment_version": "Version of the deployment",
    "version": "Version",
    "name": "Name has",
    "text": "Name or flow has",
    "tag": "Tag",
    "origin": "Origin",
    "created_by": "Started by",
    "parent": "Called by",
    "root": "Of the execution",
    "retry_of": "Retry of",
    "backfill": "Of the backfill",
    "idempotency_key": "Idempotency key",
    "concurrency_key": "Key",
    "since": "Made from",
    "until": "Made before",
    "expected_since": "Expected from",
    "expected_until": "Expected before",
    "started_since": "Started from",
    "started_until": "Started before",
    "ended_since": "Ended from",
    "ended_until": "Ended before",
}
UNTOLD = {"id", "subflows"}
"""What is told otherwise: how many runs are chosen, and that subflows go with the runs that called them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that runs have to be; a time where it is one."""

    label: str
    text: str
    at: datetime | None = None


def conditions(filter: Filter, *, deployment: str = "") -> list[Condition]:
    """A filter in words; `deployment` is what its deployment is called now."""
    named = filter | {"deployment": deployment} if deployment else filter
    told = [Condition("Runs", f"{number:,} chosen")] if (number := len(chosen_ids(filter))) else []
    return told + [_condition(name, value) for name, value in named.items() if name not in UNTOLD]


def chosen_ids(filter: Filter) -> list[str]:
    """The runs that a filter names."""
    return [id for id in ",".join(words_of(filter.get("id", ""))).split(",") if id]


def _condition(name: str, value: Any) -> Condition:
    text = ", ".join(words_of(value))
    at = _time(text) if name.endswith(("since", "until")) else None
    shown = ", ".join(state.capitalize() for state in text.split(", ")) if name == "state" else text
    return Condition(LABELS.get(name, name), shown, at)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
