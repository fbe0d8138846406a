"""The messages between the server and agents: what a claim hands over, leases, the load of agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

SERVED = "serve "
"""How the names of queues begin of which only processes that name them take runs: those that serve what is in them."""

PROCESSES = ("fresh", "warm", "reuse")
"""How an agent comes by the process of a run: a new one, one forked from a template that has imported the user's code,
or one that takes run after run."""


class ClaimedRun(Struct, kw_only=True):
    """One run that an agent may now execute.

    `token` authenticates its journal and everything its process may ask for; it dies with the lease.
    `scheduled_at` (µs UTC) is when it was meant to start. `suspensions` of its executions used no retry.
    `source` is {"type": "bundle", "sha256": …} or {"type": "path", "path": …}. `process` is one of PROCESSES;
    `job_variables` are the pool's, the deployment's and the run's, `job_configuration` is what the pool's base job
    template makes of them, and what the launcher obeys: for processes, `env` adds to the environment, `memory_mib`
    bounds the memory. `call` is what `.delay` has to say besides parameters: the options of
    the call, and which arguments were stored. `secrets` are the places (JSON pointers) of parameters that name the
    block of a secret: the run's process reads it.

    `replay_root`, of a retry from failure, is the run under whose id the values of the runs before were stored; this
    one stores and looks up there too. `again` says what must not be replayed from them, by the key of a task
    (`TaskState.task`) or of a call (`ResultRef.key`): of these only the values count that the named runs stored.
    """

    run: UUID
    attempt: int
    run_count: int
    token: str
    name: str
    flow: str
    deployment: str
    deployment_id: UUID
    entrypoint: str
    source: dict[str, str]
    parameters: dict[str, Any]
    tags: list[str]
    lease_seconds: float
    flow_version: str = ""
    scheduled_at: int | None = None
    suspensions: int = 0
    process: str = "warm"
    job_variables: dict[str, Any] = {}
    job_configuration: dict[str, Any] = {}
    replay_root: UUID | None = None
    again: dict[str, list[UUID]] = {}
    call: dict[str, Any] | None = None
    secrets: list[str] = []


HOOKS_WITHIN = 150
"""Seconds for which the token of an attempt that was lost still does what it did, for the hooks of the run's end."""


class LastState(Struct, kw_only=True):
    """The state in which the server ended a run whose process is gone. `t` is µs UTC."""

    type: str
    name: str
    message: str
    t: int


class LastHooks(Struct, kw_only=True):
    """The run has ended and nobody has called its hooks: an agent may, in a fresh process, with the attempt's token."""

    state: LastState
    run: ClaimedRun


class EndedAnswer(Struct, kw_only=True):
    """The answer to the word that the process of an attempt is gone."""

    hooks: LastHooks | None = None


def takes_queue(own: Sequence[str], queue: str) -> bool:
    """Whether an agent takes runs of a queue: of those that it names; of all but what is served, where it names none.

    >>> takes_queue(["gpu"], "default"), takes_queue([], "default"), takes_queue([], "serve etl/prod")
    (False, True, False)
    """
    return queue in own if own else not queue.startswith(SERVED)


def minor_version(python: str) -> str:
    """The version of Python to which pickled code is tied.

    >>> minor_version("3.11.9")
    '3.11'
    """
    return ".".join(python.split(".")[:2])


class LeaseRef(Struct):
    """A lease as its holder knows it."""

    run: UUID
    attempt: int


class AgentLine(Struct):
    """A line of an agent's own log. `t` is µs UTC, `level` a number of the standard library's scale."""

    t: int
    message: str
    level: int = 20


class Load(Struct):
    """What an agent uses, runs included: `cpu` as a share of one core, `memory` in bytes; and what it keeps warm."""

    cpu: float = 0.0
    memory: int = 0
    templates: int = 0
    spares: int = 0
