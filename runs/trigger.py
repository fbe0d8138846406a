"""The one door for new runs: form, API, schedule, automation, retry. The ingest makes the runs that their holders
began, by the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection
from django.utils.timezone import now

from blocks.blocks import in_workspace
from orchestrator.concurrency_keys import MAX_KEY, fill, wrong_in_key
from orchestrator.debouncing import Debounce
from orchestrator.ids import uuid7
from orchestrator.job_variables import flat
from orchestrator.names import run_name
from orchestrator.states import StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_NAME, MAX_PARAMETERS, MAX_TAG, MAX_TAGS, encode
from runs import chains, debounce, job_variables, live, overflow, versions, waiting
from runs.admission import admit
from runs.hidden import hidden_deployments
from runs.models import Deployment, Flow, FlowRun, WorkQueue
from runs.partitions import fix_partition
from runs.schema import check_parameters, secrets_by_block
from runs.stopping import ask_to_stop
from runs.transitions import lock_runs, micros
from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed, is_bound

MAX_RUNS = 10_000  # at once
ROWS_A_STATEMENT = 500
FURTHEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What somebody wants to run.

    Args:
        parameters: JSON values by name; they go over the deployment's own.
        scheduled_at: When it may start, UTC; now by default.
        idempotency_key: Asked again with the same key, the same run is answered.
        priority: Higher goes first within its queue.
        concurrency_key: Whose run it is, if not as the deployment's template says; keys share slots fairly.
        work_queue: Another queue of the deployment's pool than its own.
        debounce: How it is gathered with others into one run. Only `create_run` does.
        job_variables: What changes in those of its deployment, as a merge patch.
        call: Of a background task: its arguments fit, since they were bound to its signature.
        retries: Of the call, where they are not the deployment's.
        backfill_id: Of a backfill its time is past and says what it is about; it waits from now on.
        start_by: Not started by then, it is given up.
        replays_from: The run whose stored values it reuses, and `replay_root` the one under which they are stored.
        caused_by: The automation and the event that it begins with; else those of the run that asks for it.
        again: What is not reused, each with the runs whose values count all the same; the new run's do.
    """

    deployment: Deployment
    parameters: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    tags: Sequence[str] = ()
    scheduled_at: datetime | None = None
    idempotency_key: str | None = None
    priority: int = 0
    concurrency_key: str | None = None
    work_queue: str | None = None
    debounce: Debounce | None = None
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    parent_id: UUID | None = None
    parent_task_id: UUID | None = None
    schedule_id: UUID | None = None
    backfill_id: UUID | None = None
    start_by: datetime | None = None
    retry_of: UUID | None = None
    call: dict[str, Any] | None = None
    retries: int | None = None
    replays_from: UUID | None = None
    replay_root: UUID | None = None
    again: Mapping[str, Sequence[str]] = field(default_factory=dict)
    caused_by: Mapping[str, Any] | None = None


def create_run(request: RunRequest, *, by: Actor, origin: str = FlowRun.Origin.API) -> tuple[FlowRun, bool]:
    """One run: a set of one. Answers it, and whether it is new."""
    if request.debounce is not None:
        debounce.check(request.debounce, request.scheduled_at)
        debounce.lock(request.deployment, request.debounce)
        request = replace(request, scheduled_at=debounce.times(request.debounce)[0])
        if run := _folded(request, request.debounce, by, origin):
            return run, False
    runs, new = create_runs([request], by=by, origin=origin)
    return runs[0], bool(new)


def _folded(request: RunRequest, asked: Debounce, by: Actor, origin: str) -> FlowRun | None:
    """The run that this trigger became part of, now or when it was sent before; None: it makes one."""
    (wanted,) = _rows([request], by, origin, now())
    known = debounce.became(wanted.idempotency_key, by)
    if known is not None:
        _check_known([wanted], {wanted.idempotency_key: known}, by)
        return known
    if wanted.idempotency_key and _known_by_key([wanted], by):
        return None
    run = debounce.waiting(request.deployment, asked)
    if run is not None:
        debounce.fold(run, wanted, named=bool(request.name.strip()))
        _announce([run])
        _record([run], by, origin)
    return run


def create_runs(
    requests: Sequence[RunRequest], *, by: Actor, origin: str = FlowRun.Origin.API
) -> tuple[list[FlowRun], set[UUID]]:
    """Make runs, in the order of the requests; answer them and the ids of those that are new.

    Raises:
        Invalid: Parameters that the deployment's schema refuses, or a bound was passed; `fields` says where.
        LimitReached: The organization may start no new runs.
        Conflict: The workspace is an archive.
        NotFound: A deployment, or the queue it names, went in this moment.
        Forbidden: A deployment is restricted, and not for this actor, or who may not edit it changes job variables.
    """
    if len(requests) > MAX_RUNS:
        raise Invalid(f"At most {MAX_RUNS:,} runs at once, not {len(requests):,}.")
    at = now()
    rows = _rows(requests, by, origin, at)
    known = _known_by_key([row for row in rows if row.idempotency_key], by)
    _check_known(rows, known, by)
    fresh = _first_of_each_key([row for row in rows if row.idempotency_key not in known])
    if fresh:
        admit(by.organization_id)
    # In the order of their keys: two who insert the same ones wait for each other in turn, not in a circle.
    try:
        inserted = insert_runs(sorted(fresh, key=lambda row: row.idempotency_key or ""), ignore_known=True)
    except IntegrityError as error:
        raise NotFound("The deployment or its queue was deleted in this moment.") from error
    if len(inserted) < len(fresh):  # Somebody else used a key in this moment.
        known |= _known_by_key([row for row in fresh if row.id not in inserted], by)
    by_key = {row.idempotency_key: row for row in fresh if row.idempotency_key} | known
    made = [row for row in fresh if row.id in inserted]
    _cancel_surplus(made, at)
    _announce(made)
    _record(made, by, origin)
    return [by_key.get(row.idempotency_key, row) if row.idempotency_key else row for row in rows], inserted


def _rows(requests: Sequence[RunRequest], by: Actor, origin: str, at: datetime) -> list[FlowRun]:
    """What is to be inserted, once all of it is checked."""
    _check_access(requests, by)
    job_variables.check(requests, by, kept=origin == FlowRun.Origin.RETRY)
    retention, bucket = fix_partition(by.organization_id, at)
    queues = _queues(requests)
    trials = versions.canaries({each.id: each for each in (request.deployment for request in requests)}.values())
    rows = [_row(request, by, origin, at, retention, bucket, queues, trials) for request in requests]
    _say_causes(rows, requests, by)
    _check_blocks({place: path for row in rows for place, path in (row.secrets or {}).items()}, by)
    return rows


def _say_causes(rows: Sequence[FlowRun], requests: Sequence[RunRequest], by: Actor) -> None:
    callers = [chains.caller(request.parent_id, by) for request in requests]
    known = chains.of_callers(callers)
    for row, request, caller in zip(rows, requests, callers, strict=True):
        row.caused_by = request.caused_by or (known.get(caller) if caller else None)


def check_request(request: RunRequest, by: Actor | None = None) -> None:
    """Refuse what `create_runs` would refuse of this request, whatever others it came with, and of this actor.

    Raises:
        Invalid: Its parameters, its queue, its tags or its priority can't be taken.
        Conflict: The workspace is an archive.
    """
    parameters = _parameters(request, request.deployment)
    if by is not None:
        _check_access([request], by)
        job_variables.check([request], by)
        _check_blocks(secrets_by_block(request.deployment.parameter_schema, parameters), by)
    queue_of(request)
    _tags([*request.deployment.tags, *request.tags])
    _priority(request.priority)


def queue_of(request: RunRequest) -> UUID | None:
    """The queue that a run of this request would wait in.

    Raises:
        Invalid: The deployment's pool has none of this name.
    """
    return _queue(request, _queues([request]))


def _check_access(requests: Sequence[RunRequest], by: Actor) -> None:
    if not is_bound(by):
        return
    for deployment in {request.deployment.id: request.deployment for request in requests}.values():
        check_allowed(deployment, by, "runs.trigger")
        check_allowed(deployment.pool, by, "runs.trigger")


def _row(
    request: RunRequest,
    by: Actor,
    origin: str,
    at: datetime,
    retention: int,
    bucket: date,
    queues: Mapping[tuple[UUID | None, str], UUID],
    trials: Mapping[UUID, Deployment],
) -> FlowRun:
    deployment = request.deployment
    if deployment.paused:
        raise Conflict("This workspace is an archive: it went on in another organization, and nothing runs in it.")
    due = max(request.scheduled_at or at, at - FURTHEST)
    if due > at + FURTHEST:
        raise Invalid("That is more than ten years ahead.", fields={"scheduled_at": "Choose an earlier time."})
    run_id = uuid7()
    deployment, parameters = _made_from(request, run_id, trials)
    secrets = {} if request.call is not None else secrets_by_block(deployment.parameter_schema, parameters)
    name = clean_text(request.name.strip(), MAX_NAME) or run_name()
    return FlowRun(
        id=run_id,
        organization_id=deployment.organization_id,
        workspace_id=deployment.workspace_id,
        flow_id=deployment.flow_id,
        deployment=deployment,
        schedule_id=request.schedule_id,
        name=name,
        origin=origin,
        created_by=by.label[:254],
        parameters=parameters,
        secrets=secrets or None,
        job_variables=json_value(dict(request.job_variables)) or None,
        call=request.call,
        tags=_tags([*deployment.tags, *request.tags]),
        version=deployment.version,
        deployment_version=deployment.number or None,
        idempotency_key=_key(request),
        state_type=StateType.SCHEDULED,
        state_name="Scheduled",
        state_at=at,
        history=[[micros(at), "SCHEDULED", "Scheduled", None, 0]],
        root_id=run_id,
        backfill_id=request.backfill_id,
        parent_id=request.parent_id,
        parent_task_id=request.parent_task_id,
        retry_of=request.retry_of,
        replays_from=request.replays_from,
        replay_root=request.replay_root,
        again={name: [*runs, str(run_id)] for name, runs in request.again.items()} or None,
        pool_id=deployment.pool_id,
        queue_id=_queue(request, queues),
        priority=_priority(request.priority),
        concurrency_key=_concurrency_key(request, deployment, parameters),
        retries=deployment.retries if request.retries is None else request.retries,
        retry_delay=deployment.retry_delay,
        crash_retries=deployment.crash_retries,
        created_at=at,
        scheduled_at=due,
        due_at=due if request.backfill_id is None else max(due, at),
        start_by=request.start_by,
        debounce_key=request.debounce.key if request.debounce else None,
        debounce_until=debounce.times(request.debounce)[1] if request.debounce else None,
        debounced=1 if request.debounce else 0,
        retention=retention,
        bucket=bucket,
    )


def _queues(requests: Sequence[RunRequest]) -> dict[tuple[UUID | None, str], UUID]:
    """The queues that requests name, by pool and name."""
    wanted = {(request.deployment.pool_id, request.work_queue) for request in requests if request.work_queue}
    pools, names = {pool for pool, _ in wanted}, {name for _, name in wanted}
    rows = WorkQueue.objects.filter(pool_id__in=pools, name__in=names) if wanted else WorkQueue.objects.none()
    return {(pool, name): id for pool, name, id in rows.values_list("pool_id", "name", "id")}


def _queue(request: RunRequest, queues: Mapping[tuple[UUID | None, str], UUID]) -> UUID | None:
    if not request.work_queue:
        return request.deployment.queue_id
    found = queues.get((request.deployment.pool_id, request.work_queue))
    if found is None:
        message = f"The deployment's pool has no queue {request.work_queue!r:.210}."
        raise Invalid(message, fields={"work_queue": message})
    return found


def _priority(priority: int) -> int:
    if not -32_768 <= priority < 32_768:
        raise Invalid("The priority is out of bounds.", fields={"priority": "-32768 to 32767."})
    return priority


def _made_from(
    request: RunRequest, run_id: UUID, trials: Mapping[UUID, Deployment]
) -> tuple[Deployment, dict[str, Any]]:
    """What a run is made from, the version in force or the canary, and its parameters.

    What only the canary refuses is no reason to refuse the run: it stays with the version in force.
    """
    trial = trials.get(request.deployment.id)
    if trial is not None and request.call is None and versions.takes_canary(trial, run_id):
        try:
            return trial, _parameters(request, trial)
        except Invalid:
            pass
    return request.deployment, _parameters(request, request.deployment)


def _check_blocks(secrets: Mapping[str, str], by: Actor) -> None:
    """Who names the block of a secret may use it. Whether the run may read it, is asked when it does."""
    names = {path.partition("/")[2] for path in secrets.values()}
    usable = in_workspace(by).allowing(by, "blocks.use").filter(type="secret", name__in=names)
    known = set(usable.values_list("name", flat=True)) if names else ()
    fields = {
        ".".join(["parameters", *place.split("/")[1:]]): f"There is no block {path} here that you may use."
        for place, path in secrets.items()
        if path.partition("/")[2] not in known
    }
    if fields:
        raise Invalid("A parameter names a block that is not here, or not for you.", fields=fields)


def _concurrency_key(request: RunRequest, deployment: Deployment, parameters: Mapping[str, Any]) -> str:
    if request.concurrency_key is None:
        return clean_text(fill(deployment.concurrency_key, parameters, deployment.parameter_schema), MAX_KEY)
    if wrong := wrong_in_key(request.concurrency_key):
        raise Invalid("The concurrency key is too long.", fields={"concurrency_key": wrong})
    return clean_text(request.concurrency_key.strip())


def _parameters(request: RunRequest, deployment: Deployment) -> dict[str, Any]:
    parameters = json_value({**deployment.parameters, **request.parameters})
    if len(encode(parameters)) > MAX_PARAMETERS:
        raise Invalid(
            f"Parameters have {MAX_PARAMETERS >> 10} KiB at most. Store large values and pass where they are.",
            fields={"parameters": "Too large."},
        )
    if request.call is None:
        check_parameters(deployment.parameter_schema, parameters)
    return parameters


def _tags(tags: Iterable[str]) -> list[str]:
    distinct = list(dict.fromkeys(clean_text(str(tag).strip()) for tag in tags if str(tag).strip()))
    if len(distinct) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in distinct):
        raise Invalid(
            "Too many or too long tags.", fields={"tags": f"{MAX_TAGS} tags of {MAX_TAG} characters at most."}
        )
    return distinct


def _key(request: RunRequest) -> str | None:
    key = request.idempotency_key
    if key is not None and not 0 < len(key) <= 200:
        raise Invalid("An idempotency key has 1 to 200 characters.", fields={"idempotency_key": "1 to 200 characters."})
    return clean_text(key) if key is not None else None


def _known_by_key(rows: list[FlowRun], by: Actor) -> dict[str | None, FlowRun]:
    if not rows:
        return {}
    keys = [row.idempotency_key for row in rows]
    found = FlowRun.objects.filter(workspace_id=by.workspace_id, idempotency_key__in=keys)
    return {run.idempotency_key: run for run in found}


def _check_known(rows: Iterable[FlowRun], known: Mapping[str | None, FlowRun], by: Actor) -> None:
    """Two deployments may have been asked for by the same key: it leads to no run that one may not see."""
    others = {
        found.deployment_id
        for row in rows
        if (found := known.get(row.idempotency_key)) and found.deployment_id not in {None, row.deployment_id}
    }
    if others and not others.isdisjoint(hidden_deployments(by)):
        raise Conflict("This idempotency key was used for another deployment. Take another one.")


def _first_of_each_key(rows: list[FlowRun]) -> list[FlowRun]:
    return list({row.idempotency_key or row.id: row for row in reversed(rows)}.values())[::-1]


def _record(rows: list[FlowRun], by: Actor, origin: str) -> None:
    """Tell the trail of what people and keys asked for: one entry for the whole set. Schedules and runs do as told,
    and a backfill has an entry of its own.
    """
    if rows and by.kind in {"user", "key"} and origin != FlowRun.Origin.BACKFILL:
        told = {"origin": origin, "deployment": str(rows[0].deployment_id), "count": len(rows)}
        if origin == FlowRun.Origin.AUTOMATION:
            told["caused_by"] = rows[0].caused_by
        if rows[0].job_variables:
            told["job_variables"] = [name for name, _ in flat(rows[0].job_variables)][:100]  # Not their values.
        audit.record(by, "run.triggered", rows[0], name=rows[0].name, details=told)


def _cancel_surplus(rows: list[FlowRun], at: datetime) -> None:
    """Let deployments that have no slot for what was made cancel it, or what it takes the place of."""
    strict = {
        row.deployment_id for row in rows if row.deployment.on_limit != Deployment.OnLimit.ENQUEUE and row.due_at <= at
    }
    if cancelled := set(overflow.cancel_surplus(strict, at=at)):
        own = {row.id: row for row in rows if row.id in cancelled}
        told = FlowRun.objects.filter(id__in=list(own)).in_bulk()
        for id, row in own.items():
            for name in ("state_type", "state_name", "state_message", "state_at", "history", "ended_at"):
                setattr(row, name, getattr(told[id], name))


def _announce(rows: list[FlowRun]) -> None:
    live.runs_changed(rows)
    at = now()
    placed = [row for row in rows if row.pool_id and row.due_at and not row.is_final]
    waiting.wake_pools(Counter(row.pool_id for row in placed if row.due_at <= at))
    waiting.wake_at((row.pool_id, row.due_at) for row in placed if row.due_at > at)


# ── rows, shared with the ingest ─────────────────────────────────────────────────────────────────


def flow_ids(actor: Actor, names: Collection[str]) -> dict[str, UUID]:
    """The flows of these names in the actor's workspace; those that are not there yet are made."""
    if not names:
        return {}
    found = _known_flows(actor, names)
    missing = sorted(set(names) - found.keys())
    if missing:
        Flow.objects.bulk_create(
            (
                Flow(organization_id=actor.organization_id, workspace_id=actor.workspace_id, name=name)
                for name in missing
            ),
            ignore_conflicts=True,
        )
        return _known_flows(actor, names)  # Somebody else may have made some in this moment.
    return found


def _known_flows(actor: Actor, names: Collection[str]) -> dict[str, UUID]:
    return dict(Flow.objects.filter(workspace_id=actor.workspace_id, name__in=names).values_list("name", "id"))


def insert_runs(rows: list[FlowRun], *, ignore_known: bool) -> set[UUID]:
    """Insert run rows; answer the ids that are new. Ids and idempotency keys that are taken are left alone."""
    if not rows:
        return set()
    columns = FlowRun._meta.concrete_fields
    names = ", ".join(field.column for field in columns)
    conflict = "ON CONFLICT DO NOTHING" if ignore_known else ""
    inserted: set[UUID] = set()
    with connection.cursor() as cursor:
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            some = rows[start : start + ROWS_A_STATEMENT]
            values = [
                field.get_db_prep_save(getattr(row, field.attname), connection) for row in some for field in columns
            ]
            places = ", ".join(["(" + ", ".join(["%s"] * len(columns)) + ")"] * len(some))
            cursor.execute(f"INSERT INTO flow_run ({names}) VALUES {places} {conflict} RETURNING id", values)
            inserted.update(id for (id,) in cursor.fetchall())
    return inserted


# ── cancelling, which ends what trigger began ────────────────────────────────────────────────────


def cancel_runs(ids: Collection[UUID], *, by: Actor) -> list[UUID]:
    """Ask runs to stop. Unclaimed ones are CANCELLED at once; for the others the holder is told.

    Subflows are cancelled with their root: asking for one asks for the whole execution.
    """
    roots = set(FlowRun.objects.filter(id__in=ids, workspace_id=by.workspace_id).values_list("root_id", flat=True))
    rows = lock_runs(roots)
    asked = ask_to_stop(rows.values(), f"Cancelled by {by.label}.", at=now())
    if asked:
        names = {"runs": [row.name for row in asked[:100]], "count": len(asked)}
        audit.record(by, "run.cancelled", name=asked[0].name, details=names)
    return [row.id for row in asked]
