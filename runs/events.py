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

from django.db import connection
from django.utils.timezone import now

from blocks.models import Block
from orchestrator.bodies import EventInput
from orchestrator.ids import uuid7
from orchestrator.states import StateType, default_name
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import encode, wrong_in_event
from runs import live
from runs.models import FlowRun
from runs.partitions import Place, fix_partition
from runs.statements import Statement, raw_cursor, run_together
from tenants import audit
from tenants.database import ORGANIZATION
from tenants.errors import Invalid
from tenants.models import AuditEntry
from tenants.permissions import Actor

if TYPE_CHECKING:
    from runs.transitions import RunRow

MAX_MESSAGE = 500  # characters of a state's message that its event repeats

# States that have an event of their own; all others are known by their type: `flow-run.failed`.
OWN_EVENTS = {"Late": "late", "AwaitingRetry": "awaiting-retry", "Unreachable": "unreachable"}
RUN_EVENTS = tuple(
    f"flow-run.{word}"
    for word in [*(type.value.lower() for type in StateType), *OWN_EVENTS.values(), "waiting", "answered"]
)
OTHER_EVENTS = ("agent.gone", "agent.back", "deployment.created", "deployment.updated", "schedule.refused")
KNOWN_EVENTS = RUN_EVENTS + OTHER_EVENTS
# Changes by people and keys that are events, too: what the trail of these kinds of things tells.
CHANGES = ("automation.", "block.", "block_type.", "deployment.", "pool.", "quarantine.", "variable.", "workspace.")
NO_CHANGES = frozenset({"block.read", "deployment.created", "deployment.updated", "automation.tested"})

Row = tuple[UUID, UUID, UUID | None, int, date, datetime, str, str, str, str | None, str | None, bool]
"""One event: its id, workspace, run, retention, bucket, time, name; its resource as JSON and by id; related resources
and payload as JSON; and whether it is of the platform itself."""

FIRING_PAYLOAD = 4 << 10  # bytes of an event's payload that its firings repeat, for what they tell

# What a trigger asks for is a list of JSON, and what it does not ask for is not there. LATERAL … LIMIT 1 asks an index
# once a row, whatever the planner believes of the tables' sizes; so does CASE, where row-level security would let no
# index be asked for what coalesce() answers, because that is not called leakproof.
_WRITE = f"""
    WITH n AS MATERIALIZED (
        SELECT *, CASE WHEN own THEN (resource->>'deployment')::uuid END AS deployment_id,
            CASE WHEN own THEN (resource->>'agent')::uuid END AS agent_id
        FROM unnest(
            %s::uuid[], %s::uuid[], %s::uuid[], %s::smallint[], %s::date[], %s::timestamptz[], %s::text[], %s::jsonb[],
            %s::text[], %s::jsonb[], %s::jsonb[], %s::boolean[]
        ) n (id, workspace_id, run_id, retention, bucket, t, event, resource, resource_id, related, payload, own)
    ), written AS (
        INSERT INTO event (
            organization_id, retention, bucket, id, workspace_id, run_id, t, event, resource, resource_id, related,
            payload)
        SELECT {ORGANIZATION}, retention, bucket, id, workspace_id, run_id, t, event, resource, resource_id, related,
            payload
        FROM n ON CONFLICT DO NOTHING
    )
    INSERT INTO automation_firing (
        organization_id, id, workspace_id, automation_id, event_id, event, run_id, at, cause)
    SELECT {ORGANIZATION}, gen_random_uuid(), n.workspace_id, a.id, n.id, n.event, n.run_id, %s,
        jsonb_strip_nulls(jsonb_build_object(
            'run', r.name, 'flow', f.name, 'deployment', d.name, 'agent', g.name, 'pool', p.name,
            'at', to_json(n.t), 'depth', (
                SELECT caused_by->'depth' FROM flow_run WHERE id = r.root_id LIMIT 1)))
        || CASE WHEN n.own THEN coalesce(n.payload, '{{}}'::jsonb) ELSE jsonb_build_object('resource', n.resource_id,
            'payload', CASE WHEN length(n.payload::text) <= {FIRING_PAYLOAD} THEN n.payload END) END
    FROM n
    JOIN automation a ON a.workspace_id = n.workspace_id AND a.enabled
        AND (n.event = ANY (a.events) OR n.event LIKE ANY (a.events_like))
        AND (a.resources_like = '{{}}' OR n.resource_id LIKE ANY (a.resources_like))
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
    place = (uuid7(), workspace_id, id, retention, bucket, at, event)
    return (*place, resource, f"flow-run.{id}", None, json.dumps(payload), True)


def event_of(type: str, name: str) -> str:
    """The name of the event of a run's state.

    >>> event_of("FAILED", "TimedOut"), event_of("SCHEDULED", "Late")
    ('flow-run.failed', 'flow-run.late')
    """
    return f"flow-run.{OWN_EVENTS.get(name, type.lower())}"


def of_input(
    event: str, *, workspace_id: UUID, run_id: UUID, place: Place, at: datetime, payload: dict[str, Any]
) -> Row:
    """The event that a run waits for people, or was answered: `flow-run.waiting`, `flow-run.answered`."""
    resource = json.dumps({"flow-run": str(run_id)})
    head = (uuid7(), workspace_id, run_id, *place, at, event)
    return (*head, resource, f"flow-run.{run_id}", None, json.dumps(payload), True)


def tell(*, workspace_id: UUID, event: str, organization_id: UUID, resources: Iterable[dict[str, str]]) -> None:
    """Write an event about each of some things that are no runs, in the current transaction.

    Args:
        resources: What it is about: {"agent": id}.
    """
    at = now()
    place = fix_partition(organization_id, at)
    rows: list[Row] = [
        (uuid7(), workspace_id, None, *place, at, event, json.dumps(resource), named_by(resource), None, "{}", True)
        for resource in resources
    ]
    run_together(writing(rows))


@audit.hears
def change(entry: AuditEntry) -> None:
    """Write a change of an object of a workspace as an event, in the transaction of the change."""
    if entry.workspace_id is None or entry.action in NO_CHANGES or not entry.action.startswith(CHANGES):
        return
    kind = entry.action.partition(".")[0]
    labels = {kind: str(entry.object_id or entry.object_name)}
    if not _is_restricted(entry):
        labels["name"] = entry.object_name
    place = fix_partition(entry.organization_id, entry.at)
    told = (uuid7(), entry.workspace_id, None, *place, entry.at, entry.action)
    payload = json.dumps({"by": entry.actor})
    # Not read as the platform's own by the query: the trail's words are not its labels.
    write([(*told, json.dumps({**labels, "id": named_by(labels)}), named_by(labels), None, payload, False)])
    live.changed(workspace_id=entry.workspace_id, what="events")


def _is_restricted(entry: AuditEntry) -> bool:
    """Whether it is about a block that is not for everybody who sees the feed: then it is not told by name."""
    own = Block.objects.filter(id=entry.object_id, restricted=True)
    return entry.object_type == Block._meta.db_table and own.exists()


def named_by(resource: dict[str, str]) -> str:
    """The id of a resource of our own, made of its kind and its id.

    >>> named_by({"agent": "0196e8a2", "pool": "eu"})
    'agent.0196e8a2'
    """
    return next((f"{kind}.{id}" for kind, id in resource.items()), "")


def of_code(
    *, id: UUID, workspace_id: UUID, run_id: UUID | None, place: Place, at: datetime, event: str,
    resource: dict[str, Any], related: list[dict[str, Any]], payload: str | None,
) -> Row:  # fmt: skip
    """An event that code tells of; `payload` is JSON."""
    labels = json_value(resource)
    return (
        id, workspace_id, run_id, *place, at, event, json.dumps(labels), labels.get("id", ""),
        json.dumps(json_value(related)) if related else None, payload, False,
    )  # fmt: skip


def write(rows: list[Row]) -> None:
    """Write events and fire what waits for them."""
    cursor = raw_cursor()
    with connection.wrap_database_errors:
        for statement, values in writing(rows):
            cursor.execute(statement, values)  # type: ignore[arg-type]


def emit(told: EventInput, *, by: Actor) -> UUID:
    """Write an event that a program tells of: outside of any run, or with the token of one; its id.

    Raises:
        Invalid: `fields` says what can't be taken.
        RateLimited: The organization's budget of journals is spent.
    """
    payload = b"" if told.payload is None else encode(told.payload)
    wrong = wrong_in_event(told.event, told.resource, told.related, payload)
    if told.occurred is not None and (told.occurred.tzinfo is None or not 2000 <= told.occurred.year < 2100):
        wrong["occurred"] = "A time of this century, ISO 8601 with a zone."
    if wrong:
        raise Invalid("The event can't be taken; see fields.", fields=wrong)
    assert by.workspace_id is not None
    at, id = now(), told.id or uuid7()
    run_id, place = _teller(by, at)
    row = of_code(
        id=id, workspace_id=by.workspace_id, run_id=run_id, place=place, at=told.occurred or at,
        event=clean_text(told.event), resource=told.resource, related=told.related,
        payload=json.dumps(json_value(told.payload)) if payload else None,
    )  # fmt: skip
    write([row])
    live.changed(workspace_id=by.workspace_id, what="events")
    return id


def _teller(by: Actor, at: datetime) -> tuple[UUID | None, Place]:
    """The run whose token tells, and where its events lie; for others none, and where events of today do."""
    runs = FlowRun.objects.filter(id=by.run_id) if by.kind == "run" else FlowRun.objects.none()
    for id, *place in runs.values_list("id", "retention", "bucket"):
        return id, (place[0], place[1])
    return None, fix_partition(by.organization_id, at)
