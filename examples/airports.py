"""The same work for each airport: a flow of its own for each, all at once.

What it shows: subflows by `.submit`. Each has a page with its parameters, tasks, retries and log; one that fails is
seen as failed, and what the others found is kept.

    python -m examples.airports
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, quantiles

from examples.flights import dataset
from orchestrator import flow, get_run_logger, task


@dataclass
class Airport:
    """How punctual departures are (delays in minutes)."""

    code: str
    departures: int
    mean_delay: float
    worst_tenth: float


@task
def delays(code: str, month: int) -> list[float]:
    """The delay of each departure."""
    flights, _, _ = dataset()
    chosen = flights[(flights.origin == code) & (flights.month == month)]
    return chosen.dep_delay.dropna().tolist()


@flow(flow_run_name="airport-{code}", retries=1)
def airport(code: str, month: int) -> Airport:
    """How punctual one airport is.

    Args:
        code: IATA's.
        month: Of 2013.

    Raises:
        ValueError: Nothing departed there.
    """
    found = delays(code, month)
    if not found:
        raise ValueError(f"No departures from {code}: EWR, JFK and LGA are known.")
    return Airport(code, len(found), fmean(found), quantiles(found, n=10)[-1])


@flow
def compare_airports(codes: list[str], month: int = 1) -> list[Airport]:
    """The airports, the most punctual one first. Those that fail are left out, and told.

    Args:
        codes: IATA's.
        month: Of 2013.
    """
    runs = [airport.submit(code, month) for code in codes]
    ended = [run.result(raise_on_failure=False) for run in runs]
    for code, outcome in zip(codes, ended, strict=True):
        if isinstance(outcome, BaseException):
            get_run_logger().warning("%s is left out: %s", code, outcome)
    return sorted((one for one in ended if isinstance(one, Airport)), key=lambda one: one.mean_delay)


if __name__ == "__main__":
    for one in compare_airports(["EWR", "JFK", "LGA"]):
        print(one)
