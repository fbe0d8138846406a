"""What a life asks its driver to do: call the user's function, wait, call a hook."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import clock

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.engine.run import Run
    from orchestrator.futures import Future
    from orchestrator.task_runners.base import End, TaskRunner


class Body:
    """Call the user's function, within its timeout."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def of(self) -> Run:
        """The run whose function it is."""
        return self._run

    def run(self) -> Any:
        run = self._run
        if run.definition.timeout_seconds is None:
            return run.definition.fn(*run.args, **run.kwargs)
        from orchestrator.engine.timeouts import limited

        return limited(run)

    async def arun(self) -> Any:
        run = self._run
        if run.definition.timeout_seconds is None:
            outcome = run.definition.fn(*run.args, **run.kwargs)
            return await outcome if inspect.isawaitable(outcome) else outcome
        from orchestrator.engine.timeouts import limited_async

        return await limited_async(run)


class Hook:
    """Call one hook: sync or async, whatever surrounds it."""

    __slots__ = ("_arguments", "_hook")

    def __init__(self, hook: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._hook = hook
        self._arguments = arguments

    def run(self) -> Any:
        outcome = self._hook(*self._arguments)
        if inspect.isawaitable(outcome):
            import asyncio

            return asyncio.run(_awaited(outcome))
        return outcome

    async def arun(self) -> Any:
        outcome = self._hook(*self._arguments)
        return await outcome if inspect.isawaitable(outcome) else outcome


async def _awaited(outcome: Any) -> Any:
    return await outcome


class Sleep:
    """Let time pass before the next execution. A run that is told to stop wakes at once."""

    __slots__ = ("_run", "_seconds")

    def __init__(self, run: Run, seconds: float) -> None:
        self._run = run
        self._seconds = seconds

    def run(self) -> None:
        root = self._run.root
        clock.sleep(self._seconds, root.stopping)
        root.check_stop()

    async def arun(self) -> None:
        await clock.sleep_async(self._seconds)


class Gate:
    """Before a call begins: pause, or suspend the run, since somebody outside has asked for it."""

    __slots__ = ("_root",)

    def __init__(self, root: FlowRun) -> None:
        self._root = root

    def run(self) -> None:
        from orchestrator.engine import pausing

        if (asked := pausing.wished(self._root)) is not None:
            pausing.ask(self._root, asked)

    async def arun(self) -> None:
        from orchestrator.engine import pausing

        if (asked := pausing.wished(self._root)) is not None:
            await pausing.ask_async(self._root, asked)


class Settle:
    """Wait until these futures are done."""

    __slots__ = ("_futures",)

    def __init__(self, futures: Sequence[Future[Any]]) -> None:
        self._futures = futures

    def run(self) -> None:
        for future in self._futures:
            future.wait()

    async def arun(self) -> None:
        for future in self._futures:
            await future.wait_async()


class CloseRunner:
    """Wait for all that was submitted to a task runner, or bring it to its end."""

    __slots__ = ("_end", "_runner")

    def __init__(self, runner: TaskRunner, end: End) -> None:
        self._runner = runner
        self._end: End = end

    def run(self) -> int:
        return self._runner.close(self._end) or 0

    async def arun(self) -> int:
        import asyncio

        return await asyncio.to_thread(self._runner.close, self._end) or 0
