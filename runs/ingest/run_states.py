"""States of flow runs as their holder tells them, and the runs that a holder made: local roots and subflows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from orchestrator.cleaned import clean_tags, error_of, parameters_of, stored_at
from orchestrator.states import By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_MESSAGE, MAX_NAME, About, RunState
from runs import claims
from runs.ingest.reading import Part
from runs.ingest.streams import OpenStream
from runs.models import Attempt, FlowRun, Lease
from runs.partitions import fix_partition
from runs.transitions import RunRow, from_micros, lock_runs, move
from runs.trigger import flow_ids, insert_runs
from runs.usage.counting import execution_of, is_counted
from tenants.keys import digest
from tenants.permissions import Actor

MAX_COMMIT = 64


def create_local_roots(parts: Iterable[Part], actor: Actor, received: datetime) -> dict[UUID, RunRow]:
    """Make the runs that their clients began by themselves, each with its first attempt and lease.

    Two clients that chose the same id: the first one's token counts, the other is answered like any wrong token.
    """
    made = [(part, part.entries[0].about) for part in sorted(parts, key=lambda part: part.head.root)]
    if not made:
        return {}
    flows = flow_ids(actor, {_name(about.flow) for _, about in made})
    retention, bucket = fix_partition(actor.organization_id, received)
    rows = [
        _new_run(part.entries[0], about, actor, flows, id=part.head.root, root_id=part.head.root,
                 origin=FlowRun.Origin.LOCAL, retention=retention, bucket=bucket, at=received)
        for part, about in made
    ]  # fmt: skip
    inserted = insert_runs(rows, ignore_known=True)
    _hold([(part, about) for part, about in made if part.head.root in inserted], actor, received)
    return lock_runs([part.head.root for part, _ in made])


def _hold(made: list[tuple[Part, About]], actor: Actor, received: datetime) -> None:
    expires_at = received + timedelta(seconds=settings.LEASE_SECONDS)
    common = {"organization_id": actor.organization_id}
    Attempt.objects.bulk_create(
        Attempt(
            **common, run_id=part.head.root, number=1, token_hash=digest(part.head.token), created_at=received,
            host=clean_text(about.host, 255), sdk=clean_text(about.sdk, 40), key_id=actor.key_id,
        )
        for part, about in made
    )  # fmt: skip
    Lease.objects.bulk_create(
        Lease(**common, run_id=part.head.root, attempt=1, expires_at=expires_at) for part, _ in made
    )


def load_subflows(streams: list[OpenStream], actor: Actor, received: datetime) -> dict[UUID, RunRow]:
    """The subflows that the batch speaks of: those that are there, and those that it begins."""
    roots = {stream.root.id: stream.root for stream in streams}
    named = {entry.run for stream in streams for entry in stream.entries} - roots.keys()
    if not named:
        return {}
    rows = _read(named, roots)
    begun: list[FlowRun] = []
    flows = flow_ids(actor, {_name(entry.about.flow) for entry in _beginnings(streams, rows)})
    for stream in streams:
        for entry, execution in _with_callers(stream, _beginnings([stream], rows), rows):
            root = stream.root
            begun.append(
                _new_run(entry, entry.about, actor, flows, id=entry.run, root_id=root.id, origin=FlowRun.Origin.SUBFLOW,
                         retention=root.retention, bucket=root.bucket, at=received, attempt=stream.attempt,
                         called_in=execution)
            )  # fmt: skip
    if begun:
        inserted = insert_runs(list({run.id: run for run in begun}.values()), ignore_known=True)
        rows |= _read(inserted, roots)
    return rows


def _beginnings(streams: list[OpenStream], known: dict[UUID, RunRow]) -> list[RunState]:
    return [
        entry
        for stream in streams
        if stream.part.head.writer == 0 and not stream.superseded
        for entry in stream.entries
        if isinstance(entry, RunState) and entry.about is not None and entry.run != stream.root.id
        and entry.run not in known
    ]  # fmt: skip


def _with_callers(
    stream: OpenStream, beginnings: list[RunState], known: dict[UUID, RunRow]
) -> Iterable[tuple[RunState, int]]:
    """Each beginning with the execution that called it (negative: of the root, for a caller that nobody knows)."""
    if not beginnings:
        return
    wanted = {id(entry) for entry in beginnings}
    root = stream.root.id
    current = {root: stream.root.run_count}
    current |= {run: row.run_count for run, row in known.items() if row.root_id == root}
    current |= _executions_of({entry.about.parent for entry in beginnings if entry.about} - current.keys(), root)
    for entry in stream.entries:
        if isinstance(entry, RunState):
            current[entry.run] = max(current.get(entry.run, 0), entry.run_count)
            if id(entry) in wanted:
                caller = (entry.about and entry.about.parent) or root
                known_caller = caller in current and caller != entry.run
                number = execution_of(current[caller if known_caller else root])
                yield entry, number if known_caller else -number


def _executions_of(ids: set[UUID | None], root_id: UUID) -> dict[UUID, int]:
    """How often the function was called of runs that the batch does not speak of, as callers only."""
    if not ids - {None}:
        return {}
    return dict(FlowRun.objects.filter(id__in=ids - {None}, root_id=root_id).values_list("id", "run_count"))


def _read(ids: Collection[UUID], roots: Collection[UUID]) -> dict[UUID, RunRow]:
    """Those that belong to these roots. They need no lock of their own: whoever changes them holds their root's."""
    return lock_runs(ids, of_roots=roots)


def _new_run(
    entry: RunState,
    about: About,
    actor: Actor,
    flows: dict[str, UUID],
    *,
    id: UUID,
    root_id: UUID,
    origin: str,
    retention: int,
    bucket: Any,
    at: datetime,
    attempt: int = 1,
    called_in: int = 0,
) -> FlowRun:
    """A run as its holder describes it, PENDING until the entry that began it is applied."""
    return FlowRun(
        id=id,
        organization_id=actor.organization_id,
        workspace_id=actor.workspace_id,
        flow_id=flows[_name(about.flow)],
        name=clean_text(about.name, MAX_NAME) or f"run-{str(id)[-6:]}",
        origin=origin,
        created_by=actor.label[:254],
        parameters=parameters_of(about),
        tags=clean_tags(about.tags),
        version=clean_text(about.version or "", 200),
        state_type=StateType.PENDING,
        state_name="Pending",
        state_at=at,
        root_id=root_id,
        parent_id=(about.parent or root_id) if root_id != id else None,
        parent_task_id=about.parent_task,
        attempt=attempt,
        called_in=called_in,
        retries=min(max(about.retries, 0), 10_000),
        created_at=at,
        scheduled_at=at,
        retention=retention,
        bucket=bucket,
    )


def _name(name: str) -> str:
    return clean_text(name, MAX_NAME) or "flow"


def apply_run_states(stream: OpenStream, subflows: dict[UUID, RunRow]) -> list[RunRow]:
    """Move the runs as the holder says; answer the rows that moved."""
    moved: list[RunRow] = []
    late: list[list[Any]] = []
    for entry in stream.entries:
        if not isinstance(entry, RunState):
            continue
        row = stream.root if entry.run == stream.root.id else subflows.get(entry.run)
        if stream.part.head.writer != 0:
            stream.reject(entry.seq, "not_writer_0")
        elif row is None or row.root_id != stream.root.id:
            stream.reject(entry.seq, "unknown_run")
        elif stream.superseded:
            late.append(_late(stream, entry))
            stream.reject(entry.seq, "superseded")
        elif _apply(stream, row, entry):
            moved.append(row)
        else:
            late.append(_late(stream, entry))
            stream.reject(entry.seq, "refused")
    if late:
        _note_in_attempt(stream, late)
    return moved


def _apply(stream: OpenStream, row: RunRow, entry: RunState) -> bool:
    if not row.is_root and row.attempt != stream.attempt:
        return False
    if entry.state == StateType.SCHEDULED and (row.is_local or not row.is_root):
        return False  # No agent would ever take it.
    if entry.state == row.state_type == StateType.PENDING:
        return True  # It says who it is, ahead of its first state.
    if row.is_root and row.state_type == StateType.PAUSED and not row.is_held:
        return False  # It was suspended, which ended the attempt.
    at = stream.at(entry.t)
    counted = is_counted(row)
    moved = move(
        row,
        StateType(entry.state),
        by=By.HOLDER,
        name=clean_text(entry.name, 200) if entry.name else None,
        message=clean_text(entry.message, MAX_MESSAGE) if entry.message else None,
        at=from_micros(at),
        due_at=from_micros(stream.at(entry.at)) if entry.at is not None else None,
        run_count=entry.run_count,
        duration=entry.duration or 0,
        error=error_of(entry.error),
        result=stored_at(entry.result),
    )
    if moved and entry.label:
        row.name = clean_text(entry.label, MAX_NAME)
    if moved and entry.commit and row.is_root:
        commit = clean_text(entry.commit, MAX_COMMIT)
        FlowRun.objects.filter(id=row.id).exclude(commit=commit).update(commit=commit)
    if is_counted(row) != counted:
        stream.flows.append((row, is_counted(row) - counted))
    return moved


def _late(stream: OpenStream, entry: RunState) -> list[Any]:
    return [stream.at(entry.t), entry.state, entry.name, (entry.message or "")[:MAX_MESSAGE], str(entry.run)]


def _note_in_attempt(stream: OpenStream, states: list[list[Any]]) -> None:
    """Keep states that changed nothing in the history of their own attempt: the last 100."""
    text = json.dumps(json_value(states[-100:]))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE attempt SET history = CASE WHEN jsonb_array_length(history) < 100 THEN history || %s::jsonb"
            " ELSE history END WHERE run_id = %s AND number = %s",
            [text, stream.root.id, stream.attempt],
        )


def welcome_back(streams: list[OpenStream], received: datetime) -> list[RunRow]:
    """A holder that was thought lost speaks with its token: its run goes on as before."""
    back = []
    for stream in streams:
        if not stream.superseded and claims.welcome_back(stream.root, "The holder was heard of again.", received):
            back.append(stream.root)
    return back
