"""The flows that are measured: the same code under either product, whichever this interpreter has."""

import asyncio
import os
import time
from pathlib import Path

try:
    from orchestrator import flow, task
    from orchestrator.cache_policies import INPUTS
    from orchestrator.runtime import flow_run
except ImportError:
    from prefect import flow, task
    from prefect.cache_policies import INPUTS
    from prefect.runtime import flow_run


@task
def nothing(number):
    return number


@flow
def empty():
    return 1


@flow
def many_tasks(mode: str, count: int):
    """Run the task `count` times; the run's id, and the seconds that it took in here."""
    began = time.perf_counter()
    if mode == "call":
        for number in range(count):
            nothing(number)
    elif mode == "submit":
        for future in [nothing.submit(number) for number in range(count)]:
            future.result()
    else:
        nothing.map(range(count)).result()
    return str(flow_run.id), time.perf_counter() - began


@task(persist_result=True)
def persisted(number):
    return number


@task(cache_policy=INPUTS, persist_result=True)
def cached(number):
    return number


@flow
def many_kept_tasks(kind: str, first: int, count: int):
    """Call a task whose values are stored `count` times, from a number on; as `many_tasks`."""
    kept = persisted if kind == "persisted" else cached
    began = time.perf_counter()
    for number in range(first, first + count):
        kept(number)
    return str(flow_run.id), time.perf_counter() - began


@task
async def nothing_async(number):
    return number


@flow
async def many_async_tasks(mode: str, count: int):
    """Run the async task `count` times, one after the other or gathered; as `many_tasks`."""
    began = time.perf_counter()
    if mode == "async":
        for number in range(count):
            await nothing_async(number)
    else:
        await asyncio.gather(*(nothing_async(number) for number in range(count)))
    return str(flow_run.id), time.perf_counter() - began


@flow
def many_subflows(count: int):
    """Call the empty flow `count` times; the seconds of each call."""
    return [timed(empty) for _ in range(count)]


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


_executions = []
"""Seconds of the loop in each execution of the flow below."""


@flow(retries=1, persist_result=True)
def resumed(count: int):
    """Fail once when all is done: the second execution takes what the first one stored."""
    began = time.perf_counter()
    for number in range(count):
        persisted(number)
    _executions.append(time.perf_counter() - began)
    if len(_executions) == 1:
        raise RuntimeError("once")


def resume(count):
    """Seconds of the execution that stores the values, and of the one that takes them from there."""
    _executions.clear()
    resumed(count)
    return _executions


@flow
def beacon(path: str):
    """Say by a file when user code began to run: nanoseconds of the system's clock."""
    stamp = time.time_ns()
    draft = Path(f"{path}.new")
    draft.write_text(str(stamp))
    os.replace(draft, path)


def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


@task
def fibonacci_task(number):
    return fibonacci(number)


@flow
def fibonaccis(number: int, count: int):
    for _ in range(count):
        fibonacci_task(number)
