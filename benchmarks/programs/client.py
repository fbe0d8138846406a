"""The measured user process, in the interpreter of the product under test."""

import asyncio
import os
import sys
import time
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


def deploy(flow, way, pool):
    """Make a flow known to the server; the deployment's id. `way` is ours to know: Prefect's workers have one way."""
    if "prefect" not in sys.modules:
        return str(getattr(workloads, flow).deploy(f"benchmark {way}", process=way, work_pool_name=pool))
    from prefect import flow as decorator

    here = os.path.dirname(os.path.abspath(__file__))
    found = decorator.from_source(source=here, entrypoint=f"workloads.py:{flow}")
    return str(found.deploy("benchmark", work_pool_name=pool, print_next_steps=False))


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
