"""From a trigger to the first line of user code, which says by a file when it began."""

import shutil
import time
import uuid
from pathlib import Path

from benchmarks.figures import median, percentile
from benchmarks.site import PROGRAMS, Site, client

DEPLOY_SECONDS = 120
START_SECONDS = 120
BURST_SECONDS = 3_600
LOOK_EVERY = 0.005
ODD_PAUSE = 0.37  # seconds; keeps out of step with whoever polls


def deploy(site: Site, flow: str, way: str, programs: Path = PROGRAMS, pool: str = "") -> str:
    """Deploy a flow of `programs/workloads.py`; the deployment's id."""
    with client(site, programs) as user:
        return str(user.ask("deploy", DEPLOY_SECONDS, flow=flow, way=way, pool=pool or site.pool))


def trigger(site: Site) -> dict[str, float]:
    """One run at a time, each after the former has ended, and after one that doesn't count."""
    figures = {}
    for way in site.ways:
        deployment = deploy(site, "beacon", way)
        count = site.sizes.fast_triggers if way == "fast" else site.sizes.triggers
        with site.executor(way):
            _lit(site, deployment)
            seconds = [_lit(site, deployment, ODD_PAUSE * (number % 5)) for number in range(count)]
        figures[f"trigger.{way}"] = 1000 * median(seconds)
        figures[f"trigger.{way}.p95"] = 1000 * percentile(seconds, 0.95)
    return figures | _new_code(site)


def _new_code(site: Site) -> dict[str, float]:
    """The first run of a deployment whose code no executor has seen."""
    seconds = []
    for _ in range(site.sizes.new_code):
        deployment = deploy(site, "beacon", site.ways[0], _changed_programs(site))
        with site.executor(site.ways[0]):
            seconds.append(_lit(site, deployment))
    return {"trigger.new": 1000 * median(seconds), "trigger.new.most": 1000 * max(seconds)} if seconds else {}


def _changed_programs(site: Site) -> Path:
    """A copy of the programs, with one line that makes other code of them."""
    name = f"programs-{uuid.uuid4()}"
    copy = shutil.copytree(PROGRAMS, site.directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "workloads.py").open("a") as file:
        file.write(f"\n# {name}\n")
    return copy


def burst(site: Site) -> dict[str, float]:
    """Many runs at once for one executor, which has run that deployment before: until user code runs in all of them."""
    return _burst(site, site.sizes.burst, "burst")


def flood(site: Site) -> dict[str, float]:
    """Ten times as many."""
    return _burst(site, site.sizes.flood, "flood")


def _burst(site: Site, count: int, name: str) -> dict[str, float]:
    if not count:
        return {}
    deployment = deploy(site, "beacon", site.ways[0])
    with site.executor(site.ways[0]):
        _lit(site, deployment)
        began = time.time()
        lit = [_light(site, deployment) for _ in range(count)]
        deadline = time.monotonic() + BURST_SECONDS
        started = [_stamp(path, deadline) - began for _, path in lit]
        for run, _ in lit:
            site.database.wait_completed(run, BURST_SECONDS)
    return {
        f"{name}.first": min(started),
        f"{name}.p50": median(started),
        f"{name}.p95": percentile(started, 0.95),
        f"{name}.all": max(started),
    }


def _lit(site: Site, deployment: str, pause: float = 0.0) -> float:
    """Seconds from the trigger to user code, once the run has ended."""
    time.sleep(pause)
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
