"""From a trigger by the API to the first line of user code, which says by a file when it began."""

import time
import uuid
from pathlib import Path

from benchmarks.figures import median, percentile
from benchmarks.site import Site, client
from benchmarks.theirs import POOL

DEPLOY_SECONDS = 120
START_SECONDS = 120
BURST_SECONDS = 600
LOOK_EVERY = 0.005
ODD_PAUSE = 0.37  # seconds; keeps out of step with whoever polls


def deploy(site: Site, flow: str) -> str:
    """Deploy a flow of `programs/workloads.py`; the deployment's id."""
    with client(site) as user:
        return str(user.ask("deploy", DEPLOY_SECONDS, flow=flow, pool=POOL))


def trigger(site: Site) -> dict[str, float]:
    """One run at a time, each after the former has ended."""
    deployment, figures = deploy(site, "beacon"), {}
    for poll in site.polls:
        count = site.sizes.triggers if poll == "default" else site.sizes.fast_triggers
        with site.executor(poll):
            seconds = [_lit(site, deployment, number) for number in range(count)]
        figures[f"trigger.{poll}"] = 1000 * median(seconds)
        figures[f"trigger.{poll}.p95"] = 1000 * percentile(seconds, 0.95)
    return figures


def burst(site: Site) -> dict[str, float]:
    """Many runs at once for one executor: until user code runs in all of them."""
    if not site.sizes.burst:
        return {}
    deployment = deploy(site, "beacon")
    with site.executor("default"):
        began = time.time()
        lit = [_light(site, deployment) for _ in range(site.sizes.burst)]
        deadline = time.monotonic() + BURST_SECONDS
        started = [_stamp(path, deadline) - began for _, path in lit]
        for run, _ in lit:
            site.database.wait_completed(run, BURST_SECONDS)
    return {"burst.first": min(started), "burst.all": max(started)}


def _lit(site: Site, deployment: str, number: int) -> float:
    """Seconds from the trigger to user code, once the run has ended."""
    time.sleep(ODD_PAUSE * (number % 5))
    began = time.time()
    run, path = _light(site, deployment)
    seconds = _stamp(path, time.monotonic() + START_SECONDS) - began
    site.database.wait_completed(run, START_SECONDS)
    return seconds


def _light(site: Site, deployment: str) -> tuple[str, Path]:
    path = site.directory / f"beacon-{uuid.uuid4()}"
    return site.trigger(deployment, {"path": str(path)}), path


def _stamp(path: Path, deadline: float) -> float:
    """When user code began, in seconds since 1970."""
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("User code didn't begin in time.")
        time.sleep(LOOK_EVERY)
    return int(path.read_text()) / 1e9
