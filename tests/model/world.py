"""Two companies that run flows, made once; every example begins there and is rolled back to there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cast import Company
from tests.model.model import Model
from tests.runs.work import agent, deploy, limit


@dataclass
class Works:
    """One company's deployments and agents."""

    company: Company
    deployments: list[Any]
    agents: list[Any]
    limits: dict[tuple[str, Any], int]
    priorities: dict[Any, int]

    def model(self) -> Model:
        """What is known of it before anything runs."""
        return Model(self.limits, self.priorities)


def equip(company: Company) -> Works:
    """Two pools, three queues, five deployments, three agents, and limits that are small enough to matter."""
    from runs.agents import create_pool
    from runs.models import Deployment, WorkQueue

    with company.scope():
        own = {"organization": company.organization, "workspace": company.workspace}
        create_pool(workspace=company.workspace, name="other")
        urgent = WorkQueue.objects.create(**own, pool=company.pool, name="urgent", priority=1)
    deploy(company, "plain")
    deploy(company, "small", retries=1, concurrency_limit=1)
    deploy(company, "tough", crash_retries=1, work_queue="urgent")
    deploy(company, "elsewhere", retries=2, retry_delay=30, work_pool="other")
    deploy(company, "keyed", key_slots=1)
    limit(company, "pool", company.pool, 3)
    limit(company, "queue", urgent, 2)
    with company.scope():
        made = list(Deployment.objects.select_related("queue").order_by("id"))
        limits = {("pool", company.pool.id): 3, ("queue", urgent.id): 2, ("deployment", made[1].id): 1}
        limits |= {("key", made[4].id): 1}
        priorities = dict(WorkQueue.objects.values_list("id", "priority"))
    agents = [agent(company), agent(company, "choosy", queues=["default"]), agent(company, "far", pool="other")]
    return Works(company, made, agents, limits, priorities)
