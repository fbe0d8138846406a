"""What a new run of a deployment would be like."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from orchestrator import clock, estimates
from orchestrator.bodies import EstimateInput
from orchestrator.concurrency_keys import fill
from orchestrator.ids import uuid7
from orchestrator.states import StateType
from orchestrator.testing.memory import deployments, explaining, runs
from orchestrator.testing.memory.asked import Asked
from orchestrator.testing.memory.definitions import Deployment
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.shown import PORTAL
from orchestrator.testing.memory.store import Store


def estimate(store: Store, asked: Asked, verbs: Collection[str]) -> dict[str, Any]:
    """How long a run would wait and take."""
    deployment, queue = deployments.find(store, asked.names["id"]), asked.query.get("work_queue")
    priority = asked.number("priority", 0)
    runs.check_place(store, deployment, queue, priority)
    facts, key = deployment.facts, asked.query.get("concurrency_key")
    key = key or fill(facts["concurrency_key"], facts["parameters"], facts["parameter_schema"])
    now, id = clock.now(), uuid7()
    run = Run(
        id=id, root_id=id, flow=deployment.flow, name="", origin="api", created_by="", created_at=now, state_at=now,
        state_type=StateType.SCHEDULED, state_name="Scheduled", deployment=deployment, priority=priority, key=key,
        queue=queue or facts["work_queue"], due_at=now,
    )  # fmt: skip
    return _shown(store, deployment, run, verbs)


def check(store: Store, asked: Asked, verbs: Collection[str]) -> dict[str, Any]:
    """The same, of a run with these parameters, which are checked."""
    deployment, told = deployments.find(store, asked.names["id"]), asked.read(EstimateInput)
    runs.check_place(store, deployment, told.work_queue, told.priority)
    runs.check_job_variables(store, deployment, told.job_variables, verbs)
    run = runs.draft(
        deployment, by=asked.by.label, parameters=told.parameters, tags=told.tags, priority=told.priority,
        concurrency_key=told.concurrency_key, queue=told.work_queue,
    )  # fmt: skip
    runs.check_blocks(store, run)
    return _shown(store, deployment, run, verbs)


def _shown(store: Store, deployment: Deployment, run: Run, verbs: Collection[str]) -> dict[str, Any]:
    told = explaining.of_root(store, run, verbs)
    return estimates.shown(deployment.full_name, _took(store, deployment), told, portal=PORTAL)


def _took(store: Store, deployment: Deployment) -> estimates.History:
    own = [run for run in store.runs.values() if run.deployment is deployment]
    newest = sorted(own, key=lambda run: (run.created_at, run.id), reverse=True)[: estimates.LOOKED_AT]
    ended = [run for run in newest if run.state_type == StateType.COMPLETED and run.started_at and run.ended_at]
    took = [((run.ended_at or 0) - (run.started_at or 0)) / 1e6 for run in ended]
    return estimates.history_of(took[: estimates.LAST])
