"""Whether the runs of many schedules of one minute are there when their time comes, each of them once."""

import time

import psycopg

from benchmarks.figures import median, percentile
from benchmarks.measure.agents import waiting
from benchmarks.measure.triggers import DEPLOY_SECONDS
from benchmarks.ours import Ours
from benchmarks.processes import cpu_seconds
from benchmarks.site import Site, client

OF_A_DEPLOYMENT = 50
WARM_UP = 120
"""Seconds between the last schedule and the first time that counts."""
AGENTS, TAKEN_SECONDS = 20, 120
CLAIMED = """
    SELECT extract(epoch FROM a.created_at - r.scheduled_at) FROM flow_run r
    JOIN attempt a ON a.organization_id = r.organization_id AND a.run_id = r.id AND a.number = 1
    WHERE r.deployment_id = ANY(%s) AND r.scheduled_at >= to_timestamp(%s) AND r.scheduled_at < to_timestamp(%s)"""
PATIENCE = 30
"""Seconds that a run may be late and still count as made."""


def schedules(site: Site) -> dict[str, float]:
    """As many as the other product is asked for, too."""
    return _measured(site, site.sizes.schedules, "schedules")


def many_schedules(site: Site) -> dict[str, float]:
    """As many as one beat has to bear."""
    return _measured(site, site.sizes.many_schedules, "many_schedules")


def taken(site: Site) -> dict[str, float]:
    """How long after its time a run is claimed, where twenty agents wait for it and others; nothing is executed."""
    assert isinstance(site, Ours)
    with waiting(site, "taken", AGENTS):
        deployments = _set(site, site.sizes.schedules, "taken", "taken")
        begin = time.time() + WARM_UP
        end = begin + TAKEN_SECONDS
        time.sleep(end + PATIENCE - time.time())
    with psycopg.connect(site.superuser_url(), connect_timeout=10) as connection:
        late = [float(late) for (late,) in connection.execute(CLAIMED, (list(deployments), begin, end))]
    return {
        "taken.late.p50": 1000 * median(late),
        "taken.late.p99": 1000 * percentile(late, 0.99),
        "taken.missing": site.sizes.schedules * TAKEN_SECONDS / 60 - len(late),
    }


def _measured(site: Site, count: int, name: str) -> dict[str, float]:
    """Late is what was made after its time, by so much. Nobody takes the runs: this is about the scheduler alone."""
    if not count:
        return {}
    deployments = _set(site, count, name, site.idle_pool())
    begin = time.time() + WARM_UP
    end = begin + 60 * site.sizes.schedule_minutes
    time.sleep(max(0.0, begin - time.time()))
    before = cpu_seconds(site.serving())
    time.sleep(max(0.0, end - time.time()))
    used = cpu_seconds(site.serving()) - before
    time.sleep(PATIENCE)
    rows = [row for row in site.database.scheduled(begin, end) if row[0] in deployments]
    late = sorted(max(0.0, made - meant) for _, meant, made in rows)
    wanted = count * site.sizes.schedule_minutes
    return {
        f"{name}.missing": wanted - len({row[:2] for row in rows}),
        f"{name}.twice": len(rows) - len({row[:2] for row in rows}),
        f"{name}.late.p50": median(late) if late else float(PATIENCE),
        f"{name}.late.p99": percentile(late, 0.99) if late else float(PATIENCE),
        f"{name}.late.most": max(late, default=float(PATIENCE)),
        f"{name}.cpu": 100 * used / (60 * site.sizes.schedule_minutes),
    }


def _set(site: Site, count: int, name: str, pool: str) -> set[str]:
    """Schedules of one minute, spread over it, of several deployments; of which."""
    deployments: set[str] = set()
    origin = int(time.time()) // 60 * 60 - 3600
    spread = [origin + number for number in range(OF_A_DEPLOYMENT)]
    with client(site) as user:
        for number in range(-(-count // OF_A_DEPLOYMENT)):
            anchors = spread[: count - number * OF_A_DEPLOYMENT]
            told = user.ask(
                "deploy", DEPLOY_SECONDS, flow="beacon", way=site.ways[0], pool=pool, name=f"{name}-{number}",
                every_minute=anchors, parameters={"path": "nowhere"},
            )  # fmt: skip
            deployments.add(str(told))
    return deployments
