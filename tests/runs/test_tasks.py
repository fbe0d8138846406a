"""Ticks: they find as the system, and work tenant by tenant."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrator.server import celery
from orchestrator.server.celery import TICKS, app, take_turns
from runs import outages, scheduling, tasks
from runs.models import FlowRun, Lease, Schedule
from tenants.scope import NoTenantScope, current_scope
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, in_seconds, run_row, silence, start, trigger

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def alive(valkey: object) -> None:
    """The platform has just been there."""
    outages.note_alive()


def lost_run(company: Company) -> object:
    trigger(company, deploy(company))
    (claimed,) = claim(company, agent(company))
    start(claimed)
    silence(company, claimed.run)
    return claimed.run


def test_lost_runs_of_all_tenants_are_judged(acme: Company, globex: Company) -> None:
    runs = {company.organization.id: (company, lost_run(company)) for company in (acme, globex)}
    tasks.expire_leases()

    for company, run_id in runs.values():
        assert run_row(company, run_id).state_name == "Unreachable"
    with pytest.raises(NoTenantScope):
        current_scope()


def test_after_an_outage_slots_go_on_as_far_as_the_limit_allows(acme: Company, valkey) -> None:
    """Claims went on while the ticks were away, and one of two slots has gone to another run."""
    deployment = deploy(acme, concurrency_limit=2)
    trigger(acme, deployment, 3)
    by = agent(acme)
    first, second = claim(acme, by)
    silence(acme, first.run)
    (third,) = claim(acme, by)
    silence(acme, second.run)
    valkey.set(outages.ALIVE, time.time() - 120)
    outages.note_alive()

    with acme.scope():
        live = Lease.objects.filter(expires_at__gt=in_seconds(1))
        assert set(live.filter(limit=None).values_list("run_id", flat=True)) == {first.run, second.run, third.run}
        assert live.filter(limit__isnull=False).count() == 2


def test_a_tick_without_work_asks_once(acme: Company) -> None:
    for tick in (tasks.expire_leases, tasks.create_scheduled_runs, tasks.mark_late_runs):
        with CaptureQueriesContext(connection) as captured:
            tick()
        asked = [query["sql"] for query in captured if "flow_run" in query["sql"] or "lease" in query["sql"]]
        assert len(asked) <= 1


def test_one_tenant_that_fails_keeps_nobody_waiting(
    acme: Company, globex: Company, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from runs import claims

    runs = {company.organization.id: (company, lost_run(company)) for company in (acme, globex)}
    expire = claims.expire

    def fail_for_acme(ids: list) -> list:
        if current_scope().organization_id == acme.organization.id:
            raise ValueError("something of Acme's")
        return expire(ids)

    monkeypatch.setattr(claims, "expire", fail_for_acme)
    with caplog.at_level(logging.ERROR):
        tasks.expire_leases()
    assert run_row(acme, runs[acme.organization.id][1]).state_name == "Running"
    assert run_row(globex, runs[globex.organization.id][1]).state_name == "Unreachable"
    assert str(acme.organization.id) in caplog.text


def test_a_schedule_that_can_not_be_run_stops_no_other(acme: Company, globex: Company, caplog) -> None:
    """Its parameters were fine when it was deployed; the schema has changed since."""
    for company in (acme, globex):
        deployment = deploy(company, schedule={"interval": 30})
        with company.scope():
            Schedule.objects.update(next_at=in_seconds(-1))
            if company is acme:
                type(deployment).objects.update(parameter_schema={"type": "object", "required": ["day"]})
    with caplog.at_level(logging.WARNING):
        tasks.create_scheduled_runs()

    with acme.scope():
        assert not FlowRun.objects.exists()
        assert Schedule.objects.get().next_at > in_seconds(30)
    with globex.scope():
        assert FlowRun.objects.exists()
    assert "parameters.day" in caplog.text


def test_runs_that_nobody_takes_are_late(acme: Company, globex: Company) -> None:
    deployment = deploy(acme)
    (late,) = trigger(acme, deployment, scheduled_at=in_seconds(-60))
    (young,) = trigger(acme, deployment)
    (foreign,) = trigger(globex, deploy(globex), scheduled_at=in_seconds(-60))
    for _ in range(2):
        tasks.mark_late_runs()

    assert (run_row(acme, late).state_name, len(run_row(acme, late).history)) == ("Late", 2)
    assert run_row(acme, young).state_name == "Scheduled"
    assert run_row(globex, foreign).state_name == "Late"
    assert [run.run for run in claim(acme, agent(acme))] == [late, young]


def test_scheduled_runs_of_all_tenants_are_made(acme: Company, globex: Company) -> None:
    for company in (acme, globex):
        deploy(company, schedule={"interval": 20})
    tasks.create_scheduled_runs()
    for company in (acme, globex):
        with company.scope():
            assert 2 <= FlowRun.objects.count() <= 4
            assert set(FlowRun.objects.values_list("origin", flat=True)) == {"schedule"}


def test_partitions_are_kept(acme: Company) -> None:
    tasks.keep_partitions()


@pytest.mark.parametrize("tick", ["expire_leases", "create_scheduled_runs", "mark_late_runs", "keep_partitions"])
def test_every_tick_is_on_the_beat_and_on_its_own_queue(tick: str) -> None:
    name = getattr(tasks, tick).name
    (entry,) = (each for each in app.conf.beat_schedule.values() if each["args"] == [TICKS[name]])
    assert entry["schedule"].seconds == TICKS[name]
    assert entry["options"]["expires"] > 0
    assert app.conf.task_routes[name] == app.conf.task_routes[entry["task"]] == {"queue": "ticks"}


def test_there_is_a_task_for_every_tick() -> None:
    app.loader.import_default_modules()
    assert set(TICKS) <= set(app.tasks)


def test_a_tick_that_fails_keeps_none_of_the_others_from_its_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail() -> None:
        raise RuntimeError("no such table")

    names = {"first": lambda: told.append("first"), "second": fail, "third": lambda: told.append("third")}
    for name, run in names.items():
        monkeypatch.setitem(app.tasks, name, run)
    monkeypatch.setattr(celery, "TICKS", dict.fromkeys(names, 7) | {"another": 8})
    take_turns(7)
    assert told == ["first", "third"]
    assert "the tick second failed" in caplog.text


# ── when it was the platform that was silent ─────────────────────────────────────────────────────


def pretend_last_alive(valkey, seconds_ago: float) -> None:
    valkey.set(outages.ALIVE, time.time() - seconds_ago)


def test_after_an_outage_everybody_has_the_gap_and_a_lease_more(acme: Company, globex: Company, valkey) -> None:
    runs = [(company, lost_run(company)) for company in (acme, globex)]
    pretend_last_alive(valkey, 300)
    with acme.scope():
        before = Lease.objects.get().expires_at
    tasks.expire_leases()

    for company, run_id in runs:
        assert run_row(company, run_id).state_name == "Running"
    with acme.scope():
        moved = Lease.objects.get().expires_at - before
    assert timedelta(seconds=359) < moved < timedelta(seconds=370)
    for company, run_id in runs:
        silence(company, run_id)
    tasks.expire_leases()
    assert run_row(acme, runs[0][1]).state_name == "Unreachable"


def test_a_short_gap_is_no_outage(acme: Company, valkey) -> None:
    run_id = lost_run(acme)
    pretend_last_alive(valkey, 5)
    tasks.expire_leases()
    assert run_row(acme, run_id).state_name == "Unreachable"


def test_an_emptied_redis_costs_nobody_their_run(acme: Company, valkey) -> None:
    run_id = lost_run(acme)
    valkey.flushdb()
    tasks.expire_leases()
    assert run_row(acme, run_id).state_name == "Running"
    with acme.scope():
        assert Lease.objects.get().expires_at > in_seconds(50)


def test_the_sets_of_a_tick_are_bounded() -> None:
    assert tasks.AT_ONCE <= 1_000
    assert scheduling.MAX_AT_ONCE <= 1_000
