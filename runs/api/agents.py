"""What agents ask: to be known, for work, for more time, and to be rid of what ended; and who they are."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.utils.timezone import now
from rest_framework.request import Request

from orchestrator.agent_messages import EndedAnswer
from orchestrator.bodies import AgentInput, ClaimInput, EndedInput, HeartbeatInput
from orchestrator.storable import clean_text
from runs import agents, claims, last_hooks, long_polls
from runs.api import paging
from runs.hidden import hidden_deployments
from runs.models import Agent, AgentLogLine
from runs.models.definitions import CONNECTED_WITHIN
from runs.reads import agent_page
from runs.reads.pools import held_slots
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, number, page_size, read, yes_or_no

UNKNOWN = "There is no such agent here. Register it again."


class Agents(TenantView):
    """GET: a page of agents, the newest first. POST: an agent says that it is there."""

    verbs = {"GET": "pools.view", "POST": "agents.work"}

    def get(self, request: Request) -> HttpResponse:
        rows = agent_page.seen(self.actor)
        if pool := request.query_params.get("pool"):
            rows = rows.filter(pool=agents.find_pool(self.actor, pool))
        if (there := yes_or_no(request, "connected")) is not None:
            rows = rows.filter(**{f"last_seen_at__{'gt' if there else 'lte'}": now() - CONNECTED_WITHIN})
        items, cursor = paging.page(request, rows, "created_at")
        held = held_slots([agent.id for agent in items])
        return answer({"items": [describe(agent, held.get(agent.id, 0)) for agent in items], "next": cursor})

    def post(self, request: Request) -> HttpResponse:
        told = read(request, AgentInput)
        agent = agents.register(
            by=self.actor, pool=told.pool, name=told.name, slots=told.slots, queues=told.queues,
            version=told.version, python=told.python, host=told.host,
        )  # fmt: skip
        return answer(
            {
                "id": agent.id,
                "name": agent.name,
                "pool": told.pool,
                "lease_seconds": settings.LEASE_SECONDS,
                "heartbeat_seconds": settings.LEASE_SECONDS / 4,
                "wait_seconds": long_polls.WAIT_SECONDS,
            }
        )


class OneAgent(TenantView):
    """GET: an agent, and the runs that it holds."""

    verbs = {"GET": "pools.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        agent = agent_page.find_agent(self.actor, id)
        leases = agent_page.held(agent, hidden_deployments(self.actor))
        runs = [{"id": lease.run_id, "name": lease.run.name, "flow": lease.run.flow.name, "attempt": lease.attempt,
                 "state": lease.run.state_name, "lease_until": lease.expires_at} for lease in leases]  # fmt: skip
        return answer({**describe(agent, held_slots([agent.id]).get(agent.id, 0)), "runs": runs})


class AgentLog(TenantView):
    """GET: lines of an agent's own log after a number, oldest first."""

    verbs = {"GET": "pools.view"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        agent = agent_page.find_agent(self.actor, id)
        after, limit = number(request, "after", 0), page_size(request, 1_000, agents.KEPT_LINES)
        rows = AgentLogLine.objects.filter(agent=agent, line_no__gt=after).order_by("line_no")
        lines = list(rows.values_list("line_no", "at", "level", "message")[:limit])
        items = [dict(zip(("line", "t", "level", "message"), line, strict=True)) for line in lines]
        return answer({"items": items, "next": lines[-1][0] if lines else after})


def describe(agent: Agent, running: int) -> dict[str, Any]:
    """An agent as the API shows it."""
    return {
        "id": agent.id,
        "name": agent.name,
        "pool": agent.pool.name,
        "queues": agent.queues,
        "slots": agent.slots,
        "running": running,
        "connected": agent.is_connected,
        "version": agent.version,
        "python": agent.python,
        "host": agent.host,
        "load": agent.load,
        "created_at": agent.created_at,
        "started_at": agent.started_at,
        "last_seen_at": agent.last_seen_at,
    }


class AgentView(TenantView):
    """The base of what one agent asks."""

    verbs = {"POST": "agents.work"}

    @property
    def agent(self) -> Agent:
        """The agent of the address, in the key's workspace."""
        found = Agent.objects.filter(id=self.kwargs["id"], workspace_id=self.actor.workspace_id)
        agent = found.select_related("pool").first()
        if agent is None:
            raise NotFound(UNKNOWN)
        return agent


class Claim(AgentView):
    """POST: hand out due runs. Never waits. What a key took before a pool was closed to it, it may bring to its end."""

    def post(self, request: Request, id: UUID) -> HttpResponse:
        agent = self.agent
        if not agent.pool.allows(self.actor, "agents.work"):
            raise NotFound(UNKNOWN)
        return answer({"runs": claims.claim(agent, slots=read(request, ClaimInput).slots)})


class Heartbeat(AgentView):
    """POST: renew all leases at once, and note what the agent tells of itself."""

    def post(self, request: Request, id: UUID) -> HttpResponse:
        told, agent = read(request, HeartbeatInput), self.agent
        agents.note(agent, load=told.load, lines=told.log)
        return answer(claims.heartbeat(agent, told.leases))


class Ended(AgentView):
    """POST: the process of an attempt is gone."""

    def post(self, request: Request, id: UUID) -> HttpResponse:
        told = read(request, EndedInput)
        message = clean_text(told.message, 4_000) or f"The process ended with exit code {told.exit}."
        started = told.reason != "never_started"
        row, ended = claims.end_attempt(
            self.agent, run_id=told.run, attempt=told.attempt, started=started, message=message
        )
        if ended:
            last_hooks.owe(row)
        return answer(EndedAnswer(hooks=last_hooks.owed(row, told.attempt)))
