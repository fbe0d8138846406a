"""Ask an API for hundreds of things at once, in one thread.

What it shows: async flows and tasks, gathered as any coroutines are; a bound on how many are under way, a time limit
for each, retries that hold up nobody else.

    python -m examples.async_fan_out
"""

from __future__ import annotations

import asyncio

import httpx

from examples.api_client import PATIENT, weather
from examples.local_services import PAGE, Readings, serving
from orchestrator import flow, get_run_logger, task


@task(task_run_name="{station}-{page}", timeout_seconds=10, **PATIENT)
async def page_of(client: httpx.AsyncClient, station: str, page: int) -> list[float]:
    """One page of a station's readings."""
    answer = await client.get(f"/stations/{station}/readings", params={"page": page})
    return answer.raise_for_status().json()["values"]


@flow
async def hottest(base: str, pages: int = 3, at_once: int = 20) -> tuple[str, float]:
    """The station with the highest reading, and that reading.

    Args:
        base: Where the API is.
        pages: Of each station.
        at_once: Requests that may be under way.
    """
    free = asyncio.Semaphore(at_once)

    async with httpx.AsyncClient(base_url=base) as client:

        async def highest(station: str, page: int) -> tuple[float, str]:
            async with free:
                return max(await page_of(client, station, page), default=float("-inf")), station

        names = (await client.get("/stations")).raise_for_status().json()
        found = await asyncio.gather(*(highest(name, page) for name in names for page in range(1, pages + 1)))
    reading, station = max(found)
    get_run_logger().info("%s is the hottest of %d stations: %.1f °C", station, len(names), reading)
    return station, reading


if __name__ == "__main__":
    with serving(Readings(weather(stations=30, hours=2 * PAGE))) as address:
        print(asyncio.run(hottest(address)))
