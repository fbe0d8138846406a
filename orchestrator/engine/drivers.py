"""Four ways to perform a life: in sync code, in a coroutine, in a generator, in an async generator.

A life (see `life.py`) is a generator that yields *effects*. A driver performs each one and sends back what came of
it, or throws what it raised. Nothing about runs, states or retries is known here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol


class Effect(Protocol):
    """Something that a life asks its driver to do."""

    def run(self) -> Any:
        """Do it, blocking."""

    async def arun(self) -> Any:
        """Do it without blocking the event loop."""


Life = Generator[Effect, Any, object]


class Call:
    """Call a function that blocks: it waits for a storage, or for the server."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._fn = fn

    def run(self) -> Any:
        return self._fn()

    async def arun(self) -> Any:
        import asyncio

        return await asyncio.to_thread(self._fn)


class Abandoned(BaseException):
    """Nobody wants the rest of a generator. A life can't be told so by GeneratorExit, which would close it."""


class Exited(BaseException):
    """User code raised a GeneratorExit, the cause of this: that itself can't be thrown into a life, either."""


def drive(life: Life) -> None:
    """Perform a life in sync code."""
    try:
        effect = next(life)
        while True:
            try:
                outcome = effect.run()
            except BaseException as error:
                effect = life.throw(throwable(error))
            else:
                effect = life.send(outcome)
    except StopIteration:
        return


async def drive_async(life: Life) -> None:
    """Perform a life in a coroutine."""
    try:
        effect = next(life)
        while True:
            try:
                outcome = await effect.arun()
            except BaseException as error:
                effect = life.throw(throwable(error))
            else:
                effect = life.send(outcome)
    except StopIteration:
        return


def throwable(error: BaseException) -> BaseException:
    """What says the same to a life as this exception does."""
    if isinstance(error, GeneratorExit):
        exited = Exited()
        exited.__cause__ = error
        return exited
    return error


def drive_generator(life: Life) -> Generator[Any, Any, None]:
    """Perform a life whose body is a generator: what the body yields goes to the caller."""
    try:
        effect = next(life)
        while True:
            try:
                outcome = effect.run()
                if isinstance(outcome, Generator):
                    outcome = yield from outcome
            except GeneratorExit:
                effect = life.throw(Abandoned())
            except BaseException as error:
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration:
        return


async def drive_async_generator(life: Life) -> AsyncGenerator[Any, Any]:
    """Perform a life whose body is an async generator."""
    try:
        effect = next(life)
        while True:
            try:
                outcome = await effect.arun()
                if isinstance(outcome, AsyncGenerator):
                    async for item in outcome:
                        yield item
                    outcome = None
            except GeneratorExit:
                effect = life.throw(Abandoned())
            except BaseException as error:
                effect = life.throw(error)
            else:
                effect = life.send(outcome)
    except StopIteration:
        return
