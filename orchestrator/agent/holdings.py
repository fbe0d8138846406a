"""The runs that an agent holds: each from its claim to the word on its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from orchestrator.agent import leftovers
from orchestrator.agent.last_hooks import LastHooks
from orchestrator.agent.launchers import Claimed, Ending, Execution
from orchestrator.agent.log import Log
from orchestrator.agent.patience import pause
from orchestrator.agent.settings import Settings
from orchestrator.client import Client
from orchestrator.exceptions import ApiError, NotFound, OrchestratorError, Unavailable

PATIENCE = 1.0  # seconds
MARGIN = 2.0  # seconds, besides the grace, between the last word to a run and the end of its lease


class Holdings:
    """What is held, and how it comes to its end.

    Attributes:
        changed: Called when a run was taken or is over.
        giving_up: True when what can't be told to the server now is left to the next agent.
    """

    def __init__(self, client: Client, launch: Callable[[Claimed], Execution], log: Log, settings: Settings) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.giving_up = threading.Event()
        self._client = client
        self._launch = launch
        self._log = log
        self._grace = settings.grace
        self._hooks = LastHooks(launch, log, settings.hooks)
        self._lock = threading.Lock()
        self._agent_id = ""
        self._registered = threading.Event()
        self._held: dict[str, Claimed] = {}
        self._executions: dict[str, Execution] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self._hooks)

    def registered_as(self, agent_id: str) -> None:
        """From now on it is known as whom the ends are told."""
        self._agent_id = agent_id
        self._registered.set()

    # In.

    def take(self, claimed: Claimed) -> None:
        """Execute a run that was claimed."""
        with self._lock:
            self._held[claimed.run] = claimed
        self._begin(claimed, None)

    def adopt(self, claimed: Claimed, execution: Execution) -> bool:
        """Hold a run that lost its agent; False when it is held already."""
        with self._lock:
            if claimed.run in self._held:
                return False
            self._held[claimed.run] = claimed
            self._executions[claimed.run] = execution
        self._log.info(f"{claimed.name} was found running, and goes on under this agent")
        self._begin(claimed, execution)
        return True

    def _begin(self, claimed: Claimed, execution: Execution | None) -> None:
        self.changed()
        threading.Thread(
            target=self._see_through, args=(claimed, execution), name=f"run-{claimed.name}", daemon=True
        ).start()

    # One run, to its end.

    def _see_through(self, claimed: Claimed, execution: Execution | None) -> None:
        """Launch a run, wait for its end, send what it left, tell how it ended."""
        ending, started = (self._end_of(execution), True) if execution is not None else self._execute(claimed)
        if ending.exit == 0:
            self._log.debug(f"{claimed.name} is over")
        elif started:
            self._log.warning(f"{claimed.name} was not ended by itself: {leftovers.reason(ending, True)}")
        with self._lock:
            self._executions.pop(claimed.run, None)
        hooks = None
        try:
            hooks = self._report(claimed, ending, started)
        finally:
            with self._lock:
                if hooks is not None:
                    self._hooks.expect(hooks)
                if self._held.get(claimed.run) is claimed:
                    del self._held[claimed.run]
            self.changed()
        if hooks is not None:
            self._call_hooks(hooks, claimed.token)

    def call_hooks(self, hooks: dict[str, Any], token: str) -> None:
        """Call the hooks of a run that an agent before this one held, in a thread of their own."""
        self._hooks.expect(hooks)
        threading.Thread(target=self._call_hooks, args=(hooks, token), name="agent-hooks", daemon=True).start()

    def _call_hooks(self, hooks: dict[str, Any], token: str) -> None:
        self._hooks.call(hooks, token)
        self.changed()

    def _execute(self, claimed: Claimed) -> tuple[Ending, bool]:
        try:
            execution = self._launch(claimed)
        except Exception as error:  # Launchers may be anybody's; a run whose thread died would be held for ever.
            self._log.error(f"{claimed.name} could not be started: {_told(error)}")
            return Ending(None, [_told(error)]), False
        self._log.debug(f"{claimed.name} begins, attempt {claimed.attempt}, process {execution.pid}")
        with self._lock:
            self._executions[claimed.run] = execution
            words, claimed.words = claimed.words, []
        for word in words:
            self._do(execution.signal, word)
        return self._end_of(execution), True

    def _end_of(self, execution: Execution) -> Ending:
        try:
            return execution.wait()
        except Exception as error:
            self._do(execution.kill)
            return Ending(None, [], f"The agent could not wait for its end: {_told(error)}")

    def _do(self, call: Callable[..., None], *words: str) -> None:
        """Tell an execution something. What it raises must not end the thread that also speaks to the others."""
        try:
            call(*words)
        except Exception as error:
            self._log.error(f"an execution could not be told to stop: {_told(error)}")

    def _report(self, claimed: Claimed, ending: Ending, started: bool) -> dict[str, Any] | None:
        """Tell the server; what it says of hooks that are to be called."""
        failures = 0
        while not self._registered.wait(PATIENCE):
            if self.giving_up.is_set():
                return None
        while True:
            try:
                if not leftovers.ship_journal(self._client, claimed.run, claimed.attempt):
                    raise Unavailable("The journal is being sent by another thread.")
                if ending.exit == 0:
                    return None
                return leftovers.tell_end(self._client, self._agent_id, claimed.run, claimed.attempt, ending, started)
            except NotFound:
                return None
            except ApiError as error:
                failures += 1
                if self.giving_up.wait(pause(error, failures)):
                    return None

    # What the server says.

    def leases(self) -> list[dict[str, Any]]:
        """The leases to renew."""
        with self._lock:
            return [claimed.lease for claimed in self._held.values()]

    def live_streams(self) -> set[str]:
        """Executions whose journals are not left behind."""
        with self._lock:
            return {f"{claimed.run}.{claimed.attempt}" for claimed in self._held.values()}

    def renewed(self, leases: list[dict[str, Any]], asked_at: float, seconds: float, replaceable: set[str]) -> None:
        """The leases that were asked for at a time of the monotonic clock run for so long from then."""
        with self._lock:
            for lease in leases:
                claimed = self._held.get(lease["run"])
                if claimed is not None and claimed.attempt == lease["attempt"]:
                    claimed.leased_until = asked_at + seconds
                    claimed.replaceable = claimed.run in replaceable

    def lose(self, run: str, attempt: int) -> None:
        """A lease is lost: somebody else may execute the run."""
        claimed = self._held.get(run)
        if claimed is not None and claimed.attempt == attempt:
            self.signal(run, "superseded")

    def signal(self, run: str, word: str) -> None:
        """Pass a signal on to the execution of a run; one that has not begun yet is not begun any more."""
        with self._lock:
            execution, claimed = self._executions.get(run), self._held.get(run)
            if execution is None and claimed is not None:
                claimed.words.append(word)
                claimed.stop.set()
        if execution is not None:
            self._do(execution.signal, word)

    def stop_unrenewed(self) -> float | None:
        """Stop the runs that another agent may soon be given. Seconds until the next one is due, None if none is."""
        now = time.monotonic()
        with self._lock:
            ends = {claimed: self._last_moment(claimed) for claimed in self._held.values() if claimed.replaceable}
            due = [claimed for claimed, end in ends.items() if end <= now and not claimed.unreachable]
            for claimed in due:
                claimed.unreachable = True
        for claimed in due:
            self._log.warning(
                f"{claimed.name} is stopped: its lease could not be renewed, another agent may be given it"
            )
            self.signal(claimed.run, "unreachable")
        later = [end - now for claimed, end in ends.items() if not claimed.unreachable]
        return min(later, default=None)

    def _last_moment(self, claimed: Claimed) -> float:
        # A lease that is hardly longer than the grace would otherwise stop every run at once.
        return claimed.leased_until - min(self._grace + MARGIN, claimed.lease_seconds / 4)

    def groups(self) -> list[int]:
        """The process groups of the runs."""
        with self._lock:
            return [execution.pid for execution in self._executions.values() if execution.pid]

    def terminate(self) -> None:
        """End all of them as one ends processes."""
        with self._lock:
            executions, held = list(self._executions.values()), list(self._held.values())
        for claimed in held:
            claimed.stop.set()
        for execution in executions:
            self._do(execution.terminate)
        self._hooks.terminate()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, OSError | OrchestratorError) else f"{type(error).__name__}: {error}"
