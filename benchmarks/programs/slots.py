"""Work that needs a slot of a limit, in many threads: the same code under either product."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor


def limit(name, slots):
    """Make a limit with so many slots."""
    if "orchestrator" in sys.modules:
        from orchestrator.client import Client

        with Client() as client:
            client.put(f"/limits/{name}", {"slots": slots})
        return
    import asyncio

    from prefect import get_client

    async def make():
        async with get_client() as client:
            await client.upsert_global_concurrency_limit_by_name(name, slots)

    asyncio.run(make())


def occupy(name, count, threads, seconds, at):
    """Sleep `count` times within a slot, in so many threads, from a point in time on; when each began and ended."""
    if "orchestrator" in sys.modules:
        from orchestrator.concurrency.sync import concurrency
    else:
        from prefect.concurrency.sync import concurrency

    def work(_):
        with concurrency(name, occupy=1):
            began = time.time()
            time.sleep(seconds)
            return began, time.time()

    with ThreadPoolExecutor(threads) as pool:
        time.sleep(max(0.0, at - time.time()))
        return list(pool.map(work, range(count)))
