"""3.13: Old audit entries go from the front of the chain, and what is left proves that nothing else is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils.timezone import now

from tenants import audit, audit_keeping
from tenants.models import AuditEntry
from tenants.tasks import seal_audit, truncate_audit
from tests.cast import Company

pytestmark = pytest.mark.django_db


def written(company: Company, number: int, *, days_ago: float, sealed: bool = True) -> None:
    """Entries as they would have been written and sealed some days ago."""
    with company.scope():
        for place in range(number):
            audit.record(company.actor(), "block.updated", name=f"block-{place}")
        at = now() - timedelta(days=days_ago)
        recent = AuditEntry.objects.filter(number=None, at__gt=now() - timedelta(hours=1))
        ids = list(recent.order_by("at", "id").values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE system")
        for place, id in enumerate(ids):
            moment = at + timedelta(milliseconds=place)
            cursor.execute("UPDATE audit_entry SET at = %s WHERE id = %s", [moment, id])
        cursor.execute("SET LOCAL ROLE app")
    if sealed:
        seal_audit()


def as_owner(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE system")
        cursor.execute(statement, values)
        cursor.execute("SET LOCAL ROLE app")


def numbers(company: Company) -> list[int | None]:
    with company.scope():
        return list(AuditEntry.objects.order_by("number").values_list("number", flat=True))


def hash_of(company: Company, number: int) -> bytes:
    with company.scope():
        return bytes(AuditEntry.objects.get(number=number).hash)


def test_old_entries_go_and_leave_their_anchor(acme: Company) -> None:
    written(acme, 3, days_ago=500)
    written(acme, 2, days_ago=1)
    last = hash_of(acme, 3)
    truncate_audit()
    seal_audit()
    assert numbers(acme) == [4, 5, 6]
    with acme.scope():
        told = AuditEntry.objects.get(number=6)
    assert (told.action, told.actor_kind, told.actor) == ("audit.truncated", "system", "kept for 400 days")
    assert (told.details["through"], told.details["hash"], told.details["entries"]) == (3, last.hex(), 3)
    verdict = audit.verify(acme.organization.id)
    assert (verdict.sealed, verdict.dropped, verdict.anchor, verdict.broken_at) == (3, 3, last, None)


def test_the_command_verifies_from_the_anchor(acme: Company, capsys: pytest.CaptureFixture[str]) -> None:
    written(acme, 3, days_ago=500)
    written(acme, 2, days_ago=1)
    last = hash_of(acme, 3).hex()
    truncate_audit()
    call_command("audit", "acme")  # Also before the anchor's own entry is sealed.
    seal_audit()
    call_command("audit", "acme")
    told = capsys.readouterr().out
    assert "acme: 2 sealed, 1 not yet" in told
    assert f"acme: 3 before them not kept, the last was {last}" in told


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_entry WHERE number = 4",  # the first that is left
        "UPDATE audit_entry SET actor = 'eve' WHERE number = 4",
        "UPDATE audit_entry SET actor = 'eve' WHERE number = 6",  # the anchor's own entry
        """UPDATE audit_entry SET details = jsonb_set(details, '{through}', '4') WHERE number = 6""",
        "DELETE FROM audit_entry WHERE number = 5",
    ],
)
def test_whoever_takes_more_than_that_is_found_out(acme: Company, statement: str) -> None:
    written(acme, 3, days_ago=500)
    written(acme, 2, days_ago=1)
    truncate_audit()
    seal_audit()
    assert audit.verify(acme.organization.id).broken_at is None
    as_owner(statement)
    assert audit.verify(acme.organization.id).broken_at is not None
    with pytest.raises(CommandError, match="Broken: acme"):
        call_command("audit", "acme")


def test_entries_go_again_and_again_anchors_too(acme: Company) -> None:
    for days in (900, 800, 700):
        written(acme, 2, days_ago=days)
    written(acme, 1, days_ago=1)
    for days in (850, 750, 400):
        assert audit_keeping.truncate(acme.organization.id, now() - timedelta(days=days)) == 2
        seal_audit()
        verdict = audit.verify(acme.organization.id)
        assert (verdict.broken_at, verdict.sealed) == (None, len(numbers(acme)))
    assert audit.verify(acme.organization.id).dropped == 6


def test_the_newest_sealed_entry_and_unsealed_ones_stay(acme: Company) -> None:
    written(acme, 3, days_ago=600)
    written(acme, 1, days_ago=500, sealed=False)
    truncate_audit()
    assert numbers(acme)[:1] == [3]
    seal_audit()
    verdict = audit.verify(acme.organization.id)
    assert (verdict.broken_at, verdict.dropped) == (None, 2)
    assert audit_keeping.truncate(acme.organization.id, now() - timedelta(days=400)) > 0
    seal_audit()
    assert audit.verify(acme.organization.id).broken_at is None


def test_as_many_as_there_are_in_batches(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_keeping, "AT_ONCE", 2)
    written(acme, 7, days_ago=500)
    written(acme, 1, days_ago=1)
    truncate_audit()
    seal_audit()
    verdict = audit.verify(acme.organization.id)
    assert (verdict.dropped, verdict.broken_at) == (7, None)


def test_each_organization_has_its_own(acme: Company, globex: Company) -> None:
    for company in (acme, globex):
        written(company, 2, days_ago=500)
    written(acme, 1, days_ago=1)
    truncate_audit()
    seal_audit()
    assert audit.verify(acme.organization.id).dropped == 2
    assert audit.verify(globex.organization.id).dropped == 1
    truncate_audit()  # The entry that was the newest is no longer so: the anchor has followed it.
    seal_audit()
    assert audit.verify(globex.organization.id).dropped == 2
    assert audit_keeping.organizations_to_truncate(audit_keeping.kept_since()) == []


@pytest.mark.parametrize("days", [0, 600])
def test_the_setting_says_for_how_long(acme: Company, settings: Any, days: float) -> None:
    settings.AUDIT_DAYS = days
    written(acme, 3, days_ago=500)
    truncate_audit()
    assert numbers(acme) == [1, 2, 3]


def test_entries_go_by_whole_days(settings: Any) -> None:
    settings.AUDIT_DAYS = 400
    at = datetime(2026, 11, 23, 13, 37, tzinfo=UTC)
    assert audit_keeping.kept_since(at) == datetime(2025, 10, 19, tzinfo=UTC)


def test_who_serves_can_not_shorten_the_trail(acme: Company) -> None:
    from django.db import DatabaseError, transaction

    written(acme, 2, days_ago=500)
    with acme.scope(), pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.filter(number=1).delete()
