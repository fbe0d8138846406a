"""What is measured. A suite takes a running site and answers figures by name; `rows.py` says what they mean."""

import argparse
from collections.abc import Callable, Collection
from typing import Any

from benchmarks.measure.agents import agents
from benchmarks.measure.batches import batches
from benchmarks.measure.executors import executor
from benchmarks.measure.fibonacci import fibonacci
from benchmarks.measure.flows import flow, subflow
from benchmarks.measure.imports import imports
from benchmarks.measure.tasks import calls, ingest, large_map, row_bytes
from benchmarks.measure.triggers import burst, trigger
from benchmarks.site import Site

SUITES: dict[str, Callable[[Site], dict[str, float]]] = {
    "import": imports,
    "calls": calls,
    "map": large_map,
    "flow": flow,
    "subflow": subflow,
    "ingest": ingest,
    "bytes": row_bytes,
    "batches": batches,
    "trigger": trigger,
    "burst": burst,
    "fibonacci": fibonacci,
    "executor": executor,
    "agents": agents,
}


def some_of(suites: Collection[str]) -> dict[str, Any]:
    """How an option is read that chooses some of these suites by their names, with commas."""

    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in suites]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(suites)}")
        return names

    return {"type": chosen, "default": list(suites), "help": f"some of: {','.join(suites)}"}
