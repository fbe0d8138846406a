"""4.2: what was deleted is gone when its grace is over, all of it, and nobody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs import departures
from runs.models import Bundle, Deployment, Flow, UsageDelta, WorkQueue
from tenants import deletion, organizations, tasks
from tenants.access import organization_actor
from tenants.billing.models import Invoice, UsageDay
from tenants.billing.months import Month
from tenants.errors import NotFound
from tenants.leaving import purge
from tenants.leaving.models import Departure
from tenants.leaving.purge import Gone
from tenants.leaving.tables import of_workspace, tables
from tenants.models import AuditEntry, Organization, Workspace
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.runs.work import deploy
from tests.sql import ask
from tests.tenants.rows import fill, held
from tests.tenants.test_switches import on_plan

pytestmark = pytest.mark.django_db
LONG_AGO = deletion.GRACE + timedelta(minutes=1)
# Of an organization stay its bare row, its invoices, and what is told of its end.
LEFT = {"organization", "invoice", "departure"}
# What belongs to an organization and no workspace of it.
OF_ORGANIZATIONS = {
    "audit_entry", "billing_account", "bundle", "credit", "custom_role", "departure", "export", "export_chunk",
    "invitation", "invoice", "membership", "organization_key", "outbox_message", "sso_domain", "sso_identity",
    "sso_provider", "subscription", "team", "team_member", "threshold_told", "usage_seal", "usage_day", "tag_day",
    "meter_day", "usage_delta",
}  # fmt: skip
WITHOUT_TIES = {"journal_stream", "task_run", "log_line"}  # Removed with their runs.


@pytest.fixture
def full(acme: Company, things: dict) -> Company:
    """Acme, with a row in every table."""
    fill(acme)
    with acme.scope():
        Departure.objects.update(workspace_id=uuid7())  # Of a workspace that went before.
    return acme


def end(company: Company, *, ago: timedelta = LONG_AGO) -> Gone:
    with company.scope():
        by = organization_actor(company.owner.id, company.organization.slug)
        deletion.delete_organization(organization=company.organization, typed=company.organization.slug, by=by)
        Organization.objects.update(deleted_at=now() - ago)
    return Gone(company.organization.id)


def end_workspace(company: Company, *, ago: timedelta = LONG_AGO) -> Gone:
    with company.scope():
        Workspace.objects.filter(id=company.workspace.id).update(deleted_at=now() - ago)
    return Gone(company.organization.id, company.workspace.id)


def until_gone(gone: Gone, seconds: float = 60.0, most: int = 2_000) -> int:
    """Go on until nothing is left; how many times that took."""
    for times in range(1, most):
        if purge.go_on(gone, seconds=seconds):
            return times
    raise AssertionError("It does not come to an end.")


def departure(gone: Gone) -> Departure:
    with system_scope():
        return Departure.objects.get(organization_id=gone.organization_id, workspace_id=gone.workspace_id)


# ── an organization ──────────────────────────────────────────────────────────────────────────────


def test_no_table_holds_a_row_of_it_and_its_neighbour_lost_nothing(full: Company, globex: Company) -> None:
    """4.2: by a walk along the catalogue."""
    fill(globex)
    before, neighbours = held(full), held(globex)
    assert set(before) == {"organization", *tables()}

    until_gone(end(full))

    assert set(held(full)) == LEFT
    assert held(globex) == neighbours


def test_what_remains_is_an_id_a_time_and_numbers(full: Company, alice: Any) -> None:
    with full.scope():
        invoice = Invoice.objects.get()
    gone = end(full)
    with full.scope():
        asked_at = Organization.objects.get().deleted_at
    tasks.seal_audit()
    with full.scope():
        last = AuditEntry.objects.latest("number")

    until_gone(gone)

    told = departure(gone)
    assert (told.asked_at, told.asked_by) == (asked_at, alice.id)
    assert (told.audit_number, bytes(told.audit_hash)) == (last.number, bytes(last.hash))
    assert told.finished_at
    assert (told.counts["flow_run"], told.counts["task_run"]) == (3, 3)
    with full.scope():
        row = Organization.objects.get()
        assert (row.name, row.slug) == ("Deleted organization", f"deleted-{row.id.hex}")
        assert row.purged_at
        assert Invoice.objects.get().customer == invoice.customer


def test_its_address_is_free_again(acme: Company, globex: Company) -> None:
    until_gone(end(acme))
    assert organizations.found(name="Acme", owner=globex.owner)[0].slug == "acme"


def test_a_purge_that_was_killed_goes_on(full: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """4.2: cut off after each batch, and once within one, it removes everything and counts it once."""
    monkeypatch.setattr(purge, "ROWS", 1)
    gone = end(full)
    whole = _rows(full)
    remove = purge._remove

    def die(*args: Any) -> Any:
        remove(*args)
        raise MemoryError

    monkeypatch.setattr(purge, "_remove", die)
    with pytest.raises(MemoryError):
        until_gone(gone)
    monkeypatch.setattr(purge, "_remove", remove)

    assert until_gone(gone, seconds=-1.0) > 20
    assert set(held(full)) == LEFT
    assert sum(departure(gone).counts.values()) <= whole


def _rows(company: Company) -> int:
    with company.scope():
        return sum(
            ask(f"SELECT count(*) FROM {table} WHERE organization_id = %s", company.organization.id)[0][0]
            for table in tables()
        )


def test_nothing_goes_within_the_grace(full: Company) -> None:
    before = held(full)
    gone = end(full, ago=deletion.GRACE - timedelta(minutes=1))
    with system_scope():
        assert purge.due(now()) == []
    assert not purge.go_on(gone, seconds=1.0)
    assert set(held(full)) == set(before)


def test_nobody_restores_what_goes(acme: Company) -> None:
    end(acme)
    by = organizations.owner_actor(acme.organization, acme.owner)
    with pytest.raises(NotFound):
        deletion.restore_organization(id=acme.organization.id, by=by)
    end_workspace(acme)
    with acme.scope(), pytest.raises(NotFound):
        deletion.restore_workspace(id=acme.workspace.id, by=by)


def test_nobody_restores_what_a_worker_has_begun_to_remove(acme: Company) -> None:
    """Its clock may be ahead of that of the machine that is asked."""
    by = organizations.owner_actor(acme.organization, acme.owner)
    gone, place = end(acme), end_workspace(acme)
    assert None not in {purge.begin(gone), purge.begin(place)}
    with acme.scope():
        still = now() - deletion.GRACE + timedelta(seconds=5)
        Organization.objects.update(deleted_at=still)
        Workspace.objects.update(deleted_at=still)
    with pytest.raises(NotFound):
        deletion.restore_organization(id=acme.organization.id, by=by)
    with acme.scope(), pytest.raises(NotFound):
        deletion.restore_workspace(id=acme.workspace.id, by=by)


def test_the_tick_finds_who_goes_and_a_worker_removes_it(
    acme: Company, globex: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list] = []
    monkeypatch.setattr(tasks.purge_departed, "apply_async", lambda ids, **_: asked.append(ids))
    gone, place = end(acme), end_workspace(globex)
    tasks.find_departures()
    assert asked == [[str(gone.organization_id), None], [str(place.organization_id), str(place.workspace_id)]]
    for ids in asked:
        tasks.purge_departed(*ids)
    tasks.find_departures()
    assert len(asked) == 2


def test_what_is_owed_is_billed_before(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    on_plan(acme, "pro")
    gone = end(acme)
    with acme.scope():
        month = Month.of(Organization.objects.get().deleted_at)
    assert purge.begin(gone) is None
    with acme.scope():
        Invoice.objects.create(
            organization=acme.organization, number=1, month=month.first, plan="pro", customer={}, lines=[], usage={},
            currency="USD", subtotal=0, credit=0, total=0, issued_at=now() - timedelta(hours=1),
        )  # fmt: skip
    assert purge.begin(gone) is None  # Its mail is on the way.
    with acme.scope():
        Invoice.objects.update(paid_at=now())
    monkeypatch.setattr(purge, "MAIL_LEAVES", timedelta(minutes=30))
    until_gone(gone)


def test_keys_in_redis_go(acme: Company, globex: Company, valkey: Any) -> None:
    """4.2: those that name a pool, a workspace, an agent of it; its neighbour's stay."""
    for company in (acme, globex):
        pool = company.pool.id
        valkey.set(f"wake:{pool}", 7)
        valkey.set(f"over-time:{company.workspace.id}:60:0", "{}")
        valkey.zadd("due", {f"{pool}|1.000": 1})
        valkey.hset("due:numbers", f"{pool}|1.000", 1)
        valkey.zadd("seen", {f"{company.organization.id}|{uuid7()}": 1})

    until_gone(end(acme))

    assert valkey.keys("wake:*") == [f"wake:{globex.pool.id}".encode()]
    assert valkey.keys("over-time:*") == [f"over-time:{globex.workspace.id}:60:0".encode()]
    assert valkey.zrange("due", 0, -1) == valkey.hkeys("due:numbers") == [f"{globex.pool.id}|1.000".encode()]
    [seen] = valkey.zrange("seen", 0, -1)
    assert seen.startswith(str(globex.organization.id).encode())


# ── a workspace ──────────────────────────────────────────────────────────────────────────────────


def test_of_a_workspace_its_organizations_rows_stay(full: Company) -> None:
    with full.scope():
        Workspace.objects.create(organization=full.organization, name="Other", slug="other")
        used = UsageDelta.objects.count() + UsageDay.objects.count()
    before = held(full)

    until_gone(end_workspace(full))

    after = held(full)
    gone = set(before) - set(after)
    of_workspaces = {name for name, table in tables().items() if of_workspace(tables(), table)} | WITHOUT_TIES
    assert gone == of_workspaces - OF_ORGANIZATIONS - {"workspace"}
    with full.scope():
        assert {place.slug for place in Workspace.objects.all()} == {"acme-former", "other"}
        assert UsageDelta.objects.count() + UsageDay.objects.count() == used
    assert {name for name in after if before[name] != after[name]} <= {"workspace", "departure"}


def test_each_table_is_a_workspaces_or_its_organizations() -> None:
    """4.2: a new table says to whom its rows belong."""
    known = tables()
    neither = {name for name, table in known.items() if not of_workspace(known, table)}
    assert neither - OF_ORGANIZATIONS - WITHOUT_TIES == set()
    assert set(known) >= OF_ORGANIZATIONS | WITHOUT_TIES


def test_code_that_another_workspace_runs_stays(acme: Company, api: Api) -> None:
    codes = {hashlib.sha256(code).hexdigest(): code for code in (b"PK ours", b"PK shared")}
    for sha256, code in codes.items():
        assert api.put(f"/bundles/{sha256}", code).status_code == 201
    deployment, shared = deploy(acme), list(codes)[1]
    with acme.scope():
        by = organization_actor(acme.owner.id, "acme")
        other = organizations.add_workspace(organization=acme.organization, name="Other", by=by)
        own = {"organization": acme.organization, "workspace": other}
        queue = WorkQueue.objects.select_related("pool").get(workspace=other)
        Deployment.objects.create(
            **own, flow=Flow.objects.create(**own, name="etl"), name="theirs", entrypoint="a:b", pool=queue.pool,
            queue=queue, source={"type": "bundle", "sha256": shared},
        )  # fmt: skip
        Bundle.objects.update(created_at=now() - timedelta(days=2))
    until_gone(end_workspace(acme))
    with acme.scope():
        assert [bundle.sha256 for bundle in Bundle.objects.all()] == [shared]
        assert not Deployment.objects.filter(id=deployment.id).exists()


def test_large_tables_go_in_bounded_batches(full: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "ROWS", 1)
    monkeypatch.setattr(departures, "RUNS", 1)
    seen: list[dict[str, int]] = []
    batch: Callable[..., int] = purge._batch

    def watched(id: UUID, step: Callable[[], dict]) -> int:
        return batch(id, lambda: seen.append(found := step()) or found)

    monkeypatch.setattr(purge, "_batch", watched)
    until_gone(end_workspace(full))
    assert max(each.get(name, 0) for each in seen for name in ("task_run", "log_line", "event", "flow_run")) == 1
    assert (
        sum(each.get("log_line", 0) for each in seen)
        == departure(Gone(full.organization.id, full.workspace.id)).counts["log_line"]
    )
