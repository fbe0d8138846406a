"""What the page of one agent shows: the runs that it holds, those that it held, its own log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from runs.agents import in_workspace
from runs.hidden import of_seen_runs
from runs.models import Agent, AgentLogLine, Attempt, Lease
from runs.reads.log_window import window
from runs.transitions import micros
from tenants.errors import NotFound
from tenants.permissions import Actor

MAX_HELD = 200
RECENT = 10

_HEAVY = ("run__history", "run__error", "run__parameters")


def seen(by: Actor) -> QuerySet[Agent]:
    """The agents of the pools that the actor may see."""
    pools = in_workspace(by).values("id")
    return Agent.objects.filter(workspace_id=by.workspace_id, pool__in=pools).select_related("pool")


def find_agent(by: Actor, id: UUID) -> Agent:
    """An agent of the workspace.

    Raises:
        NotFound: There is none.
    """
    agent = seen(by).filter(id=id).first()
    if agent is None:
        raise NotFound("There is no such agent here.")
    return agent


def held(agent: Agent, hidden: Collection[UUID]) -> list[Lease]:
    """The leases behind which its runs stand, the longest run first."""
    leases = Lease.objects.filter(agent_id=agent.id, limit=None).select_related("run__flow").defer(*_HEAVY)
    return list(of_seen_runs(leases, hidden).order_by("run__created_at", "run_id")[:MAX_HELD])


def recent(agent: Agent, hidden: Collection[UUID]) -> list[Attempt]:
    """The attempts that it made last, and that are over."""
    over = of_seen_runs(Attempt.objects.filter(agent_id=agent.id, ended_at__isnull=False), hidden)
    return list(over.select_related("run__flow").defer("history", *_HEAVY).order_by("-created_at")[:RECENT])


def log(
    agent: Agent,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int = 500,
    level: int = 0,
    text: str = "",
) -> dict[str, Any]:
    """A window of its own log, in the form of a run's: see `run_page.log`."""
    rows = AgentLogLine.objects.filter(agent_id=agent.id)
    last = rows.order_by("-line_no").values_list("line_no", flat=True).first()
    lines, more = window(rows, after=after, before=before, limit=limit, level=level, text=text)
    told = [[line.line_no, micros(line.at), line.level, "", line.message] for line in lines]
    return {"lines": told, "total": last or 0, "more": more}
