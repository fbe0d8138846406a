"""Flows of many kinds. Each keeps a diary of what it really did, against which the platform's records are held.

A diary is a file per flow run; a line says `ATTEMPT EXECUTION WORD …`. What is told to the platform is noted first,
so that whatever the platform knows must be there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator import flow, get_run_logger, runtime, task


def note(folder: str, *words: object) -> None:
    """Write a line into the diary of this flow run: whole, whoever else writes."""
    run = runtime.flow_run
    line = " ".join(map(str, (run.attempt, run.run_count, *words))) + "\n"
    descriptor = os.open(Path(folder, run.id), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def say(folder: str, *numbers: int) -> None:
    """Tell numbered lines to the run's log."""
    logger = get_run_logger()
    for number in numbers:
        note(folder, "line", number)
        logger.info("line %d %d", runtime.flow_run.run_count, number)


@task
def step(folder: str, number: int) -> int:
    """Do next to nothing."""
    note(folder, "task", runtime.task_run.id)
    return number


@task
def slow_step(folder: str, number: int, seconds: float = 0.3) -> int:
    """Run long enough to be told of while it runs."""
    time.sleep(seconds)
    return step.fn(folder, number)


@task(retries=2, retry_delay_seconds=0.1)
def stubborn_step(folder: str, number: int) -> int:
    """Succeed at the third try."""
    if runtime.task_run.run_count < 3:
        raise ValueError(f"try {runtime.task_run.run_count}")
    return step.fn(folder, number)


@task
async def async_step(folder: str, number: int) -> int:
    """Do next to nothing, on a loop."""
    await asyncio.sleep(0.05)
    return step.fn(folder, number)


@flow
def quick(folder: str) -> int:
    """The usual small one."""
    note(folder, "begin")
    say(folder, 0, 1)
    total = sum(step(folder, number) for number in range(3))
    say(folder, 2)
    note(folder, "end")
    return total


@flow
def wide(folder: str, width: int = 80) -> int:
    """Many tasks, side by side."""
    note(folder, "begin")
    futures = step.map(folder, list(range(width)))
    say(folder, *range(20))
    total = sum(future.result() for future in futures)
    note(folder, "end")
    return total


@flow(retries=1)
def chatty(folder: str, lines: int = 300, seconds: float = 2.0) -> None:
    """Talks and talks, and now and then a step."""
    note(folder, "begin")
    for number in range(lines):
        say(folder, number)
        if number % 50 == 0:
            step(folder, number)
        time.sleep(seconds / lines)
    note(folder, "end")


@flow
def part(folder: str, number: int) -> int:
    """Called by `nested`, in its process."""
    note(folder, "begin")
    say(folder, 0, 1)
    step(folder, number)
    slow_step(folder, number)
    note(folder, "end")
    return number


@flow
def nested(folder: str) -> int:
    """Calls other flows."""
    note(folder, "begin")
    say(folder, 0)
    total = sum(part(folder, number) for number in range(3))
    say(folder, 1)
    note(folder, "end")
    return total


@flow(retries=2, retry_delay_seconds=0.2)
def stubborn(folder: str) -> None:
    """Fails at first, in itself and in its tasks."""
    note(folder, "begin")
    say(folder, 0)
    stubborn_step(folder, 1)
    if runtime.flow_run.run_count < 2:
        note(folder, "failed")
        raise ValueError("not yet")
    say(folder, 1)
    note(folder, "end")


@flow
def failing(folder: str) -> None:
    """Ends badly, by itself."""
    note(folder, "begin")
    say(folder, 0)
    step(folder, 0)
    note(folder, "failed")
    raise ValueError("as intended")


@flow
async def gentle(folder: str) -> None:
    """Lives on an event loop."""
    note(folder, "begin")
    say(folder, 0)
    await asyncio.gather(*(async_step(folder, number) for number in range(10)))
    await asyncio.sleep(0.5)
    say(folder, 1)
    note(folder, "end")


@flow
def stream(folder: str) -> Iterator[int]:
    """Yields what it makes."""
    note(folder, "begin")
    for number in range(5):
        say(folder, number)
        yield step(folder, number)
        time.sleep(0.1)
    note(folder, "end")


@flow
def sleeper(folder: str, seconds: float = 8.0) -> None:
    """Sleeps; most are cancelled before they wake."""
    note(folder, "begin")
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        say(folder, number)
        number += 1
        time.sleep(0.2)
    note(folder, "end")


@flow
def narrow(folder: str) -> None:
    """For deployments that allow few at once."""
    note(folder, "begin")
    slow_step(folder, 0, 0.5)
    note(folder, "end")
