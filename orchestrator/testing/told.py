"""For tests of flows: run them as ever, and read what they told.

>>> from orchestrator import flow, task
>>> from orchestrator.testing import recorded
>>> @task
... def add(a, b):
...     return a + b
>>> @flow
... def sums():
...     return add(1, add(2, 3))
>>> with recorded() as told:
...     sums()
6
>>> told.states("sums"), [task.state for task in told.tasks("add")]
(['RUNNING', 'COMPLETED'], ['COMPLETED', 'COMPLETED'])
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.journal import divert

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.wire import AnyEntry, Artifact, Event, Log, RunState, TaskState


class Told:
    """The journal of the flows that ran inside `recorded()`, in memory, in the very form that a server gets."""

    def __init__(self) -> None:
        self.entries: list[AnyEntry] = []
        self._flows: dict[Any, str] = {}

    def states(self, flow: str) -> list[str]:
        """The states that runs of a flow went through, in order."""
        return [entry.state for entry in self.run_states() if self._flows.get(entry.run) == flow]

    def run_states(self) -> list[RunState]:
        """All entries on states of flow runs."""
        from orchestrator.wire import RunState

        return [entry for entry in self.entries if isinstance(entry, RunState)]

    def tasks(self, task: str | None = None) -> list[TaskState]:
        """The last word on each task run, of all tasks or of one."""
        from orchestrator.wire import TaskState

        last = {entry.id: entry for entry in self.entries if isinstance(entry, TaskState)}
        return [entry for entry in last.values() if task is None or entry.task == task]

    def logs(self) -> list[Log]:
        """The log lines."""
        from orchestrator.wire import Log

        return [entry for entry in self.entries if isinstance(entry, Log)]

    def artifacts(self) -> list[Artifact]:
        """The last word on each artifact."""
        from orchestrator.wire import Artifact

        return list({entry.id: entry for entry in self.entries if isinstance(entry, Artifact)}.values())

    def events(self) -> list[Event]:
        """The events, of code and of assets."""
        from orchestrator.wire import Event

        return [entry for entry in self.entries if isinstance(entry, Event)]


class _MemoryStream:
    """Takes records as a stream does, and makes them entries at once."""

    def __init__(self, root: FlowRun, told: Told) -> None:
        self._root = root
        self._told = told

    def put(self, record: Any) -> None:
        from orchestrator.journal.entries import line_of
        from orchestrator.wire import RunState, decode_entry

        entry = decode_entry(line_of(record, len(self._told.entries) + 1, self._root.id))
        if isinstance(entry, RunState) and entry.about is not None:
            self._told._flows[entry.run] = entry.about.flow
        self._told.entries.append(entry)

    def progressed(self, told: Any) -> None:
        self.put(told)

    def opened(self, run: Any) -> None:
        return

    def closed(self, run: Any) -> None:
        self.put(run)

    def finish(self) -> None:
        return


@contextmanager
def recorded() -> Generator[Told]:
    """Record what flows tell, without a server and whatever the configuration says."""
    told = Told()
    before = divert(lambda root: _MemoryStream(root, told))
    try:
        yield told
    finally:
        divert(before)
