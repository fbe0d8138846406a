"""2.10: runs that have ended are deleted: nothing of them stays but what was used, and nothing brings them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from orchestrator.ids import uuid7
from runs import deleting, emptying, tasks
from runs.ingest.streams import SEALED_AFTER
from runs.models import DeletedRun, EventRow, FlowRun, LogLine, StoredResult, TaskRun
from runs.usage import sealing, storage
from runs.usage.recount import Bucket, recount
from tenants.billing.models import TagDay, UsageDay
from tenants.leaving.tables import tables
from tenants.models import ApiKey, AuditEntry
from tenants.restrictions.models import Level
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_artifacts import artifact
from tests.contract.test_assets import materialized
from tests.contract.test_cache import cached
from tests.contract.test_events import event
from tests.restricted import restrict
from tests.runs.work import agent, claim, deploy, moment, start, state, trigger
from tests.sql import ask

pytestmark = pytest.mark.django_db

STAYS = {"deleted_run", "usage_delta", "usage_day", "audit_entry", "cache_entry"}


@pytest.fixture
def ended(acme: Company, api: Api) -> Journal:
    """A run that has told of everything that there is to tell, with a subflow, and has failed."""
    api.put("/automations/told", {"trigger": {"events": ["flow-run.failed"]}, "action": {"to": ["alice@acme.example"]}})
    trigger(acme, deploy(acme), tags=["gpu"])
    [claimed] = claim(acme, agent(acme))
    journal, child = start(claimed), uuid7()
    stored = f"/results/runs/{journal.root}/value"
    assert journal.api.put(stored, b"computed").status_code == 201
    journal.send(journal.subflow(child), journal.task(run=child), journal.task(), journal.log("hello"))
    journal.send(artifact(journal, key="report"), event(journal), materialized(journal, "s3://lake/a"))
    journal.send(cached(journal, "k"))
    journal.send(journal.raw(b'{"kind":"dance","seq":%d}' % (journal.seq + 1)))
    assert api.post(f"/flow-runs/{journal.root}/messages", {"key": "k", "value": 1}).status_code == 201
    journal.send(journal.state("COMPLETED", run=child, run_count=1), journal.state("FAILED", run_count=1))
    journal.api = api
    return journal


def tables_that_name(company: Company, *ids: UUID) -> set[str]:
    """The tables in which a row holds one of the ids, wherever in it."""
    asked = "SELECT 1 FROM {} every WHERE every::text LIKE ANY(%s) LIMIT 1"
    with company.scope():
        return {name for name in tables() if ask(asked.format(name), [f"%{id}%" for id in ids])}


def family(company: Company, root: UUID) -> list[UUID]:
    with company.scope():
        return list(FlowRun.objects.filter(root_id=root).values_list("id", flat=True))


def empty(company: Company) -> int:
    """Remove what deleted runs have left; in how many batches."""
    for batches in range(100):
        with company.scope():
            if emptying.empty(company.organization.id) is None:
                return batches
    raise AssertionError("it never ends")


def delete(api: Api, run: UUID, status: int = 204) -> Any:
    answer = api.delete(f"/flow-runs/{run}")
    assert answer.status_code == status, answer.content
    return json.loads(answer.content)["error"]["message"] if answer.content else None


def test_nothing_of_a_deleted_run_stays(acme: Company, api: Api, ended: Journal) -> None:
    """2.10: its row is gone at once, what it told soon after; an entry of the trail says who, what and its state."""
    ids = family(acme, ended.root)
    before = tables_that_name(acme, *ids)
    assert before >= {*emptying.TALL, *emptying.OF_RUN, *emptying.OF_ROOT, "attempt", "run_message"} - {"slot"}
    delete(api, ended.root)
    assert [api.get(f"/flow-runs/{id}{part}").status_code for id in ids for part in ("", "/logs", "/task-runs")] == (
        [404] * 6
    )
    assert api.get("/flow-runs").json()["items"] == []
    assert empty(acme) == 1
    assert tables_that_name(acme, *ids) <= STAYS
    with acme.scope():
        assert DeletedRun.objects.get().run_ids == []
        entry = AuditEntry.objects.get(action="run.deleted")
        [told] = entry.details["runs"]
        assert (entry.actor, told["run"], told["name"], told["state"]) == (
            "developer", str(ended.root), entry.object_name, "Failed",
        )  # fmt: skip
    delete(api, ended.root, 404)


def test_others_keep_what_is_theirs(acme: Company, globex: Company, api: Api, eve_api: Api, ended: Journal) -> None:
    """2.10: another run of the same partition, and another organization's with the same ids."""
    other, theirs = Journal(api), Journal(eve_api)
    with acme.scope():
        task = TaskRun.objects.filter(run_id=ended.root).values_list("id", flat=True)[0]
    theirs.send(theirs.begin(), theirs.task(id=task), theirs.log(), theirs.state("COMPLETED"))
    other.send(other.begin(), other.task(), other.log(), event(other, "acme.paid", "o"), other.state("COMPLETED"))
    theirs_now = tables_that_name(globex, theirs.root), tables_that_name(acme, other.root)
    assert eve_api.delete(f"/flow-runs/{ended.root}").status_code == 404
    delete(api, ended.root)
    empty(acme)
    assert (tables_that_name(globex, theirs.root), tables_that_name(acme, other.root)) == theirs_now
    with acme.scope():
        assert emptying.empty(globex.organization.id) is None
    with globex.scope():
        DeletedRun.objects.create(
            id=ended.root, organization=globex.organization, workspace=globex.workspace, retention=30,
            bucket=moment().date(), run_ids=[other.root], keep_until=moment().date(),
        )  # fmt: skip
    assert empty(globex) == 1
    assert tables_that_name(acme, other.root) == theirs_now[1]


def test_what_can_not_be_deleted(acme: Company, api: Api) -> None:
    trigger(acme, deploy(acme))
    [claimed] = claim(acme, agent(acme))
    journal, child = start(claimed), uuid7()
    journal.send(journal.subflow(child))
    assert "has not ended (Running). Cancel it first" in delete(api, claimed.run, 409)
    journal.send(journal.state("COMPLETED", run=child, run_count=1), journal.state("FAILED", run_count=1))
    assert "called by another run" in delete(api, child, 409)
    new = api.post(f"/flow-runs/{claimed.run}/retry", {}).json()
    assert f"The run {new['name']} goes on and reuses" in delete(api, claimed.run, 409)
    assert api.post(f"/flow-runs/{new['id']}/cancel").status_code == 200
    delete(api, claimed.run)
    told = api.get(f"/flow-runs/{new['id']}").json()
    assert (told["retry_of"], told["replays_from"]) == (str(claimed.run), str(claimed.run))
    again = api.post(f"/flow-runs/{new['id']}/retry", {})
    assert (again.status_code, again.json()["replays_from"]) == (201, new["id"])


def test_who_may(acme: Company, api: Api, ended: Journal) -> None:
    """2.10: developers, and of a restricted deployment those who may edit it; a hidden run is not there."""
    for role, status in (("viewer", 403), ("runner", 403), ("agent", 403)):
        assert Api(acme.key(role, role)).delete(f"/flow-runs/{ended.root}").status_code == status
    with acme.scope():
        deployment = FlowRun.objects.get(id=ended.root).deployment
        key = ApiKey.objects.get(name="developer")
    restrict(acme, deployment, ("key", key.id, Level.USE))
    assert "restricted" in delete(api, ended.root, 403)
    restrict(acme, deployment)
    delete(api, ended.root, 404)
    delete(Api(acme.key("owner", "owner")), ended.root)


def test_a_late_journal_brings_nothing_back(acme: Company, api: Api) -> None:
    """2.10: not even the first batch of a run that was called by hand; it is acked, so that nobody keeps it."""
    journal = Journal(api)
    first = [journal.begin(), journal.log("lost answer"), journal.state("COMPLETED")]
    journal.send(*first)
    delete(api, journal.root)
    late = [journal.log("late")]
    for entries, acked in ((first, 3), (late, 4)):
        told = journal.send(*entries, from_seq=entries[0].seq)
        assert told["acked"] == {journal.stream: acked}
        assert told["rejected"] == [{"stream": journal.stream, "seq": 0, "code": "deleted"}]
        assert told["signals"] == [{"run": str(journal.root), "signal": "over"}]
    stranger = Journal(api, root=journal.root)
    assert stranger.send(stranger.begin())["rejected"][0]["code"] == "deleted"
    empty(acme)
    assert tables_that_name(acme, journal.root) <= STAYS
    assert deleting.LATE > SEALED_AFTER


def test_nor_does_one_that_was_under_way(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.10: a web process stood still between its look and its insert, while the run was told of again, and deleted."""
    from runs.ingest import run_states

    journal = Journal(api)
    first = [journal.begin(), journal.state("COMPLETED")]
    insert: Callable[..., Any] = run_states.create_local_roots

    def stand_still(*args: Any) -> Any:
        monkeypatch.setattr(run_states, "create_local_roots", insert)
        journal.send(*first)
        delete(api, journal.root)
        return insert(*args)

    monkeypatch.setattr(run_states, "create_local_roots", stand_still)
    assert journal.send(*first)["rejected"][0]["code"] == "deleted"
    assert family(acme, journal.root) == []


def test_a_deletion_changes_no_bill(acme: Company, api: Api, ended: Journal) -> None:
    """2.10: days and tags are the same whether it was rolled up by then; the recount that seals them agrees."""
    twin = Journal(api)
    twin.send(twin.begin(tags=["gpu"]), twin.task(), twin.log("twelve bytes"), twin.state("COMPLETED", duration=5))
    place = Bucket(30, moment().date())
    with acme.scope():
        counted = recount(place)
        deployment = FlowRun.objects.get(id=ended.root).deployment_id
    delete(api, ended.root)
    tasks.roll_up_usage()
    with acme.scope():
        of_deployment = UsageDay.objects.get(deployment_id=deployment)
        assert (of_deployment.flow_runs, of_deployment.task_runs, of_deployment.log_bytes) == (2, 3, 5)
        assert TagDay.objects.get(tag="gpu").task_runs == 4
        kept = storage.measure()[acme.workspace.id, "logs"]
        assert sealing.seal(acme.organization.id, place) is None  # Some of it is being removed.
    empty(acme)
    delete(api, twin.root)
    empty(acme)
    with acme.scope():
        assert recount(place) == counted
        found = sealing.seal(acme.organization.id, place)
        assert found is not None
        assert (found.matches, found.tags_match) == (True, True)
        assert (kept, storage.measure()[acme.workspace.id, "logs"]) == (17, 0)


def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.10: each batch is bounded, and is there whole or not at all; bytes are counted once."""
    monkeypatch.setattr(emptying, "ROWS", 3)
    monkeypatch.setattr(emptying, "RUNS", 2)
    journal, children = Journal(api), [uuid7() for _ in range(4)]
    journal.send(journal.begin(), *(journal.subflow(id) for id in children), *(journal.log("12345") for _ in range(7)))
    journal.send(*(journal.task(run=id) for id in children * 2))
    journal.send(*(journal.state("COMPLETED", run=id, run_count=1) for id in children), journal.state("COMPLETED"))
    delete(api, journal.root)

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(emptying, "_count_bytes", kill)
        for _ in range(20):
            try:
                with transaction.atomic(), acme.scope():
                    emptying.empty(acme.organization.id)
            except Killed:
                break
    with acme.scope():
        assert LogLine.objects.count() == 7
    assert empty(acme) > 3
    with acme.scope():
        gone = DeletedRun.objects.get()
        assert (gone.log_bytes, gone.task_runs, gone.run_ids, gone.cleared_at is None) == (35, 8, [], False)
        assert (TaskRun.objects.count(), LogLine.objects.count(), EventRow.objects.count()) == (0, 0, 0)


def test_each_statement_names_its_partition(acme: Company, api: Api, ended: Journal) -> None:
    """2.10: or a batch would open all of them. Many small runs go together."""
    delete(api, ended.root)
    for _ in range(5):
        other = Journal(api)
        other.send(other.begin(), other.log(), other.state("COMPLETED"))
        delete(api, other.root)
    with acme.scope(), CaptureQueriesContext(connection) as seen:
        emptying.empty(acme.organization.id)
    told = [each["sql"] for each in seen if each["sql"].startswith("WITH chosen")]
    assert len(told) == len(emptying.TALL)
    assert all(sql.count("t.retention = 30 AND t.bucket = '") == 2 for sql in told)
    assert len(seen) <= 20
    assert empty(acme) == 0


def test_arguments_of_a_call_go_with_its_last_run(acme: Company, api: Api) -> None:
    """2.10: those that the server keeps; a retry of the call still needs them."""
    key = f"calls/{acme.workspace.id}/abc.0"
    assert api.put(f"/results/{key}", b"argument").status_code == 201
    told = {"stored": {"a": {"url": "server:", "key": key}}, "arguments": "abc"}
    ids = trigger(acme, deploy(acme), 2, call=told)
    for claimed in claim(acme, agent(acme)):
        journal = start(claimed)
        journal.send(journal.state("COMPLETED"))
    for id, kept in zip(ids, (1, 0), strict=True):
        delete(api, id)
        with acme.scope():
            assert StoredResult.objects.filter(key=key).count() == kept


def test_the_ticks_empty_and_forget(acme: Company, globex: Company, api: Api, ended: Journal) -> None:
    """2.10: a deletion is known as long as its rows would have been, and until its usage is proved."""
    delete(api, ended.root)
    tasks.roll_up_usage()
    with system_scope():
        assert emptying.waiting(limit=10) == [acme.organization.id]
    tasks.empty_deleted_runs(str(acme.organization.id))
    with system_scope():
        assert emptying.waiting(limit=10) == []
    tasks.forget_deleted_runs()
    with acme.scope():
        gone = DeletedRun.objects.get()
        assert gone.keep_until > moment().date() + timedelta(days=7)
        DeletedRun.objects.update(keep_until=moment().date())
    tasks.forget_deleted_runs()
    with acme.scope():
        assert DeletedRun.objects.count() == 1
        assert sealing.seal(acme.organization.id, Bucket(gone.retention, gone.bucket)).matches  # type: ignore[union-attr]
    tasks.forget_deleted_runs()
    with acme.scope():
        assert DeletedRun.objects.count() == 0


def test_who_answers_a_run_that_is_being_deleted_is_told(acme: Company, api: Api, ended: Journal) -> None:
    """2.10: between finding a run and locking it, it may go."""
    from runs.inputs import messages, pausing
    from tenants.errors import NotFound

    with acme.scope():
        run = FlowRun.objects.select_related("deployment").get(id=ended.root)
    delete(api, ended.root)
    with acme.scope():
        with pytest.raises(NotFound):
            pausing.pause(run, by=acme.actor())
        with pytest.raises(NotFound):
            messages.send(run, key="k", value=1, by=acme.actor())


def test_its_state_is_asked_under_its_lock(acme: Company, api: Api, ended: Journal) -> None:
    with acme.scope():
        assert deleting.delete_runs([ended.root, ended.root], by=acme.actor()) == {}
        assert deleting.delete_runs([ended.root], by=acme.actor()) == {ended.root: deleting.GONE}
        assert DeletedRun.objects.count() == 1
    [other] = trigger(acme, deploy(acme))
    delete(api, other, 409)
    assert state(acme, other)[0] == "SCHEDULED"


def test_the_page_of_a_run_deletes_it(acme: Company, alice: Any, vera: Any, browse: Any, ended: Journal) -> None:
    """2.10: after a question; a page that somebody else has open gets a 404 for its part, and stays as it is."""
    browser, path = browse(alice), f"{acme.path}runs/{ended.root}"
    assert 'data-open="delete-run"' in browser.get(path).content.decode()
    assert 'data-open="delete-run"' not in browse(vera).get(path).content.decode()
    told = browser.post(f"{path}/delete", follow=True)
    assert told.redirect_chain == [(f"{acme.path}runs", 302)]
    assert "was deleted." in told.content.decode()
    for part in ("", "/_run", "/tasks", "/timeline", "/log"):
        assert browser.get(f"{path}{part}").status_code == 404, part
    [alive] = trigger(acme, deploy(acme))
    told = browser.post(f"{acme.path}runs/{alive}/delete", follow=True)
    assert "Cancel it first" in told.content.decode()


def test_pages_of_what_points_at_a_deleted_run(acme: Company, api: Api, bob: Any, browse: Any, ended: Journal) -> None:
    """2.10: its retry, a run that it triggered, the cache, the audit trail: there is no link to nothing."""
    [called] = trigger(acme, deploy(acme), parent_id=ended.root)
    retry = api.post(f"/flow-runs/{ended.root}/retry", {}).json()["id"]
    assert api.post(f"/flow-runs/{retry}/cancel").status_code == 200
    delete(api, ended.root)
    empty(acme)
    browser = browse(bob)
    own = [f"runs/{id}" for id in (retry, called, f"{retry}/retry")]
    for path in (*own, "cache", "events", "assets", "runs", "waiting"):
        answer = browser.get(f"{acme.path}{path}")
        assert answer.status_code == 200, path
        assert f"/runs/{ended.root}" not in answer.content.decode(), path
    assert api.get(f"/flow-runs/{retry}/retry").status_code == 200
