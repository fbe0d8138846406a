"""2.3: Base job templates of work pools: what is kept of a change, and whom a refusal names."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrator.pool_bodies import PoolChange
from runs import queues
from runs.models import WorkPool
from tenants.errors import Conflict
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.restricted import restrict
from tests.runs.work import agent, claim, deploy, trigger

pytestmark = pytest.mark.django_db

TEMPLATE: dict[str, Any] = {
    "variables": {"type": "object", "properties": {"level": {"type": "string", "default": "info"}}},
    "job_configuration": {"env": {"LEVEL": "{{ level }}"}},
}
NEEDS = {**TEMPLATE, "variables": {**TEMPLATE["variables"], "required": ["team"]}}


def change(acme: Company, template: Any) -> None:
    with acme.scope():
        queues.change(WorkPool.objects.get(), told=PoolChange(base_job_template=template), by=acme.actor())


def test_2_3_the_trail_tells_what_a_template_was_and_is(acme: Company) -> None:
    change(acme, TEMPLATE)
    change(acme, TEMPLATE)
    with acme.scope():
        (entry,) = AuditEntry.objects.filter(action="pool.updated")
    assert entry.details == {"from": {"base_job_template": None}, "to": {"base_job_template": TEMPLATE}}


def test_2_3_a_refusal_names_twenty_deployments_and_counts_the_rest(acme: Company) -> None:
    for n in range(23):
        deploy(acme, name=f"d{n:02}")
    with pytest.raises(Conflict, match=r"new template: 23, 3 of them not named here\.") as refused:
        change(acme, NEEDS)
    assert list(refused.value.fields or {}) == [f"deployments.etl/d{n:02}" for n in range(20)]


def test_2_3_a_refusal_names_nothing_that_is_hidden(acme: Company, api: Api) -> None:
    deploy(acme, name="open")
    restrict(acme, deploy(acme, name="hidden"))
    answer = api.patch("/work-pools/default", {"base_job_template": NEEDS})
    told = answer.json()["error"]
    assert (answer.status_code, list(told["fields"])) == (409, ["deployments.etl/open"])
    assert "new template: 2, 1 of them not named here." in told["message"]


def test_2_3_a_change_costs_the_same_queries_however_many_deployments(
    acme: Company, django_assert_max_num_queries: Any
) -> None:
    for n in range(12):
        deploy(acme, name=f"d{n}")
    with django_assert_max_num_queries(16):
        change(acme, TEMPLATE)


def test_2_3_a_claim_costs_the_same_queries_with_a_template(acme: Company) -> None:
    deployments, counts, by = [deploy(acme, name=name) for name in ("a", "b")], [], agent(acme)
    for template in (None, TEMPLATE):
        change(acme, template)
        for deployment in deployments:
            trigger(acme, deployment)
        with CaptureQueriesContext(connection) as asked:
            assert len(claim(acme, by)) == 2
        counts.append(len(asked))
    assert counts[0] == counts[1]
