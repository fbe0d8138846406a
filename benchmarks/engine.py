"""`python -m benchmarks.engine`: what a call costs, in each way of calling, as the number of calls grows.

Sync and async, submitted and mapped, at 100, 1,000 and 10,000 calls; a flow, a subflow, the import; and the memory that
it takes: ours and Prefect's in one run, each attached to a server of its own. Every figure comes from a fresh process.
The journal is sent beside the calls and counts as far as it takes the processor from them.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine, ours, prefect, report
from benchmarks.figures import median
from benchmarks.measure.flows import flow, subflow
from benchmarks.measure.imports import imports
from benchmarks.rows import ROWS, Row
from benchmarks.site import Site, client
from benchmarks.sizes import OURS, PREFECT
from benchmarks.stores import Given

COUNTS = (100, 1_000, 10_000)
MODES = {
    "call": "task called in a loop",
    "async": "async task awaited in a loop",
    "gather": "async tasks gathered",
    "submit": "`.submit`, then all results",
    "map": "`.map`, then all results",
}
TIMEOUT = 900
RESULTS = Path(__file__).parent / "RESULTS-engine.md"
SAME = ("import.ms", "import.memory", "import.modules", "flow.ms", "flow.p95", "subflow.ms", "subflow.p95")
TARGETS = {"call": 50.0}
"""Microseconds that a call may cost, where the design says so."""


def main() -> int:
    """Measure both, print the table; the exit code is 1 when something could not be measured."""
    options = _options()
    counts = COUNTS[:1] if options.quick else COUNTS
    sites = {ours.site: OURS} if options.no_prefect else {ours.site: OURS, prefect.site: PREFECT}
    origin, figures = machine.origin(), dict[str, dict[str, float]]()
    for begin, sizes in sites.items():
        with begin(sizes, Given("", "")) as site, site.running():
            figures[site.title] = {**imports(site), **flow(site), **subflow(site), **calls(site, counts)}
    lines = report.without_celery(report.table(figures, list(rows())))
    print(f"\n{report.markdown(lines)}\n", flush=True)
    if options.write:
        report.write_beside_prefect("What a call costs", "benchmarks.engine", lines, [origin], RESULTS)
    return 0


def calls(site: Site, counts: tuple[int, ...]) -> dict[str, float]:
    """Microseconds of a call, and MiB that the process held at most, by mode and count."""
    figures: dict[str, float] = {}
    for mode in MODES:
        for count in counts:
            repeats = site.sizes.repeats if count < COUNTS[-1] else 1
            told = [_once(site, mode, count) for _ in range(repeats)]
            figures[f"{mode}.{count}.us"] = median([seconds * 1e6 / count for seconds, _ in told])
            figures[f"{mode}.{count}.peak"] = max(peak for _, peak in told)
            print(f"{site.title:12} {mode:7} {count:6,}  {figures[f'{mode}.{count}.us']:10.1f} µs", flush=True)
    return figures


def _once(site: Site, mode: str, count: int) -> tuple[float, float]:
    """Seconds around the calls, and MiB, of a process that has run a flow before."""
    with client(site) as user:
        user.ask("flows", TIMEOUT, count=1)
        return user.ask("record", TIMEOUT, mode=mode, count=count)["inside"], user.ask("peak", TIMEOUT)


def rows() -> Iterator[Row]:
    """What the figures mean."""
    yield from (row for row in ROWS if row.ours in SAME)
    for mode, title in MODES.items():
        for count in COUNTS:
            target = TARGETS.get(mode) if count == COUNTS[-1] else None
            yield Row(f"{title}: {count:,}", "µs per call", f"{mode}.{count}.us", at_most=target)
            yield Row("… memory of the process", "MiB", f"{mode}.{count}.peak")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--no-prefect", action="store_true", help="leave Prefect out")
    parser.add_argument("--quick", action="store_true", help="the smallest number only, to see that everything works")
    parser.add_argument("--write", action="store_true", help=f"keep the table (in benchmarks/{RESULTS.name})")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
