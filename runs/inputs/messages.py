"""Messages to runs: rows in the order in which they came, read by kind, as often as somebody asks."""

from __future__ import annotations

from typing import Any

from django.db.models import Max

from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_INPUT, MAX_KEY, encode
from runs.hidden import check_run
from runs.inputs import doorbell
from runs.models import FlowRun, RunMessage
from runs.partitions import kept_until
from runs.transitions import lock_root
from tenants import audit
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor

MAX_MESSAGES = 10_000  # of one run
PAGE = 100


def send(run: FlowRun, *, key: str, value: Any, sender: str = "", by: Actor) -> RunMessage:
    """Put a message into a run's mailbox, and wake it if it waits.

    Raises:
        Conflict: The run has ended, or its mailbox is full.
        Invalid: The key or the value can't be taken.
    """
    check_run(run, by, "runs.answer")
    if not 0 < len(key) <= MAX_KEY:
        raise Invalid("A message needs a key.", fields={"key": f"1 to {MAX_KEY} characters."})
    value = json_value(value)
    if len(encode(value)) > MAX_INPUT:
        raise Invalid("The message is too large.", fields={"value": f"{MAX_INPUT >> 10} KiB of JSON at most."})
    root = lock_root(run.root_id)  # Numbers are given one after the other.
    if root.is_final or run.is_final:
        raise Conflict(f"The run has ended already ({run.state_name}): nobody would read it.")
    last = RunMessage.objects.filter(run=run).aggregate(last=Max("number"))["last"] or 0
    if last >= MAX_MESSAGES:
        raise Conflict(f"The run was sent {MAX_MESSAGES:,} messages: no more can be taken.")
    message = RunMessage.objects.create(
        organization_id=by.organization_id, workspace_id=run.workspace_id, run=run, number=last + 1,
        key=clean_text(key), sender=clean_text(sender, 254) or _name(by), value=value,
        keep_until=kept_until((run.retention, run.bucket)),
    )  # fmt: skip
    if by.kind != "run":
        audit.record(by, "run.messaged", run, name=run.name, details={"key": key})
    doorbell.ring([root.id])
    return message


def _name(by: Actor) -> str:
    return f"flow-run.{by.run_id}" if by.run_id else clean_text(by.label, 254)


def after(run: FlowRun, *, key: str, number: int, limit: int = PAGE) -> list[RunMessage]:
    """The next messages of a kind; of all kinds, where the key is empty."""
    rows = RunMessage.objects.filter(run=run, number__gt=number)
    return list((rows.filter(key=key) if key else rows).order_by("number")[:limit])
