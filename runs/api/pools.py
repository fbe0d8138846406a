"""Work pools and their queues."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import PoolChange, PoolInput, QueueChange, QueueInput
from runs import agents, limits, queues
from runs.models import Limit, WorkPool, WorkQueue
from runs.reads import pools as reads
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, read
from tenants.models import Workspace

EDIT = {"GET": "pools.view", "PATCH": "pools.edit"}


class WorkPools(TenantView):
    """GET: the pools. POST: a new one."""

    verbs = {"GET": "pools.view", "POST": "pools.edit"}

    def get(self, request: Request) -> HttpResponse:
        pools = list(agents.in_workspace(self.actor).order_by("name")[:500])
        slots = limits.slots_of(Limit.Kind.POOL, [pool.id for pool in pools])
        return answer({"items": [_pool(pool, slots.get(pool.id)) for pool in pools], "next": None})

    def post(self, request: Request) -> HttpResponse:
        workspace, told = Workspace.objects.get(id=self.actor.workspace_id), read(request, PoolInput)
        pool = agents.create_pool(
            workspace=workspace, name=told.name, description=told.description, limit=told.concurrency_limit,
            by=self.actor,
        )  # fmt: skip
        return answer(_pool(pool, told.concurrency_limit), status=201)


class PoolView(TenantView):
    """The base of what is asked of one pool."""

    @property
    def pool(self) -> WorkPool:
        """The pool of the address."""
        return agents.find_pool(self.actor, self.kwargs["pool"])


class OneWorkPool(PoolView):
    """GET: one pool. PATCH: change what is told of it."""

    verbs = EDIT

    def get(self, request: Request, pool: str) -> HttpResponse:
        return self.answered(self.pool)

    def patch(self, request: Request, pool: str) -> HttpResponse:
        found = self.pool
        queues.change(found, told=read(request, PoolChange), by=self.actor)
        return self.answered(found)

    def answered(self, pool: WorkPool) -> HttpResponse:
        """It, as it is now."""
        return answer(_pool(pool, limits.slots_of(Limit.Kind.POOL, [pool.id]).get(pool.id)))


class Queues(PoolView):
    """GET: the queues of a pool, in the order in which they are served. POST: a new one."""

    verbs = {"GET": "pools.view", "POST": "pools.edit"}

    def get(self, request: Request, pool: str) -> HttpResponse:
        return answer({"items": [_queue(row) for row in reads.queues(self.pool)], "next": None})

    def post(self, request: Request, pool: str) -> HttpResponse:
        found = self.pool
        queue = queues.create_queue(pool=found, told=read(request, QueueInput), by=self.actor)
        return answer(_queue(_row(queue)), status=201)


class OneQueue(PoolView):
    """GET: one queue. PATCH: change what is told of it. DELETE: delete it, when nothing names it."""

    verbs = {**EDIT, "DELETE": "pools.edit"}

    @property
    def queue(self) -> WorkQueue:
        """The queue of the address."""
        return agents.find_queue(self.pool, self.kwargs["queue"])

    def get(self, request: Request, pool: str, queue: str) -> HttpResponse:
        return answer(_queue(_row(self.queue)))

    def patch(self, request: Request, pool: str, queue: str) -> HttpResponse:
        found = self.queue
        queues.change(found, told=read(request, QueueChange), by=self.actor)
        return answer(_queue(_row(found)))

    def delete(self, request: Request, pool: str, queue: str) -> HttpResponse:
        queues.delete(self.queue, by=self.actor)
        return HttpResponse(status=204)


def _row(queue: WorkQueue) -> reads.QueueRow:
    found = next((row for row in reads.queues(queue.pool) if row.queue.id == queue.id), None)
    if found is None:
        raise NotFound("The queue was deleted in this moment.")
    return found


def _pool(pool: WorkPool, limit: int | None) -> dict[str, Any]:
    return {
        "id": pool.id,
        "name": pool.name,
        "type": pool.type,
        "description": pool.description,
        "paused": pool.paused,
        "concurrency_limit": limit,
    }


def _queue(row: reads.QueueRow) -> dict[str, Any]:
    queue = row.queue
    return {
        "id": queue.id,
        "name": queue.name,
        "pool": queue.pool.name,
        "description": queue.description,
        "priority": queue.priority,
        "paused": queue.paused,
        "concurrency_limit": row.limit,
        "waiting": row.waiting,
        "running": row.running,
        "deployments": row.deployments,
    }
