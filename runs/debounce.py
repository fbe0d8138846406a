"""Triggers that follow each other closely become one run: which run waits for them, and how one more moves it.

Who triggers holds the lock of the deployment's key until it commits, so at most one run gathers triggers. Only a run
that is not due is moved, under its own lock: a claim takes none of these.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.timezone import now

from orchestrator.debouncing import Debounce, debounce_of
from orchestrator.states import StateType
from runs.models import Deployment, FlowRun, FoldedTrigger
from tenants.errors import Invalid
from tenants.permissions import Actor
from tenants.turns import take_turn

LAST_WINS = (
    "parameters", "secrets", "job_variables", "tags", "version", "deployment_version", "queue_id",
    "priority", "concurrency_key", "created_by", "retries", "retry_delay", "crash_retries",
    "origin", "caused_by",
)  # fmt: skip


def asked_of(
    deployment: Deployment,
    seconds: float | None,
    key: str | None,
    longest: float | None = None,
    *,
    scheduled_at: datetime | None = None,
) -> Debounce | None:
    """How a trigger is gathered: as it says, or as its deployment does where it names no window and no time."""
    return debounce_of(seconds, key, longest, deployment.debounce if scheduled_at is None else None)


def check(debounce: Debounce, scheduled_at: datetime | None) -> None:
    """Refuse a window that can't be.

    Raises:
        Invalid: Its length, its key, or a time of its own besides.
    """
    wrong = debounce.wrong()
    if scheduled_at is not None:
        wrong["scheduled_at"] = "A debounced run starts when its triggers have gone quiet. Leave the time out."
    if wrong:
        raise Invalid("It can't be debounced like this.", fields=wrong)


def lock(deployment: Deployment, debounce: Debounce) -> None:
    """Let those who trigger with one key do so one after another."""
    take_turn(f"debounce {deployment.organization_id} {deployment.id} {debounce.key}")


def times(debounce: Debounce) -> tuple[datetime, datetime]:
    """When a run starts that is triggered now, and until when it can be postponed."""
    at = now()
    return at + timedelta(seconds=min(debounce.seconds, debounce.in_all)), at + timedelta(seconds=debounce.in_all)


def became(key: str | None, by: Actor) -> FlowRun | None:
    """The run that a trigger with this idempotency key has become part of."""
    if not key:
        return None
    folded = FoldedTrigger.objects.filter(workspace_id=by.workspace_id, idempotency_key=key)
    return next((each.run for each in folded.select_related("run")), None)


def waiting(deployment: Deployment, debounce: Debounce) -> FlowRun | None:
    """The run that gathers triggers, locked; none, when the next trigger makes one."""
    rows = FlowRun.objects.filter(
        deployment_id=deployment.id, debounce_key=debounce.key, state_type=StateType.SCHEDULED, attempt=0,
        due_at__gt=now(),
    )  # fmt: skip
    return rows.order_by("-due_at").select_for_update(no_key=True).first()


def fold(run: FlowRun, wanted: FlowRun, *, named: bool) -> None:
    """Let the run be what was wanted last, and begin that much later."""
    for name in LAST_WINS:
        setattr(run, name, getattr(wanted, name))
    run.name = wanted.name if named else run.name
    run.debounced += 1
    run.due_at = run.scheduled_at = min(wanted.due_at, run.debounce_until)
    run.save(update_fields=[*LAST_WINS, "name", "debounced", "due_at", "scheduled_at"])
    if wanted.idempotency_key:
        own = {"organization_id": run.organization_id, "workspace_id": run.workspace_id, "run": run}
        key = FoldedTrigger(**own, idempotency_key=wanted.idempotency_key)
        FoldedTrigger.objects.bulk_create([key], ignore_conflicts=True)  # Another key's trigger may have it just now.
