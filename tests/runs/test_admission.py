"""A limit stops what is new, and nothing that is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.exceptions import API_ERRORS, LimitReached
from orchestrator.ids import uuid7
from runs import admission, scheduling
from runs.models import EventRow, FlowRun, Schedule
from runs.tasks import roll_up_usage
from tenants.billing.accounts import edit_limit
from tenants.billing.subscriptions import change_plan
from tenants.permissions import Actor
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs import work

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing(settings: Any) -> None:
    """An installation that bills, with a small free plan."""
    settings.BILLING, settings.FREE_TASK_RUNS = True, 3


@pytest.fixture
def owner(acme: Company) -> Actor:
    return Actor("user", acme.organization.id, None, "", "alice", organization_role="owner")


def use(api: Api, number: int) -> Journal:
    """A local run with some task runs, still under way."""
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.task() for _ in range(number)))
    admission.forget()
    return journal


def triggered(api: Api, **more: Any) -> Any:
    return api.post("/flow-runs", {"deployment": "etl/nightly", **more})


@pytest.mark.parametrize("rolled_up", [False, True])
def test_the_free_plan_ends_with_402_and_a_larger_one_goes_on(
    acme: Company, api: Api, billing: None, owner: Actor, rolled_up: bool
) -> None:
    work.deploy(acme)
    assert triggered(api).status_code == 201
    use(api, 3)
    if rolled_up:
        roll_up_usage()
    refused = triggered(api)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "limit_reached"
    assert "/o/acme/billing" in refused.json()["error"]["message"]
    with acme.scope():
        change_plan(slug="pro", by=owner)
    admission.forget()
    assert triggered(api).status_code == 201


def test_a_run_that_was_promised_is_answered_at_the_limit(acme: Company, api: Api, billing: None) -> None:
    work.deploy(acme)
    first = triggered(api, idempotency_key="once").json()
    use(api, 3)
    assert triggered(api, idempotency_key="once").json()["id"] == first["id"]


def test_a_local_run_is_refused_by_a_word_of_its_own_and_one_under_way_goes_on(
    acme: Company, api: Api, billing: None
) -> None:
    under_way = use(api, 3)
    late = Journal(api)
    answer = late.send(late.begin(), late.task())
    assert answer["rejected"] == [{"stream": late.stream, "seq": 0, "code": "quota"}]
    assert answer["acked"] == {}
    part = uuid7()
    answer = under_way.send(under_way.subflow(part), under_way.task(run=part), under_way.task())
    assert answer["rejected"] == []
    with acme.scope():
        assert set(FlowRun.objects.values_list("id", flat=True)) == {under_way.root, part}


def test_a_schedule_says_why_it_made_no_run(acme: Company, api: Api, billing: None) -> None:
    deployment = work.deploy(acme, schedule={"interval": 3600.0})
    use(api, 3)

    def due() -> Schedule:
        with acme.scope():
            Schedule.objects.update(next_at=work.moment())
            [schedule] = Schedule.objects.filter(deployment=deployment)
            scheduling.create_due_runs(acme.organization.id, [schedule.id])
            return Schedule.objects.get(id=schedule.id)

    for _ in range(2):
        schedule = due()
        assert "used up" in schedule.refusal
        assert schedule.next_at > work.moment()
    with acme.scope():
        assert [row.event for row in EventRow.objects.filter(event="schedule.refused")] == ["schedule.refused"]
        assert not FlowRun.objects.filter(schedule=schedule).exists()


def test_without_billing_nobody_has_a_limit(acme: Company, api: Api) -> None:
    work.deploy(acme)
    use(api, 5)
    assert triggered(api).status_code == 201


def test_an_own_limit_may_stop_or_only_notify(acme: Company, api: Api, owner: Actor) -> None:
    work.deploy(acme)
    use(api, 2)
    for at_limit, status in (("stop", 402), ("notify", 201)):
        with acme.scope():
            edit_limit(limit=2, at_limit=at_limit, under_way="finish", by=owner)
        admission.forget()
        assert triggered(api).status_code == status


def test_an_own_limit_that_only_notifies_lifts_no_bound_of_the_plan(
    acme: Company, api: Api, billing: None, owner: Actor
) -> None:
    work.deploy(acme)
    with acme.scope():
        edit_limit(limit=1, at_limit="notify", under_way="finish", by=owner)
    use(api, 2)
    assert triggered(api).status_code == 201
    use(api, 1)
    assert triggered(api).status_code == 402


def test_a_trigger_asks_once_in_some_seconds(
    acme: Company, api: Api, billing: None, django_assert_num_queries: Callable[[int], Any]
) -> None:
    work.deploy(acme)
    triggered(api)
    with acme.scope(), django_assert_num_queries(0):
        admission.admit(acme.organization.id)


def test_the_client_knows_the_word() -> None:
    assert API_ERRORS["limit_reached"] is LimitReached
