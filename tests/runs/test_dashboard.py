"""The first page of a workspace: figures, states over time, what needs a look; bounded whatever it has run."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from runs.messenger import messenger
from runs.models import Agent, FlowRun, WorkPool
from runs.reads import dashboard, over_time, run_filter, run_list
from runs.reads.attention import attention
from runs.reads.pools import pools
from tests.cast import Company
from tests.contract.journals import Journal
from tests.runs.work import (
    agent,
    cancel,
    claim,
    deploy,
    in_seconds,
    limit,
    moment,
    start,
    trigger,
    unreachable_run,
)

pytestmark = pytest.mark.django_db


def age(company: Company, ids: Any, **span: float) -> None:
    """Let runs have been made a while ago."""
    with company.scope():
        FlowRun.objects.filter(id__in=ids).update(created_at=moment() - timedelta(**span))


def counted(company: Company, range: str = "24h") -> over_time.OverTime:
    with company.scope():
        found = over_time.over_time(company.workspace.id, range)
    assert messenger.flush()  # What is remembered is sent by a thread.
    return found


def needs_a_look(company: Company) -> Any:
    with company.scope():
        id = company.workspace.id
        return attention(id, moment() - timedelta(days=1), pools(company.actor()))


def make_late(company: Company, seconds: float = 60) -> None:
    with company.scope():
        FlowRun.objects.filter(state_type="SCHEDULED").update(due_at=in_seconds(-seconds))


@pytest.mark.parametrize("range", over_time.SPANS)
def test_spans_cover_the_whole_range_and_the_moment(acme: Company, range: str) -> None:
    found, (number, step) = counted(acme, range), over_time.SPANS[range]
    assert found.start <= moment() - number * step
    assert found.start + len(found.bars) * step > moment()


def test_runs_are_counted_in_their_span(acme: Company) -> None:
    ids = trigger(acme, deploy(acme), 3)
    age(acme, ids[:2], hours=5)
    cancel(acme, ids[0])
    found = counted(acme)
    assert found.totals == {"CANCELLED": 1, "SCHEDULED": 2}
    assert list(found.totals) == ["CANCELLED", "SCHEDULED"]  # As they are stacked.
    assert found.bars[-1] == {"SCHEDULED": 1}
    assert found.bars[-16] == {"CANCELLED": 1, "SCHEDULED": 1} or found.bars[-17] == {"CANCELLED": 1, "SCHEDULED": 1}
    assert sum(found.grouped(("SCHEDULED",), 12)) == 2
    assert len(found.chart["bars"]) == 73


def test_subflows_and_other_workspaces_are_not_counted(acme: Company, globex: Company, api: Any) -> None:
    trigger(globex, deploy(globex))
    journal = Journal(api)
    journal.send(journal.begin(), journal.subflow(deploy(acme).id))
    assert counted(acme).totals == {"RUNNING": 1}


def test_a_past_span_in_which_all_ended_is_remembered(acme: Company, valkey: Redis) -> None:
    ids = trigger(acme, deploy(acme))
    age(acme, ids, hours=5)
    assert counted(acme).totals == {"SCHEDULED": 1}
    cancel(acme, ids[0])
    assert counted(acme).totals == {"CANCELLED": 1}  # It was alive: its span was not remembered.

    with acme.scope():
        FlowRun.objects.all().delete()
    assert counted(acme).totals == {"CANCELLED": 1}
    valkey.flushdb()
    assert counted(acme).totals == {}


def test_the_newest_span_is_never_remembered_for_long(acme: Company) -> None:
    start_of_minute = moment().replace(second=0, microsecond=0)
    many, few = {"COMPLETED": 5_000}, {"COMPLETED": 5}
    now, minute = start_of_minute + timedelta(seconds=30), timedelta(minutes=1)
    assert over_time._life(start_of_minute + minute, few, now) == 0
    assert over_time._life(start_of_minute + minute, many, now) == over_time.KEPT_LARGE_NEWEST
    assert over_time._life(start_of_minute, few, now) == 0  # What began before its end may not be committed yet.
    assert over_time._life(start_of_minute - minute, few, now) == over_time.KEPT
    assert over_time._life(start_of_minute - minute, {**many, "RUNNING": 1}, now) == over_time.KEPT_LARGE
    assert over_time._life(start_of_minute - minute, {**few, "RUNNING": 1}, now) == 0


def test_without_redis_everything_is_counted(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Redis(port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(over_time, "client", lambda: nowhere)
    monkeypatch.setattr(dashboard, "client", lambda: nowhere)
    trigger(acme, deploy(acme))
    assert counted(acme).totals == {"SCHEDULED": 1}
    with acme.scope():
        assert dashboard.task_runs_a_minute(acme.workspace.id) == 0


@pytest.mark.parametrize(
    ("well", "badly", "rate"),
    [(0, 0, "–"), (3, 0, "100%"), (0, 3, "0%"), (99_999, 1, "99.9%"), (1, 99_999, "0.1%"), (2, 1, "66.7%")],
)
def test_the_rate_is_all_or_nothing_only_when_it_is(well: int, badly: int, rate: str) -> None:
    assert dashboard.Outcome(well, badly).rate == rate


def test_durations_are_those_of_completed_runs(acme: Company) -> None:
    ids = trigger(acme, deploy(acme), 20)
    with acme.scope():
        for seconds, id in enumerate(ids):
            FlowRun.objects.filter(id=id).update(
                state_type="COMPLETED", started_at=moment(), ended_at=in_seconds(seconds)
            )
        found = dashboard.durations(acme.workspace.id, moment() - timedelta(hours=1))
        assert (round(found.p50, 1), round(found.p95, 1), found.sample) == (9.5, 18.1, 20)
        assert dashboard.durations(acme.workspace.id, in_seconds(60)) == dashboard.Durations(None, None, 0)


def test_task_runs_a_minute_are_those_of_this_workspace(acme: Company, api: Any, globex: Company, eve_api: Any) -> None:
    for program, number in ((api, 10), (eve_api, 5)):
        journal = Journal(program)
        journal.send(journal.begin(), *(journal.task() for _ in range(number)))
    with acme.scope():
        assert dashboard.task_runs_a_minute(acme.workspace.id) == 2


def test_running_tells_who_holds_it(acme: Company) -> None:
    trigger(acme, deploy(acme), 2)
    for claimed in claim(acme, agent(acme, "box")):
        start(claimed)
    with acme.scope():
        assert dashboard.count_running(acme.workspace.id) == 2
        assert {held.agent for held in dashboard.running(acme.workspace.id)} == {"box"}
        assert [row.running for row in pools(acme.actor())] == [2]


def test_failures_are_grouped_by_flow_and_cause(acme: Company, api: Any) -> None:
    for message in ("no such month", "no such year"):
        journal = Journal(api)
        error = {"type": "ValueError", "message": message, "traceback": ""}
        journal.send(journal.begin("etl"), journal.state("FAILED", run_count=1, error=error))
    journal = Journal(api)
    journal.send(journal.begin("load"), journal.state("CRASHED", run_count=1, message="The process was killed."))

    found = needs_a_look(acme)
    assert [(group.flow, group.state_type, group.number) for group in found.failures] == [
        ("load", "CRASHED", 1),
        ("etl", "FAILED", 2),
    ]
    assert [group.cause for group in found.failures] == ["The process was killed.", "ValueError: no such year"]
    assert (found.total, found.more) == (2, False)


def test_an_unreachable_run_needs_a_look(acme: Company) -> None:
    _, claimed, _ = unreachable_run(acme)
    assert [run.id for run in needs_a_look(acme).unreachable] == [claimed.run]


def cause(company: Company) -> str:
    [stuck] = needs_a_look(company).stuck
    return stuck.cause


def test_what_waits_says_why(acme: Company) -> None:
    trigger(acme, deploy(acme), 3)
    assert needs_a_look(acme).stuck == []  # It is due since just now.
    make_late(acme)
    assert cause(acme) == "No agent was ever started for it."
    box = agent(acme, slots=1)
    assert "limit of the queue or deployment" in cause(acme)
    claim(acme, box, 1)
    assert cause(acme) == "All 1 slots of its agents are used."
    limit(acme, "pool", acme.pool, 1)
    assert cause(acme) == "The pool runs 1 at once, no more."
    with acme.scope():
        Agent.objects.update(last_seen_at=in_seconds(-600))
    assert cause(acme) == "Its agents are lost."
    with acme.scope():
        WorkPool.objects.update(paused=True)
    assert cause(acme) == "The pool is paused."


def test_the_page_has_a_bounded_number_of_queries(
    acme: Company, alice: Any, browse: Any, api: Any, django_assert_max_num_queries: Any
) -> None:
    browser = browse(alice)
    deployment = deploy(acme, schedule={"cron": "0 6 * * *"})
    browser.get(acme.path)
    with django_assert_max_num_queries(35):
        assert browser.get(acme.path).status_code == 200
    trigger(acme, deployment, 30)
    for number in range(3):
        deploy(acme, f"more-{number}", flow=f"flow-{number}", schedule={"cron": "0 7 * * *"})
        by = agent(acme, f"box-{number}")
        for claimed in claim(acme, by, 5):
            start(claimed)
        journal = Journal(api)
        journal.send(journal.begin(f"bad-{number}"), journal.state("FAILED", run_count=1))
    make_late(acme)
    for name in over_time.SPANS:
        with django_assert_max_num_queries(35):
            assert browser.get(acme.path, {"range": name}).status_code == 200


def test_a_new_workspace_is_led_to_its_first_run(acme: Company, alice: Any, vera: Any, browse: Any) -> None:
    page = browse(alice).get(acme.path).content.decode()
    assert "Nothing ran yet. Make a first run." in page
    assert "orchestrator login" in page
    deployment = deploy(acme)
    assert f"{acme.path}deployments/{deployment.id}/run" in browse(alice).get(acme.path).content.decode()
    page = browse(vera).get(acme.path).content.decode()
    assert "Nothing ran yet" in page
    assert f"deployments/{deployment.id}/run" not in page


def test_the_list_of_runs_counts_by_the_same_spans(acme: Company) -> None:
    ids = trigger(acme, deploy(acme), 3)
    cancel(acme, ids[0])
    with acme.scope():
        id, read = acme.workspace.id, run_filter.RunFilter.read
        for query in ({}, {"range": "30d"}, {"range": "all"}, {"flow": "etl"}):
            assert run_list.counts(id, read(query)) == {"CANCELLED": 1, "SCHEDULED": 2}
            bars = run_list.over_time(id, read({**query, "state": ["CANCELLED"]}))["bars"]
            assert sum((Counter(bar) for bar in bars), Counter()) == {"CANCELLED": 1}
