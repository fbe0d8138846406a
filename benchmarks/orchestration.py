"""`python -m benchmarks.orchestration`: how soon, how many, how late, and what waiting costs.

From a trigger to user code, one run at a time and many at once; runs a second; Fibonacci numbers; schedules; the server
and the agent while they idle; lists of very many runs. Ours and Prefect's in one run, each with a server and stores of
its own. Prefect takes about twenty minutes for 500 runs at once.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.beside_prefect import Benchmark, Suite
from benchmarks.measure import some_of
from benchmarks.measure.executors import executor
from benchmarks.measure.fibonacci import fibonacci
from benchmarks.measure.idle import server
from benchmarks.measure.lists import SHOWN, STATES, lists
from benchmarks.measure.schedules import many_schedules, schedules, taken
from benchmarks.measure.throughput import SLOTS, throughput
from benchmarks.measure.triggers import burst, flood, trigger
from benchmarks.rows import EXECUTOR, FIBONACCI, TRIGGERS, Row
from benchmarks.sizes import OURS, OURS_QUICK

SUITES: dict[str, Suite] = {
    "idle": server,
    "executor": executor,
    "trigger": trigger,
    "burst": burst,
    "flood": flood,
    "runs": throughput,
    "fibonacci": fibonacci,
    "taken": taken,
    "schedules": schedules,
    "many_schedules": many_schedules,
    "lists": lists,
}
"""In an order in which none leaves behind what the next one would measure."""


def _bursts() -> Iterator[Row]:
    for name, count, most in (("burst", 50, 2), ("flood", 500, None)):
        yield Row(f"{count} runs triggered at once, to user code: p50", "s", f"{name}.p50")
        yield Row("… p95", "s", f"{name}.p95")
        yield Row("… all", "s", f"{name}.all", at_most=most)


def _schedules() -> Iterator[Row]:
    for name, count, most in (("schedules", 500, None), ("many_schedules", 10_000, 1)):
        yield Row(f"{count:,} schedules of a minute: runs made late, p50", "s", f"{name}.late.p50")
        yield Row("… p99", "s", f"{name}.late.p99", at_most=most)
        yield Row("… the latest", "s", f"{name}.late.most")
        yield Row("… missing", "runs", f"{name}.missing", at_most=0, compared=False)
        yield Row("… made twice", "runs", f"{name}.twice", at_most=0, compared=False)
        yield Row("… share of a core, all that serves", "%", f"{name}.cpu")

    yield Row(f"{OURS.schedules} schedules of a minute, 20 agents: due → claimed, p50", "ms", "taken.late.p50")
    yield Row("… p99", "ms", "taken.late.p99", at_most=1000)
    yield Row("… not claimed", "runs", "taken.missing", at_most=0)


def _lists() -> Iterator[Row]:
    for count in sorted({*OURS_QUICK.listed, *OURS.listed}):
        for name, state in STATES.items():
            what = f"the newest {SHOWN} of {count:,} runs" + (f", {state} ones" if state else "")
            yield Row(f"{what}: p50", "ms", f"list.{name}.{count}")
            yield Row("… p95", "ms", f"list.{name}.{count}.p95", at_most=100)


ROWS = [
    *TRIGGERS,
    *_bursts(),
    *(
        Row(f"runs through one executor of {slots} slots; Prefect polls every 0.5 s", "per s", f"runs.{slots}",
            more_is_better=True)
        for slots in SLOTS
    ),
    *FIBONACCI,
    *_schedules(),
    Row("idle server with its stores: share of a core", "%", "server.cpu"),
    Row("… memory", "MiB", "server.memory"),
    *EXECUTOR,
    *_lists(),
]  # fmt: skip
BENCHMARK = Benchmark(
    "Orchestration", "benchmarks.orchestration", Path(__file__).parent / "RESULTS-orchestration.md", ROWS
)


def main() -> int:
    """Measure both, print the table; the exit code is 1 when something could not be measured."""
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--only", **some_of(SUITES))
    options = parser.parse_args()
    return BENCHMARK.run(options, {name: SUITES[name] for name in options.only})


if __name__ == "__main__":
    sys.exit(main())
