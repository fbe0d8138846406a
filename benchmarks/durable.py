"""`python -m benchmarks.durable`: what it costs to keep what was done, and how soon a slot is handed on.

Values stored, replayed after a failure, and cached; the same work by four processes under one limit. Ours and
Prefect's in one run, each attached to a server of its own. Every figure comes from a fresh process.
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.beside_prefect import Benchmark, Suite
from benchmarks.measure import caching, slots
from benchmarks.measure.background import background
from benchmarks.measure.resume import resume
from benchmarks.rows import Row

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


BENCHMARK = Benchmark("What it costs to keep work", "benchmarks.durable", RESULTS, ROWS)


def main() -> int:
    """Measure both, print the table."""
    options = BENCHMARK.parser(__doc__).parse_args()
    finished, queued = (FINISHED_QUICK, QUEUED_QUICK) if options.quick else (FINISHED, QUEUED)
    suites: dict[str, Suite] = {
        "caching": caching.caching,
        "resume": partial(resume, count=finished),
        "slots": slots.hand_over,
        "background": partial(background, count=queued),
    }
    return BENCHMARK.run(options, suites)


if __name__ == "__main__":
    sys.exit(main())
