"""Read everything that a paged API has, though it refuses every third request.

What it shows: retries that know what deserves them. A 404 is final, a 503 is tried again after a growing delay with
jitter, and a 429 says itself how long to wait.

    python -m examples.api_client
"""

from __future__ import annotations

import math
import random
from statistics import fmean

import httpx

from examples.local_services import Readings, serving
from orchestrator import exponential_backoff, flow, get_run_logger, task, unmapped

TRANSIENT = {429, 502, 503, 504}


def deserves_another_try(task: object, run: object, state: object) -> bool:
    """Whether what failed may work the next time: the network, or an answer that says so."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in TRANSIENT
    return isinstance(error, httpx.TransportError)


PATIENT = {
    "retries": 5,
    "retry_delay_seconds": exponential_backoff(backoff_factor=0.02),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": deserves_another_try,
}


@task(**PATIENT)
def stations(base: str) -> list[str]:
    """The names of all stations."""
    return httpx.get(f"{base}/stations", timeout=10).raise_for_status().json()


@task(task_run_name="{station}-{page}", **PATIENT)
def readings(base: str, station: str, page: int) -> dict:
    """One page of a station's readings, and the number of the next one."""
    address = f"{base}/stations/{station}/readings"
    return httpx.get(address, params={"page": page}, timeout=10).raise_for_status().json()


@task
def mean_of(base: str, station: str) -> float:
    """A station's mean, over as many pages as there are."""
    values, page = [], 1
    while page is not None:
        answer = readings(base, station, page)
        values += answer["values"]
        page = answer["next"]
    return fmean(values)


@flow
def station_means(base: str) -> dict[str, float]:
    """The mean of each station, stations side by side.

    Args:
        base: Where the API is, such as https://weather.example.
    """
    names = stations(base)
    means = mean_of.map(unmapped(base), names).result()
    found = dict(zip(names, means, strict=True))
    get_run_logger().info("%d stations read.", len(found))
    return found


def weather(stations: int = 4, hours: int = 250) -> dict[str, list[float]]:
    """A made-up year of temperatures (°C) that is the same each time."""
    chance = random.Random(7)
    return {
        f"station-{number}": [10 + 9 * math.sin(hour / 40 + number) + chance.gauss(0, 2) for hour in range(hours)]
        for number in range(stations)
    }


if __name__ == "__main__":
    with serving(Readings(weather())) as address:
        print(station_means(address))
