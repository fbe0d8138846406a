"""Tasks that this very process serves, executed in its threads: they begin at once, and share what the process has.

A thread can't be killed. A call that is to stop is told so, and stops at the next bytecode, or the next `await`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator import leftovers, references
from orchestrator.agent.launchers import Claimed, Ending, Execution, Launcher
from orchestrator.config import Api
from orchestrator.engine import execute, last_hooks
from orchestrator.engine.flow_run import Execution as Ordered
from orchestrator.exceptions import RunStopped, RunTerminated

if TYPE_CHECKING:
    from orchestrator.engine.flow_run import FlowRun
    from orchestrator.tasks import Task

LOOK_EVERY = 1.0  # seconds between two looks whether the journal is through, besides those when something was sent


class ThreadLauncher(Launcher):
    """Executes calls of some tasks in the thread that waits for them, and leaves all else to another launcher.

    Args:
        tasks: By the ids of their deployments.
        others: Executes the runs of other deployments.
        prepares: Whether there are any.
    """

    def __init__(self, api: Api, tasks: Mapping[str, Task[..., Any]], others: Launcher, *, prepares: bool) -> None:
        self._api = api
        self._tasks = tasks
        self._others = others
        self._prepares = prepares

    def launch(self, claimed: Claimed) -> Execution:
        """Execute a call here; or have another launcher start it, which raises OSError when it can't."""
        task = self._tasks.get(str(claimed.claim["deployment_id"]))
        return self._others.launch(claimed) if task is None else ThreadExecution(self._api, task, claimed)

    def start(self) -> None:
        """Prepare the other launcher, if there is anything for it to do."""
        if self._prepares:
            self._others.start()

    def groups(self) -> list[int]:
        """The other launcher's."""
        return self._others.groups()

    def counts(self) -> tuple[int, int]:
        """The other launcher's."""
        return self._others.counts()

    def tidy(self) -> None:
        """Let the other launcher tidy."""
        self._others.tidy()

    def close(self) -> None:
        """Close the other launcher. Threads end with the process."""
        self._others.close()


class ThreadExecution:
    """One call in a thread of this process: in the one that waits for its end."""

    pid = 0  # There is no process of its own.

    def __init__(self, api: Api, task: Task[..., Any], claimed: Claimed) -> None:
        self._api = api
        self._task = task
        self._claimed = claimed
        self._lock = threading.Lock()
        self._root: FlowRun | None = None
        self._words: list[str] = []

    def signal(self, word: str) -> None:
        """Tell it to stop; one that has not begun yet hears it when it begins."""
        with self._lock:
            root = self._root
            if root is None:
                self._words.append(word)
                return
        if word == "end":
            root.stopping_state.stop(RunTerminated("The process that served this task was told to end."))
        else:
            root.stopping_state.signalled(word)

    def terminate(self) -> None:
        """Have it stop."""
        self.signal("end")

    def kill(self) -> None:
        """Nobody can kill a thread."""

    def _introduce(self, root: FlowRun) -> None:
        with self._lock:
            self._root = root
            words, self._words = self._words, []
        for word in words:
            self.signal(word)

    def wait(self) -> Ending:
        """Execute it. Its end is told when the server has all of it."""
        execution = Ordered(self._claimed.claim)
        execution.alone = False
        execution.on_start = self._introduce
        root = None
        try:
            if self._claimed.ended is not None:
                last_hooks.call(self._task, execution, self._claimed.ended)
                return Ending(0, [])
            root = self._task.execute(execution)
            self._wait_until_told(root)
            if execution.call is not None and "arguments" in execution.call:
                leftovers.remove_soon(references.store_of(self._task), self._api)
        except RunStopped as reason:  # It came when the call was over.
            if root is None:
                return Ending(execute.ENDED_EARLY, [], str(reason))
        except Exception as error:  # Of what came with the call: its lease would be held for ever.
            if root is None:
                return Ending(execute.ENDED_EARLY, [], f"{type(error).__name__}: {error}")
        return Ending(execute.exit_code(root), [], root.message or "")

    def _wait_until_told(self, root: FlowRun) -> None:
        """Hold the run's lease until the server has its journal: else it might be given to somebody else."""
        from orchestrator import journal

        stream = root.stream
        if stream is None:
            return
        if root.execution is not None and root.execution.lost:
            stream.finish()  # Its journal is sent now; the agent tells of its end.
        hub = journal.hub_of(self._api)
        hub.write_out(LOOK_EVERY)
        with hub.changed:
            while stream.id in hub.streams and not hub.is_over:
                hub.changed.wait(LOOK_EVERY)
