"""The hooks of a run that has lost its process: who calls them, and for how long they may act for the run.

The agent that tells of the process's end is told in return that the run is over, and what it needs to call the hooks in
a fresh process. A run that its own engine ended has called them itself.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from orchestrator.agent_messages import HOOKS_WITHIN, LastHooks, LastState
from runs.claims import describe
from runs.models import Attempt
from runs.transitions import RunRow, micros


def owe(row: RunRow) -> None:
    """The server has just ended this run, whose holder is gone: its hooks are to be called."""
    until = now() + timedelta(seconds=HOOKS_WITHIN)
    Attempt.objects.filter(run_id=row.id, number=row.attempt).update(hooks_until=until)


def owed(row: RunRow, attempt: int) -> LastHooks | None:
    """What is to be called for a run; the same again when the agent asks again because an answer was lost."""
    if row.attempt != attempt or not row.is_final or row.deployment_id is None:
        return None
    if not Attempt.objects.filter(run_id=row.id, number=attempt, hooks_until__gt=now()).exists():
        return None
    (run,) = describe([row], tokens={})
    state = LastState(type=row.state_type, name=row.state_name, message=row.state_message, t=micros(row.state_at))
    return LastHooks(state=state, run=run)
