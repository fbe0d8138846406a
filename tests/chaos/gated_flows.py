"""A flow that can be held at a gate, so that a test decides when something dies."""

import time
from pathlib import Path

from orchestrator import flow, get_run_logger, pause_flow_run, task
from orchestrator.concurrency.sync import concurrency

PATIENCE = 120  # seconds at a gate


@task
def step(number: int) -> int:
    """Do next to nothing, and say so."""
    get_run_logger().info("step %d", number)
    return number


@flow
def gated(gate: str, before: int = 40, after: int = 40) -> int:
    """Take some steps, wait until the file `gate` is there, take the others."""
    numbers = [step(number) for number in range(before)]
    get_run_logger().info("at the gate")
    deadline = time.monotonic() + PATIENCE
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened {gate}")
        time.sleep(0.02)
    numbers += [step(number) for number in range(before, before + after)]
    return len(numbers)


@task
def counted(folder: str, number: int, seconds: float = 0.0) -> int:
    """Leave a line that says that it was here."""
    with Path(folder, f"{number}.txt").open("a") as file:
        file.write("here\n")
    time.sleep(seconds)
    return number


@task
def left_to_agents(folder: str, number: int) -> int:
    """What nobody serves."""
    return counted(folder, number)


@flow
def delays(folder: str, count: int) -> list[str]:
    """Leave the task to whoever executes it; the ids of its runs."""
    return [future.run_id for future in left_to_agents.delay_map(folder, range(count))]


@flow
def seated(until: str, name: str) -> int:
    """Hold the only slot of a limit until the file `until` is there."""
    with concurrency(name):
        return gated.fn(until, before=1, after=1)


@flow
def asks() -> int:
    """Wait for a number, in this process."""
    number = pause_flow_run(wait_for_input=int)
    get_run_logger().info("answered %d", number)
    return number
