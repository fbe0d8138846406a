"""2.4: The pages of pools and work queues, and what the operations behind them promise beside the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrator.pool_bodies import QueueChange, QueueInput
from runs import queues
from runs.models import FlowRun, Lease, Limit, WorkPool, WorkQueue
from tenants.errors import Conflict
from tenants.models import AuditEntry
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, run_row, trigger

pytestmark = pytest.mark.django_db


def made(company: Company, name: str = "gpu", **more: Any) -> WorkQueue:
    with company.scope():
        return queues.create_queue(pool=company.pool, told=QueueInput(name, **more), by=company.actor())


def actions(company: Company) -> list[str]:
    with company.scope():
        return list(AuditEntry.objects.order_by("at", "id").values_list("action", flat=True))


def test_a_queue_is_made_changed_and_deleted_on_pages(acme: Company, alice: Any, browse: Any) -> None:
    client, pool = browse(alice), f"{acme.path}pools/{acme.pool.id}"
    response = client.post(f"{pool}/queues/new", {"name": "gpu", "priority": "5", "concurrency_limit": "2"})
    assert response.headers["Location"] == pool
    with acme.scope():
        queue = WorkQueue.objects.get(name="gpu")
        assert Limit.objects.get(kind="queue", target_id=queue.id).slots == 2
    shown = client.get(f"{acme.path}queues/{queue.id}").content.decode()
    assert 'value="5"' in shown
    assert 'value="2"' in shown
    client.post(f"{acme.path}queues/{queue.id}", {"priority": "7", "concurrency_limit": "", "description": "Cards"})
    with acme.scope():
        queue.refresh_from_db()
        assert (queue.name, queue.priority, queue.description) == ("gpu", 7, "Cards")
        assert not Limit.objects.exists()
    assert "Cards" in client.get(pool).content.decode()
    client.post(f"{acme.path}queues/{queue.id}/remove")
    with acme.scope():
        assert not WorkQueue.objects.filter(name="gpu").exists()
    assert actions(acme)[-3:] == ["queue.created", "queue.updated", "queue.deleted"]


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": "", "priority": "1"}, "name"),
        ({"name": "default", "priority": "1"}, "name"),
        ({"name": "a", "priority": "x"}, "priority"),
        ({"name": "a", "concurrency_limit": "-1"}, "concurrency_limit"),
        ({"name": "a", "concurrency_limit": "0"}, "concurrency_limit"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    acme: Company, alice: Any, browse: Any, typed: dict[str, str], field: str
) -> None:
    response = browse(alice).post(f"{acme.path}pools/{acme.pool.id}/queues/new", typed)
    assert response.status_code == 400
    assert f'id="{field}-error"' in response.content.decode()
    with acme.scope():
        assert WorkQueue.objects.count() == 1


def test_a_pool_is_made_and_changed_on_pages(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    response = client.post(f"{acme.path}pools/new", {"name": "cards", "concurrency_limit": "4"})
    with acme.scope():
        pool = WorkPool.objects.get(name="cards")
    assert response.headers["Location"] == f"{acme.path}pools/{pool.id}"
    client.post(f"{acme.path}pools/{pool.id}/edit", {"concurrency_limit": "9", "description": "Ours"})
    client.post(f"{acme.path}pools/{pool.id}/pause")
    with acme.scope():
        pool.refresh_from_db()
        assert (pool.paused, queues.settings_of(pool)["concurrency_limit"]) == (True, 9)
    shown = client.get(f"{acme.path}pools/{pool.id}").content.decode()
    assert "Ours" in shown
    assert "Resume" in shown
    assert client.post(f"{acme.path}pools/new", {"name": "cards"}).status_code == 400
    assert actions(acme)[-3:] == ["pool.created", "pool.updated", "pool.paused"]


def test_who_may_not_edit_sees_no_form(acme: Company, vera: Any, browse: Any) -> None:
    shown = browse(vera).get(f"{acme.path}pools/{acme.pool.id}")
    assert shown.status_code == 200
    for word in ("pause", "queues/new", "edit"):
        assert f"{acme.pool.id}/{word}" not in shown.content.decode()


def test_a_refused_deletion_says_who_uses_the_queue(acme: Company, alice: Any, browse: Any) -> None:
    queue = made(acme)
    deploy(acme, work_queue="gpu")
    response = browse(alice).post(f"{acme.path}queues/{queue.id}/remove", follow=True)
    assert "is used by deployment etl/nightly" in response.content.decode()


def test_the_run_form_offers_the_queues_of_the_pool(acme: Company, alice: Any, browse: Any) -> None:
    """2.7: what is chosen there is where the run waits."""
    queue, deployment = made(acme), deploy(acme)
    client, path = browse(alice), f"{acme.path}deployments/{deployment.id}/run"
    assert '<option value="gpu">gpu</option>' in client.get(path).content.decode()
    client.post(path, {"work_queue": "gpu"})
    with acme.scope():
        assert FlowRun.objects.get().queue_id == queue.id


def test_a_run_under_way_that_names_a_queue_keeps_it(acme: Company) -> None:
    queue, deployment = made(acme), deploy(acme)
    (id,) = trigger(acme, deployment, work_queue="gpu")
    assert len(claim(acme, agent(acme))) == 1
    with acme.scope(), pytest.raises(Conflict, match=r"is used by run "):
        queues.delete(queue, by=acme.actor())
    assert run_row(acme, id).queue_id == queue.id


def test_a_limit_that_goes_leaves_its_runs_their_leases(acme: Company) -> None:
    queue = made(acme, concurrency_limit=1)
    trigger(acme, deploy(acme, work_queue="gpu"))
    assert len(claim(acme, agent(acme))) == 1
    with acme.scope():
        queues.change(queue, told=QueueChange(concurrency_limit=None), by=acme.actor())
        assert list(Lease.objects.values_list("limit_id", flat=True)) == [None]


def test_what_changes_nothing_is_not_told(acme: Company) -> None:
    queue = made(acme, priority=5)
    with acme.scope():
        queues.change(queue, told=QueueChange(priority=5, description=""), by=acme.actor())
        queues.set_paused(queue, paused=False, by=acme.actor())
    assert "queue.updated" not in actions(acme)
    assert "queue.resumed" not in actions(acme)


def test_the_trail_tells_what_was_and_what_is(acme: Company) -> None:
    queue = made(acme, priority=5, concurrency_limit=3)
    with acme.scope():
        queues.change(queue, told=QueueChange(priority=6, concurrency_limit=None), by=acme.actor())
        told = AuditEntry.objects.get(action="queue.updated").details
    was, changed = {"priority": 5, "concurrency_limit": 3}, {"priority": 6, "concurrency_limit": None}
    assert told == {"from": was, "to": changed}


def test_a_pools_page_costs_the_same_for_one_queue_and_for_many(acme: Company, alice: Any, browse: Any) -> None:
    client, path = browse(alice), f"{acme.path}pools/{acme.pool.id}/_now"
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        client.get(path)
    for number in range(30):
        made(acme, f"queue-{number}", concurrency_limit=number + 1)
    with CaptureQueriesContext(connection) as many:
        assert b"queue-29" in client.get(path).content
    assert len(many) == len(few)
