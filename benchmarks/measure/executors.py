"""What an executor costs that has nothing to do."""

import time

from benchmarks.processes import cpu_seconds, proportional_memory
from benchmarks.site import Site

SETTLE_SECONDS = 3


def executor(site: Site) -> dict[str, float]:
    """The executor's processes: share of a core in percent, and memory, of shared pages its part."""
    with site.executor(site.ways[0]) as pid:
        time.sleep(SETTLE_SECONDS)
        before = cpu_seconds([pid])
        time.sleep(site.sizes.idle_seconds)
        share = (cpu_seconds([pid]) - before) / site.sizes.idle_seconds
        return {"executor.cpu": 100 * share, "executor.memory": proportional_memory([pid]) / 2**20}
