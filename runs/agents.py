"""Work pools, their queues, and the agents that serve them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, QuerySet
from django.utils.timezone import now

from orchestrator.agent_messages import SERVED, AgentLine, Load
from orchestrator.job_template_checks import wrong_of_type
from orchestrator.job_templates import PROCESS
from orchestrator.pool_bodies import PoolInput, wrong_of_pool
from orchestrator.storable import clean_text, json_value
from runs import events, live
from runs.limits import set_limit
from runs.models import Agent, AgentLogLine, WorkPool, WorkQueue
from runs.models.definitions import CONNECTED_WITHIN
from tenants import audit
from tenants.errors import Invalid, NotFound
from tenants.models import Workspace
from tenants.organizations import furnishes
from tenants.permissions import Actor
from tenants.restrictions.rules import check_allowed

DEFAULT = "default"
MAX_SLOTS = 1_000
MAX_QUEUES = 100
MAX_LINES = 100  # of one heartbeat
KEPT_LINES = 2_000


def create_pool(
    *,
    workspace: Workspace,
    name: str,
    description: str = "",
    limit: int | None = None,
    type: str = PROCESS,
    template: dict[str, Any] | None = None,
    by: Actor | None = None,
) -> WorkPool:
    """Make a pool and its default queue.

    Args:
        limit: How many of its runs may go on at once, over all of its agents; as many as they have slots by default.
        type: What its agents start: a type that they have.
        template: Its base job template; that of its type by default.
        by: Who wants it; nobody where it comes with its workspace, whose own entry in the audit trail tells of both.

    Raises:
        Invalid: The name is empty, too long or taken, or something else can't be taken; `fields` says what.
    """
    told = PoolInput(name, description, limit, type, template)
    if fields := wrong_of_pool(told) or wrong_of_type(type, template):
        raise Invalid("The pool can't be made; see fields.", fields=fields)
    name = clean_text(name.strip())
    own = {"organization_id": workspace.organization_id, "workspace": workspace}
    try:
        with transaction.atomic():
            pool = WorkPool.objects.create(
                **own, name=name, description=clean_text(description), type=type, base_job_template=json_value(template)
            )
    except IntegrityError as error:
        raise Invalid("A pool of this name exists.", fields={"name": "Choose another name."}) from error
    WorkQueue.objects.create(**own, pool=pool, name=DEFAULT)
    if limit is not None:
        set_limit(pool, limit)
    if by:
        audit.record(by, "pool.created", pool, name=pool.name, details={"type": type})
    return pool


@furnishes
def add_default_pool(workspace: Workspace) -> WorkPool:
    """What a new workspace begins with: flows can be deployed and agents started without naming a pool."""
    return create_pool(workspace=workspace, name=DEFAULT)


def in_workspace(by: Actor) -> QuerySet[WorkPool]:
    """The workspace's pools that the actor may see."""
    return WorkPool.objects.filter(workspace_id=by.workspace_id).allowing(by, "pools.view")


def find_pool(by: Actor, name: str) -> WorkPool:
    """The pool of this name.

    Raises:
        NotFound: With the names that there are.
    """
    pool = in_workspace(by).filter(name=name).first()
    if pool is None:
        names = in_workspace(by).order_by("name").values_list("name", flat=True)[:20]
        raise NotFound(f"There is no work pool {name!r}. There is: {', '.join(names) or 'none yet'}.")
    return pool


def find_queue(pool: WorkPool, name: str | None) -> WorkQueue:
    """The pool's queue of this name, or its default one.

    Raises:
        NotFound: There is none.
    """
    queue = WorkQueue.objects.filter(pool=pool, name=name or DEFAULT).first()
    if queue is None:
        raise NotFound(f"The pool {pool.name!r} has no queue {name!r}.")
    return queue


def register(
    *, by: Actor, pool: str, name: str, slots: int, queues: list[str], version: str, python: str, host: str
) -> Agent:
    """Note that an agent has started. One that comes back under its name keeps its id, and so its leases."""
    if not 0 < slots <= MAX_SLOTS:
        raise Invalid(f"An agent has 1 to {MAX_SLOTS} slots.", fields={"slots": f"1 to {MAX_SLOTS}."})
    name = clean_text(name.strip())
    if not 0 < len(name) <= 200 or len(queues) > MAX_QUEUES:
        raise Invalid("An agent needs a name of 1 to 200 characters.", fields={"name": "1 to 200 characters."})
    found = find_pool(by, pool)
    check_allowed(found, by, "agents.work")
    at = now()
    facts = {
        "slots": slots,
        "queues": [clean_text(queue, 200) for queue in queues],
        "version": clean_text(version, 40),
        "python": clean_text(python, 20),
        "host": clean_text(host, 255),
        "started_at": at,
        "last_seen_at": at,
    }
    agent, _ = Agent.objects.update_or_create(
        organization_id=by.organization_id, pool=found, name=name,
        defaults=facts, create_defaults={**facts, "workspace_id": by.workspace_id},
    )  # fmt: skip
    agent.pool = found
    live.changed(workspace_id=by.workspace_id, what="agents")
    return agent


def unknown_queues(agent: Agent) -> list[str]:
    """The queues that the agent named and its pool has not. Those of what is served are made with their first run."""
    named = [queue for queue in agent.queues if not queue.startswith(SERVED)]
    found = WorkQueue.objects.filter(pool=agent.pool, name__in=named) if named else WorkQueue.objects.none()
    known = set(found.values_list("name", flat=True))
    return [queue for queue in named if queue not in known]


def start_command(agent: Agent) -> str:
    """What starts such an agent again, to be copied."""
    options = [("--pool", agent.pool.name), ("--name", agent.name), ("--limit", str(agent.slots))]
    options += [("--queue", queue) for queue in agent.queues]
    return " \\\n  ".join(["orchestrator agent start", *map(shlex.join, options)])


def note(agent: Agent, *, load: Load | None, lines: Sequence[AgentLine]) -> None:
    """Note that an agent was heard of, and what it tells of itself. Lines are numbered under the lock of its row."""
    agent.last_seen_at = now()
    fields = ["last_seen_at"]
    if load is not None:
        agent.load = msgspec.structs.asdict(load)
        fields.append("load")
    agent.save(update_fields=fields)
    if lines:
        _keep_lines(agent, lines[:MAX_LINES])
    if lines or load is not None:
        live.changed(workspace_id=agent.workspace_id, what="agents")
        live.changed(workspace_id=agent.workspace_id, what=f"agent.{agent.id}")


def _keep_lines(agent: Agent, lines: Sequence[AgentLine]) -> None:
    own = AgentLogLine.objects.filter(agent=agent)
    last = own.aggregate(last=Max("line_no"))["last"] or 0
    AgentLogLine.objects.bulk_create(
        AgentLogLine(
            organization_id=agent.organization_id, agent=agent, line_no=number, at=_time(line.t),
            level=max(0, min(line.level, 100)), message=clean_text(line.message, 4_000),
        )
        for number, line in enumerate(lines, last + 1)
    )  # fmt: skip
    own.filter(line_no__lte=last + len(lines) - KEPT_LINES).delete()


def _time(micros: int) -> datetime:
    """The time that an agent's clock said; ours, when it is none of this century."""
    try:
        said = datetime.fromtimestamp(micros / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return now()
    return said if 2000 <= said.year < 2100 else now()


# ── who is gone, and who is back ─────────────────────────────────────────────────────────────────

_CHANGED = """
    SELECT organization_id, id FROM agent WHERE gone_at IS NULL AND last_seen_at < %s
    UNION ALL
    SELECT organization_id, id FROM agent WHERE gone_at IS NOT NULL AND last_seen_at > gone_at
    LIMIT %s
"""
_GONE = """
    UPDATE agent SET gone_at = %(at)s WHERE id = ANY(%(ids)s) AND gone_at IS NULL AND last_seen_at < %(since)s
    RETURNING id, workspace_id
"""
_BACK = """
    UPDATE agent SET gone_at = NULL WHERE id = ANY(%(ids)s) AND gone_at IS NOT NULL AND last_seen_at > gone_at
    RETURNING id, workspace_id
"""


def gone_or_back(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, agent) whose row says something else than when they were last heard of. Asked by the system."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [now() - CONNECTED_WITHIN, limit])
        return cursor.fetchall()


def notice(organization_id: UUID, ids: Collection[UUID]) -> None:
    """Write down which agents are gone and which are back, each once, and tell it."""
    at = now()
    values = {"ids": list(ids), "at": at, "since": at - CONNECTED_WITHIN}
    for event, statement in (("agent.gone", _GONE), ("agent.back", _BACK)):
        found: dict[UUID, list[UUID]] = defaultdict(list)
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            for id, workspace_id in cursor.fetchall():
                found[workspace_id].append(id)
        for workspace_id, agents in found.items():
            resources = [{"agent": str(id)} for id in agents]
            events.tell(organization_id=organization_id, workspace_id=workspace_id, event=event, resources=resources)
            live.changed(workspace_id=workspace_id, what="agents")
