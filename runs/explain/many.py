"""The first cause of each run of a list, by as many queries as for one."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from orchestrator.states import StateType
from runs.explain.due import held_back
from runs.explain.ground import survey
from runs.explain.reader import Reader
from runs.models import FlowRun
from tenants.permissions import Actor


def first_causes(runs: Collection[FlowRun], *, by: Actor) -> dict[UUID, str]:
    """Of runs that are late the cause that decides, in words, by run."""
    late = [run for run in runs if run.state_type == StateType.SCHEDULED and run.state_name == "Late" and run.pool_id]
    if not late:
        return {}
    ground, reader = survey(late), Reader(by)
    return {run.id: held_back(run, ground, reader)[0].text for run in late if run.queue_id in ground.queues}
