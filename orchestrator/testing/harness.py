"""A server in memory, and what tests ask of it."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from orchestrator import clock, config, exchange, journal
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exchange import SCHEME
from orchestrator.testing import timing
from orchestrator.testing.memory.api import Memory
from orchestrator.testing.memory.asked import Refusal
from orchestrator.testing.memory.rows import Artifact, Event, LogLine, Run, TaskRun
from orchestrator.testing.memory.store import Store
from orchestrator.testing.worker import Worker

FLUSH_SECONDS = 10.0


class Server:
    """What `server()` gives: an API in memory, and all that is in it.

    Attributes:
        url, key: Where it is, and a developer's key.
    """

    def __init__(self, url: str, memory: Memory) -> None:
        self.url = url
        self.memory = memory
        self.key = memory.key("developer")
        self.api = Api(url, self.key)
        self._worker = Worker(self.api, memory)

    def new_key(self, role: str = "agent") -> str:
        """A key of another role: viewer, runner, agent, developer or owner."""
        return self.memory.key(role)

    # Trigger and work.

    def trigger(self, deployment: str | UUID, parameters: dict[str, Any] | None = None, **more: Any) -> Run:
        """Trigger a deployment, as `POST /flow-runs` does; the run is SCHEDULED until somebody works.

        Raises:
            Invalid: The parameters don't fit.
            NotFound: There is no such deployment.
        """
        body = {"deployment": str(deployment), "parameters": parameters or {}, **more}
        with Client(self.api) as client:
            return self.run(client.post("/flow-runs", body)["id"])

    def work(self) -> int:
        """Claim and execute runs in this thread until none is due; how many they were."""
        return self._worker.work()

    @contextmanager
    def working(self) -> Generator[None]:
        """Have a thread claim and execute runs meanwhile, so that `run_deployment` in this one comes back."""
        over = threading.Event()
        thread = threading.Thread(target=self._worker.work_until, args=(over,), name="testing-worker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            with self.memory.store.changed:
                self.memory.store.changed.notify_all()
            thread.join()

    def cancel(self, run: Run | UUID | str) -> None:
        """Ask a run to stop.

        Raises:
            Conflict: It has ended already.
        """
        self._hear()  # A run that has just begun is known only then.
        with Client(self.api) as client:
            client.post(f"/flow-runs/{_id(run)}/cancel")

    def answer(
        self,
        run: Run | UUID | str,
        verdict: str = "answer",
        value: dict[str, Any] | None = None,
        *,
        by: str = "somebody@example.com",
        role: str = "developer",
        comment: str = "",
        key: str | None = None,
    ) -> None:
        """Say as a person what a run waits for: `answer`, `approve` or `reject`.

        Raises:
            ApiError: As the API would: it does not wait, others were asked, or the value does not fit.
        """
        from orchestrator.exceptions import API_ERRORS
        from orchestrator.testing.memory import inputs
        from orchestrator.testing.memory.asked import Asked
        from orchestrator.testing.memory.store import Actor
        from orchestrator.wire import encode

        self._hear()
        told = {"verdict": verdict, "value": value, "comment": comment, "key": key}
        body = encode({name: each for name, each in told.items() if each is not None})
        with self.memory.store.changed:
            try:
                inputs.resume(self.memory.store, Asked(Actor("user", role, by), body, names={"id": str(_id(run))}))
            except Refusal as refusal:
                raise API_ERRORS[refusal.code](refusal.message, fields=refusal.fields) from None

    def refuse(self, code: str, times: int = 1, status: int = 0) -> None:
        """Answer the next requests by an error, such as `unavailable` or `rate_limited`."""
        self.memory.refusals += [Refusal(code, f"told to say {code}", status=status) for _ in range(times)]

    # What happened.

    def runs(self, flow: str | None = None, deployment: str | None = None) -> list[Run]:
        """Flow runs in the order in which they were made, of all flows or of one."""
        return [
            run
            for run in list(self._hear().runs.values())
            if (flow is None or run.flow == flow)
            and (deployment is None or (run.deployment is not None and run.deployment.full_name == deployment))
        ]

    def run(self, id: Run | UUID | str) -> Run:
        """A flow run.

        Raises:
            KeyError: There is none.
        """
        return self._hear().runs[_id(id)]

    def tasks(self, run: Run | UUID | str, task: str | None = None) -> list[TaskRun]:
        """The task runs of a flow run in the order in which they began, of all tasks or of one."""
        found = sorted(self.run(run).tasks.values(), key=lambda each: each.id)
        return [each for each in found if task is None or each.task == task]

    def logs(self, run: Run | UUID | str, level: int = 0) -> list[LogLine]:
        """The log lines of a flow run, of a level or above."""
        own = self.run(run)
        lines = self.run(own.root_id).lines
        return [line for line in lines if line.level >= level and (own.is_root or line.run == own.id)]

    def events(self, name: str | None = None) -> list[Event]:
        """Events that code told of, of all names or of one."""
        return [event for event in list(self._hear().events.values()) if name is None or event.event == name]

    def artifacts(self, key: str | None = None) -> list[Artifact]:
        """What runs made for people, of all keys or of one, oldest first."""
        return [made for made in list(self._hear().artifacts.values()) if key is None or made.key == key]

    def _hear(self) -> Store:
        """What is there, once all that this process has told is received and time has taken its course."""
        hub = journal._hubs.get(self.api)
        if hub is not None:
            hub.flush(FLUSH_SECONDS)
        self.memory.tick()
        return self.memory.store

    # Assertions that say what was there instead.

    def assert_completed(self, run: Run | UUID | str) -> Run:
        """Fail unless the run is COMPLETED."""
        return self.assert_state(run, "COMPLETED")

    def assert_state(self, run: Run | UUID | str, state: str) -> Run:
        """Fail unless the run is in a state, given by its type or its name."""
        own = self.run(run)
        if state not in (own.state_type, own.state_name):
            raise AssertionError(f"{own!r} is not {state}.\n{self._story(own)}")
        return own

    def assert_ran(self, flow: str, times: int | None = None) -> list[Run]:
        """Fail unless the flow has runs, or exactly so many."""
        found = self.runs(flow)
        if not found if times is None else len(found) != times:
            wanted = "a run" if times is None else f"{times} runs"
            others = ", ".join(sorted({run.flow for run in self.runs()})) or "none"
            raise AssertionError(f"{flow!r} has {len(found)} runs, not {wanted}. Flows that ran: {others}.")
        return found

    def assert_logged(self, run: Run | UUID | str, text: str) -> LogLine:
        """Fail unless a line of the run's log holds a text."""
        own = self.run(run)
        lines = self.logs(own)
        for line in lines:
            if text in line.message:
                return line
        raise AssertionError(f"No line of {own!r} holds {text!r}.\n{self._story(own)}")

    def _story(self, run: Run) -> str:
        states = [f"  {name}{f': {message}' if message else ''}" for _, _, name, message, _ in run.history]
        lines = [f"  {line.message}" for line in self.logs(run)[-20:]]
        trace = [run.error["traceback"]] if run.error else []
        return "\n".join(["It went through", *states, "and logged", *(lines or ["  nothing"]), *trace])

    # What the clock asks.

    def next_event(self) -> int | None:
        """When something is to be done next (µs UTC)."""
        return self.memory.next_event()

    def before_time_passes(self) -> None:
        """What was told before is received before."""
        hub = journal._hubs.get(self.api)
        if hub is not None:
            hub.flush(FLUSH_SECONDS)

    def time_passed(self) -> None:
        """Who runs in this process would have renewed its lease meanwhile; then time takes its course."""
        store = self.memory.store
        with store.changed:
            for run in self._held_here():
                if run.lease is not None and run.is_held and run.state_name != "Unreachable":
                    run.lease.expires_at = clock.now() + store.lease_time
            self.memory.tick()

    def _held_here(self) -> Iterator[Run]:
        hub = journal._hubs.get(self.api)
        for stream in list(hub.streams.values()) if hub is not None else []:
            run = self.memory.store.runs.get(stream.root)
            if run is not None and not stream.finished and not stream.refused and run.attempt == stream.attempt:
                yield run


def _id(run: Run | UUID | str) -> UUID:
    return run.id if isinstance(run, Run) else run if isinstance(run, UUID) else UUID(run)


@contextmanager
def server(*, serve: bool = False, lease_seconds: float = 60.0, wait_seconds: float = 45.0) -> Generator[Server]:
    """Give this process an API in memory: flows report to it, deployments are triggered on it.

    Nothing is written outside of a temporary directory, and whatever API was configured is left alone.

    Args:
        serve: Listen on a local port too, and tell child processes by their environment: for agents, and for code
            that makes processes of its own.
        lease_seconds: For how long the holder of a run may be silent.
        wait_seconds: For how long an agent's wait is held.

    >>> from orchestrator import flow, testing
    >>> @flow
    ... def hello(name: str):
    ...     return f"hello {name}"
    >>> with testing.server() as server:
    ...     greeting = hello("you")
    ...     [(run.flow, run.state_name, run.parameters) for run in server.runs()]
    [('hello', 'Completed', {'name': 'you'})]
    """
    memory = Memory(lease_seconds, wait_seconds)
    port = None
    if serve:
        from orchestrator.testing.memory.port import Port

        port = Port(memory)
    given = Server(port.url if port else f"{SCHEME}{os.urandom(4).hex()}", memory)
    if port is None:
        exchange.open_at(given.url, memory)
    timing.followers.append(given)
    try:
        with tempfile.TemporaryDirectory(prefix="orchestrator-") as home, _configured(given, home, serve):
            try:
                yield given
            finally:
                journal.leave(given.api)
    finally:
        timing.followers.remove(given)
        exchange.open_at(given.url, None)
        if port is not None:
            port.close()


@contextmanager
def _configured(given: Server, home: str, children: bool) -> Generator[None]:
    wanted = {"ORCHESTRATOR_HOME": home}
    if children:
        wanted |= {"ORCHESTRATOR_API_URL": given.url, "ORCHESTRATOR_API_KEY": given.key}
    before = {name: os.environ.get(name) for name in wanted}
    api = config.use_api(given.api)
    os.environ.update(wanted)
    try:
        yield
    finally:
        config.use_api(api)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
