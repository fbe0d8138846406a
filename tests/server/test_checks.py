"""System checks find what can't work."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from orchestrator.server import checks
from runs import partitions


@pytest.mark.django_db
def test_a_fresh_database_passes() -> None:
    assert checks.database(None, ["default"]) == []


@pytest.mark.django_db
def test_an_old_postgres_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST_POSTGRES", 99)
    assert [each.id for each in checks.database(None, ["default"])] == ["orchestrator.E001"]


@pytest.mark.django_db
def test_a_missing_partition_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        present = partitions.existing(cursor)
    today = datetime.now(UTC).date()
    monkeypatch.setattr(partitions, "existing", lambda cursor: [leaf for leaf in present if leaf.start <= today])
    found = checks.database(None, ["default"])
    assert [each.id for each in found] == ["orchestrator.E002"]
    assert "task_run_r30_" in found[0].msg


@pytest.mark.django_db
def test_more_connections_than_postgres_offers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PROCESSES", "50")
    found = checks.database(None, ["default"])
    assert [each.id for each in found] == ["orchestrator.E004"]
    assert "web 750" in found[0].msg


def test_without_a_database_nothing_is_asked() -> None:
    assert checks.database(None, None) == []


def test_a_key_of_ones_own_needs_a_secret(monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/else")
    settings.SECRET_KEY_IS_GIVEN = False
    assert [each.id for each in checks.secret_key(None)] == ["orchestrator.E003"]
    settings.SECRET_KEY_IS_GIVEN = True
    assert checks.secret_key(None) == []
