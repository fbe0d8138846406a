"""The partitions of the tall tables: made ahead, taken away in time, asked for before SQL meets a missing one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from runs import partitions
from runs.models import FlowRun, LogLine
from runs.partitions import CLASSES, TALL_TABLES, Leaf, span, wanted
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import run_row
from tests.sql import ask

TODAY = datetime.now(UTC).date()
LONG_AGO = date(2019, 3, 6)  # a Wednesday


@pytest.fixture
def owner(transactional_db: None) -> Iterator[psycopg.Cursor]:
    """The owner's cursor. What a test made of old partitions goes, and today's are there again."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        cursor = connection.cursor()
        yield cursor
        for (name,) in cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_r[0-9]+_20(18|19)[0-9]{4}$'"
        ).fetchall():
            cursor.execute(f"DROP TABLE {name}")
        partitions.ensure(cursor, TODAY)


def names() -> set[str]:
    return {
        name for (name,) in ask("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_r[0-9]+_[0-9]{8}$'")
    }


def old(table: str = "log_line", days: int = 7, day: date = LONG_AGO) -> Leaf:
    return Leaf(table, days, *span(days, day))


# ── which ones ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("days", "day", "start", "end"),
    [
        (7, date(2026, 11, 22), date(2026, 11, 22), date(2026, 11, 23)),
        (30, date(2026, 12, 31), date(2026, 12, 31), date(2027, 1, 1)),
        (90, date(2026, 11, 22), date(2026, 11, 16), date(2026, 11, 23)),
        (90, date(2026, 11, 23), date(2026, 11, 23), date(2026, 11, 30)),
        (365, date(2026, 2, 28), date(2026, 2, 1), date(2026, 3, 1)),
        (365, date(2026, 12, 31), date(2026, 12, 1), date(2027, 1, 1)),
    ],
)
def test_a_day_a_week_or_a_month(days: int, day: date, start: date, end: date) -> None:
    assert span(days, day) == (start, end)


@pytest.mark.parametrize("days", CLASSES)
def test_spans_follow_each_other_without_a_gap(days: int) -> None:
    ranges = sorted({span(days, date(2026, 1, 1) + timedelta(days=number)) for number in range(800)})
    assert all(first[1] == second[0] for first, second in pairwise(ranges))


def test_from_yesterday_to_a_week_ahead() -> None:
    for table in TALL_TABLES:
        for days in CLASSES:
            leaves = [leaf for leaf in wanted(TODAY) if (leaf.table, leaf.days) == (table, days)]
            for offset in range(-1, 8):
                assert any(leaf.start <= TODAY + timedelta(days=offset) < leaf.end for leaf in leaves)


def test_a_name_says_table_class_and_day() -> None:
    assert old().name == "log_line_r7_20190306"
    assert partitions._leaf("log_line_r7_20190306") == old()
    assert partitions._leaf(old("task_run", 365).name) == old("task_run", 365)


# ── made ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_the_migration_made_the_coming_week() -> None:
    assert {leaf.name for leaf in wanted(TODAY)} <= names()


def test_making_them_again_makes_nothing(owner: psycopg.Cursor) -> None:
    partitions.ensure(owner, TODAY)
    assert partitions.ensure(owner, TODAY) == []


def test_they_are_made_ahead_behind_the_wall(owner: psycopg.Cursor) -> None:
    made = partitions.ensure(owner, LONG_AGO)
    assert old().name in made
    assert len(made) == len(wanted(LONG_AGO))
    secured = ask("SELECT bool_and(relrowsecurity AND relforcerowsecurity) FROM pg_class WHERE relname = ANY(%s)", made)
    granted = ask(
        "SELECT bool_or(has_table_privilege('app', oid, 'SELECT')) FROM pg_class WHERE relname = ANY(%s)", made
    )
    assert (secured, granted) == ([(True,)], [(False,)])


def test_one_that_was_left_half_made_is_finished(owner: psycopg.Cursor) -> None:
    owner.execute(f"CREATE TABLE {old().name} (LIKE log_line_r7 INCLUDING ALL)")
    assert old().name in partitions.ensure(owner, LONG_AGO)
    assert old() in partitions.existing(owner)


# ── taken away ───────────────────────────────────────────────────────────────────────────────────


def test_what_is_past_its_time_goes_and_the_rest_stays(owner: psycopg.Cursor) -> None:
    partitions.ensure(owner, LONG_AGO)
    before = names()
    day = old().expires
    assert old().name not in partitions.drop_expired(owner, day - timedelta(days=1))
    dropped = set(partitions.drop_expired(owner, day))

    assert {old(table).name for table in TALL_TABLES} <= dropped
    assert names() & dropped == set()
    assert not any(name for name in dropped if "_r7_" not in name)
    kept = before - dropped
    assert {leaf.name for leaf in wanted(TODAY)} <= kept
    assert partitions.drop_expired(owner, day) == []


def test_classes_are_kept_for_their_days() -> None:
    assert [old(days=days).expires - old(days=days).end for days in CLASSES] == [timedelta(days=d) for d in CLASSES]


def aged(company: Company, journal: Journal, **more: object) -> None:
    with company.scope():
        FlowRun.objects.filter(id=journal.root).update(retention=7, bucket=LONG_AGO, **more)


def test_partitions_of_live_runs_stay(acme: Company, api: Api, owner: psycopg.Cursor) -> None:
    partitions.ensure(owner, LONG_AGO)
    journal = Journal(api)
    journal.send(journal.begin())
    aged(acme, journal)
    for table in TALL_TABLES:
        assert old(table).name not in partitions.drop_expired(owner, TODAY)
    journal.send(journal.state("COMPLETED", run_count=1))
    assert {old(table).name for table in TALL_TABLES} <= set(partitions.drop_expired(owner, TODAY))


def test_a_detach_that_was_cut_off_is_finished(owner: psycopg.Cursor) -> None:
    partitions.ensure(owner, LONG_AGO)
    with psycopg.connect(os.environ["DATABASE_WORKER_URL"], options="-c role=app") as reader:
        reader.execute("SELECT count(*) FROM log_line")  # An open transaction: the detach has to wait for it.
        owner.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            owner.execute(f"ALTER TABLE log_line_r7 DETACH PARTITION {old().name} CONCURRENTLY")
    assert ask("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s::regclass", old().name) == [(True,)]

    assert old().name in partitions.drop_expired(owner, TODAY)
    assert old().name not in names()


def test_a_drop_that_was_cut_off_is_finished(owner: psycopg.Cursor) -> None:
    partitions.ensure(owner, LONG_AGO)
    owner.execute(f"ALTER TABLE log_line_r7 DETACH PARTITION {old().name} CONCURRENTLY")
    assert old().name in partitions.drop_expired(owner, TODAY)
    assert old().name not in names()


# ── a batch without a place for its rows ─────────────────────────────────────────────────────────


def test_a_batch_for_a_missing_partition_is_asked_to_come_again(acme: Company, api: Api, owner: psycopg.Cursor) -> None:
    """The tick is behind: nothing is lost, the client sends it again."""
    partitions.forget()
    owner.execute(f"DROP TABLE log_line_r30_{TODAY:%Y%m%d}")
    journal = Journal(api)
    body = journal.body([journal.begin(), journal.log("kept by the client")])
    response = api.post("/journal", body)

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable"
    assert "keep_partitions" in response.json()["error"]["message"]
    assert response.headers["Retry-After"]
    with acme.scope():
        assert not FlowRun.objects.exists()
    partitions.ensure(owner, TODAY)
    assert api.post("/journal", body).status_code == 200
    with acme.scope():
        assert LogLine.objects.get().message == "kept by the client"


def test_late_words_after_retention_are_sealed(acme: Company, api: Api, owner: psycopg.Cursor) -> None:
    """The run ended long after it began; its partition is gone, and its log with it."""
    journal = Journal(api)
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    aged(acme, journal)
    answer = journal.send(journal.log("too late"), journal.task())

    assert [(refused["seq"], refused["code"]) for refused in answer["rejected"]] == [(0, "sealed")]
    assert answer["acked"] == {}
    assert run_row(acme, journal.root).state_type == "COMPLETED"


def test_one_run_without_a_place_holds_up_no_other(acme: Company, api: Api, owner: psycopg.Cursor) -> None:
    gone, present = Journal(api), Journal(api)
    gone.send(gone.begin(), gone.state("COMPLETED", run_count=1))
    aged(acme, gone)
    body = gone.body([gone.log("too late")]) + b"\n"
    body += present.body([present.begin(), present.log("here")]).split(b"\n", 1)[1]
    answer = api.post("/journal", body).json()

    assert answer["acked"] == {present.stream: 2}
    assert [refused["code"] for refused in answer["rejected"]] == ["sealed"]


@pytest.mark.django_db
def test_whether_a_place_is_there_is_asked_once(acme: Company, api: Api, django_assert_max_num_queries) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    with django_assert_max_num_queries(12):
        journal.send(journal.log())
