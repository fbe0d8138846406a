"""Usage is proved before the rows that prove it may go."""

from __future__ import annotations

import os
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from runs import partitions
from runs.ingest.streams import SEALED_AFTER
from runs.models import Attempt, FlowRun
from runs.tasks import roll_up_usage
from runs.usage import sealing
from runs.usage.recount import Bucket
from tenants.billing.models import UsageDay, UsageSeal
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import moment
from tests.sql import ask

LATER = SEALED_AFTER + timedelta(days=1)


@pytest.fixture
def ended(acme: Company, api: Api) -> Bucket:
    """A local run with three task runs that ended, rolled up; answers its bucket."""
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.task() for _ in range(3)), journal.log("x"), journal.state("COMPLETED"))
    roll_up_usage()
    return Bucket(30, moment().date())


def long_ago(company: Company) -> None:
    """Nobody may speak of its runs any more."""
    with company.scope():
        Attempt.objects.update(ended_at=moment() - LATER, created_at=moment() - LATER)


def seal(company: Company, bucket: Bucket) -> UsageSeal | None:
    with company.scope():
        return sealing.seal(company.organization.id, bucket)


@pytest.mark.django_db
def test_days_that_equal_the_rows_are_sealed_with_their_hash(acme: Company, ended: Bucket) -> None:
    long_ago(acme)
    found = seal(acme, ended)
    assert found is not None
    assert (found.matches, found.recounted[str(acme.workspace.id)]["task_runs"]) == (True, 3)
    with acme.scope():
        assert found.sha256 == sealing.digest(list(UsageDay.objects.all()))
        UsageDay.objects.update(task_runs=2)
        assert found.sha256 != sealing.digest(list(UsageDay.objects.all()))


@pytest.mark.django_db
def test_a_bucket_is_open_while_somebody_may_speak(acme: Company, ended: Bucket) -> None:
    assert seal(acme, ended) is None
    long_ago(acme)
    with acme.scope():
        FlowRun.objects.update(ended_at=None)
    assert seal(acme, ended) is None


@pytest.mark.django_db
def test_a_difference_is_written_down_logged_and_found_by_the_checks(
    acme: Company, ended: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    from orchestrator.server.checks import database

    long_ago(acme)
    with acme.scope():
        UsageDay.objects.update(task_runs=1_000)
    found = seal(acme, ended)
    assert found is not None
    assert not found.matches
    assert "usage does not match its rows" in caplog.text
    assert "orchestrator.E006" in {message.id for message in database(None, ["default"])}
    with acme.scope():
        UsageDay.objects.update(task_runs=3)
    assert seal(acme, ended).matches  # type: ignore[union-attr]
    assert "orchestrator.E006" not in {message.id for message in database(None, ["default"])}


@pytest.mark.django_db
def test_what_may_be_sealed_is_found_once(acme: Company, ended: Bucket) -> None:
    wanted = [(acme.organization.id, ended.retention, ended.day.isoformat())]

    def found(days: int) -> list[Any]:
        with system_scope():
            return sealing.due(moment() + timedelta(days=days))

    assert found(1) == []
    assert found(9) == wanted
    long_ago(acme)
    seal(acme, ended)
    assert found(9) == []


@pytest.mark.django_db(transaction=True)
def test_a_partition_stays_until_its_usage_is_sealed(acme: Company, ended: Bucket) -> None:
    day = ended.day + timedelta(days=ended.retention + 40)
    leaf = partitions.Leaf("task_run", ended.retention, ended.day, ended.day + timedelta(days=1))
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        cursor = owner.cursor()
        assert not partitions._may_go(cursor, leaf, day)
        long_ago(acme)
        seal(acme, ended)
        assert partitions._may_go(cursor, leaf, day)
        with acme.scope():
            ask("UPDATE usage_seal SET matches = false RETURNING 1")
        assert not partitions._may_go(cursor, leaf, day)


@pytest.mark.django_db(transaction=True)
def test_a_partition_stays_while_deltas_are_in_no_day(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(), journal.state("COMPLETED"))
    today: date = moment().date()
    leaf = partitions.Leaf("task_run", 30, today, today + timedelta(days=1))
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        assert not partitions._may_go(owner.cursor(), leaf, today + timedelta(days=99))
