"""2.10: cancelling and retrying many runs by the filter of their list: what is hit, what is left out, nothing twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs import retries, tasks
from runs.bulk import working
from runs.models import BulkOperation, Deployment, FlowRun
from tenants.errors import NotFound
from tenants.models import ApiKey, AuditEntry, WorkspaceMembership
from tenants.restrictions.models import Level
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.restricted import here, restrict
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def failed(company: Company, deployment: Any, number: int = 1) -> list[UUID]:
    ids = trigger(company, deployment, number)
    for claimed in claim(company, agent(company), number):
        journal = start(claimed)
        journal.send(journal.state("FAILED", message="It broke.", run_count=1))
    return ids


def asked(api: Api, what: str, status: int = 201, **body: Any) -> dict[str, Any]:
    told = api.post(f"/flow-runs/{what}", {"filter": {}, "delay": 0, **body})
    assert told.status_code == status, told.content
    return told.json()


def work(company: Company, id: str) -> int:
    """Work until nothing is left; how many batches there were."""
    for batches in range(1, 50):
        with company.scope():
            if not working.work(UUID(id)):
                return batches
    raise AssertionError("it never ends")


def shown(api: Api, id: str) -> dict[str, Any]:
    return api.get(f"/bulk-operations/{id}").json()


def reasons(told: list[dict[str, Any]]) -> dict[str, int]:
    return {each["reason"]: each["runs"] for each in told}


def states(company: Company, ids: list[UUID]) -> list[str]:
    with company.scope():
        return [FlowRun.objects.get(id=id).state_type for id in ids]


def retries_of(company: Company, ids: list[UUID]) -> int:
    with company.scope():
        return FlowRun.objects.filter(retry_of__in=ids).count()


def test_what_fits_is_cancelled_in_batches_and_nothing_else(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.10: runs that wait are CANCELLED, those under way are asked to stop; runs made later are not hit."""
    monkeypatch.setitem(working.BATCHES, "cancel", 3)
    nightly, weekly = deploy(acme), deploy(acme, "weekly", flow="report")
    trigger(acme, nightly)
    [claimed] = claim(acme, agent(acme))
    start(claimed)
    waiting, others = trigger(acme, nightly, 6), trigger(acme, weekly)
    wanted = {"deployment": "etl/nightly", "state": ["scheduled", "RUNNING"]}
    seen = asked(api, "cancel", 200, filter=wanted, dry_run=True)
    assert (seen["count"], len(seen["first"]), seen["left_out"], seen["operation"]) == (7, 7, [], None)
    made = asked(api, "cancel", filter=wanted)["operation"]
    later = trigger(acme, nightly)
    assert (made["state"], made["count"]) == ("waiting", 7)
    assert work(acme, made["id"]) == 3
    told = shown(api, made["id"])
    assert (told["state"], told["done"], told["refused"]) == ("completed", 7, [])
    assert states(acme, [*waiting, claimed.run]) == ["CANCELLED"] * 6 + ["CANCELLING"]
    assert states(acme, [*others, *later]) == ["SCHEDULED", "SCHEDULED"]


def test_why_runs_are_left_out(acme: Company, api: Api) -> None:
    """2.10: by what they are, each for the first reason that holds."""
    over = failed(acme, deploy(acme))
    trigger(acme, deploy(acme))
    [claimed] = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.subflow(uuid7()))
    assert reasons(asked(api, "cancel", 200, dry_run=True)["left_out"]) == {"called": 1, "ended": 1}
    assert reasons(asked(api, "retry", 200, dry_run=True)["left_out"]) == {"called": 1, "not_ended": 1}
    assert api.post(f"/flow-runs/{over[0]}/retry", {}).status_code == 201
    assert api.post(f"/flow-runs/{claimed.run}/cancel").status_code == 200
    assert reasons(asked(api, "cancel", 200, dry_run=True)["left_out"]) == {"called": 1, "ended": 1, "cancelling": 1}
    assert reasons(asked(api, "retry", 200, dry_run=True)["left_out"]) == {"called": 1, "not_ended": 2, "retried": 1}
    with acme.scope():
        Deployment.objects.all().delete()
    assert reasons(asked(api, "retry", 200, dry_run=True)["left_out"])["by_hand"] == 1


def test_each_run_is_retried_once_whoever_asks(acme: Company, api: Api) -> None:
    """2.10: two operations that hit the same runs don't double them."""
    ids = failed(acme, deploy(acme), 3)
    one, two = (asked(api, "retry", filter={"state": "FAILED"})["operation"] for _ in range(2))
    assert (one["count"], two["count"]) == (3, 3)
    work(acme, one["id"])
    work(acme, two["id"])
    assert (shown(api, one["id"])["done"], shown(api, two["id"])["done"], retries_of(acme, ids)) == (3, 0, 3)
    with acme.scope():
        new = FlowRun.objects.filter(origin="retry")
        assert {(run.retry_of == run.replays_from, run.created_by) for run in new} == {(True, "developer")}


def test_the_whole_of_runs_may_be_retried(acme: Company, api: Api) -> None:
    ids = failed(acme, deploy(acme))
    work(acme, asked(api, "retry", from_failure=False)["operation"]["id"])
    with acme.scope():
        assert FlowRun.objects.get(retry_of=ids[0]).replays_from is None


def test_what_can_not_be_retried_is_counted_by_its_reason(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(acme, deploy(acme), 2)
    made = asked(api, "retry")["operation"]
    with acme.scope():
        FlowRun.objects.filter(id=FlowRun.objects.earliest("created_at").id).update(parameters={"\u2026": "cut"})
    former = retries.why_not
    monkeypatch.setattr(retries, "why_not", lambda run: "No." if "\u2026" in run.parameters else former(run))
    work(acme, made["id"])
    told = shown(api, made["id"])
    assert (told["done"], reasons(told["refused"])) == (1, {"conflict": 1})


def test_a_worker_that_is_killed_leaves_no_half_batch(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.10: what it had done of the batch is undone with it, and done once by the next one."""
    monkeypatch.setitem(working.BATCHES, "retry", 2)
    ids = failed(acme, deploy(acme), 5)
    id = asked(api, "retry")["operation"]["id"]
    with acme.scope():
        assert working.work(UUID(id))
    note = working._note

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(working, "_note", kill)
    with pytest.raises(Killed), transaction.atomic(), acme.scope():
        working.work(UUID(id))
    assert (retries_of(acme, ids), shown(api, id)["done"]) == (2, 2)
    monkeypatch.setattr(working, "_note", note)
    assert work(acme, id) == 2
    assert (retries_of(acme, ids), shown(api, id)["done"], shown(api, id)["state"]) == (5, 5, "completed")


def test_an_operation_is_handed_out_once_until_its_lease_is_over(acme: Company, api: Api) -> None:
    """2.10: one that waits to be undone is not, nor one that has ended."""
    trigger(acme, deploy(acme))
    asked(api, "cancel", delay=60)
    id = UUID(asked(api, "cancel")["operation"]["id"])

    def due() -> list[UUID]:
        with system_scope():
            return [each for _, each in working.take_due(limit=10)]

    assert (due(), due()) == ([id], [])
    with acme.scope():
        BulkOperation.objects.filter(id=id).update(leased_until=now() - timedelta(seconds=1))
    assert due() == [id]
    work(acme, str(id))
    assert due() == []


def test_the_tick_works_and_gives_up_what_always_fails(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [run] = trigger(acme, deploy(acme))
    id = asked(api, "cancel")["operation"]["id"]

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("bad luck")

    with monkeypatch.context() as patch:
        patch.setattr(working.trigger, "cancel_runs", broken)
        for _ in range(working.MAX_FAILURES - 1):
            tasks.work_on_bulk_operation(str(acme.organization.id), id)
    assert (shown(api, id)["state"], "bad luck" in caplog.text) == ("waiting", True)
    tasks.work_on_bulk_operation(str(acme.organization.id), id)
    assert (shown(api, id)["state"], states(acme, [run])) == ("completed", ["CANCELLED"])
    other = asked(api, "cancel")["operation"]["id"]
    monkeypatch.setattr(working, "work", broken)
    for _ in range(working.MAX_FAILURES):
        tasks.work_on_bulk_operation(str(acme.organization.id), other)
    assert shown(api, other)["state"] == "failed"


def test_it_is_undone_before_it_begins_and_stopped_later(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.10: what is done stays done; nothing more happens."""
    monkeypatch.setitem(working.BATCHES, "cancel", 1)
    ids = trigger(acme, deploy(acme), 3)
    undone, stopped = (asked(api, "cancel", delay=delay)["operation"]["id"] for delay in (60, 0))
    assert work(acme, undone) == 1  # Its time has not come.
    assert api.post(f"/bulk-operations/{undone}/cancel").json()["done"] == 0
    with acme.scope():
        assert working.work(UUID(stopped))
    assert api.post(f"/bulk-operations/{stopped}/cancel").json()["state"] == "cancelled"
    assert (work(acme, stopped), states(acme, ids)) == (1, ["CANCELLED", "SCHEDULED", "SCHEDULED"])
    assert api.post(f"/bulk-operations/{stopped}/cancel").status_code == 409
    with acme.scope():
        trail = AuditEntry.objects.filter(action__startswith="bulk_operation.").order_by("at", "id")
        assert [entry.action for entry in trail] == ["bulk_operation.created"] * 2 + ["bulk_operation.cancelled"] * 2


@pytest.mark.parametrize("gone", ["revoked_at", "expires_at"])
def test_nothing_is_done_for_a_key_that_is_gone(acme: Company, api: Api, gone: str) -> None:
    """2.10: rights are asked again with each batch."""
    ids = trigger(acme, deploy(acme))
    id = asked(api, "cancel")["operation"]["id"]
    with acme.scope():
        ApiKey.objects.update(**{gone: now()})
    work(acme, id)
    with acme.scope():
        operation = BulkOperation.objects.get(id=id)
        assert (operation.state, operation.done) == ("cancelled", 0)
        assert "may not do this any more" in operation.message
    assert states(acme, ids) == ["SCHEDULED"]


def test_nor_for_a_person_whose_role_is_less_now(acme: Company, bob: Any) -> None:
    from runs.bulk import operations

    ids = trigger(acme, deploy(acme))
    by = here(bob)
    with acme.scope():
        made, _ = operations.begin("cancel", {}, by=by, delay=0)
        other, _ = operations.begin("cancel", {"state": "RUNNING"}, by=by, delay=0)
    work(acme, str(other.id))
    with acme.scope():
        assert BulkOperation.objects.get(id=other.id).state == "completed"
        WorkspaceMembership.objects.filter(user=bob).update(role="viewer")
    work(acme, str(made.id))
    assert states(acme, ids) == ["SCHEDULED"]


def test_restricted_deployments_are_left_out_and_hidden_ones_not_told_of(acme: Company, api: Api) -> None:
    """2.10: also when they become so after it was asked for."""
    with acme.scope():
        key = ApiKey.objects.get(name="developer")
    names = ("open", "shown", "hidden", "late")
    deployments = {name: deploy(acme, name) for name in names}
    ids = {name: trigger(acme, deployment)[0] for name, deployment in deployments.items()}
    restrict(acme, deployments["shown"], ("key", key.id, Level.VIEW))
    restrict(acme, deployments["hidden"])
    told = asked(api, "cancel")
    assert (told["count"], reasons(told["left_out"])) == (2, {"restricted": 1})
    restrict(acme, deployments["late"], ("key", key.id, Level.VIEW))
    work(acme, told["operation"]["id"])
    assert states(acme, list(ids.values())) == ["CANCELLED", "SCHEDULED", "SCHEDULED", "SCHEDULED"]
    assert asked(api, "cancel", 404, filter={"deployment": "etl/hidden"})["error"]["code"] == "not_found"
    owner = Api(acme.key("owner", "owner"))
    named = asked(owner, "cancel", filter={"deployment": "etl/hidden"})["operation"]["id"]
    assert api.get(f"/bulk-operations/{named}").status_code == 404
    assert named not in [each["id"] for each in api.get("/bulk-operations").json()["items"]]
    assert named in [each["id"] for each in owner.get("/bulk-operations").json()["items"]]


def test_retries_ask_for_the_pool_too(acme: Company, api: Api) -> None:
    failed(acme, deploy(acme))
    restrict(acme, acme.pool)
    assert reasons(asked(api, "retry", 200, dry_run=True)["left_out"]) == {"restricted": 1}


def test_other_organizations_are_not_touched(acme: Company, globex: Company, api: Api, eve_api: Api) -> None:
    ours, theirs = trigger(acme, deploy(acme)), trigger(globex, deploy(globex))
    id = asked(eve_api, "cancel")["operation"]["id"]
    with acme.scope():
        assert not working.work(UUID(id))
    work(globex, id)
    assert (states(acme, ours), states(globex, theirs)) == (["SCHEDULED"], ["CANCELLED"])
    assert api.post(f"/bulk-operations/{id}/cancel").status_code == 404


def test_bounds(acme: Company, api: Api, settings: Any) -> None:
    """2.10: each is said beside its field."""
    settings.BULK_RUNS, settings.BULK_AT_ONCE = 2, 1
    trigger(acme, deploy(acme), 3)

    def wrong(**body: Any) -> dict[str, str]:
        return asked(api, "cancel", 400, **body)["error"]["fields"]

    assert "More than 2 runs" in wrong()["filter"]
    assert list(wrong(filter={"stat": "RUNNING"})) == ["filter.stat"]
    assert list(wrong(filter={"state": "DANCING"})) == ["filter.state"]
    assert list(wrong(filter={"limit": 5})) == ["filter"]
    assert list(wrong(filter={"state": "RUNNING"}, delay=-1)) == ["delay"]
    assert list(wrong(filter={"state": "RUNNING"}, delay=1e9)) == ["delay"]
    asked(api, "cancel", filter={"state": "RUNNING"})
    assert "under way already" in asked(api, "cancel", 409, filter={"state": "RUNNING"})["error"]["message"]
    asked(api, "cancel", 200, filter={"state": "RUNNING"}, dry_run=True)


def test_old_ones_are_forgotten(acme: Company, api: Api) -> None:
    ids = [asked(api, "cancel")["operation"]["id"] for _ in range(2)]
    work(acme, ids[0])
    with acme.scope():
        BulkOperation.objects.filter(id=ids[0]).update(ended_at=now() - working.KEPT - timedelta(days=1))
    tasks.forget_bulk_operations()
    assert [each["id"] for each in api.get("/bulk-operations").json()["items"]] == [ids[1]]


def test_who_has_no_part_any_more_is_nobody(acme: Company) -> None:
    from tenants.acting import actor_now

    with acme.scope():
        assert actor_now(acme.workspace.id, user_id=None, key_id=None) is None
        assert actor_now(acme.workspace.id, user_id=acme.owner.id, key_id=None) is not None
        type(acme.workspace).objects.filter(id=acme.workspace.id).update(deleted_at=now())
        assert actor_now(acme.workspace.id, user_id=acme.owner.id, key_id=None) is None


def test_a_deployment_that_is_not_there(acme: Company, api: Api) -> None:
    assert asked(api, "cancel", 404, filter={"deployment": "etl/nobody"})["error"]["code"] == NotFound.code


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_take_turns(acme: Company, settings: Any) -> None:
    """2.10: both would find the room that is left."""
    from runs.bulk import operations

    settings.BULK_AT_ONCE = 1

    def begin() -> Any:
        with acme.scope():
            return operations.begin("cancel", {"state": "RUNNING"}, by=here(acme.owner), delay=60)[0].kind

    answers = at_once(*[begin] * 4)
    assert sorted(str(getattr(answer, "code", answer)) for answer in answers) == ["cancel", *["conflict"] * 3]
