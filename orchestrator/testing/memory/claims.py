"""Claims, leases, heartbeats; and what happens to a run when nobody is heard of."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import msgspec

from orchestrator import clock, job_templates
from orchestrator.agent_messages import (
    HOOKS_WITHIN,
    SERVED,
    ClaimedRun,
    EndedAnswer,
    LastHooks,
    LastState,
    LeaseRef,
    minor_version,
    takes_queue,
)
from orchestrator.bodies import AgentInput, ClaimInput, EndedInput, HeartbeatInput
from orchestrator.ids import uuid7
from orchestrator.states import TERMINAL, WISHES, By, StateType
from orchestrator.storable import clean_text
from orchestrator.testing.memory import pools, room, slots
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.definitions import Agent
from orchestrator.testing.memory.rows import Attempt, Lease, Run
from orchestrator.testing.memory.states import move, settle
from orchestrator.testing.memory.store import Store
from orchestrator.wire import Signal

MAX_SLOTS = 1_000
MAX_QUEUES = 100
MAX_CLAIM = 100
CLAIMS_TO_LOSE = 3
START_AGAIN_AFTER = 5_000_000  # µs
LOST_AFTER_AGENT = 600_000_000
LOST_AFTER_LOCAL = 86_400_000_000
_PATIENT = {StateType.RUNNING, StateType.PAUSED}
SILENT = "Nothing was heard of its holder for the time of a lease."


def register(store: Store, asked: Asked) -> dict[str, Any]:
    """Note that an agent has started. One that comes back under its name keeps its id, and so its leases."""
    told = asked.read(AgentInput)
    if not 0 < told.slots <= MAX_SLOTS:
        raise invalid(f"An agent has 1 to {MAX_SLOTS} slots.", "slots", f"1 to {MAX_SLOTS}.")
    name = clean_text(told.name.strip())
    if not 0 < len(name) <= 200 or len(told.queues) > MAX_QUEUES:
        raise invalid("An agent needs a name of 1 to 200 characters.", "name", "1 to 200 characters.")
    pool = pools.find(store, told.pool)
    same = (agent for agent in store.agents.values() if (agent.pool, agent.name) == (told.pool, name))
    agent = next(same, None) or Agent(uuid7(), told.pool, name, {}, clock.now(), 0, 0)
    agent.facts = {
        "slots": told.slots, "queues": [clean_text(queue, 200) for queue in told.queues],
        "version": clean_text(told.version, 40), "python": clean_text(told.python, 20),
        "host": clean_text(told.host, 255),
    }  # fmt: skip
    agent.started_at = agent.last_seen_at = clock.now()
    store.agents[agent.id] = agent
    return {
        "id": agent.id,
        "name": agent.name,
        "pool": told.pool,
        "pool_type": pool.type,
        "lease_seconds": store.lease_seconds,
        "heartbeat_seconds": store.lease_seconds / 4,
        "wait_seconds": store.wait_seconds,
        "unknown_queues": [
            queue for queue in agent.facts["queues"]
            if not queue.startswith(SERVED) and (told.pool, queue) not in store.queues
        ],
    }  # fmt: skip


def find_agent(store: Store, asked: Asked) -> Agent:
    """The agent of the address."""
    found = store.agents.get(asked.id)
    if found is None:
        raise Refusal("not_found", "There is no such agent here. Register it again.")
    return found


# Claim.


def claim(store: Store, asked: Asked) -> dict[str, Any]:
    """Hand due runs of the agent's pool to it."""
    agent = find_agent(store, asked)
    slots = min(asked.read(ClaimInput).slots, MAX_CLAIM)
    room.cancel_surplus(store, list(store.deployments.values()))
    chosen: list[ClaimedRun] = []
    for run in room.in_turn(store, _candidates(store, agent)):
        if len(chosen) < slots and room.has_room(store, run):
            chosen.append(_hand_out(store, agent, run))
    return {"runs": chosen}


def _candidates(store: Store, agent: Agent) -> list[Run]:
    at = clock.now()
    python = minor_version(agent.facts["python"])
    pool, served = store.pools[agent.pool], agent.facts["queues"]
    queues = {queue.name: queue for queue in store.queues.values() if queue.pool == agent.pool and not queue.paused}
    return [
        run
        for run in store.runs.values()
        if run.state_type == StateType.SCHEDULED and run.deployment is not None
        and run.deployment.pool == agent.pool and run.due_at is not None and run.due_at <= at
        and (run.start_by is None or run.start_by > at or run.started_at is not None)
        and not pool.paused and run.queue in queues
        and takes_queue(served, run.queue)
        and run.deployment.facts["python"] in ("", python)
    ]  # fmt: skip


def _hand_out(store: Store, agent: Agent, run: Run) -> ClaimedRun:
    deployment = run.deployment
    assert deployment is not None
    token = f"orr_{secrets.token_urlsafe(32)}"
    if deployment.number and run.deployment_version != deployment.canary:
        run.deployment_version = deployment.number
    run.attempt += 1
    move(run, StateType.PENDING, by=By.SERVER, message=f"Claimed by {agent.name}.")
    run.attempts[run.attempt] = Attempt(token, clock.now(), agent.id)
    store.tokens[token] = (run, run.attempt)
    run.lease = Lease(run.attempt, agent.id, clock.now() + store.lease_time)
    return _describe(store, run, token)


def _describe(store: Store, run: Run, token: str) -> ClaimedRun:
    deployment = run.deployment
    assert deployment is not None
    facts, template = deployment.facts_of(run.deployment_version), store.pools[deployment.pool].template
    variables = job_templates.values(template, facts["job_variables"], run.job_variables)
    return ClaimedRun(
        run=run.id, attempt=run.attempt, run_count=run.run_count, token=token, name=run.name, flow=run.flow,
        deployment=deployment.name, deployment_id=deployment.id, entrypoint=facts["entrypoint"],
        source=facts["source"], parameters=run.parameters, secrets=list(run.secrets), call=run.call, tags=run.tags,
        lease_seconds=store.lease_seconds,
        flow_version=facts["version"], process=facts["process"],
        job_variables=variables, job_configuration=job_templates.filled(template, variables),
        scheduled_at=run.scheduled_at, suspensions=run.suspensions, replay_root=run.replay_root, again=run.again,
    )  # fmt: skip


def wait(store: Store, asked: Asked, tick: Any) -> dict[str, Any]:
    """Answer when the pool's counter is not `since` any more, or after some time."""
    since = asked.query.get("since", "-1")
    if not since.lstrip("-").isdecimal() or len(since) > 19:
        raise invalid("since is a whole number.", "since", "A whole number.")
    agent = find_agent(store, asked)
    agent.last_seen_at = clock.now()
    moved = store.changed.wait_for(lambda: _moved(store, agent, int(since), tick), store.wait_seconds)
    return {"since": store.wakes.get(agent.pool, 0) if moved else int(since), "due": moved}


def _moved(store: Store, agent: Agent, since: int, tick: Any) -> bool:
    tick()
    return store.wakes.get(agent.pool, 0) != since


# Heartbeat.


def heartbeat(store: Store, asked: Asked) -> dict[str, Any]:
    """Renew all leases of an agent, and say what it has to know."""
    told, agent = asked.read(HeartbeatInput), find_agent(store, asked)
    agent.last_seen_at = clock.now()
    agent.load = msgspec.to_builtins(told.load) if told.load is not None else agent.load
    agent.lines = [*agent.lines, *told.log[:100]][-2_000:]
    lost = [ref for ref in told.leases if not _renewed(store, agent, ref)]
    held = [store.runs[ref.run] for ref in told.leases if ref not in lost]
    held = list(dict.fromkeys(held))
    return {
        "lost": lost,
        "signals": [Signal(run.id, word) for run in held if (word := signal_to(run))],
        "replaceable": [run.id for run in held if _is_replaceable(run)],
    }


def signal_to(run: Run) -> str | None:
    """What the holder is asked to do."""
    if run.state_type == StateType.CANCELLING:
        return "cancel"
    return WISHES.get(run.state_name) if run.state_type == StateType.RUNNING else None


def _is_replaceable(run: Run) -> bool:
    """Say whether somebody else would be given the run, were its holder lost."""
    return run.state_type == StateType.PENDING or (run.state_type in _PATIENT and may_go_on(run))


def _renewed(store: Store, agent: Agent, ref: LeaseRef) -> bool:
    run = store.runs.get(ref.run)
    lease = run.lease if run is not None else None
    if run is None or lease is None or (lease.attempt, lease.agent) != (ref.attempt, agent.id):
        return False
    lease.expires_at = clock.now() + store.lease_time
    welcome_back(run, "The agent was heard of again.", clock.now())
    return True


def welcome_back(run: Run, message: str, at: int) -> bool:
    """A holder that was thought lost is heard of: its run is in the state in which it was."""
    lost = run.state_name == "Unreachable" and run.state_type in _PATIENT
    return lost and move(run, StateType(run.state_type), by=By.SERVER, message=message, at=at)


# The end of an attempt that did not tell its own.


def end_attempt(store: Store, asked: Asked) -> EndedAnswer:
    """The agent says that the process of an attempt is gone. What the process told of itself comes first."""
    told, agent = asked.read(EndedInput), find_agent(store, asked)
    run = store.runs.get(told.run)
    attempt = run.attempts.get(told.attempt) if run is not None else None
    if run is None or attempt is None or attempt.agent != agent.id:
        raise Refusal("not_found", "This agent never held that attempt.")
    message = clean_text(told.message, 4_000) or f"The process ended with exit code {told.exit}."
    if run.attempt == told.attempt and run.is_held:
        if run.state_type == StateType.PENDING and told.reason == "never_started":
            _give_back(run, message)
        else:
            _attempt_is_lost(run, message)
        settle(store, [run])
        if run.state_type in TERMINAL:
            attempt.hooks_until = clock.now() + HOOKS_WITHIN * 1_000_000
    return EndedAnswer(hooks=_hooks_owed(store, run, told.attempt, attempt))


def _hooks_owed(store: Store, run: Run, number: int, attempt: Attempt) -> LastHooks | None:
    if run.attempt != number or attempt.hooks_until <= clock.now():
        return None
    message = run.state_message or ""
    state = LastState(type=run.state_type, name=run.state_name, message=message, t=run.state_at)
    return LastHooks(state=state, run=_describe(store, run, token=""))


def _attempt_is_lost(run: Run, message: str) -> None:
    """The holder is gone for good: cancelled if that was wanted, else the next attempt, else CRASHED."""
    if run.state_type == StateType.CANCELLING:
        move(run, StateType.CANCELLED, by=By.SERVER, message=message)
    elif run.state_type == StateType.PENDING:
        _give_back(run, message)
    elif may_go_on(run):
        run.crashes += 1
        due = clock.now() + int(run.retry_delay * 1_000_000)
        move(run, StateType.SCHEDULED, by=By.SERVER, name="AwaitingRetry", message=message, due_at=due)
    else:
        run.crashes += 1
        move(run, StateType.CRASHED, by=By.SERVER, message=message)


def may_go_on(run: Run) -> bool:
    """Say whether another attempt may follow a crash."""
    executions = run.run_count - run.suspensions
    return not run.is_local and (executions <= run.retries or run.crashes < (run.crash_retries or 0))


def _give_back(run: Run, message: str) -> None:
    """User code was not reached: back to the queue, three times at most."""
    run.claims_lost += 1
    if run.claims_lost >= CLAIMS_TO_LOSE:
        text = f"{message} Claimed {run.claims_lost} times, never started."
        move(run, StateType.CRASHED, by=By.SERVER, message=text)
    else:
        due = clock.now() + START_AGAIN_AFTER * run.claims_lost
        move(run, StateType.SCHEDULED, by=By.SERVER, message=message, due_at=due)


def expire(store: Store, runs: Iterable[Run]) -> None:
    """Judge runs whose lease ran out."""
    at = clock.now()
    for run in runs:
        if run.lease is not None and run.lease.expires_at < at:
            _judge(run, run.lease, at)
            settle(store, [run])
            slots.free_run(store, run, leased_only=True)


def _judge(run: Run, lease: Lease, at: int) -> None:
    state = StateType(run.state_type)
    if not run.is_held:
        run.lease = None
    elif state in _PATIENT and run.state_name != "Unreachable" and not may_go_on(run):
        lease.expires_at = at + (LOST_AFTER_LOCAL if run.is_local else LOST_AFTER_AGENT)
        move(run, state, by=By.SERVER, name="Unreachable", message=SILENT, at=at)
    else:
        _attempt_is_lost(run, SILENT)
