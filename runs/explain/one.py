"""One run, explained to one reader."""

from __future__ import annotations

import msgspec

from orchestrator.causes import Cause, Code, Explanation, Thing, cause
from orchestrator.states import StateType
from runs.explain.details import filled_in
from runs.explain.due import held_back
from runs.explain.ground import survey
from runs.explain.held import holder_waits
from runs.explain.places import before, expected
from runs.explain.reader import Reader
from runs.models import FlowRun
from tenants.permissions import Actor


def explain(run: FlowRun, *, by: Actor) -> Explanation:
    """Why a run waits, for somebody who may see it; nothing, for one that has ended or is going on."""
    reader = Reader(by)
    if run.is_final:
        return Explanation()
    if not run.is_root:
        return _through_its_root(run, reader)
    return _of_root(run, reader)


def _of_root(run: FlowRun, reader: Reader) -> Explanation:
    if run.state_type != StateType.SCHEDULED:
        return Explanation(causes=holder_waits(run, reader))
    if run.pool is None or run.queue is None:  # Its own process begins the next execution.
        return Explanation(causes=[cause(Code.RETRY_DELAY, since=run.state_at, until=run.due_at)])
    return _scheduled(run, reader)


def _scheduled(run: FlowRun, reader: Reader) -> Explanation:
    ground = survey([run])
    causes: list[Cause] = held_back(run, ground, reader)
    is_due = run.due_at is not None and run.due_at <= ground.at
    number = before(run, ground) if is_due else None
    at, why = expected(run, causes, number, ground)
    return Explanation(
        causes=filled_in(causes, run, ground, reader), before=number, expected_at=at, estimate=why,
    )  # fmt: skip


def _through_its_root(run: FlowRun, reader: Reader) -> Explanation:
    """A subflow has no lease of its own: it waits for what its root waits for."""
    rows = FlowRun.objects.select_related("flow", "deployment__flow", "deployment__pool", "pool", "queue")
    root = rows.filter(id=run.root_id).first()
    told = _of_root(root, reader) if root and not root.is_final else Explanation()
    if root is None or not told.causes:
        return told
    part = cause(Code.PART_OF, root=root.name, things=[Thing("flow-run", root.id, root.name, f"runs/{root.id}")])
    return msgspec.structs.replace(told, causes=[part, *told.causes])
