"""Say that something changed: ids only, after the commit. Who listens reads the rows; a lost word costs freshness.

The messenger publishes on `live:<organization>`; `runs/consumers.py` hands it to sockets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from runs.messenger import messenger
from tenants import rights
from tenants.scope import current_scope

if TYPE_CHECKING:
    from runs.transitions import RunRow

CHANNEL = "live:"


def runs_changed(rows: Iterable[RunRow]) -> None:
    """Announce states of runs."""
    say(
        [
            {
                "w": str(row.workspace_id),
                "run": str(row.id),
                "root": str(row.root_id),
                "state": True,
                **({"over": True} if row.is_final else {}),
            }
            for row in rows
        ]
    )


def journal_grew(*, workspace_id: UUID, root_id: UUID, lines: int | None, tasks: bool, artifacts: bool = False) -> None:
    """Announce new log lines (`lines`: how many the root has now), task runs or artifacts of an execution."""
    told = {"w": str(workspace_id), "run": str(root_id), "root": str(root_id), "lines": lines, "tasks": tasks}
    say([{**told, "artifacts": True} if artifacts else told])


def changed(*, workspace_id: UUID, what: str) -> None:
    """Announce that a list of the workspace changed: `runs`, `deployments` or `agents`; or one agent: `agent.<id>`."""
    say([{"w": str(workspace_id), "what": what}])


@rights.hears
def rights_changed() -> None:
    """Announce that somebody's rights changed: open sockets ask again what they may hear."""
    say([{"what": "rights", "organization": str(current_scope().organization_id)}])


def say(messages: list[dict]) -> None:
    """Publish for the current organization once the transaction is committed."""
    if not messages:
        return
    channel = f"{CHANNEL}{current_scope().organization_id}"
    body = json.dumps(messages)
    transaction.on_commit(lambda: messenger.send(lambda redis: redis.publish(channel, body)), robust=True)
