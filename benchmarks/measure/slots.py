"""How soon a slot that is given back reaches who waits for it: work in several processes, under one limit.

python -m benchmarks.measure.slots [--prefect]
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks import ours, prefect
from benchmarks.site import Site, client
from benchmarks.sizes import OURS, PREFECT
from benchmarks.stores import Given

PROCESSES = 4
SLOTS = 20
WORK = 800
"""Pieces of it, shared by the processes."""
SECONDS = 0.1
"""That each of them takes."""
THREADS = 50
"""Of each process: so many wait at once."""
IDEAL = WORK * SECONDS / SLOTS
TIMEOUT = 900
SETTLE = 1.0


def hand_over(site: Site) -> dict[str, float]:
    """Seconds until all is done, what a hand-over costs on the way, and the most that were inside at once.

    Every process has taken a slot before: what is loaded then is not measured.
    """
    with ExitStack() as stack:
        users = [stack.enter_context(client(site)) for _ in range(PROCESSES)]
        users[0].ask("limit", TIMEOUT, name="benchmark", slots=SLOTS)
        each = {"name": "benchmark", "threads": THREADS, "seconds": SECONDS}
        with ThreadPoolExecutor(PROCESSES) as pool:
            list(pool.map(lambda user: user.ask("occupy", TIMEOUT, **each | {"count": 1, "at": 0.0}), users))
            at = time.time() + SETTLE
            told = pool.map(lambda user: user.ask("occupy", TIMEOUT, **each, count=WORK // PROCESSES, at=at), users)
            spans = [(began, ended) for process in told for began, ended in process]
    seconds = max(ended for _, ended in spans) - at
    return {
        "slots.seconds": seconds,
        "slots.hand_over.ms": 1000 * (seconds - IDEAL) / (WORK / SLOTS),
        "slots.most": float(most_at_once(spans)),
    }


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """How many of these spans of time overlap at most."""
    moments = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    inside = most = 0
    for _, step in moments:
        inside += step
        most = max(most, inside)
    return most


def main() -> int:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.slots", description=__doc__)
    parser.add_argument("--prefect", action="store_true", help="Prefect, too")
    sites = {ours.site: OURS} | ({prefect.site: PREFECT} if parser.parse_args().prefect else {})
    print(f"{WORK} pieces of {SECONDS} s over {SLOTS} slots from {PROCESSES} processes; ideal: {IDEAL} s", flush=True)
    for begin, sizes in sites.items():
        with begin(sizes, Given("", "")) as site, site.running():
            for _ in range(site.sizes.repeats):
                told = hand_over(site)
                print(site.title, *(f"{name} {value:.1f}" for name, value in told.items()), sep="  ", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
