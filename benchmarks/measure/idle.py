"""What a server costs that has nothing to do."""

import time

from benchmarks.measure.executors import SETTLE_SECONDS
from benchmarks.processes import cpu_seconds, proportional_memory
from benchmarks.site import Site


def server(site: Site) -> dict[str, float]:
    """All that serves, the stores included, while nothing runs: share of a core in percent, and memory in MiB."""
    pids = site.serving()
    time.sleep(SETTLE_SECONDS)
    before = cpu_seconds(pids)
    time.sleep(site.sizes.idle_seconds)
    share = (cpu_seconds(pids) - before) / site.sizes.idle_seconds
    return {"server.cpu": 100 * share, "server.memory": proportional_memory(pids) / 2**20}
