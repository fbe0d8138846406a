"""What holds back a run that waits in its queue: the conditions of a claim, each by its own code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.agent_messages import SERVED
from orchestrator.causes import PARTED, Cause, Code, Thing, cause, debounced, number, start_command, times, under_way
from runs.explain.ground import Full, Ground, runs_python, serves, version
from runs.explain.reader import Reader
from runs.models import Agent, FlowRun, WorkQueue


def held_back(run: FlowRun, ground: Ground, reader: Reader) -> list[Cause]:
    """Why a SCHEDULED run of a pool is not handed out, the cause that decides first.

    A run that is not due is told what else would hold it back at its time, as far as that can be known now.
    """
    queue = ground.queues[run.queue_id]
    if run.start_by is not None and run.start_by <= ground.at and run.started_at is None:
        return [cause(Code.TOO_LATE, since=run.start_by, by=f"{run.start_by:%Y-%m-%d %H:%M:%S}")]
    causes = [*_time(run, ground), *_paused(run, queue, reader), *_agents(run, queue, ground, reader)]
    if run.due_at is None or run.due_at > ground.at:
        return causes
    causes += _limits(run, queue, ground, reader)
    if PARTED.isdisjoint(each.code for each in causes):
        causes += _busy(run, queue, ground, reader)
    return causes or [cause(Code.NEXT_CLAIM)]


def _time(run: FlowRun, ground: Ground) -> Iterator[Cause]:
    if run.due_at is None or run.due_at <= ground.at:
        return
    if run.state_name == "AwaitingRetry":
        yield cause(Code.RETRY_DELAY, since=run.state_at, until=run.due_at)
    elif run.claims_lost:
        yield cause(Code.GIVEN_BACK, since=run.state_at, until=run.due_at, times=times(run.claims_lost))
    elif run.debounce_until is not None and not run.attempt:
        yield debounced(run.due_at, run.debounce_until, run.debounced)
    else:
        yield cause(Code.NOT_DUE, until=run.due_at)


def _paused(run: FlowRun, queue: WorkQueue, reader: Reader) -> Iterator[Cause]:
    pool = run.pool
    if pool.paused:
        action = reader.may("pools.edit", pool, "Resume the pool", f"pools/{pool.id}", f"pools/{pool.id}/resume")
        yield cause(Code.POOL_PAUSED, things=reader.pool(pool), action=action, pool=reader.name_of(pool), by="")
    if queue.paused:
        action = reader.may("pools.edit", pool, "Resume the queue", f"pools/{pool.id}", f"queues/{queue.id}/resume")
        names = {"pool": reader.name_of(pool), "queue": reader.queue_name(queue, pool)}
        yield cause(Code.QUEUE_PAUSED, things=reader.queue(queue, pool), action=action, by="", **names)


def _agents(run: FlowRun, queue: WorkQueue, ground: Ground, reader: Reader) -> Iterator[Cause]:
    """Why no agent that is heard of takes it; nothing, if one does."""
    pool, connected = run.pool, ground.connected(run.pool_id)
    serving = [agent for agent in connected if serves(agent, queue.name)]
    if serving and not any(runs_python(agent, _python(run)) for agent in serving):
        found = ", ".join(sorted({version(agent) for agent in serving}))
        yield cause(Code.OTHER_PYTHON, things=reader.pool(pool), python=_python(run), found=found)
    if serving:
        return
    action = reader.may("pools.view", pool, "Look at its agents", f"pools/{pool.id}")
    told: dict[str, Any] = {"things": reader.pool(pool), "action": action, "pool": reader.name_of(pool)}
    command = _command(run, reader)
    last = next(iter(ground.agents.get(run.pool_id, ())), None)
    if queue.name.startswith(SERVED):
        yield cause(Code.NOT_SERVED, since=_served_last(queue, ground), **told)
    elif connected:
        told |= {"things": reader.queue(queue, pool), "queue": reader.queue_name(queue, pool)}
        yield cause(Code.QUEUE_NOT_SERVED, **told, command=_command(run, reader, queue.name))
    elif last is None:
        yield cause(Code.NO_AGENT, since=pool.created_at, **told, command=command)
    else:
        told["things"] = [*reader.agent(last, pool), *told["things"]]
        yield cause(Code.AGENTS_LOST, since=last.last_seen_at, **told, agent=_name(last, run, reader), command=command)


def _python(run: FlowRun) -> str:
    return run.deployment.python if run.deployment else ""


def _command(run: FlowRun, reader: Reader, queue: str = "") -> str:
    return start_command(run.pool.name, queue) if reader.sees(run.pool) else "an owner of the workspace knows how."


def _name(agent: Agent, run: FlowRun, reader: Reader) -> str:
    return agent.name if reader.sees(run.pool) else "one that you may not see"


def _served_last(queue: WorkQueue, ground: Ground) -> datetime | None:
    """When a process that served the queue was heard of last."""
    return next((each.last_seen_at for each in ground.agents.get(queue.pool_id, ()) if serves(each, queue.name)), None)


def _limits(run: FlowRun, queue: WorkQueue, ground: Ground, reader: Reader) -> Iterator[Cause]:
    """The limits of which no slot is free."""
    pool, deployment = run.pool, run.deployment
    names = {"pool": reader.name_of(pool), "queue": reader.queue_name(queue, pool), "deployment": _full_name(run)}
    if full := ground.full.get(pool.id):
        action = reader.may("pools.edit", pool, "Change the limit", f"pools/{pool.id}/edit")
        yield cause(Code.POOL_LIMIT, things=reader.pool(pool), action=action, **_used(full), **names)
    if full := ground.full.get(queue.id):
        action = reader.may("pools.edit", pool, "Change the limit", f"queues/{queue.id}")
        yield cause(Code.QUEUE_LIMIT, things=reader.queue(queue, pool), action=action, **_used(full), **names)
    if deployment and (full := ground.full.get(deployment.id)):
        things = [Thing("deployment", deployment.id, _full_name(run), f"deployments/{deployment.id}")]
        yield cause(Code.DEPLOYMENT_LIMIT, things=things, **_used(full), **names)
    if deployment and (full := ground.full_keys.get((deployment.id, run.concurrency_key))):
        things = [Thing("deployment", deployment.id, _full_name(run), f"deployments/{deployment.id}")]
        yield cause(Code.KEY_LIMIT, things=things, key=run.concurrency_key, **_used(full), **names)
    if full := ground.full.get(run.organization_id):
        yield cause(Code.ORGANIZATION_LIMIT, **_used(full))


def _full_name(run: FlowRun) -> str:
    return f"{run.flow.name}/{run.deployment.name}" if run.deployment else ""


def _used(full: Full) -> dict[str, Any]:
    return {"slots": number(full.slots, "run"), "used": under_way(full.used)}


def limits_of(run: FlowRun, ground: Ground) -> dict[Code, UUID]:
    """The limits that hold a run back, by the code that says so."""
    targets = {
        Code.POOL_LIMIT: run.pool_id, Code.QUEUE_LIMIT: run.queue_id, Code.DEPLOYMENT_LIMIT: run.deployment_id,
        Code.ORGANIZATION_LIMIT: run.organization_id,
    }  # fmt: skip
    found = {code: ground.full[target].id for code, target in targets.items() if target in ground.full}
    own = ground.full_keys.get((run.deployment_id, run.concurrency_key)) if run.deployment_id else None
    return found | ({Code.KEY_LIMIT: own.id} if own else {})


def _busy(run: FlowRun, queue: WorkQueue, ground: Ground, reader: Reader) -> Iterator[Cause]:
    pool = run.pool
    fit = [a for a in ground.connected(pool.id) if serves(a, queue.name) and runs_python(a, _python(run))]
    if not all(ground.is_busy(agent) for agent in fit):
        return
    things = [thing for agent in fit[:3] for thing in reader.agent(agent, pool)]
    action = reader.may("pools.view", pool, "Look at its agents", f"pools/{pool.id}")
    slots = number(sum(agent.slots for agent in fit), "slot")
    yield cause(Code.AGENTS_BUSY, things=things, action=action, slots=slots, command=_command(run, reader))
