"""Flows and tasks that yield: items go to the caller as they come, and the run ends when they do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextvars import copy_context
from typing import Any

from orchestrator.engine.drivers import drive_async_generator, drive_generator
from orchestrator.engine.life import live
from orchestrator.engine.run import Run


def items(run: Run) -> Generator[Any, Any, Any]:
    """The items of a generator's run; its return value is the generator's.

    The body runs in a context of its own, so that code between two items doesn't seem to belong to the run.
    """
    context = copy_context()
    body = drive_generator(live(run))
    step: tuple[Any, ...] = (next, body)
    while True:
        try:
            item = context.run(*step)
        except StopIteration:
            return run.outcome(return_state=False)
        try:
            step = (body.send, (yield item))
        except GeneratorExit:
            context.run(body.close)
            raise
        except BaseException as error:
            step = (body.throw, error)


async def items_async(run: Run) -> AsyncGenerator[Any, Any]:
    """The items of an async generator's run."""
    async for item in drive_async_generator(live(run)):
        yield item
    run.outcome(return_state=False)
