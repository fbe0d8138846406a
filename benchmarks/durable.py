"""`python -m benchmarks.durable`: what it costs to keep what was done, and how soon a slot is handed on.

Values stored, replayed after a failure, and cached; the same work by four processes under one limit. Ours and
Prefect's in one run, each attached to a server of its own. Every figure comes from a fresh process.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import machine, ours, prefect, report
from benchmarks.measure import caching, slots
from benchmarks.measure.background import background
from benchmarks.measure.resume import resume
from benchmarks.rows import Row
from benchmarks.site import Site
from benchmarks.sizes import OURS, PREFECT
from benchmarks.stores import Given

RESULTS = Path(__file__).parent / "RESULTS-durable.md"
FINISHED, FINISHED_QUICK = 10_000, 200
QUEUED, QUEUED_QUICK = 1_000, 20
ROWS = [
    *caching.ROWS,
    Row("a call that is replayed after the flow failed", "µs", "resume.us"),
    Row("… all of 10,000", "s", "resume.s"),
    Row(f"800 tasks of 0.1 s over 20 slots from 4 processes; ideal {slots.IDEAL:g}", "s", "slots.seconds"),
    Row("… over the ideal, per hand-over", "ms", "slots.hand_over.ms"),
    Row("… the most inside at once", "", "slots.most", at_most=slots.SLOTS, compared=False),
    Row("`.delay` → user code: p50", "ms", "background.start"),
    Row("… p95", "ms", "background.start.p95"),
    Row("1,000 delays: all queued", "s", "background.queued"),
    Row("… all values there", "s", "background.ended"),
]


def main() -> int:
    """Measure both, print the table."""
    options = _options()
    finished, queued = (FINISHED_QUICK, QUEUED_QUICK) if options.quick else (FINISHED, QUEUED)
    suites: dict[str, Callable[[Site], dict[str, float]]] = {
        "caching": caching.caching,
        "resume": partial(resume, count=finished),
        "slots": slots.hand_over,
        "background": partial(background, count=queued),
    }
    sites = {ours.site: OURS} if options.no_prefect else {ours.site: OURS, prefect.site: PREFECT}
    load_before, figures = machine.load(), dict[str, dict[str, float]]()
    for begin, sizes in sites.items():
        with begin(sizes, Given("", "")) as site, site.running():
            told = figures[site.title] = {}
            for measure in suites.values():
                found = measure(site)
                told |= found
                print(site.title, *(f"{name} {value:.4g}" for name, value in found.items()), sep="  ", flush=True)
    lines = report.without_celery(report.table(figures, ROWS))
    print(f"\n{report.markdown(lines)}\n", flush=True)
    if options.write:
        report.write_beside_prefect("What it costs to keep work", "benchmarks.durable", lines, load_before, RESULTS)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__)
    parser.add_argument("--no-prefect", action="store_true", help="leave Prefect out")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything works")
    parser.add_argument("--write", action="store_true", help=f"keep the table (in benchmarks/{RESULTS.name})")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
