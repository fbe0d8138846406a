"""The measured user process, in the interpreter of the product under test."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import slots
import workloads
from asked import serve


def record(mode, count):
    """Run a flow of many tasks; its id, the seconds in the flow's code and around the whole call."""
    began = time.perf_counter()
    if mode in ("async", "gather"):
        run, inside = asyncio.run(workloads.many_async_tasks(mode, count))
    else:
        run, inside = workloads.many_tasks(mode, count)
    return {"run": run, "inside": inside, "flow": time.perf_counter() - began}


def keep(kind, first, count):
    """Run a flow of tasks whose values are stored: the seconds in the flow's code."""
    return workloads.many_kept_tasks(kind, first, count)[1]


def peak():
    """The most memory that this process has held, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def flows(count):
    return [workloads.timed(workloads.empty) for _ in range(count)]


def subflows(count):
    return workloads.many_subflows(count)


def deploy(flow, way, pool, name="benchmark", every_minute=(), parameters=None):
    """Make a flow known to the server; the deployment's id. `way` is ours to know: Prefect's workers have one way.

    `every_minute`: seconds since 1970 that schedules of one minute are anchored at, which run it with `parameters`.
    """
    if "prefect" not in sys.modules:
        from orchestrator.schedules import Interval

        schedules = [Interval(60, anchor=datetime.fromtimestamp(at, UTC), slug=f"s{at}") for at in every_minute]
        options = {"schedules": schedules, "parameters": parameters or {}}
        return str(getattr(workloads, flow).deploy(f"{name} {way}", process=way, work_pool_name=pool, **options))
    from prefect import flow as decorator
    from prefect.schedules import Interval

    here = os.path.dirname(os.path.abspath(__file__))
    found = decorator.from_source(source=here, entrypoint=f"workloads.py:{flow}")
    schedules = [
        Interval(timedelta(minutes=1), anchor_date=datetime.fromtimestamp(at, UTC), slug=f"s{at}")
        for at in every_minute
    ]
    options = {"schedules": schedules, "parameters": parameters or {}, "print_next_steps": False}
    return str(found.deploy(name, work_pool_name=pool, **options))


if __name__ == "__main__":
    serve(
        {
            "record": record,
            "flows": flows,
            "subflows": subflows,
            "deploy": deploy,
            "cpu": time.process_time,
            "peak": peak,
            "keep": keep,
            "limit": slots.limit,
            "occupy": slots.occupy,
            "resume": workloads.resume,
        }
    )
