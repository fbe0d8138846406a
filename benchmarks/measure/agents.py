"""A thousand idle agents at one web process: what they cost, and how fast one of them is woken, and only that one.

They are simulated by one program (`programs/agents.py`), which speaks the agents' protocol over a socket for each.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.clients import Client
from benchmarks.figures import median, percentile
from benchmarks.measure.triggers import DEPLOY_SECONDS
from benchmarks.ours import Ours
from benchmarks.processes import cpu_seconds, family
from benchmarks.site import PROGRAMS, Site, client

IDLE, WOKEN = "idle", "woken"
"""A pool for each of the two crowds: nobody of the first one is still waited for by the second."""
ASK_SECONDS = 60
ALL_WAIT_SECONDS = 180
SETTLE_SECONDS = 5.0
CLAIM_SECONDS = 30
OTHERS_SECONDS = 0.5  # in which others than the first would have been woken
QUERIES = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True)
class Used:
    """Shares of a core in percent, and the database's transactions a second."""

    web: float
    postgres: float
    redis: float
    transactions: float


def agents(site: Site) -> dict[str, float]:
    """First nobody but the stack's own agent, then all of them; the difference is theirs."""
    assert isinstance(site, Ours)
    return _idle(site) | _wake(site)


def _idle(site: Ours) -> dict[str, float]:
    count, seconds = site.sizes.agents, site.sizes.agents_seconds
    alone = _used(site, seconds / 2)
    with waiting(site, IDLE, count):
        time.sleep(SETTLE_SECONDS)
        together = _used(site, seconds)
        memory = _resident(site.child("web"))
    return {
        "agents.web": together.web,
        "agents.web.alone": alone.web,
        "agents.postgres": max(0.0, together.postgres - alone.postgres),
        "agents.redis": max(0.0, together.redis - alone.redis),
        "agents.queries": max(0.0, together.transactions - alone.transactions) / count,
        "agents.memory": memory / 1e6,
    }


@contextmanager
def waiting(site: Ours, pool: str, count: int) -> Iterator[Client]:
    """So many agents of a new pool, all of which wait."""
    site.api.post("/work-pools", json={"name": pool}).raise_for_status()
    command = [sys.executable, PROGRAMS / "agents.py"]
    with Client(command, site.environment, site.directory / "agents.log") as crowd:
        crowd.ask("start", ASK_SECONDS, pool=pool, count=count)
        deadline = time.monotonic() + ALL_WAIT_SECONDS
        # Each is answered once at once: it doesn't know the counter yet.
        while (state := _state(crowd))["waiting"] < count or state["answers"] < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{state['waiting']} of {count} agents wait after {ALL_WAIT_SECONDS} s.")
            time.sleep(0.2)
        yield crowd


def _state(crowd: Client) -> dict[str, Any]:
    """What the agents have seen.

    Raises:
        RuntimeError: One of them came to grief.
    """
    state = crowd.ask("state", ASK_SECONDS)
    if state["failures"]:
        raise RuntimeError(f"Agents failed: {state['failures']}")
    return state


def _used(site: Ours, seconds: float) -> Used:
    before, began = _counters(site), time.monotonic()
    time.sleep(seconds)
    after, took = _counters(site), time.monotonic() - began
    return Used(*((later - former) / took for former, later in zip(before, after, strict=True)))


def _counters(site: Ours) -> tuple[float, ...]:
    """A store elsewhere costs nothing here."""
    pids = {"web": site.child("web"), **site.store_pids()}
    cpu = [100 * cpu_seconds([pid]) if (pid := pids[name]) else 0.0 for name in ("web", "postgres", "redis")]
    with psycopg.connect(site.superuser_url(), connect_timeout=10) as connection:
        (transactions,) = connection.execute(QUERIES).fetchone()
    return (*cpu, float(transactions))


def _resident(pid: int) -> int:
    """Pages that several processes share are counted for each."""
    return sum(process.memory_info().rss for process in family(pid))


def _wake(site: Ours) -> dict[str, float]:
    """Runs one at a time: from the trigger until one agent has claimed it, and how many were woken for it.

    All of it happens while the agents' first wait is under way, so whoever is answered has been woken.
    """
    seconds, woken = [], []
    with waiting(site, WOKEN, site.sizes.agents) as crowd:
        with client(site) as user:
            deployment = str(user.ask("deploy", DEPLOY_SECONDS, flow="empty", way="warm", pool=WOKEN))
        for _ in range(site.sizes.triggers):
            began = time.time()
            run = site.trigger(deployment, {})
            claimed = _claimed(crowd, run)
            time.sleep(OTHERS_SECONDS)
            seconds.append(claimed - began)
            woken.append(sum(each >= began for each in _state(crowd)["woken"]))
    return {
        "agents.wake": 1000 * median(seconds),
        "agents.wake.p95": 1000 * percentile(seconds, 0.95),
        "agents.woken": sum(woken) / len(woken),
        "agents.woken.most": max(woken),
    }


def _claimed(crowd: Client, run: str) -> float:
    """When it was, in seconds since 1970."""
    deadline = time.monotonic() + CLAIM_SECONDS
    while run not in (claims := _state(crowd)["claims"]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"No agent claimed the run within {CLAIM_SECONDS} s.")
        time.sleep(0.05)
    return claims[run]
