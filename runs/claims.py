"""Claims and leases: who holds a run, until when, and what happens when nobody is heard of.

Slots and leases are rows with an expiry, never counters. Every claim raises `attempt` and issues a new token; whoever
holds an older one is fenced.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from orchestrator import job_templates
from orchestrator.agent_messages import ClaimedRun, LeaseRef
from orchestrator.ids import uuid7
from orchestrator.states import WISHES, By, StateType
from orchestrator.wire import Signal
from runs import overflow, room, versions, waiting
from runs.lanes import IN_TIME, Waiting, next_runs
from runs.models import Agent, Attempt, Deployment, FlowRun, Lease
from runs.room import Held, Room
from runs.transitions import COLUMNS, RunRow, lock_root, lock_runs, micros, move, save
from tenants.errors import NotFound
from tenants.keys import RUN_PREFIX, digest, new_secret

MAX_CLAIM = 100  # runs at once
MAX_LEASES = 10_000  # of one heartbeat
MAX_ATTEMPT = 2**31 - 1  # what the column holds
CLAIMS_TO_LOSE = 3
_PATIENT = {StateType.RUNNING, StateType.PAUSED}  # in which a lost holder may come back
START_AGAIN_AFTER = timedelta(seconds=5)


def lease_time() -> timedelta:
    """For how long a holder may be silent."""
    return timedelta(seconds=settings.LEASE_SECONDS)


# ── claim ────────────────────────────────────────────────────────────────────────────────────────

_TAKE = f"""
    SELECT {COLUMNS} FROM flow_run r
    WHERE r.id = ANY(%(runs)s) AND r.state_type = 'SCHEDULED' AND r.due_at <= %(now)s AND {IN_TIME}
    FOR NO KEY UPDATE SKIP LOCKED
"""
SPARE = 32  # runs that are looked at besides, since others may be taking the first ones in this moment


def claim(agent: Agent, *, slots: int) -> list[ClaimedRun]:
    """Hand up to `slots` due runs of the agent's pool to it. Never waits for other claims of runs."""
    slots = min(slots, MAX_CLAIM)
    if slots <= 0:
        return []
    at = now()
    chosen = _choose(agent, slots, _lock_limits(agent, at), at)
    tokens = {row.id: new_secret(RUN_PREFIX) for row, _ in chosen}
    for row, _ in chosen:
        row.attempt += 1
        move(row, StateType.PENDING, by=By.SERVER, message=f"Claimed by {agent.name}.", at=at)
    save(row for row, _ in chosen)
    _write_leases(agent, chosen, tokens, at)
    waiting.note_taken(agent.pool_id, len(chosen))
    return describe([row for row, _ in chosen], tokens=tokens)


def _lock_limits(agent: Agent, at: datetime) -> Room:
    """The limits, once deployments that cancel what they have no slot for have done so."""
    limits = room.lock(agent, at)
    overflow.cancel_surplus(limits.strict, at=at)
    return limits


def _choose(agent: Agent, slots: int, limits: Room, at: datetime) -> list[tuple[RunRow, list[tuple[Held, str]]]]:
    """Take runs while slots are free, the agent's and those of every limit that they count against.

    A limit that fills up on the way is left out of the next look, so that what it holds back hides nothing. A look asks
    for twice as many as the one before, so that many who claim at once find something to share.
    """
    left = limits.left()
    slots = slots if left is None else min(slots, left)
    chosen: list[tuple[RunRow, list[tuple[Held, str]]]] = []
    tried: list[UUID] = []
    asked, more = slots + SPARE, slots > 0
    while more and len(chosen) < slots:
        line = next_runs(agent, limits.openings(), most=asked + len(tried), seen=tried, at=at)
        more = len(line) >= asked
        asked *= 2
        while line and len(chosen) < slots:
            some = list(islice((run for run in line if limits.take(run)), slots - len(chosen)))
            taken = _take(some, at)
            tried += [run.id for run in some]
            for run in some:
                if run.id in taken:
                    chosen.append((taken[run.id], limits.slots_for(run)))
                else:
                    limits.give_back(run)
            line = [run for run in line if run.id not in tried] if some else []
    return chosen


def _take(line: Sequence[Waiting], at: datetime) -> dict[UUID, RunRow]:
    """Lock runs; those that somebody else is taking in this moment are left to them."""
    if not line:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"runs": [run.id for run in line], "now": at})
        rows = [RunRow(*row) for row in cursor.fetchall()]
    return {row.id: row for row in rows}


def _write_leases(
    agent: Agent, chosen: Sequence[tuple[RunRow, list[tuple[Held, str]]]], tokens: dict[UUID, str], at: datetime
) -> None:
    own = {"organization_id": agent.organization_id}
    Attempt.objects.bulk_create(
        Attempt(
            **own, run_id=row.id, number=row.attempt, token_hash=digest(tokens[row.id]), agent_id=agent.id,
            host=agent.host, sdk=agent.version, run_count=row.run_count, created_at=at,
        )
        for row, _ in chosen
    )  # fmt: skip
    Lease.objects.bulk_create(
        Lease(
            **own, id=uuid7(), run_id=row.id, attempt=row.attempt, agent_id=agent.id, limit_id=limit, key=key,
            expires_at=at + lease_time(),
        )
        for row, slots in chosen
        for limit, key in [(None, ""), *((each.id, key) for each, key in slots)]
    )  # fmt: skip


def describe(rows: list[RunRow], *, tokens: dict[UUID, str]) -> list[ClaimedRun]:
    """Say of runs what an agent has to know to execute them."""
    deployments = Deployment.objects.select_related("flow", "pool").in_bulk({row.deployment_id for row in rows})
    facts = _facts([row.id for row in rows])
    made_from = {row.id: (row.deployment_id, facts[row.id][-1]) for row in rows}
    executed = versions.executed(deployments, made_from, claimed=bool(tokens))
    told = []
    for row in rows:
        deployment = executed[row.id]
        template = deployment.pool.template
        parameters, secrets, call, tags, scheduled_at, replay_root, again, own, _ = facts[row.id]
        variables = job_templates.values(template, deployment.job_variables, own)
        told.append(
            ClaimedRun(
                run=row.id, attempt=row.attempt, run_count=row.run_count, token=tokens.get(row.id, ""), name=row.name,
                flow=deployment.flow.name, deployment=deployment.name, deployment_id=deployment.id,
                entrypoint=deployment.entrypoint, source=deployment.source, parameters=parameters,
                secrets=list(secrets or ()), call=call, tags=tags,
                lease_seconds=settings.LEASE_SECONDS, flow_version=deployment.version, process=deployment.process,
                job_variables=variables, job_configuration=job_templates.filled(template, variables),
                scheduled_at=None if scheduled_at is None else micros(scheduled_at), suspensions=row.suspensions,
                replay_root=replay_root,
                again={name: [UUID(id) for id in runs] for name, runs in (again or {}).items()},
            )
        )  # fmt: skip
    return told


_FACTS = (
    "id", "parameters", "secrets", "call", "tags", "scheduled_at", "replay_root", "again", "job_variables",
    "deployment_version",
)  # fmt: skip


def _facts(ids: list[UUID]) -> dict[UUID, tuple[Any, ...]]:
    found = FlowRun.objects.filter(id__in=ids).values_list(*_FACTS)
    return {id: tuple(facts) for id, *facts in found}


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────

# A lease that somebody works on in this moment is left to them: they renew it or end it. Whoever else writes leases
# holds their runs first; a heartbeat holds none, and waiting it could close a circle of waiters.
_RENEW = """
    WITH held AS (
        SELECT l.organization_id, l.id, l.run_id, l.attempt FROM lease l
        JOIN unnest(%(runs)s::uuid[], %(attempts)s::int[]) n (run_id, attempt) USING (run_id, attempt)
        WHERE l.agent_id = %(agent)s
    ), free AS (
        SELECT organization_id, id FROM lease WHERE (organization_id, id) IN (SELECT organization_id, id FROM held)
            AND (limit_id IS NULL OR expires_at > %(now)s)
        FOR UPDATE SKIP LOCKED
    ), renewed AS (
        UPDATE lease l SET expires_at = %(until)s FROM free
        WHERE (l.organization_id, l.id) = (free.organization_id, free.id)
    )
    SELECT DISTINCT run_id, attempt FROM held
"""

# The fourth column says what `_judge` would do with a run that nobody hears of: hand it to the next holder, or wait.
# The last one: whether it has a slot that ran out.
_STATES = """
    SELECT id, state_type, state_name, deployment_id IS NOT NULL AND (state_type = 'PENDING' OR (
        state_type IN ('RUNNING', 'PAUSED')
        AND (run_count - suspensions <= retries OR crashes < coalesce(crash_retries, 0)))),
        EXISTS (SELECT 1 FROM lease l WHERE l.run_id = r.id AND l.limit_id IS NOT NULL AND l.expires_at <= %s)
    FROM flow_run r WHERE id = ANY(%s)
"""

# Nor is waited for these: what is not taken again now is so with the next heartbeat.
_LOCK_LIMITS_OF = """
    SELECT id FROM concurrency_limit WHERE id IN (
        SELECT limit_id FROM lease WHERE expires_at <= %(now)s AND (%(runs)s::uuid[] IS NULL OR run_id = ANY(%(runs)s)))
    ORDER BY id FOR UPDATE SKIP LOCKED
"""
_TAKE_AGAIN = """
    WITH ended AS (
        SELECT organization_id, id, run_id, limit_id, key FROM lease
        WHERE expires_at <= %(now)s AND limit_id = ANY(%(limits)s::uuid[])
            AND (%(runs)s::uuid[] IS NULL OR run_id = ANY(%(runs)s))
        FOR UPDATE SKIP LOCKED
    )
    UPDATE lease l SET expires_at = %(until)s FROM (
        SELECT e.organization_id, e.id, row_number() OVER (PARTITION BY e.limit_id, e.key ORDER BY e.run_id) AS place,
            c.slots - (SELECT count(*) FROM lease o
                WHERE o.limit_id = c.id AND o.key = e.key AND o.expires_at > %(now)s) AS free
        FROM ended e JOIN concurrency_limit c ON c.organization_id = e.organization_id AND c.id = e.limit_id
    ) again WHERE l.organization_id = again.organization_id AND l.id = again.id AND again.place <= again.free
"""


@dataclass(slots=True)
class Beat:
    """The answer to a heartbeat: leases that are lost, what runs have to know, and which of them somebody else would be
    given when their lease runs out.
    """

    lost: list[LeaseRef]
    signals: list[Signal]
    replaceable: list[UUID]


def heartbeat(agent: Agent, leases: Sequence[LeaseRef]) -> Beat:
    """Renew all leases of an agent in one statement, and say what it has to know."""
    at = now()
    told = leases[:MAX_LEASES]
    held = [ref for ref in told if 0 < ref.attempt <= MAX_ATTEMPT]
    if not held:
        return Beat(list(told), [], [])
    with connection.cursor() as cursor:
        runs, attempts = [ref.run for ref in held], [ref.attempt for ref in held]
        values = {"runs": runs, "attempts": attempts, "agent": agent.id, "now": at, "until": at + lease_time()}
        cursor.execute(_RENEW, values)
        still_held = set(cursor.fetchall())
        cursor.execute(_STATES, [at, [run for run, _ in still_held]])
        states = cursor.fetchall()
    _welcome_back([id for id, _, name, *_ in states if name == "Unreachable"])
    if late := [id for id, *_, slotless in states if slotless]:
        take_slots_again(late, until=at + lease_time())
    return Beat(
        lost=[ref for ref in told if (ref.run, ref.attempt) not in still_held],
        signals=[Signal(id, word) for id, type, name, *_ in states if (word := _signal(type, name))],
        replaceable=[id for id, _, _, replaceable, _ in states if replaceable],
    )


def _signal(type: str, name: str) -> str | None:
    if type == StateType.CANCELLING:
        return "cancel"
    return WISHES.get(name) if type == StateType.RUNNING else None


def take_slots_again(run_ids: Collection[UUID] | None, *, until: datetime) -> None:
    """Give back slots that ran out while nobody was heard of, as far as they are still free; None: all runs'.

    Some may have gone to others meanwhile. A limit is never passed for it: its former holder goes on without.
    """
    values = {"runs": None if run_ids is None else list(run_ids), "now": now(), "until": until}
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_LIMITS_OF, values)
        cursor.execute(_TAKE_AGAIN, {**values, "limits": [id for (id,) in cursor.fetchall()]})


def _welcome_back(ids: list[UUID]) -> None:
    """Runs that somebody works on are left for the next heartbeat: their lease rows are ours, we may not wait."""
    rows = lock_runs(ids, skip_locked=True) if ids else {}
    for row in rows.values():
        welcome_back(row, "The agent was heard of again.", now())
    save(rows.values())


def welcome_back(row: RunRow, message: str, at: datetime) -> bool:
    """A holder that was thought lost is heard of: its run is in the state in which it was. False if it was not lost."""
    lost = row.state_name == "Unreachable" and row.state_type in _PATIENT
    return lost and move(row, StateType(row.state_type), by=By.SERVER, message=message, at=at)


# ── the end of an attempt that did not tell its own ──────────────────────────────────────────────


def end_attempt(agent: Agent, *, run_id: UUID, attempt: int, started: bool, message: str) -> tuple[RunRow, bool]:
    """The agent says that the process of an attempt is gone. What the process told of itself comes first.

    Answers the run, and whether this has ended it.

    Args:
        started: False when user code was never reached: that uses no retry.

    Raises:
        NotFound: The agent never held this attempt.
    """
    if not Attempt.objects.filter(run_id=run_id, number=attempt, agent_id=agent.id).exists():
        raise NotFound("This agent never held that attempt.")
    row = lock_root(run_id)
    was_held = row.attempt == attempt and row.is_held
    if was_held:
        if row.state_type == StateType.PENDING and not started:
            _give_back(row, message)
        else:
            _attempt_is_lost(row, message)
        save([row])
    return row, was_held and row.is_final


def _attempt_is_lost(row: RunRow, message: str) -> None:
    """The holder is gone for good: cancelled if that was wanted, else the next attempt, else CRASHED."""
    if row.state_type == StateType.CANCELLING:
        move(row, StateType.CANCELLED, by=By.SERVER, message=message)
    elif row.state_type == StateType.PENDING and not row.is_local:
        _give_back(row, message)
    elif may_go_on(row):
        row.crashes += 1
        due = now() + timedelta(seconds=row.retry_delay)
        move(row, StateType.SCHEDULED, by=By.SERVER, name="AwaitingRetry", message=message, due_at=due)
    else:
        row.crashes += 1
        move(row, StateType.CRASHED, by=By.SERVER, message=message)


def may_go_on(row: RunRow) -> bool:
    """Say whether another attempt may follow a crash: the flow's retries, or what the deployment grants for crashes."""
    if row.is_local or row.deployment_id is None:  # Nothing can be started from a deployment that was deleted.
        return False
    return row.run_count - row.suspensions <= row.retries or row.crashes < (row.crash_retries or 0)


def _give_back(row: RunRow, message: str) -> None:
    """User code was not reached: back to the queue, three times at most."""
    row.claims_lost += 1
    if row.claims_lost >= CLAIMS_TO_LOSE:
        text = f"{message} Claimed {row.claims_lost} times, never started."
        move(row, StateType.CRASHED, by=By.SERVER, message=text)
    else:
        due = now() + START_AGAIN_AFTER * row.claims_lost
        move(row, StateType.SCHEDULED, by=By.SERVER, message=message, due_at=due)


def expired(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, run) of leases that nobody renewed. Asked in the system's scope."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT organization_id, run_id FROM lease WHERE limit_id IS NULL AND expires_at < %s"
            " ORDER BY expires_at LIMIT %s",
            [now(), limit],
        )
        return cursor.fetchall()


def expire(run_ids: Collection[UUID]) -> list[UUID]:
    """Judge runs of one organization whose lease ran out. Those that somebody works on are left for the next tick."""
    rows = lock_runs(run_ids, skip_locked=True)
    at = now()
    still = set(
        Lease.objects.filter(run_id__in=list(rows), limit=None, expires_at__lt=at).values_list("run_id", flat=True)
    )
    for row in rows.values():
        if row.id in still:
            _judge(row, at)
    return [row.id for row in save(rows.values())]


def _judge(row: RunRow, at: datetime) -> None:
    silent = "Nothing was heard of its holder for the time of a lease."
    state = StateType(row.state_type)
    if not row.is_held:
        Lease.objects.filter(run_id=row.id).delete()
    elif state in _PATIENT and row.state_name != "Unreachable" and not may_go_on(row):
        seconds = settings.LOST_AFTER_LOCAL_SECONDS if row.is_local else settings.LOST_AFTER_AGENT_SECONDS
        Lease.objects.filter(run_id=row.id, limit=None).update(expires_at=at + timedelta(seconds=seconds))
        move(row, state, by=By.SERVER, name="Unreachable", message=silent, at=at)
    else:
        _attempt_is_lost(row, silent)
