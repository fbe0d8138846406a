"""What dead processes leave: a journal to ship, and the word that they are dead."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any

from orchestrator.agent.launchers import Ending
from orchestrator.client import Client
from orchestrator.exceptions import ApiError, RecordError
from orchestrator.journal import recovery
from orchestrator.journal.file import directory

TOLD_LINES = 20


def ship_journal(client: Client, run: str, attempt: int) -> bool:
    """Send what a run's process wrote and could not send any more. True when nothing is left.

    Raises:
        ApiError: The API can't be reached.
    """
    path = directory() / f"{run}.{attempt}.0.ndjson"
    if not path.exists():
        return True
    with contextlib.suppress(RecordError):
        recovery.ship_one(path, client.api)
    return not path.exists()


def tell_end(
    client: Client, agent_id: str, run: str, attempt: int, ending: Ending, started: bool = True
) -> dict[str, Any] | None:
    """Tell the server that the process of an attempt is gone. What it told of itself came first.

    Returns the run whose hooks are to be called now, and its last state; None when there is none.

    Raises:
        ApiError: The API can't be reached, or doesn't know the attempt as this agent's.
    """
    reason = "never_started" if not started else "killed" if ending.exit is not None and ending.exit < 0 else "exited"
    body = {"run": run, "attempt": attempt, "exit": ending.exit, "reason": reason, "message": describe(ending, started)}
    return client.post(f"/agents/{agent_id}/ended", body, again=True).get("hooks")


def describe(ending: Ending, started: bool) -> str:
    """How a process ended, with the end of its output: for the run alone, whose readers may read its log."""
    told, last = reason(ending, started), "\n".join(ending.last_lines[-TOLD_LINES:])
    return f"{told}\n{last}"[:4_000] if last else told


def reason(ending: Ending, started: bool) -> str:
    """How a process ended, without a word of what it printed."""
    if ending.why:
        return ending.why
    if ending.exit is None:
        return "The process is gone." if started else "The process could not be started."
    if ending.exit >= 0:
        return f"The process ended with exit code {ending.exit}."
    try:
        return f"The process was ended by {signal.Signals(-ending.exit).name}."
    except ValueError:
        return f"The process was ended by signal {-ending.exit}."


def sweep(client: Client, agent_id: str, ours: set[str], call_hooks: Callable[[dict[str, Any], str], None]) -> None:
    """Send the journals that were left on this machine, and tell of the executions they belong to.

    Args:
        ours: Streams of processes that live; somebody else sees to them.
        call_hooks: Is given what the server says of hooks to be called, and the attempt's token.
    """
    for left in list(recovery.found()):
        stream = f"{left.root}.{left.attempt}"
        if left.live or stream in ours or left.api_url != client.api.url:
            continue
        with contextlib.suppress(ApiError, RecordError, OSError):
            if recovery.ship_one(left.path, client.api) and left.writer == 0:
                lost = Ending(None, ["Its agent or its machine was lost; the journal was found and sent afterwards."])
                hooks = tell_end(client, agent_id, left.root, left.attempt, lost)
                if hooks is not None:
                    call_hooks(hooks, left.token)
