"""What lets a task be executed by other processes: queueing its calls, serving it, deploying it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from orchestrator.deployable import Deployable

BACKGROUND = "background"
"""The name of the deployment that a task's calls go to."""

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path
    from uuid import UUID

    from orchestrator.background import BackgroundFuture
    from orchestrator.deployments import Deployment
    from orchestrator.futures import FutureList
    from orchestrator.runner.storage import CodeSource
    from orchestrator.tasks import Task


class Delayable(Deployable):
    """The part of a task that has to do with other processes."""

    def delay(self, *args: Any, **kwargs: Any) -> BackgroundFuture[Any]:
        """Queue a call on the server, and return a future at once. Whoever serves the task executes it.

        Arguments that are JSON go to the server; others, and large ones, by the task's result storage, of which the
        server knows only where they are.

        When this returns, the server has the call: it survives the end of this process, of the server and of those
        that execute it.

        Raises:
            NotConfigured: No API is known.
            ParameterBindError: The arguments don't fit the signature.
            ResultNotStored: An argument that is no JSON can't be stored for the other process.
            TypeError: An option of `with_options` can't go along.
            QueueFull: As many calls wait as may.
            ApiError: The API refused.

        >>> from orchestrator import task, testing
        >>> @task
        ... def welcome(name: str) -> None:
        ...     print(f"hello {name}")
        >>> with testing.server() as server:
        ...     future = welcome.delay("Ada")
        ...     future.state.name
        'Scheduled'
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        wait_for: Iterable[Any] | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
        scheduled_time: datetime | None = None,
        countdown: float | timedelta | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> BackgroundFuture[Any]:
        """Queue a call as `delay` does, with more to say about it.

        Args:
            args, kwargs: What the task is called with.
            wait_for: Futures that must have completed first; they are waited for here.
            name: The run's name.
            tags: Given to the run besides the task's own.
            scheduled_time: When it may begin; without a zone it is UTC.
            countdown: Seconds, or a timedelta, after which it may begin.
            priority: Higher ones go first.
            idempotency_key: Called again with the same key, the same run is answered and nothing is queued.

        Raises:
            ValueError: Both times are given.
        """
        from orchestrator.delaying import call_of, queue

        task = cast("Task[..., Any]", self)
        call = call_of(
            task,
            tuple(args),
            kwargs or {},
            wait_for=wait_for,
            name=name,
            tags=tags,
            scheduled_time=scheduled_time,
            countdown=countdown,
            priority=priority,
            idempotency_key=idempotency_key,
        )
        return queue(task, [call])[0]

    def delay_map(self, *args: Any, **kwargs: Any) -> FutureList[Any]:
        """Queue a call for each item of the iterables among the arguments, as `map` reads them, in few requests.

        Raises:
            MappingError: No argument is iterable, or they are not of one length.
        """
        from orchestrator.delaying import call_of, queue
        from orchestrator.engine.mapping import calls
        from orchestrator.futures import FutureList

        task = cast("Task[..., Any]", self)
        each = (call_of(task, call.args, call.kwargs, wait_for=call.sources) for call in calls(args, kwargs))
        return FutureList(queue(task, each))

    async def adelay(self, *args: Any, **kwargs: Any) -> BackgroundFuture[Any]:
        """Queue a call as `delay` does, without blocking the event loop."""
        import asyncio

        return await asyncio.to_thread(self.delay, *args, **kwargs)

    def to_deployment(self, name: str = BACKGROUND, *, process: str | None = None, **options: Any) -> Deployment:
        """Describe a deployment of this task, for `serve` and `deploy`. Takes what `deploy` takes.

        Args:
            name: Calls that `.delay` queues go to the one named `background`.
            process: Where the process that serves it is to execute calls: in threads of its own by default, else as
                agents do.
        """
        described = super().to_deployment(name, process=process or "warm", **options)
        described.in_threads = process is None
        return described

    def deploy(self, name: str = BACKGROUND, **options: Any) -> UUID:
        """Make this task known with its code, so that the agents of a work pool execute what `.delay` queues.

        Args:
            name: Calls that `.delay` queues go to the one named `background`.
            options: What `Flow.deploy` takes.

        Returns:
            The deployment's id.
        """
        from orchestrator.deployments import deploy

        return deploy(self.to_deployment(name, **options))[0]

    def serve(self, name: str | None = None, **options: Any) -> None:
        """Execute the calls of this task that `.delay` queues, in threads of this process, until told to stop.

        Several processes may serve a task; they share the work.

        Args:
            name: The deployment's name, where it is another one than that of `.delay`.
            options: `limit`, how many calls go on at once (10); `crash_retries`, how often one is tried again whose
                process died; and what else `Flow.serve` takes.

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused.
        """
        super().serve(name or BACKGROUND, **options)

    @classmethod
    def from_source(cls, source: str | Path | CodeSource, entrypoint: str) -> Any:
        """A task whose code is elsewhere, to be called, queued or deployed from here.

        Args:
            source: A directory, or the address of a git repository, as `Flow.from_source` takes it.
            entrypoint: `path/in/source.py:name`.

        Raises:
            LoadError: The repository can't be fetched, there is no such file or name, or it is no task.
        """
        from orchestrator.exceptions import LoadError
        from orchestrator.fetching import fetched, kept_in
        from orchestrator.loading import load

        found = load(entrypoint, fetched(source))
        if not isinstance(found, cls):
            raise LoadError(f"{entrypoint} is a flow, not a task.")
        found.taken_from = kept_in(source, entrypoint)
        return found
