"""Many trivial tasks in one flow: what a call costs the user, what it costs the machine, when all of it is recorded."""

import time
from dataclasses import dataclass

from benchmarks.database import Database
from benchmarks.figures import median
from benchmarks.processes import cpu_seconds
from benchmarks.site import Site, client

FLOW_SECONDS = 600
DRAIN_SECONDS = 600


@dataclass(frozen=True)
class Recorded:
    """One flow of `count` tasks, from its first call to the last row. Seconds."""

    count: int
    inside: float
    """In the user's thread, around the loop."""
    flow: float
    """Around the call of the flow."""
    drain: float
    """From the flow's return until the database has all."""
    cpu: float
    """Of client, server and database together, until then."""


def record(site: Site, mode: str, count: int) -> Recorded:
    """Run it once in a fresh process that has run a flow before."""
    with client(site) as user:
        user.ask("flows", FLOW_SECONDS, count=1)
        before = user.ask("cpu", FLOW_SECONDS) + cpu_seconds(site.pids())
        told = user.ask("record", FLOW_SECONDS, mode=mode, count=count)
        returned = time.perf_counter()
        site.database.wait_recorded(told["run"], count, DRAIN_SECONDS)
        drain = time.perf_counter() - returned
        after = user.ask("cpu", FLOW_SECONDS) + cpu_seconds(site.pids())
    return Recorded(count, told["inside"], told["flow"], drain, after - before)


def calls(site: Site) -> dict[str, float]:
    """The task called in a loop, and submitted."""
    figures = {}
    for mode in ("call", "submit"):
        figures |= _described(mode, _repeated(site, mode, site.sizes.calls))
    return figures


def large_map(site: Site) -> dict[str, float]:
    """`.map` over a thousand values, and over ten thousand where that ends within minutes."""
    figures = _described("map", _repeated(site, "map", site.sizes.small_map))
    if site.sizes.large_map:
        figures |= _described("large_map", _repeated(site, "map", site.sizes.large_map))
    return figures


def ingest(site: Site) -> dict[str, float]:
    """Task runs a second, from the first call to the last row: client, server and database share the machine."""
    runs = _repeated(site, "call", site.sizes.ingest)
    return {
        "ingest.rate": median([run.count / (run.flow + run.drain) for run in runs]),
        "ingest.drain": median([run.drain for run in runs]),
        "ingest.cpu": median([1e6 * run.cpu / run.count for run in runs]),
    }


def row_bytes(site: Site) -> dict[str, float]:
    """What the tables and their indexes grow by."""
    count = site.sizes.large_map or site.sizes.calls
    assert isinstance(site.database, Database)
    before = site.database.settled_size()
    record(site, "map", count)
    return {"bytes": (site.database.settled_size() - before) / count}


def _repeated(site: Site, mode: str, count: int) -> list[Recorded]:
    return [record(site, mode, count) for _ in range(site.sizes.repeats)]


def _described(name: str, runs: list[Recorded]) -> dict[str, float]:
    """Medians, per task in microseconds."""
    return {
        f"{name}.us": median([1e6 * run.inside / run.count for run in runs]),
        f"{name}.drain": median([run.drain for run in runs]),
        f"{name}.cpu": median([1e6 * run.cpu / run.count for run in runs]),
    }
