"""How long the API takes for a list of runs, of which a workspace has few or very many."""

import time

from benchmarks.figures import median, percentile
from benchmarks.measure.triggers import START_SECONDS, deploy
from benchmarks.site import Site

SHOWN = 50
STATES = {"all": "", "failed": "FAILED"}
"""Of all runs, and of one in a hundred."""


def lists(site: Site) -> dict[str, float]:
    """The newest runs, asked for again and again over one connection. All but one are copies of it, made in SQL."""
    deployment = deploy(site, "empty", site.swift)
    with site.executor(site.swift):
        run = site.trigger(deployment, {})
        site.database.wait_completed(run, START_SECONDS)
    figures, there = {}, 1
    for count in site.sizes.listed:
        site.database.copy_run(run, count - there)
        there = count
        for name, state in STATES.items():
            seconds = sorted(_asked(site, state) for _ in range(site.sizes.lists))
            figures[f"list.{name}.{count}"] = 1000 * median(seconds)
            figures[f"list.{name}.{count}.p95"] = 1000 * percentile(seconds, 0.95)
    return figures


def _asked(site: Site, state: str) -> float:
    began = time.perf_counter()
    came = site.list_runs(SHOWN, state)
    seconds = time.perf_counter() - began
    if not came:
        raise RuntimeError("The list is empty.")
    return seconds
