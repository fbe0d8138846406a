"""Work pools and their queues."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.pool_bodies import PoolChange, PoolInput, QueueChange, QueueInput
from runs import agents, limits, queues
from runs.models import Limit, WorkPool, WorkQueue
from runs.reads import pools as reads
from tenants.api import TenantView
from tenants.declared import Page, operation
from tenants.errors import Conflict, NotFound
from tenants.messages import answer
from tenants.models import Workspace

EDIT = {"GET": "pools.view", "PATCH": "pools.edit"}


class PoolShown(msgspec.Struct):
    """A work pool. `concurrency_limit` is how many of its runs go on at once; null: as many as its agents take."""

    id: UUID
    name: str
    type: str
    description: str
    paused: bool
    concurrency_limit: int | None


class OnePoolShown(PoolShown):
    """A work pool, with the base job template that counts: its own, or that of its type."""

    base_job_template: dict[str, Any]


class QueueShown(msgspec.Struct):
    """A work queue, with how many of its runs wait and run, and how many deployments name it."""

    id: UUID
    name: str
    pool: str
    description: str
    priority: int
    paused: bool
    concurrency_limit: int | None
    waiting: int
    running: int
    deployments: int


class WorkPools(TenantView):
    """GET: the pools. POST: a new one."""

    verbs = {"GET": "pools.view", "POST": "pools.edit"}

    @operation(Page[PoolShown])
    def get(self, request: Request) -> HttpResponse:
        pools = list(agents.in_workspace(self.actor).order_by("name")[:500])
        slots = limits.slots_of(Limit.Kind.POOL, [pool.id for pool in pools])
        return answer(Page([_pool(pool, slots.get(pool.id)) for pool in pools], None))

    @operation(OnePoolShown, 201, refuses=[Conflict])
    def post(self, request: Request, told: PoolInput) -> HttpResponse:
        workspace = Workspace.objects.get(id=self.actor.workspace_id)
        pool = agents.create_pool(
            workspace=workspace, name=told.name, description=told.description, limit=told.concurrency_limit,
            type=told.type, template=told.base_job_template, by=self.actor,
        )  # fmt: skip
        return answer(_one(pool, told.concurrency_limit), status=201)


class PoolView(TenantView):
    """The base of what is asked of one pool."""

    @property
    def pool(self) -> WorkPool:
        """The pool of the address."""
        return agents.find_pool(self.actor, self.kwargs["pool"])


class OneWorkPool(PoolView):
    """GET: one pool. PATCH: change what is told of it."""

    verbs = EDIT

    @operation(OnePoolShown)
    def get(self, request: Request, pool: str) -> HttpResponse:
        return self.answered(self.pool)

    @operation(OnePoolShown, refuses=[Conflict])
    def patch(self, request: Request, pool: str, told: PoolChange) -> HttpResponse:
        found = self.pool
        queues.change(found, told=told, by=self.actor)
        return self.answered(found)

    def answered(self, pool: WorkPool) -> HttpResponse:
        """It, as it is now."""
        return answer(_one(pool, limits.slots_of(Limit.Kind.POOL, [pool.id]).get(pool.id)))


class Queues(PoolView):
    """GET: the queues of a pool, in the order in which they are served. POST: a new one."""

    verbs = {"GET": "pools.view", "POST": "pools.edit"}

    @operation(Page[QueueShown])
    def get(self, request: Request, pool: str) -> HttpResponse:
        return answer(Page([_queue(row) for row in reads.queues(self.pool)], None))

    @operation(QueueShown, 201, refuses=[Conflict])
    def post(self, request: Request, pool: str, told: QueueInput) -> HttpResponse:
        queue = queues.create_queue(pool=self.pool, told=told, by=self.actor)
        return answer(_queue(_row(queue)), status=201)


class OneQueue(PoolView):
    """GET: one queue. PATCH: change what is told of it. DELETE: delete it, when nothing names it."""

    verbs = {**EDIT, "DELETE": "pools.edit"}

    @property
    def queue(self) -> WorkQueue:
        """The queue of the address."""
        return agents.find_queue(self.pool, self.kwargs["queue"])

    @operation(QueueShown)
    def get(self, request: Request, pool: str, queue: str) -> HttpResponse:
        return answer(_queue(_row(self.queue)))

    @operation(QueueShown, refuses=[Conflict])
    def patch(self, request: Request, pool: str, queue: str, told: QueueChange) -> HttpResponse:
        found = self.queue
        queues.change(found, told=told, by=self.actor)
        return answer(_queue(_row(found)))

    @operation(None, 204, refuses=[Conflict])
    def delete(self, request: Request, pool: str, queue: str) -> HttpResponse:
        queues.delete(self.queue, by=self.actor)
        return HttpResponse(status=204)


def _row(queue: WorkQueue) -> reads.QueueRow:
    found = next((row for row in reads.queues(queue.pool) if row.queue.id == queue.id), None)
    if found is None:
        raise NotFound("The queue was deleted in this moment.")
    return found


def _pool(pool: WorkPool, limit: int | None) -> PoolShown:
    return PoolShown(
        id=pool.id,
        name=pool.name,
        type=pool.type,
        description=pool.description,
        paused=pool.paused,
        concurrency_limit=limit,
    )


def _one(pool: WorkPool, limit: int | None) -> OnePoolShown:
    return OnePoolShown(**msgspec.structs.asdict(_pool(pool, limit)), base_job_template=pool.template)


def _queue(row: reads.QueueRow) -> QueueShown:
    queue = row.queue
    return QueueShown(
        id=queue.id,
        name=queue.name,
        pool=queue.pool.name,
        description=queue.description,
        priority=queue.priority,
        paused=queue.paused,
        concurrency_limit=row.limit,
        waiting=row.waiting,
        running=row.running,
        deployments=row.deployments,
    )
