"""What happened, as rows of `event`, written in the very transaction in which it happened.

One statement writes the events of a whole batch and, of the automations that wait for such an event, their firings:
each event fires an automation once, because its id is in the firing's key. A workspace without automations pays one
look into an index. What is fired is told later, by workers (`runs/automations/`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils.timezone import now

from orchestrator.ids import uuid7
from orchestrator.states import StateType, default_name
from runs.statements import Statement, run_together
from tenants.database import ORGANIZATION
from tenants.models import Organization

if TYPE_CHECKING:
    from runs.transitions import RunRow

MAX_MESSAGE = 500  # characters of a state's message that its event repeats

# States that have an event of their own; all others are known by their type: `flow-run.failed`.
OWN_EVENTS = {"Late": "late", "AwaitingRetry": "awaiting-retry", "Unreachable": "unreachable"}
RUN_EVENTS = tuple(f"flow-run.{word}" for word in [*(type.value.lower() for type in StateType), *OWN_EVENTS.values()])
OTHER_EVENTS = ("agent.gone", "agent.back", "deployment.created", "deployment.updated", "schedule.refused")
KNOWN_EVENTS = RUN_EVENTS + OTHER_EVENTS

Row = tuple[UUID, UUID, UUID | None, int, date, datetime, str, str, str]
"""One event: its id, workspace, run, retention, bucket, time, name, and resource and payload as JSON."""

# What a trigger asks for is a list of JSON, and what it does not ask for is not there. LATERAL … LIMIT 1 asks an index
# once a row, whatever the planner believes of the tables' sizes; so does CASE, where row-level security would let no
# index be asked for what coalesce() answers, because that is not called leakproof.
_WRITE = f"""
    WITH n AS MATERIALIZED (
        SELECT *, (resource->>'deployment')::uuid AS deployment_id, (resource->>'agent')::uuid AS agent_id FROM unnest(
            %s::uuid[], %s::uuid[], %s::uuid[], %s::smallint[], %s::date[], %s::timestamptz[], %s::text[], %s::jsonb[],
            %s::jsonb[]
        ) n (id, workspace_id, run_id, retention, bucket, t, event, resource, payload)
    ), written AS (
        INSERT INTO event (organization_id, retention, bucket, id, workspace_id, run_id, t, event, resource, payload)
        SELECT {ORGANIZATION}, retention, bucket, id, workspace_id, run_id, t, event, resource, payload FROM n
    )
    INSERT INTO automation_firing (
        organization_id, id, workspace_id, automation_id, event_id, event, run_id, at, cause)
    SELECT {ORGANIZATION}, gen_random_uuid(), n.workspace_id, a.id, n.id, n.event, n.run_id, %s,
        jsonb_strip_nulls(jsonb_build_object(
            'run', r.name, 'flow', f.name, 'deployment', d.name, 'agent', g.name, 'pool', p.name,
            'at', to_json(n.t))) || coalesce(n.payload, '{{}}'::jsonb)
    FROM n
    JOIN automation a ON a.workspace_id = n.workspace_id AND a.enabled AND n.event = ANY (a.events)
    LEFT JOIN LATERAL (SELECT * FROM flow_run WHERE id = n.run_id LIMIT 1) r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM deployment WHERE id = CASE WHEN r.id IS NULL THEN n.deployment_id ELSE r.deployment_id END LIMIT 1
    ) d ON true
    LEFT JOIN LATERAL (
        SELECT * FROM flow WHERE id = CASE WHEN r.id IS NULL THEN d.flow_id ELSE r.flow_id END LIMIT 1
    ) f ON true
    LEFT JOIN LATERAL (SELECT * FROM agent WHERE id = n.agent_id LIMIT 1) g ON true
    LEFT JOIN LATERAL (
        SELECT * FROM work_pool WHERE id = CASE WHEN r.id IS NULL THEN g.pool_id ELSE r.pool_id END LIMIT 1
    ) p ON true
    WHERE (NOT a.trigger ? 'flows' OR a.trigger->'flows' ? f.name)
        AND (NOT a.trigger ? 'deployments' OR a.trigger->'deployments' ? (f.name || '/' || d.name))
        AND (NOT a.trigger ? 'pools' OR a.trigger->'pools' ? p.name)
        AND (NOT a.trigger ? 'states' OR a.trigger->'states' ? (n.payload->>'name'))
        AND (a.name_like = '' OR r.name LIKE a.name_like)
        AND (NOT a.trigger ? 'tags' OR CASE a.trigger->>'match_tags'
            WHEN 'all' THEN to_jsonb(coalesce(r.tags, d.tags)) @> (a.trigger->'tags')
            ELSE a.trigger->'tags' ?| coalesce(r.tags, d.tags)::text[] END)
    ON CONFLICT DO NOTHING
"""


def writing(rows: list[Row]) -> list[Statement]:
    """The statement that writes these events and fires what waits for them; none for none."""
    return [(_WRITE, [*map(list, zip(*rows, strict=True)), now()])] if rows else []


def of_runs(rows: Iterable[RunRow]) -> list[Row]:
    """The events of all states that runs have newly passed through."""
    return [
        _of_state((row.id, row.workspace_id, row.retention, row.bucket), datetime.fromtimestamp(at / 1e6, UTC), *state)
        for row in rows for at, *state in row.new_states
    ]  # fmt: skip


def of_ended(rows: Iterable[tuple]) -> list[Row]:
    """The events of subflows that ended with their root, from what the statement that ended them answers."""
    return [_of_state(row[:4], row[5], row[4], "", *row[6:]) for row in rows]


def _of_state(place: tuple, at: datetime, type: str, name: str, message: str | None, attempt: int) -> Row:
    id, workspace_id, retention, bucket = place
    payload: dict[str, Any] = {"state": type, "name": name or default_name(StateType(type)), "attempt": attempt}
    if message:
        payload["message"] = message[:MAX_MESSAGE]
    resource = json.dumps({"flow-run": str(id)})
    event = event_of(type, name)
    return (uuid7(), workspace_id, id, retention, bucket, at, event, resource, json.dumps(payload))


def event_of(type: str, name: str) -> str:
    """The name of the event of a run's state.

    >>> event_of("FAILED", "TimedOut"), event_of("SCHEDULED", "Late")
    ('flow-run.failed', 'flow-run.late')
    """
    return f"flow-run.{OWN_EVENTS.get(name, type.lower())}"


def tell(*, workspace_id: UUID, event: str, organization_id: UUID, resources: Iterable[dict[str, str]]) -> None:
    """Write an event about each of some things that are no runs, in the current transaction.

    Args:
        resources: What it is about: {"agent": id}.
    """
    retention = Organization.objects.values_list("retention", flat=True).get(id=organization_id)
    at = now()
    rows: list[Row] = [
        (uuid7(), workspace_id, None, retention, at.date(), at, event, json.dumps(resource), "{}")
        for resource in resources
    ]
    run_together(writing(rows))
