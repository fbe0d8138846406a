"""The audit trail: written with the change, never altered, sealed into a chain that shows what was done to it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now

from tenants import audit, trace
from tenants.models import AuditEntry
from tenants.permissions import Actor
from tenants.tasks import seal_audit
from tests.cast import Company
from tests.sql import ask

pytestmark = pytest.mark.django_db


def by(company: Company, label: str = "alice@acme.example") -> Actor:
    return Actor("user", company.organization.id, company.workspace.id, "owner", label, user_id=company.owner.id)


def written(company: Company, *actions: str) -> None:
    for action in actions:
        with company.scope():
            audit.record(by(company), action, company.workspace, details={"of": action})


def entries(company: Company) -> list[AuditEntry]:
    with company.scope():
        return list(AuditEntry.objects.order_by("at", "id"))


def as_owner(statement: str) -> None:
    """What only somebody with the owner's password could do."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE system")
        cursor.execute(statement)
        cursor.execute("SET LOCAL ROLE app")


def test_an_entry_says_who_did_what_to_what_from_where(acme: Company) -> None:
    with trace.named(trace.address, "203.0.113.9"), trace.named(trace.request_id, "request-1"):
        written(acme, "workspace.renamed")
    (entry,) = entries(acme)
    assert (entry.action, entry.actor_kind, entry.actor) == ("workspace.renamed", "user", "alice@acme.example")
    assert (entry.object_type, entry.object_id, entry.object_name) == ("workspace", acme.workspace.id, "Main")
    assert (entry.user_id, entry.workspace_id) == (acme.owner.id, acme.workspace.id)
    assert (entry.address, entry.request_id, entry.details) == (
        "203.0.113.9", "request-1", {"of": "workspace.renamed"},
    )  # fmt: skip


def test_it_goes_with_the_change_when_that_is_undone(acme: Company) -> None:
    def fail() -> None:
        with acme.scope():
            audit.record(by(acme), "workspace.renamed")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert entries(acme) == []


def test_details_are_bounded(acme: Company) -> None:
    with acme.scope():
        audit.record(by(acme), "block.updated", name="\x00" + "n" * 600, details={"text": "x" * 20_000})
    (entry,) = entries(acme)
    assert entry.details == {"left_out": "More than 16 KiB."}
    assert len(entry.object_name) == 500


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET actor = 'eve'", "DELETE FROM audit_entry"])
def test_who_serves_can_neither_alter_nor_remove_entries(acme: Company, statement: str) -> None:
    written(acme, "key.created")
    with acme.scope(), pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        ask(statement)
    assert len(entries(acme)) == 1


def test_sealing_numbers_and_chains(acme: Company, globex: Company) -> None:
    written(acme, "a.one", "a.two")
    written(globex, "g.one")
    seal_audit()
    written(acme, "a.three")
    seal_audit()
    assert [entry.number for entry in entries(acme)] == [1, 2, 3]
    assert [entry.number for entry in entries(globex)] == [1]
    assert len({bytes(entry.hash) for entry in entries(acme)}) == 3
    verdict = audit.verify(acme.organization.id)
    assert (verdict.sealed, verdict.unsealed, verdict.broken_at) == (3, 0, None)
    assert verdict.head == bytes(entries(acme)[-1].hash)
    assert audit.seal_entries(acme.organization.id) == 0


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE audit_entry SET actor = 'mallory' WHERE number = 2", 2),
        ("UPDATE audit_entry SET details = '{}' WHERE number = 1", 1),
        ("DELETE FROM audit_entry WHERE number = 2", 2),
        ("UPDATE audit_entry SET number = number + 1 WHERE number = 3", 3),
        ("UPDATE audit_entry SET hash = sha256('x') WHERE number = 3", 3),
    ],
)
def test_tampering_is_found(acme: Company, tampering: str, broken_at: int) -> None:
    written(acme, "a.one", "a.two", "a.three")
    seal_audit()
    as_owner(tampering)
    assert audit.verify(acme.organization.id).broken_at == broken_at
    with pytest.raises(CommandError, match="Broken: acme"):
        call_command("audit", "acme")


def test_a_tail_that_was_cut_off_shows_by_its_head(acme: Company) -> None:
    written(acme, "a.one", "a.two")
    seal_audit()
    noted = audit.verify(acme.organization.id).head
    as_owner("DELETE FROM audit_entry WHERE number = 2")
    assert audit.verify(acme.organization.id).head != noted


def test_the_command_prints_the_head(acme: Company, capsys: pytest.CaptureFixture[str]) -> None:
    written(acme, "a.one")
    seal_audit()
    call_command("audit")
    assert f"acme: 1 sealed, 0 not yet, head {audit.verify(acme.organization.id).head.hex()}" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no organization nobody"):
        call_command("audit", "nobody")


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_and_filters(acme: Company, alice: Any, browse: Any) -> None:
    written(acme, "block.updated", "key.created")
    with acme.scope():
        audit.record(by(acme, "bob@acme.example"), "block.read", name="<b>warehouse</b>")
    page = browse(alice)
    everything = page.get("/o/acme/audit").content.decode()
    assert "key.created" in everything
    assert "&lt;b&gt;warehouse" in everything
    for query, shown, hidden in (
        ("action=block.", "block.updated", "key.created"),
        ("action=key.created", "key.created", "block.updated</code>"),
        ("actor=bob", "block.read", "block.updated</code>"),
        ("object=%3Cb", "block.read", "block.updated</code>"),
        (f"object={acme.workspace.id}", "key.created", "block.read"),
    ):
        text = page.get(f"/o/acme/audit?{query}").content.decode()
        assert shown in text, query
        assert hidden not in text, query
    assert "No entry matches" in page.get("/o/acme/audit?actor=nobody").content.decode()


def test_the_page_has_pages(acme: Company, alice: Any, browse: Any, django_assert_max_num_queries: Any) -> None:
    written(acme, *[f"a.n{number}" for number in range(60)])
    page = browse(alice)
    with django_assert_max_num_queries(15):
        first = page.get("/o/acme/audit")
    assert len(first.context["rows"]) == 50
    second = page.get("/o/acme/audit" + first.context["next"])
    assert [entry.action for entry in second.context["rows"]] == [f"a.n{number}" for number in range(9, -1, -1)]
    assert page.get("/o/acme/audit?cursor=junk").status_code == 400


def test_the_range_is_kept(acme: Company, alice: Any, browse: Any) -> None:
    with acme.scope():
        audit.record(by(acme), "a.old")
    as_owner(f"UPDATE audit_entry SET at = '{(now() - timedelta(days=8)).isoformat()}'")
    page = browse(alice)
    assert "Nothing was done in this range" in page.get("/o/acme/audit").content.decode()
    assert "a.old" in page.get("/o/acme/audit?range=all").content.decode()
    assert "a.old" not in page.get("/o/acme/audit?range=forever").content.decode()


def test_the_export_can_be_verified(acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.audit_views.EXPORTED_AT_ONCE", 2)
    written(acme, "a.one", "a.two", "a.three")
    seal_audit()
    response = browse(alice).get("/o/acme/audit/export")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert [line["action"] for line in lines] == ["a.one", "a.two", "a.three", "audit.exported"]
    assert [line["number"] for line in lines] == [1, 2, 3, None]
    assert lines[2]["hash"] == audit.verify(acme.organization.id).head.hex()


@pytest.mark.parametrize("path", ["audit", "audit/export"])
def test_members_do_not_see_it(acme: Company, bob: Any, browse: Any, path: str) -> None:
    assert browse(bob).get(f"/o/acme/{path}").status_code == 403
