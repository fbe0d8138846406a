"""The chain of retries that a run is in."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from runs.hidden import hidden_deployments
from runs.models import FlowRun
from tenants.permissions import Actor

MAX_CHAIN = 100

_BEFORE = """
    WITH RECURSIVE before AS (
        SELECT r.id, r.retry_of, 0 AS step FROM flow_run r WHERE r.id = %s
        UNION ALL
        SELECT r.id, r.retry_of, b.step + 1 FROM before b JOIN flow_run r ON r.id = b.retry_of WHERE b.step < %s
    )
    SELECT id FROM before WHERE step > 0 ORDER BY step DESC
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """The runs that were retried by this one, the first one first; and those that retry it, oldest first."""

    before: list[FlowRun]
    after: list[FlowRun]

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def chain(run: FlowRun, by: Actor) -> Chain:
    """The chain of a run, as far as the actor may see it and it is still there; 100 in each direction at most."""
    seen = FlowRun.objects.filter(workspace_id=run.workspace_id).without(hidden_deployments(by))
    shown = seen.defer("history", "parameters", "error")
    after = shown.filter(retry_of=run.id).order_by("-created_at", "-id")[:MAX_CHAIN]
    before: list[FlowRun] = []
    if run.retry_of:
        with connection.cursor() as cursor:
            cursor.execute(_BEFORE, [run.id, MAX_CHAIN])
            ids = [id for (id,) in cursor.fetchall()]
        found = shown.in_bulk(ids)
        before = [found[id] for id in ids if id in found]
    return Chain(before, list(after)[::-1])
