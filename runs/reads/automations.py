"""What the pages of automations show: the list, and the log of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from blocks.models import Block
from runs.automations import wording
from runs.automations.definitions import BLOCK_TYPES
from runs.automations.edit import MAX_AUTOMATIONS, in_workspace
from runs.deployments import in_workspace as deployments_of
from runs.events import KNOWN_EVENTS
from runs.hidden import hidden_deployments
from runs.models import Automation, Firing, FlowRun, Notification
from tenants.cursors import newest
from tenants.permissions import Actor

PAGE = 50
TESTS = 3  # shown above the log
MAX_BLOCKS = MAX_DEPLOYMENTS = 500
_NARROWED = (
    ("flows", "flow"), ("deployments", "deployment"), ("pools", "pool"), ("states", "state"), ("tags", "tag"),
    ("resources", "of"),
)  # fmt: skip


def rows(by: Actor) -> list[Automation]:
    """The workspace's automations that the actor may see, by name, each with when it fired last."""
    last = Firing.objects.filter(automation=OuterRef("pk"), organization=OuterRef("organization")).order_by(
        "-at", "-id"
    )
    own = in_workspace(by).order_by("name")
    return list(own.annotate(last_fired=Subquery(last.values("at")[:1]))[:MAX_AUTOMATIONS])


def when(trigger: dict[str, Any]) -> str:
    """A trigger in words.

    >>> when({"events": ["flow-run.failed", "flow-run.crashed"], "flows": ["etl"], "tags": ["prod", "eu"]})
    'A run failed or crashed: flow etl; tag prod or eu'
    >>> when({"events": ["order.*", "agent.gone"], "resources": ["order.17"]})
    'The event order.*, An agent is gone: of order.17'
    """
    kinds: dict[str, list[str]] = {}
    for event in trigger.get("events", []):
        kind = event.partition(".")[0] if event in KNOWN_EVENTS else "event"
        kinds.setdefault(kind, []).append(wording.does(event))
    told = ", ".join(f"{_A.get(kind, kind)} {' or '.join(words)}" for kind, words in kinds.items())
    narrowed = [f"{word} {_joined(trigger, name)}" for name, word in _NARROWED if trigger.get(name)]
    if trigger.get("run_name"):
        narrowed.append(f"named {trigger['run_name']}")
    return f"{told}: {'; '.join(narrowed)}" if narrowed else told


_A = {
    "event": "The event",
    "flow-run": "A run",
    "agent": "An agent",
    "deployment": "A deployment",
    "schedule": "A schedule was",
}


def _joined(trigger: dict[str, Any], name: str) -> str:
    between = " and " if name == "tags" and trigger.get("match_tags") == "all" else " or "
    shown = trigger[name][:5]
    return between.join(shown) + (f" … ({len(trigger[name])})" if len(trigger[name]) > len(shown) else "")


def then(action: dict[str, Any]) -> str:
    """An action in words.

    >>> then({"to": ["ada@example.com"]}), then({"block": "slack-webhook/ops"})
    ('Mail to ada@example.com', 'Tell slack-webhook/ops')
    >>> then({"run": {"deployment": "etl/nightly"}})
    'Run etl/nightly'
    """
    if action.get("run"):
        return f"Run {action['run']['deployment']}"
    if action.get("block"):
        return f"Tell {action['block']}"
    to = action.get("to", [])
    return f"Mail to {', '.join(to[:3])}{f' and {len(to) - 3} more' if len(to) > 3 else ''}"


@dataclass(frozen=True, slots=True)
class Log:
    """A page of what fired, newest first, and the last tests."""

    rows: list[Firing]
    next: str | None
    tests: list[Notification]


def log(automation: Automation, *, cursor: str, by: Actor) -> Log:
    """What an automation did.

    Raises:
        Invalid: The cursor is none of ours.
    """
    fired = Firing.objects.filter(automation=automation).select_related("notification")
    found, following = newest(fired, by="at", cursor=cursor, limit=PAGE)
    runs = _runs([firing.notification.run_id for firing in found if firing.notification], by)
    for firing in found:
        firing.headline = wording.headline(firing.event, firing.cause)
        firing.triggered = runs.get(firing.notification.run_id) if firing.notification else None
    tests = Notification.objects.filter(automation=automation, is_test=True).order_by("-created_at", "-id")
    return Log(found, following, [] if cursor else list(tests[:TESTS]))


def _runs(ids: Iterable[UUID | None], by: Actor) -> dict[UUID | None, FlowRun]:
    """Those that were triggered, as far as they are there and the actor may see them."""
    if not (wanted := {id for id in ids if id}):
        return {}
    rows = FlowRun.objects.filter(workspace_id=by.workspace_id, id__in=wanted).without(hidden_deployments(by))
    return {run.id: run for run in rows.only("name", "state_type", "state_name")}


def runnable(by: Actor) -> list[str]:
    """The deployments that the actor may run, as flow/name."""
    own = deployments_of(by).allowing(by, "runs.trigger").order_by("flow__name", "name")
    return [f"{flow}/{name}" for flow, name in own.values_list("flow__name", "name")[:MAX_DEPLOYMENTS]]


def telling_blocks(by: Actor) -> list[str]:
    """The blocks by which an automation can tell, and which the actor may use, as type/name."""
    own = Block.objects.filter(workspace_id=by.workspace_id, type__in=BLOCK_TYPES).allowing(by, "blocks.use")
    own = own.order_by("type", "name")
    return [f"{type}/{name}" for type, name in own.values_list("type", "name")[:MAX_BLOCKS]]
