"""What makes flows runnable elsewhere: deploying, serving, and taking them from where their code is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path
    from uuid import UUID

    from orchestrator.deployments import Deployment
    from orchestrator.flows import Flow
    from orchestrator.runner.storage import CodeSource
    from orchestrator.schedules import Schedule


class Deployable:
    """The part of a flow that has to do with deployments."""

    name: str

    def to_deployment(
        self,
        name: str,
        *,
        work_pool_name: str = "default",
        work_queue_name: str | None = None,
        parameters: dict[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cron: str | None = None,
        interval: Any = None,
        schedule: Schedule | None = None,
        schedules: Iterable[Schedule] | None = None,
        concurrency_limit: int | None = None,
        on_limit: str = "ENQUEUE",
        concurrency_key: str = "",
        key_slots: int | None = None,
        crash_retries: int | None = None,
        source: str | Path | CodeSource | None = None,
        process: str = "warm",
        job_variables: dict[str, Any] | None = None,
        debounce: float | timedelta | None = None,
        canary: int | None = None,
        message: str = "",
    ) -> Deployment:
        """Describe a deployment of this flow, for `orchestrator.deploy(*deployments)`. Takes what `deploy` takes."""
        from orchestrator.deployments import describe

        return describe(
            cast("Flow[..., Any]", self),
            name,
            work_pool_name=work_pool_name,
            work_queue_name=work_queue_name,
            parameters=parameters,
            description=description,
            tags=tags,
            version=version,
            cron=cron,
            interval=interval,
            schedule=schedule,
            schedules=schedules,
            concurrency_limit=concurrency_limit,
            on_limit=on_limit,
            concurrency_key=concurrency_key,
            key_slots=key_slots,
            crash_retries=crash_retries,
            source=source,
            process=process,
            job_variables=job_variables,
            debounce=debounce,
            canary=canary,
            message=message,
        )

    def deploy(
        self,
        name: str,
        *,
        work_pool_name: str = "default",
        work_queue_name: str | None = None,
        parameters: dict[str, Any] | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        cron: str | None = None,
        interval: Any = None,
        schedule: Schedule | None = None,
        schedules: Iterable[Schedule] | None = None,
        concurrency_limit: int | None = None,
        on_limit: str = "ENQUEUE",
        concurrency_key: str = "",
        key_slots: int | None = None,
        crash_retries: int | None = None,
        source: str | Path | CodeSource | None = None,
        process: str = "warm",
        job_variables: dict[str, Any] | None = None,
        debounce: float | timedelta | None = None,
        canary: int | None = None,
        message: str = "",
    ) -> UUID:
        """Make this flow known to the server under a name, so that agents can run it.

        The code goes along: the flow's module and those it imported from the same directory tree are packed into a
        bundle, uploaded once. A flow from `__main__` or a notebook is pickled by value instead, which ties it to
        this version of Python.

        Args:
            name: The deployment's name; deploying again under it replaces it.
            work_pool_name: The pool whose agents run it.
            work_queue_name: A queue of that pool.
            parameters: Values that take the place of the function's defaults.
            description: The flow's own by default.
            tags: Given to every run of it.
            version: The flow's own by default.
            cron: Five fields, evaluated in UTC. For another timezone pass `schedule=Cron(…, timezone=…)`.
            interval: Seconds, or a timedelta.
            schedule: A Cron, an Interval or an RRule from `orchestrator.schedules`.
            schedules: Several of them, each with a slug of its own. What a person paused stays paused.
            concurrency_limit: How many of its runs may be under way at once.
            on_limit: What becomes of runs beyond these: ENQUEUE, they wait; CANCEL_NEW, the new ones are cancelled;
                CANCEL_OLD, the oldest ones.
            concurrency_key: Whose run it is, as a template over parameters: `"{customer}"`. Keys share slots fairly.
            key_slots: How many runs of each key may be under way at once.
            crash_retries: Attempts after a crash, if more than the flow's `retries`.
            source: Where agents find the code, in place of a bundle: a directory on their machines, a GitRepository or
                a RemoteStorage of `orchestrator.runner.storage`.
            process: How an agent comes by the process of a run: `warm` forks it from one that has imported the code,
                `fresh` starts an interpreter, `reuse` has one process take run after run.
            job_variables: In what surroundings it runs: `env`, variables for its environment, and `memory_mib`, how
                much memory its processes may use before they are killed.
            debounce: Seconds. Triggers that follow each other more closely become one run with the parameters of the
                last, unless they say otherwise. Schedules and backfills make each of their runs.
            canary: Which share of new runs, in percent, is made from this, while the rest is from what is deployed.
            message: What this version is about, for its history.

        Returns:
            The deployment's id.

        Raises:
            ValueError: There is no such process, or a job variable is not what it should be.
            NotConfigured: No API is known.
            BundleError: The code can't be packed.
            ApiError: The API refused.
        """
        from orchestrator.deployments import deploy

        deployment = self.to_deployment(
            name,
            work_pool_name=work_pool_name,
            work_queue_name=work_queue_name,
            parameters=parameters,
            description=description,
            tags=tags,
            version=version,
            cron=cron,
            interval=interval,
            schedule=schedule,
            schedules=schedules,
            concurrency_limit=concurrency_limit,
            on_limit=on_limit,
            concurrency_key=concurrency_key,
            key_slots=key_slots,
            crash_retries=crash_retries,
            source=source,
            process=process,
            job_variables=job_variables,
            debounce=debounce,
            canary=canary,
            message=message,
        )
        return deploy(deployment)[0]

    def serve(
        self,
        name: str | None = None,
        *,
        limit: int | None = None,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        **options: Any,
    ) -> None:
        """Deploy this flow and execute its runs under this process, until told to stop (Ctrl-C, SIGTERM).

        Args:
            name: The deployment's name; the flow's by default.
            limit: Runs at once; 10 by default.
            pause_on_shutdown: Pause the schedules at the end; the next `serve` resumes them.
            print_starting_message: Say where the deployment is to be seen.
            options: What `to_deployment` takes.

        Raises:
            NotConfigured: No API is known.
            ApiError: The API refused.
        """
        from orchestrator.serving import serve

        serve(
            self.to_deployment(name or self.name, **options),
            limit=limit,
            pause_on_shutdown=pause_on_shutdown,
            print_starting_message=print_starting_message,
        )

    @classmethod
    def from_source(cls, source: str | Path | CodeSource, entrypoint: str) -> Flow[..., Any]:
        """A flow whose code is elsewhere, to be called or deployed from here.

        Deployed, its code stays there: agents fetch it when a run needs it. What lies in a directory of this machine is
        packed into a bundle.

        Args:
            source: A directory, or the address of a git repository: `https://…`, `ssh://…`, `git@…`, `file://…` or what
                ends in `.git`, with `@branch`, `@tag` or `@commit` behind it for another one than the default branch.
                Or a GitRepository or a RemoteStorage of `orchestrator.runner.storage`.
            entrypoint: `path/in/source.py:name`.

        Raises:
            LoadError: The repository can't be fetched, there is no such file or name, or it is no flow.
        """
        from orchestrator.fetching import fetched, kept_in
        from orchestrator.loading import load_flow

        found = load_flow(entrypoint, fetched(source))
        found.taken_from = kept_in(source, entrypoint)
        return found
