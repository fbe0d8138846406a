"""How many runs a second one executor of few slots brings to their end."""

import time

from benchmarks.measure.triggers import START_SECONDS, deploy
from benchmarks.site import Site

SLOTS = (2, 8)
RUN_SECONDS = 1_800


def throughput(site: Site) -> dict[str, float]:
    """Runs of an empty flow, all triggered at once, from the first trigger to the last end that the server has."""
    figures = {}
    for slots in SLOTS:
        with site.limited(slots) as pool:
            deployment = deploy(site, "empty", site.swift, pool=pool)
            site.database.wait_completed(site.trigger(deployment, {}), START_SECONDS)
            began = time.time()
            runs = [site.trigger(deployment, {}) for _ in range(site.sizes.runs)]
            ended = max(site.database.wait_completed(run, RUN_SECONDS) for run in runs)
        figures[f"runs.{slots}"] = len(runs) / (ended - began)
    return figures
