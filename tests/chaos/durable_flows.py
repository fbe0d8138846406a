"""A flow of 200 steps whose values are stored. Each step has a side effect: a line in a file."""

import asyncio
import os
import time

from orchestrator import flow, runtime, task
from orchestrator.task_runners import ThreadPoolTaskRunner

WORKERS = 4


def tell(effects: str, word: str, number: int) -> None:
    """One line, whole or not at all."""
    file = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{word} {runtime.flow_run.attempt} {number}\n".encode())
    os.close(file)


@task(persist_result=True)
def step(effects: str, number: int, seconds: float) -> int:
    time.sleep(seconds)
    tell(effects, "did", number)
    time.sleep(seconds)
    return number


@task(persist_result=True)
async def async_step(effects: str, number: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    tell(effects, "did", number)
    await asyncio.sleep(seconds)
    return number


@flow
async def together(effects: str, numbers: list[int], seconds: float) -> int:
    """Steps at the same time."""
    limit = asyncio.Semaphore(WORKERS)

    async def one(number: int) -> int:
        async with limit:
            return await async_step(effects, number, seconds)

    return sum(await asyncio.gather(*map(one, numbers)))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=WORKERS))
def durable(effects: str, seconds: float) -> int:
    """100 steps one after the other, 60 in threads, 40 of an async subflow.

    Args:
        effects: The file.
        seconds: How long a step takes before its side effect, and after it.
    """
    tell(effects, "began", os.getpid())
    total = 0
    for number in range(100):
        total += step(effects, number, seconds)
        tell(effects, "returned", number)
    total += sum(step.map(effects, range(100, 160), seconds).result())
    return total + asyncio.run(together(effects, list(range(160, 200)), seconds))
