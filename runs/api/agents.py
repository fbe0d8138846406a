"""What agents ask: to be known, for work, for more time, and to be rid of what ended; and who they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpResponse
from django.utils.timezone import now
from rest_framework.request import Request

from orchestrator.agent_messages import ClaimedRun, EndedAnswer
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
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import NotFound
from tenants.messages import answer

UNKNOWN = "There is no such agent here. Register it again."


class RegisteredAgent(msgspec.Struct):
    """An agent that the server knows now, the type of its pool, and the times (seconds) to which it keeps.

    `unknown_queues` are those that it named and the pool has not; it serves them once they are made.
    """

    id: UUID
    name: str
    pool: str
    pool_type: str
    lease_seconds: float
    heartbeat_seconds: float
    wait_seconds: float
    unknown_queues: list[str]


class AgentsAsked(PageQuery):
    """Which agents."""

    pool: Annotated[str, msgspec.Meta(max_length=200, description="Of the pool of this name.")] = ""
    connected: Annotated[bool | None, msgspec.Meta(description="Those that are there, or those that are not.")] = None


class AgentShown(msgspec.Struct):
    """An agent. `load` is what it told of itself last; `running` is how many runs it holds."""

    id: UUID
    name: str
    pool: str
    queues: list[str]
    slots: int
    running: int
    connected: bool
    version: str
    python: str
    host: str
    load: Any
    created_at: datetime
    started_at: datetime
    last_seen_at: datetime


class HeldRun(msgspec.Struct):
    """A run that an agent holds, and until when."""

    id: UUID
    name: str
    flow: str
    attempt: int
    state: str
    lease_until: datetime


class AgentWithRuns(AgentShown):
    """An agent, and the runs that it holds."""

    runs: list[HeldRun]


class AgentLinesAsked(Query):
    """Which lines."""

    after: Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18, description="The number of the last one known.")] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=agents.KEPT_LINES, description="How many.")] = 1_000


class LineOfAgent(msgspec.Struct):
    """A line of an agent's own log. `level` is of the standard library's scale."""

    line: int
    t: datetime
    level: int
    message: str


class LinesOfAgent(msgspec.Struct):
    """Lines of an agent's log. `next` is where to go on, also when there are none yet."""

    items: list[LineOfAgent]
    next: int


class Claimed(msgspec.Struct):
    """The runs that an agent may now execute."""

    runs: list[ClaimedRun]


class Agents(TenantView):
    """GET: a page of agents, the newest first. POST: an agent says that it is there."""

    verbs = {"GET": "pools.view", "POST": "agents.work"}

    @operation(Page[AgentShown], refuses=[NotFound])
    def get(self, request: Request, asked: AgentsAsked) -> HttpResponse:
        rows = agent_page.seen(self.actor)
        if asked.pool:
            rows = rows.filter(pool=agents.find_pool(self.actor, asked.pool))
        if asked.connected is not None:
            rows = rows.filter(**{f"last_seen_at__{'gt' if asked.connected else 'lte'}": now() - CONNECTED_WITHIN})
        items, cursor = paging.page(asked, rows, "created_at")
        held = held_slots([agent.id for agent in items])
        return answer(Page([describe(agent, held.get(agent.id, 0)) for agent in items], cursor))

    @operation(RegisteredAgent, refuses=[NotFound])
    def post(self, request: Request, told: AgentInput) -> HttpResponse:
        agent = agents.register(
            by=self.actor, pool=told.pool, name=told.name, slots=told.slots, queues=told.queues,
            version=told.version, python=told.python, host=told.host,
        )  # fmt: skip
        lease, unknown = settings.LEASE_SECONDS, agents.unknown_queues(agent)
        times = (lease, lease / 4, long_polls.WAIT_SECONDS)
        return answer(RegisteredAgent(agent.id, agent.name, told.pool, agent.pool.type, *times, unknown))


class OneAgent(TenantView):
    """GET: an agent, and the runs that it holds."""

    verbs = {"GET": "pools.view"}

    @operation(AgentWithRuns)
    def get(self, request: Request, id: UUID) -> HttpResponse:
        agent = agent_page.find_agent(self.actor, id)
        leases = agent_page.held(agent, hidden_deployments(self.actor))
        runs = [
            HeldRun(each.run_id, each.run.name, each.run.flow.name, each.attempt, each.run.state_name, each.expires_at)
            for each in leases
        ]
        shown = describe(agent, held_slots([agent.id]).get(agent.id, 0))
        return answer(AgentWithRuns(**msgspec.structs.asdict(shown), runs=runs))


class AgentLog(TenantView):
    """GET: lines of an agent's own log after a number, oldest first."""

    verbs = {"GET": "pools.view"}

    @operation(LinesOfAgent)
    def get(self, request: Request, id: UUID, asked: AgentLinesAsked) -> HttpResponse:
        agent = agent_page.find_agent(self.actor, id)
        rows = AgentLogLine.objects.filter(agent=agent, line_no__gt=asked.after).order_by("line_no")
        lines = list(rows.values_list("line_no", "at", "level", "message")[: asked.limit])
        return answer(LinesOfAgent([LineOfAgent(*line) for line in lines], lines[-1][0] if lines else asked.after))


def describe(agent: Agent, running: int) -> AgentShown:
    """An agent as the API shows it."""
    return AgentShown(
        id=agent.id,
        name=agent.name,
        pool=agent.pool.name,
        queues=agent.queues,
        slots=agent.slots,
        running=running,
        connected=agent.is_connected,
        version=agent.version,
        python=agent.python,
        host=agent.host,
        load=agent.load,
        created_at=agent.created_at,
        started_at=agent.started_at,
        last_seen_at=agent.last_seen_at,
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

    @operation(Claimed)
    def post(self, request: Request, id: UUID, told: ClaimInput) -> HttpResponse:
        agent = self.agent
        if not agent.pool.allows(self.actor, "agents.work"):
            raise NotFound(UNKNOWN)
        return answer(Claimed(claims.claim(agent, slots=told.slots)))


class Heartbeat(AgentView):
    """POST: renew all leases at once, and note what the agent tells of itself."""

    @operation(claims.Beat)
    def post(self, request: Request, id: UUID, told: HeartbeatInput) -> HttpResponse:
        agent = self.agent
        agents.note(agent, load=told.load, lines=told.log)
        return answer(claims.heartbeat(agent, told.leases))


class Ended(AgentView):
    """POST: the process of an attempt is gone."""

    @operation(EndedAnswer)
    def post(self, request: Request, id: UUID, told: EndedInput) -> HttpResponse:
        message = clean_text(told.message, 4_000) or f"The process ended with exit code {told.exit}."
        started = told.reason != "never_started"
        row, ended = claims.end_attempt(
            self.agent, run_id=told.run, attempt=told.attempt, started=started, message=message
        )
        if ended:
            last_hooks.owe(row)
        return answer(EndedAnswer(hooks=last_hooks.owed(row, told.attempt)))
