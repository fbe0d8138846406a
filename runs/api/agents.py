"""What agents ask: to be known, for work, for more time, and to be rid of what ended."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.agent_messages import EndedAnswer
from orchestrator.bodies import AgentInput, ClaimInput, EndedInput, HeartbeatInput
from orchestrator.storable import clean_text
from runs import agents, claims, last_hooks, long_polls
from runs.models import Agent
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, read

UNKNOWN = "There is no such agent here. Register it again."


class Agents(TenantView):
    """POST: an agent says that it is there."""

    verbs = {"POST": "agents.work"}

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
