"""Work queues are made, changed, paused and deleted; pools are changed and paused. Claims obey at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from msgspec import UNSET

from orchestrator.pool_bodies import PoolChange, QueueChange, QueueInput, wrong_of_pool
from orchestrator.states import ALIVE
from orchestrator.storable import clean_text, json_value
from runs import job_templates, limits, live
from runs.agents import DEFAULT
from runs.models import Deployment, FlowRun, WorkPool, WorkQueue
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed

MOST = 500  # queues of one pool
MAX_NAMED = 20  # deployments and runs that a refusal names
SETTINGS = ("priority", "description", "paused", "base_job_template")


def create_queue(*, pool: WorkPool, told: QueueInput, by: Actor) -> WorkQueue:
    """Make a queue of the pool.

    Raises:
        Invalid: `fields` says what can't be taken; a name that is taken, too.
        Conflict: The pool has as many as it may have.
    """
    check(told)
    check_allowed(pool, by, "pools.edit")
    if WorkQueue.objects.filter(pool=pool).count() >= MOST:
        raise Conflict(f"A pool has {MOST} queues at most. Delete one first.")
    settings = {"priority": told.priority, "description": clean_text(told.description), "paused": told.paused}
    own = {"organization_id": pool.organization_id, "workspace_id": pool.workspace_id, "pool": pool}
    try:
        with transaction.atomic():
            queue = WorkQueue.objects.create(**own, name=clean_text(told.name.strip()), **settings)
    except IntegrityError as error:
        taken = "The pool has a queue of this name. Choose another one."
        raise Invalid(taken, fields={"name": taken}) from error
    if told.concurrency_limit is not None:
        limits.set_limit(queue, told.concurrency_limit)
    audit.record(by, "queue.created", queue, details={"pool": pool.name, **settings_of(queue)})
    live.changed(workspace_id=pool.workspace_id, what="agents")
    return queue


def check(told: Any) -> None:
    """Refuse what a pool or a queue can't be told.

    Raises:
        Invalid: `fields` says what.
    """
    if fields := wrong_of_pool(told):
        [(name, text), *_] = fields.items()
        raise Invalid(f"{name}: {text}", fields=fields)


def settings_of(row: WorkPool | WorkQueue) -> dict[str, Any]:
    """What of a pool or a queue can be changed, as it is."""
    limit = limits.slots_of(limits.KINDS[type(row)], [row.id]).get(row.id)
    return {name: getattr(row, name) for name in SETTINGS if hasattr(row, name)} | {"concurrency_limit": limit}


def change(row: WorkPool | WorkQueue, *, told: PoolChange | QueueChange, by: Actor, template_shown: str = "") -> None:
    """Change a pool or a queue. Agents that wait are woken where runs may go on that could not before.

    Args:
        template_shown: The fingerprint of the base job template that who changes it has seen.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: Deployments of the pool do not fit its new base job template; `fields` says which.
        Changed: Its base job template is not the one that was seen.
    """
    check(told)
    check_allowed(row.pool if isinstance(row, WorkQueue) else row, by, "pools.edit")
    kind = limits.KINDS[type(row)].value
    type(row).objects.select_for_update(no_key=True).get(id=row.id)  # Two who change it do so in turn.
    row.refresh_from_db()
    if template_shown and isinstance(row, WorkPool) and job_templates.fingerprint(row.template) != template_shown:
        raise job_templates.Changed("Somebody has changed the job template meanwhile. Look at it, and save again.")
    before = settings_of(row)
    asked = {name: value for name in told.__struct_fields__ if (value := getattr(told, name)) is not UNSET}
    if "description" in asked:
        asked["description"] = clean_text(asked["description"])
    if "base_job_template" in asked:
        asked["base_job_template"] = json_value(asked["base_job_template"])
    changed = {name: value for name, value in asked.items() if value != before[name]}
    if not changed:
        return
    if isinstance(row, WorkPool) and "base_job_template" in changed:
        job_templates.check_change(row, changed["base_job_template"], by)
    _write(row, changed)
    was = {name: before[name] for name in changed}
    audit.record(by, f"{kind}.{_verb(changed)}", row, details={"from": was, "to": changed})
    live.changed(workspace_id=row.workspace_id, what="agents")
    if _lets_more_run(was, changed):
        limits.wake(row.pool_id if isinstance(row, WorkQueue) else row.id)


def _write(row: WorkPool | WorkQueue, changed: dict[str, Any]) -> None:
    columns = [name for name in changed if name in SETTINGS]
    for name in columns:
        setattr(row, name, changed[name])
    if columns:
        row.save(update_fields=columns)
    if "concurrency_limit" in changed:
        limits.set_limit(row, changed["concurrency_limit"])


def _verb(changed: dict[str, Any]) -> str:
    if set(changed) != {"paused"}:
        return "updated"
    return "paused" if changed["paused"] else "resumed"


def _lets_more_run(was: dict[str, Any], changed: dict[str, Any]) -> bool:
    if changed.get("paused") is False:
        return True
    if was.get("concurrency_limit") is None:
        return False
    return changed["concurrency_limit"] is None or changed["concurrency_limit"] > was["concurrency_limit"]


def set_paused(row: WorkPool | WorkQueue, *, paused: bool, by: Actor) -> None:
    """Hand out no more of its runs, or go on with it. Runs under way are left alone."""
    change(row, told=PoolChange(paused=paused), by=by)


def find(by: Actor, id: UUID) -> WorkQueue:
    """A queue of the workspace.

    Raises:
        NotFound: There is none.
    """
    queue = WorkQueue.objects.filter(id=id, workspace_id=by.workspace_id).select_related("pool").first()
    if queue is None or not queue.pool.allows(by, "pools.view"):
        raise NotFound("There is no such work queue here.")
    return queue


def delete(queue: WorkQueue, *, by: Actor) -> None:
    """Delete a queue. Runs of it that have ended stay, without saying which queue they were in.

    Raises:
        Conflict: It is the pool's default one, or deployments or runs that have not ended name it; `fields` says which.
    """
    check_allowed(queue.pool, by, "pools.edit")
    if queue.name == DEFAULT:
        raise Conflict("Every pool has a default queue: what names no other one is put there. Pause it instead.")
    # Whoever wants to put something into it in this moment waits for us, and finds that it is gone.
    list(WorkQueue.objects.select_for_update().filter(id=queue.id).values_list("id"))
    if users := _users(queue):
        raise Conflict(_refusal(queue, users), fields={"used_by": ", ".join(users)})
    audit.record(by, "queue.deleted", queue, details={"pool": queue.pool.name})
    limits.set_limit(queue, None)
    queue.delete()
    live.changed(workspace_id=queue.workspace_id, what="agents")


def _users(queue: WorkQueue) -> list[str]:
    """The deployments that name a queue, then the runs in it that have not ended; some of each."""
    deployments = Deployment.objects.filter(queue=queue).select_related("flow").order_by("flow__name", "name")
    own = FlowRun.objects.filter(workspace_id=queue.workspace_id, queue=queue, state_type__in=ALIVE)
    runs = own.order_by("-created_at").values_list("name", flat=True)
    return [f"deployment {each}" for each in deployments[:MAX_NAMED]] + [f"run {name}" for name in runs[:MAX_NAMED]]


def _refusal(queue: WorkQueue, users: list[str]) -> str:
    more = f" and {len(users) - 3} more" if len(users) > 3 else ""
    return f"The queue {queue.name} is used by {', '.join(users[:3])}{more}. Move or end these first."
